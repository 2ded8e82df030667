package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// The modules of the OpenID conformance suite for relying parties, one sub-test each, with what the suite itself
// cannot see: that no session and no account exists after a lie, and what the page says.

const (
	unverifiable  = "could not be verified"
	unreachable   = "can&#39;t be reached"
	misconfigured = "is misconfigured"
)

// module is a lie and what becomes of it.
type module struct {
	name string
	cfg  func(*oidc.Config)
	lie  func(t *testing.T, idp *provider.Provider)
	sees string // text on the page; "" when the sign-in works
	info bool   // with sees: userinfo may have been called
}

func claim(name string, v any) func(*testing.T, *provider.Provider) {
	return func(_ *testing.T, idp *provider.Provider) {
		idp.SetFaults(func(l *provider.Faults) {
			l.ID = func(c map[string]any) {
				c[name] = v
				if v == nil {
					delete(c, name)
				}
			}
		})
	}
}

func lies(change func(l *provider.Faults)) func(*testing.T, *provider.Provider) {
	return func(_ *testing.T, idp *provider.Provider) { idp.SetFaults(change) }
}

func signWith(sign func(claims map[string]any) any) func(*testing.T, *provider.Provider) {
	return lies(func(l *provider.Faults) { l.Sign = sign })
}

var basicModules = []module{
	{name: "oidcc-client-test"},
	{name: "oidcc-client-test-invalid-iss", lie: claim("iss", "https://evil.example"), sees: unverifiable},
	{name: "oidcc-client-test-missing-sub", lie: claim("sub", nil), sees: unverifiable},
	{name: "oidcc-client-test-invalid-aud", lie: claim("aud", "somebody-else"), sees: unverifiable},
	{name: "oidcc-client-test-missing-aud", lie: claim("aud", nil), sees: unverifiable},
	{name: "oidcc-client-test-missing-iat", lie: claim("iat", nil), sees: unverifiable},
	{name: "oidcc-client-test-kid-absent-single-jwks", lie: func(_ *testing.T, idp *provider.Provider) {
		k := provider.RSA(0)
		k.ID = ""
		idp.Keys(k)
	}},
	{name: "oidcc-client-test-kid-absent-multiple-jwks", lie: func(_ *testing.T, idp *provider.Provider) {
		k := provider.RSA(1)
		k.ID = ""
		idp.Keys(k, provider.RSA(0))
		idp.SetFaults(func(l *provider.Faults) {
			l.JWKS = func(keys []any) any { return map[string]any{"keys": []any{keys[1], keys[0]}} }
		})
	}},
	{name: "oidcc-client-test-idtoken-sig-rs256", lie: lies(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"RS256"} }
	})},
	{name: "oidcc-client-test-idtoken-sig-none", lie: lies(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"RS256", "none"} }
		l.Sign = func(c map[string]any) any { return provider.SignNone(c, "none") }
	}), sees: unverifiable},
	{name: "oidcc-client-test-invalid-sig-rs256", lie: signWith(func(c map[string]any) any {
		return provider.Tamper(provider.RSA(0).Sign(c, nil))
	}), sees: unverifiable},
	{name: "oidcc-client-test-invalid-sig-es256", lie: func(t *testing.T, idp *provider.Provider) {
		k := provider.EC(t, "ec")
		idp.Keys(k)
		idp.SetFaults(func(l *provider.Faults) {
			l.Sign = func(c map[string]any) any { return provider.Tamper(k.Sign(c, nil)) }
		})
	}, sees: unverifiable},
	{name: "oidcc-client-test-invalid-sig-hs256", lie: func(_ *testing.T, idp *provider.Provider) {
		secret := []byte(idp.Client.Secret)
		idp.SetFaults(func(l *provider.Faults) {
			l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"HS256", "RS256"} }
			l.Sign = func(c map[string]any) any { return provider.SignHMAC(c, secret) }
		})
	}, sees: unverifiable},
	{name: "oidcc-client-test-userinfo-invalid-sub", lie: lies(func(l *provider.Faults) {
		l.UserInfo = func(c map[string]any) { c["sub"] = "somebody-else" }
	}), sees: unverifiable, info: true},
	{name: "oidcc-client-test-nonce-invalid", lie: claim("nonce", "another nonce of the same length as usual.."), sees: unverifiable},
	{name: "oidcc-client-test-scope-userinfo-claims"},
	{name: "oidcc-client-test-client-secret-basic", lie: func(_ *testing.T, idp *provider.Provider) {
		idp.Client.Method = "client_secret_basic"
	}},
	{name: "oidcc-client-test-userinfo-bearer-header"},
	{name: "oidcc-client-test-userinfo-signed", lie: lies(func(l *provider.Faults) { l.JWTInfo = true })},
	{name: "oidcc-client-test-invalid-athash", lie: claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), sees: unverifiable},
	{name: "oidcc-client-test-missing-athash", lie: claim("at_hash", nil)},
	{name: "oidcc-client-test-aggregated-claims", lie: lies(func(l *provider.Faults) {
		l.UserInfo = func(c map[string]any) {
			c["_claim_names"] = map[string]any{"address": "src1"}
			c["_claim_sources"] = map[string]any{"src1": map[string]any{"JWT": "e30.e30.x"}}
		}
	})},
	{name: "oidcc-client-test-discovery-openid-config"},
	{name: "oidcc-client-test-discovery-issuer-mismatch", lie: lies(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["issuer"] = "https://evil.example" }
	}), sees: misconfigured},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, list := range [][]module{basicModules, ownModules, valueModules, brokenEndpoints()} {
		for _, m := range list {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				m.run(t)
			})
		}
	}
}

func (m module) run(t *testing.T) {
	var change []func(*oidc.Config)
	if m.cfg != nil {
		change = append(change, m.cfg)
	}
	w := newOIDCWorld(t, change...)
	if m.lie != nil {
		m.lie(t, w.idp)
	}
	b := w.browser()
	a := b.get("/oidc/test/start?rt=%2Freports")
	if a.StatusCode == http.StatusSeeOther {
		a = b.callback(a.location())
	} else if w.idp.Calls("authorize") > 0 {
		t.Error("the provider's authorization endpoint was called")
	}
	if m.sees == "" {
		a.wantRedirect(t, "/reports")
		if who := b.who(); who.Auth.Method != "oidc" || who.Auth.Provider != "test" || who.User.Username == "" {
			t.Errorf("signed in as %+v", who)
		}
		return
	}
	w.nobody(t)
	if a.StatusCode < 400 || a.StatusCode == http.StatusInternalServerError || !strings.Contains(a.body, m.sees) {
		t.Fatalf("status %d; the page has no %q:\n%s", a.StatusCode, m.sees, a.body)
	}
	if strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "<img src=x") || strings.Contains(a.body, "onerror") {
		t.Errorf("the page holds the provider's markup:\n%s", a.body)
	}
	if !strings.Contains(a.body, "ref-0123456789") {
		t.Error("the page has no reference id")
	}
	if n := w.idp.Calls("userinfo"); n > 0 && !m.info {
		t.Errorf("userinfo was called %d times after a bad answer", n)
	}
	if b.signedIn() {
		t.Error("the browser is signed in")
	}
}

// brokenEndpoints are endpoints that are slow, huge, lead elsewhere, or respond with something else.
func brokenEndpoints() []module {
	var list []module
	answers := map[string]func(w http.ResponseWriter){
		"html": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<h1>hello</h1>"))
		},
		"error-500": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"empty":     func(http.ResponseWriter) {},
		"array":     func(w http.ResponseWriter) { _, _ = w.Write([]byte("[1]")) },
		"null":      func(w http.ResponseWriter) { _, _ = w.Write([]byte("null")) },
		"redirect": func(w http.ResponseWriter) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"huge": func(w http.ResponseWriter) {
			chunk := []byte(strings.Repeat(" ", 64<<10))
			for range 40 {
				_, _ = w.Write(chunk)
			}
		},
	}
	for _, endpoint := range []string{"discovery", "jwks", "token", "userinfo"} {
		for kind, write := range answers {
			sees := unreachable
			if endpoint == "userinfo" && (kind == "html" || kind == "empty" || kind == "array" || kind == "null") {
				sees = unverifiable
			}
			if (endpoint == "discovery" || endpoint == "jwks") && (kind == "array" || kind == "null" || kind == "redirect") {
				sees = misconfigured
			}
			list = append(list, module{name: endpoint + "-" + kind, sees: sees, info: true, lie: lies(func(l *provider.Faults) {
				l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
					if e == endpoint {
						write(w)
					}
					return e == endpoint
				}
			})})
		}
	}
	return list
}
