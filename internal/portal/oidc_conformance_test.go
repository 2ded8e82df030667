package portal_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// The modules of the OpenID conformance suite for relying parties, one sub-test each, with what the suite itself
// cannot see: that no session and no account exists after a lie, and what the person is told. P-OIDC.

const (
	unverifiable = "could not be verified"
	unreachable  = "can&#39;t be reached"
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
		idp.Lie(func(l *provider.Lies) {
			l.ID = func(c map[string]any) {
				c[name] = v
				if v == nil {
					delete(c, name)
				}
			}
		})
	}
}

func lies(change func(l *provider.Lies)) func(*testing.T, *provider.Provider) {
	return func(_ *testing.T, idp *provider.Provider) { idp.Lie(change) }
}

func signWith(sign func(claims map[string]any) any) func(*testing.T, *provider.Provider) {
	return lies(func(l *provider.Lies) { l.Sign = sign })
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
		idp.Lie(func(l *provider.Lies) {
			l.JWKS = func(keys []any) any { return map[string]any{"keys": []any{keys[1], keys[0]}} }
		})
	}},
	{name: "oidcc-client-test-idtoken-sig-rs256", lie: lies(func(l *provider.Lies) {
		l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"RS256"} }
	})},
	{name: "oidcc-client-test-idtoken-sig-none", lie: lies(func(l *provider.Lies) {
		l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"RS256", "none"} }
		l.Sign = func(c map[string]any) any { return provider.SignNone(c, "none") }
	}), sees: unverifiable},
	{name: "oidcc-client-test-invalid-sig-rs256", lie: signWith(func(c map[string]any) any {
		return provider.Break(provider.RSA(0).Sign(c, nil))
	}), sees: unverifiable},
	{name: "oidcc-client-test-invalid-sig-es256", lie: func(t *testing.T, idp *provider.Provider) {
		k := provider.EC(t, "ec")
		idp.Keys(k)
		idp.Lie(func(l *provider.Lies) { l.Sign = func(c map[string]any) any { return provider.Break(k.Sign(c, nil)) } })
	}, sees: unverifiable},
	{name: "oidcc-client-test-invalid-sig-hs256", lie: func(_ *testing.T, idp *provider.Provider) {
		secret := []byte(idp.Client.Secret)
		idp.Lie(func(l *provider.Lies) {
			l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"HS256", "RS256"} }
			l.Sign = func(c map[string]any) any { return provider.SignHMAC(c, secret) }
		})
	}, sees: unverifiable},
	{name: "oidcc-client-test-userinfo-invalid-sub", lie: lies(func(l *provider.Lies) {
		l.UserInfo = func(c map[string]any) { c["sub"] = "somebody-else" }
	}), sees: unverifiable, info: true},
	{name: "oidcc-client-test-nonce-invalid", lie: claim("nonce", "another nonce of the same length as usual.."), sees: unverifiable},
	{name: "oidcc-client-test-scope-userinfo-claims"},
	{name: "oidcc-client-test-client-secret-basic", lie: func(_ *testing.T, idp *provider.Provider) {
		idp.Client.Method = "client_secret_basic"
	}},
	{name: "oidcc-client-test-userinfo-bearer-header"},
	{name: "oidcc-client-test-userinfo-signed", lie: lies(func(l *provider.Lies) { l.JWTInfo = true })},
	{name: "oidcc-client-test-invalid-athash", lie: claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), sees: unverifiable},
	{name: "oidcc-client-test-missing-athash", lie: claim("at_hash", nil)},
	{name: "oidcc-client-test-aggregated-claims", lie: lies(func(l *provider.Lies) {
		l.UserInfo = func(c map[string]any) {
			c["_claim_names"] = map[string]any{"address": "src1"}
			c["_claim_sources"] = map[string]any{"src1": map[string]any{"JWT": "e30.e30.x"}}
		}
	})},
	{name: "oidcc-client-test-discovery-openid-config"},
	{name: "oidcc-client-test-discovery-issuer-mismatch", lie: lies(func(l *provider.Lies) {
		l.Metadata = func(m map[string]any) { m["issuer"] = "https://evil.example" }
	}), sees: unreachable},
}

// ownModules are section 6 of the reference and what others got wrong.
var ownModules = []module{
	{name: "invalid-authorization-response-iss", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Set("iss", "https://evil.example") }
	}), sees: unverifiable},
	{name: "remove-authorization-response-iss", lie: lies(func(l *provider.Lies) {
		l.Metadata = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
	}), sees: unverifiable},
	{name: "valid-authorization-response-iss", lie: func(_ *testing.T, idp *provider.Provider) {
		idp.Lie(func(l *provider.Lies) {
			l.Metadata = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
			l.Callback = func(q url.Values) { q.Set("iss", idp.Issuer) }
		})
	}},
	{name: "authorization-response-with-invalid-state", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) }
	}), sees: "took too long"},
	{name: "authorization-response-with-missing-state", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Del("state") }
	}), sees: "took too long"},
	{name: "missing-nonce", lie: claim("nonce", nil), sees: unverifiable},
	{name: "nonce-empty", lie: claim("nonce", ""), sees: unverifiable},
	{name: "nonce-of-another-type", lie: claim("nonce", []string{"x"}), sees: unverifiable},
	{name: "expired-exp", lie: claim("exp", 1000), sees: unverifiable},
	{name: "missing-exp", lie: claim("exp", nil), sees: unverifiable},
	{name: "exp-of-another-type", lie: claim("exp", "soon"), sees: unverifiable},
	{name: "exp-beyond-all-numbers", lie: claim("exp", 1e300), sees: unverifiable},
	{name: "iat-in-the-far-future", lie: claim("iat", int64(1)<<36), sees: unverifiable},
	{name: "iat-null", lie: lies(func(l *provider.Lies) { l.ID = func(c map[string]any) { c["iat"] = nil } }), sees: unverifiable},
	{name: "nbf-in-the-future", lie: claim("nbf", int64(1)<<36), sees: unverifiable},
	{name: "exp-in-the-far-future", lie: claim("exp", int64(1)<<36)},
	{name: "secondary-aud-without-azp", lie: claim("aud", []string{"gate", "other"}), sees: unverifiable},
	{name: "valid-aud-as-array", lie: claim("aud", []string{"gate"})},
	{name: "secondary-aud-with-azp", lie: lies(func(l *provider.Lies) {
		l.ID = func(c map[string]any) { c["aud"], c["azp"] = []string{"other", "gate"}, "gate" }
	})},
	{name: "invalid-azp", lie: claim("azp", "other"), sees: unverifiable},
	{name: "aud-empty-array", lie: claim("aud", []string{}), sees: unverifiable},
	{name: "aud-of-another-type", lie: claim("aud", []any{"gate", 1}), sees: unverifiable},
	{name: "sub-empty", lie: claim("sub", ""), sees: unverifiable},
	{name: "sub-of-another-type", lie: claim("sub", 17), sees: unverifiable},
	{name: "sub-too-long", lie: claim("sub", strings.Repeat("x", 256)), sees: unverifiable},
	{name: "sub-with-control-characters", lie: claim("sub", "user\x00-1"), sees: unverifiable},
	{name: "sub-in-another-case", lie: lies(func(l *provider.Lies) {
		l.ID = func(c map[string]any) { c["SUB"] = c["sub"]; delete(c, "sub") }
	}), sees: unverifiable},
	{name: "sid-of-another-type", lie: claim("sid", 5), sees: unverifiable},
	{name: "null-alg", lie: signWith(func(c map[string]any) any { return provider.SignNone(c, nil) }), sees: unverifiable},
	{name: "alg-none-in-capitals", lie: signWith(func(c map[string]any) any { return provider.SignNone(c, "NONE") }), sees: unverifiable},
	{name: "alternate-alg-not-in-metadata", lie: func(t *testing.T, idp *provider.Provider) {
		idp.Keys(provider.EC(t, "ec"))
		idp.Lie(func(l *provider.Lies) {
			l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"RS256"} }
		})
	}, sees: unverifiable},
	{name: "alternate-alg-not-configured", cfg: func(c *oidc.Config) { c.SignAlgs = []string{"ES256"} }, sees: unverifiable},
	{name: "configured-alg", cfg: func(c *oidc.Config) { c.SignAlgs = []string{"ES256"} }, lie: func(t *testing.T, idp *provider.Provider) {
		idp.Keys(provider.EC(t, "ec"))
	}},
	{name: "eddsa", lie: func(t *testing.T, idp *provider.Provider) { idp.Keys(provider.Ed(t, "ed")) }},
	{name: "key-of-the-attacker-in-the-header", lie: signWith(func(c map[string]any) any {
		k := provider.RSA(2) // not published
		return k.Sign(c, map[string]any{"jwk": k.JWK(), "kid": "rsa0"})
	}), sees: unverifiable},
	{name: "jku-and-x5u-are-not-followed", lie: func(_ *testing.T, idp *provider.Provider) {
		idp.Lie(func(l *provider.Lies) {
			l.Sign = func(c map[string]any) any {
				return provider.RSA(2).Sign(c, map[string]any{"jku": idp.Issuer + "/evil", "x5u": idp.Issuer + "/evil", "kid": "evil"})
			}
		})
	}, sees: unverifiable},
	{name: "crit-header", lie: signWith(func(c map[string]any) any {
		return provider.RSA(0).Sign(c, map[string]any{"crit": []string{"exp"}, "exp": 1})
	}), sees: unverifiable},
	{name: "typ-logout-token-as-id-token", lie: lies(func(l *provider.Lies) { l.Header = map[string]any{"typ": "logout+jwt"} }), sees: unverifiable},
	{name: "typ-access-token-as-id-token", lie: lies(func(l *provider.Lies) { l.Header = map[string]any{"typ": "application/at+jwt"} }), sees: unverifiable},
	{name: "jwks-with-weak-rsa-key", lie: func(t *testing.T, idp *provider.Provider) { idp.Keys(provider.Weak(t, "weak")) }, sees: unreachable},
	{name: "jwks-with-weak-key-beside-a-good-one", lie: func(t *testing.T, idp *provider.Provider) {
		idp.Keys(provider.Weak(t, "weak"), provider.RSA(0))
	}, sees: unverifiable},
	{name: "jwks-with-odd-keys-beside-a-good-one", lie: lies(func(l *provider.Lies) {
		l.JWKS = func(keys []any) any {
			return map[string]any{"keys": []any{
				map[string]any{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa0"}, map[string]any{"kty": "none"}, map[string]any{}, "text", 7, nil,
				map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa0"}, keys[0],
			}}
		}
	})},
	{name: "jwks-with-duplicate-kid", lie: lies(func(l *provider.Lies) {
		l.JWKS = func(keys []any) any {
			other := provider.RSA(1)
			other.ID = "rsa0"
			return map[string]any{"keys": []any{other.JWK(), keys[0]}}
		}
	})},
	{name: "jwks-key-for-encryption", lie: func(_ *testing.T, idp *provider.Provider) {
		k := provider.RSA(0)
		k.Use = "enc"
		idp.Keys(k)
	}, sees: unreachable},
	{name: "jwks-symmetric-key-only", lie: lies(func(l *provider.Lies) {
		l.JWKS = func([]any) any {
			return map[string]any{"keys": []any{map[string]any{"kty": "oct", "k": "c2VjcmV0", "kid": "k"}}}
		}
		l.Sign = func(c map[string]any) any { return provider.SignHMAC(c, []byte("secret-secret-secret-secret-secr")) }
	}), sees: unverifiable},
	{name: "token-type-in-lower-case", lie: lies(func(l *provider.Lies) { l.Token = func(a map[string]any) { a["token_type"] = "bearer" } })},
	{name: "token-type-in-upper-case", lie: lies(func(l *provider.Lies) { l.Token = func(a map[string]any) { a["token_type"] = "BEARER" } })},
	{name: "token-type-not-bearer", lie: lies(func(l *provider.Lies) { l.Token = func(a map[string]any) { a["token_type"] = "mac" } }), sees: unverifiable},
	{name: "token-response-without-expires-in", lie: lies(func(l *provider.Lies) { l.Token = func(a map[string]any) { delete(a, "expires_in") } })},
	{name: "token-response-without-id-token", lie: lies(func(l *provider.Lies) { l.Token = func(a map[string]any) { delete(a, "id_token") } }), sees: unverifiable},
	{name: "token-response-with-odd-id-token", lie: lies(func(l *provider.Lies) { l.Token = func(a map[string]any) { a["id_token"] = []int{1} } }), sees: unverifiable},
	{name: "id-token-of-a-megabyte", lie: claim("padding", strings.Repeat("x", 1<<19)), sees: unverifiable},
	{name: "id-token-in-json-form", lie: signWith(func(c map[string]any) any {
		parts := strings.Split(provider.RSA(0).Sign(c, nil), ".")
		return `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`
	}), sees: unverifiable},
	{name: "answer-with-code-and-error", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Set("error", "server_error") }
	}), sees: unverifiable},
	{name: "answer-with-two-codes", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Add("code", "another") }
	}), sees: unverifiable},
	{name: "answer-with-two-states", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Add("state", q.Get("state")) }
	}), sees: unverifiable},
	{name: "answer-without-code", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Del("code") }
	}), sees: unverifiable},
	{name: "error-with-markup-and-line-breaks", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) {
			q.Del("code")
			q.Set("error", "invalid_scope<script>alert(1)</script>")
			q.Set("error_description", "<img src=x onerror=alert(1)>\r\nSet-Cookie: a=b")
		}
	}), sees: "answered with an error"},
	{name: "wrong-code", lie: lies(func(l *provider.Lies) {
		l.Callback = func(q url.Values) { q.Set("code", "wrong") }
	}), sees: "answered with an error"},
	{name: "userinfo-without-sub", lie: lies(func(l *provider.Lies) {
		l.UserInfo = func(c map[string]any) { delete(c, "sub") }
	}), sees: unverifiable, info: true},
	{name: "userinfo-sub-in-another-case", lie: lies(func(l *provider.Lies) {
		l.UserInfo = func(c map[string]any) { c["Sub"] = c["sub"]; delete(c, "sub") }
	}), sees: unverifiable, info: true},
	{name: "no-userinfo-endpoint", lie: lies(func(l *provider.Lies) {
		l.Metadata = func(m map[string]any) { delete(m, "userinfo_endpoint") }
	})},
	{name: "endpoints-on-another-scheme", lie: lies(func(l *provider.Lies) {
		l.Metadata = func(m map[string]any) { m["token_endpoint"] = "file:///etc/passwd" }
	}), sees: unreachable},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, list := range [][]module{basicModules, ownModules, brokenEndpoints()} {
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

// brokenEndpoints are endpoints that are slow, huge, lead elsewhere, or answer something else.
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
			list = append(list, module{name: endpoint + "-" + kind, sees: sees, info: true, lie: lies(func(l *provider.Lies) {
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

func TestConformanceFormPost(t *testing.T) {
	t.Parallel()
	t.Run("oidcc-client-test by form_post", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.Lie(func(l *provider.Lies) { l.FormPost = true })
		b := w.browser()
		b.viaProvider("?rt=%2Freports").wantRedirect(t, "/reports")
		if b.who().User.Email != "ada@example.com" {
			t.Error("signed in as somebody else")
		}
	})
	t.Run("oidcc-client-test-form-post-error", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.Lie(func(l *provider.Lies) {
			l.FormPost = true
			l.Callback = func(q url.Values) { q.Del("code"); q.Set("error", "login_required") }
		})
		b := w.browser()
		a := b.viaProvider("?rt=%2Freports")
		a.wantRedirect(t, prefix+"/login?cancelled=test&rt=%2Freports")
		b.get(strings.TrimPrefix(a.location(), prefix)).want(t, http.StatusOK, "was cancelled", "Continue with Testify")
		w.nobody(t)
	})
	t.Run("a posted answer works once, in the browser that began", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.Lie(func(l *provider.Lies) { l.FormPost = true })
		b, other := w.browser(), w.browser()
		back, form := visit(t, b.start(""))
		hop := strings.TrimPrefix(b.foreignPost(back, form).location(), prefix)
		if strings.Contains(hop, form.Get("code")) || strings.Contains(hop, form.Get("state")) {
			t.Errorf("the address has the code or the state: %s", hop)
		}
		other.get(hop).want(t, http.StatusBadRequest, "took too long") // and it is spent now
		b.get(hop).want(t, http.StatusBadRequest, "took too long")
		w.nobody(t)
	})
}

func TestConformanceKeys(t *testing.T) {
	t.Parallel()
	t.Run("oidcc-client-test-signing-key-rotation", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.browser().viaProvider("").wantRedirect(t, "/")
		w.idp.Keys(provider.RSA(1))
		w.browser().viaProvider("").wantRedirect(t, "/")
		w.idp.Keys(provider.RSA(2)) // and again, in quick succession
		w.browser().viaProvider("").wantRedirect(t, "/")
	})
	t.Run("oidcc-client-test-signing-key-rotation-just-before-signing", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.browser().viaProvider("").wantRedirect(t, "/") // the keys are known
		b := w.browser()
		address := b.start("")
		w.idp.Keys(provider.RSA(1))
		b.callback(address).wantRedirect(t, "/")
	})
	t.Run("oidcc-client-test-discovery-jwks-uri-keys", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.browser().viaProvider("").wantRedirect(t, "/")
		w.idp.Keys(provider.RSA(1))
		w.idp.Lie(func(l *provider.Lies) {
			l.Metadata = func(m map[string]any) { m["jwks_uri"] = m["issuer"].(string) + "/jwks2" }
			l.Handle = func(e string, rw http.ResponseWriter, r *http.Request) bool {
				if e == "jwks" && r.URL.Path == "/jwks" {
					rw.WriteHeader(http.StatusNotFound)
					return true
				}
				return false
			}
		})
		w.clock.Advance(15 * time.Second)
		w.browser().viaProvider("").wantRedirect(t, "/")
	})
	t.Run("unknown keys make the keys be read a few times a minute at most", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.browser().viaProvider("").wantRedirect(t, "/")
		w.idp.Lie(func(l *provider.Lies) {
			l.Sign = func(c map[string]any) any { return provider.RSA(1).Sign(c, map[string]any{"kid": "made-up"}) }
		})
		before := w.idp.Calls("jwks")
		for range 20 {
			w.browser().viaProvider("").want(t, http.StatusBadRequest, unverifiable)
		}
		if n := w.idp.Calls("jwks") - before; n > 5 {
			t.Errorf("the keys were read %d times within a minute", n)
		}
		w.idp.Truth()
		w.idp.Keys(provider.RSA(2))
		w.clock.Advance(time.Minute)
		w.browser().viaProvider("").wantRedirect(t, "/")
	})
}

// The edges of the leeway: 60 seconds either way, and not one more.
func TestTheClocksMayDifferByAMinute(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claim string
		by    time.Duration
		fine  bool
	}{
		"expired 59 s ago":          {"exp", -59 * time.Second, true},
		"expired 60 s ago":          {"exp", -60 * time.Second, false},
		"issued in 60 s":            {"iat", 60 * time.Second, true},
		"issued in 61 s":            {"iat", 61 * time.Second, false},
		"not valid before 60 s":     {"nbf", 60 * time.Second, true},
		"not valid before 61 s":     {"nbf", 61 * time.Second, false},
		"issued an hour ago (slow)": {"iat", -time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			claim(c.claim, w.clock.Now().Add(c.by).Unix())(t, w.idp)
			a := w.browser().viaProvider("")
			if c.fine {
				a.wantRedirect(t, "/")
				return
			}
			a.want(t, http.StatusBadRequest, unverifiable)
			w.nobody(t)
		})
	}
}

// Every way of client authentication, at a provider that takes no other.
func TestConformanceClientAuthentication(t *testing.T) {
	t.Parallel()
	for _, method := range []oidc.Method{"", oidc.Basic, oidc.Post, oidc.SecretJWT, oidc.KeyJWT, oidc.NoSecret} {
		t.Run("client_auth_type "+string(method), func(t *testing.T) {
			t.Parallel()
			key := provider.EC(t, "client-key")
			w := newOIDCWorld(t, func(c *oidc.Config) {
				c.Method = method
				if method == oidc.KeyJWT {
					c.Secret, c.Key = "", &oidc.Key{Private: key.Private, Algorithm: key.Alg, ID: key.ID}
				}
				if method == oidc.NoSecret {
					c.Secret = ""
				}
			})
			w.idp.Client.Method, w.idp.Client.Key = string(method), key.Private.Public()
			w.browser().viaProvider("").wantRedirect(t, "/")
		})
	}
	t.Run("post where the metadata offers only that", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.Client.Method = "client_secret_post"
		w.idp.Lie(func(l *provider.Lies) {
			l.Metadata = func(m map[string]any) {
				m["token_endpoint_auth_methods_supported"] = []string{"client_secret_post", "private_key_jwt"}
			}
		})
		w.browser().viaProvider("").wantRedirect(t, "/")
	})
	t.Run("a secret that has to be form-encoded", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t, func(c *oidc.Config) { c.Secret, c.ClientID = "a:b c%+&=ü", "client:with colon" })
		w.idp.Client.Secret, w.idp.Client.ID = "a:b c%+&=ü", "client:with colon"
		w.browser().viaProvider("").wantRedirect(t, "/")
	})
	t.Run("a wrong secret", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.Client.Secret = "another one"
		w.browser().viaProvider("").want(t, http.StatusServiceUnavailable, unreachable)
		w.nobody(t)
	})
}

// header is a change of a logout token.
type header = func(claims, header map[string]any)

func TestConformanceBackchannel(t *testing.T) {
	t.Parallel()
	const event = "http://schemas.openid.net/event/backchannel-logout"
	set := func(name string, v any) header {
		return func(c, _ map[string]any) {
			c[name] = v
			if v == nil {
				delete(c, name)
			}
		}
	}
	for name, change := range map[string]header{
		"oidcc-client-test-rp-backchannel-rpinitlogout-no-event":    set("events", nil),
		"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event": set("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}}),
		"oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce":  set("nonce", "n"),
		"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud":   set("aud", "other"),
		"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss":   set("iss", "https://evil.example"),
		"event that is no object":                                   set("events", map[string]any{event: "x"}),
		"event that is null":                                        set("events", map[string]any{event: nil}),
		"events in another case": func(c, _ map[string]any) {
			c["Events"] = c["events"]
			delete(c, "events")
		},
		"nonce that is null":       func(c, _ map[string]any) { c["nonce"] = nil },
		"no jti":                   set("jti", nil),
		"no iat":                   set("iat", nil),
		"no exp":                   set("exp", nil),
		"expired":                  set("exp", 1000),
		"issued in the far future": set("iat", int64(1)<<36),
		"neither sub nor sid":      func(c, _ map[string]any) { delete(c, "sub"); delete(c, "sid") },
		"typ of an ID token":       func(_, h map[string]any) { h["typ"] = "JWT" },
		"typ of an access token":   func(_, h map[string]any) { h["typ"] = "at+jwt" },
		"sub in another case": func(c, _ map[string]any) {
			c["SUB"] = c["sub"]
			delete(c, "sub")
			delete(c, "sid")
		},
		"several audiences without azp": set("aud", []string{"gate", "other"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			w.refuses(t, b, w.idp.LogoutToken("user-1", w.sid(t), change))
		})
	}
	t.Run("oidcc-client-test-rp-backchannel-rpinitlogout-alg-none", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		var claims map[string]any
		w.idp.LogoutToken("user-1", w.sid(t), func(c, _ map[string]any) { claims = maps.Clone(c) })
		w.refuses(t, b, provider.SignNone(claims, "none"))
		w.refuses(t, b, provider.SignHMAC(claims, []byte(w.idp.Client.Secret)))
	})
	// The metadata lists RS256 and ES256, and the key is published: what tells is the ID token of the session.
	t.Run("oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		ec := provider.EC(t, "ec")
		w.idp.Keys(provider.RSA(0), ec)
		var claims map[string]any
		w.idp.LogoutToken("user-1", w.sid(t), func(c, _ map[string]any) { claims = maps.Clone(c) })
		w.refuses(t, b, ec.Sign(claims, nil))
		w.accepts(t, w.idp.LogoutToken("user-1", w.sid(t), nil))
	})
	t.Run("oidcc-client-test-rp-backchannel-rpinitlogout", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b, c := w.browser(), w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		sid := w.sid(t)
		c.viaProvider("").wantRedirect(t, "/")
		token := w.idp.LogoutToken("user-1", sid, func(_, h map[string]any) { h["typ"] = "logout+jwt" })
		w.accepts(t, token)
		if b.signedIn() {
			t.Error("the session goes on")
		}
		if !c.signedIn() {
			t.Error("another session of the person, with another sid, has ended")
		}
		// jti: the same token again is a replay; another one for a session that has gone is fine.
		w.refuses(t, c, token)
		w.accepts(t, w.idp.LogoutToken("user-1", sid, nil))
		w.accepts(t, w.idp.LogoutToken("user-1", "", nil))
		if c.signedIn() {
			t.Error("a logout of the person has left a session")
		}
	})
	t.Run("by sid alone, and sessions that know no sid", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b, c := w.browser(), w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		w.accepts(t, w.idp.LogoutToken("", w.sid(t), nil))
		if b.signedIn() {
			t.Error("the session goes on")
		}
		claim("sid", nil)(t, w.idp)
		c.viaProvider("").wantRedirect(t, "/")
		w.accepts(t, w.idp.LogoutToken("user-1", "a sid nobody has", nil))
		if c.signedIn() {
			t.Error("the session goes on, though it may be the one that was meant")
		}
	})
	t.Run("malformed requests", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		for _, form := range []url.Values{
			{}, {"logout_token": {""}}, {"logout_token": {"x"}}, {"logout_token": {"a.b.c"}},
			{"logout_token": {w.idp.LastIDToken()}},
			{"logout_token": {w.idp.LogoutToken("user-1", "", nil), w.idp.LogoutToken("user-1", "", nil)}},
			{"logout_token": {strings.Repeat("x", 80<<10)}},
		} {
			a := b.foreignPost("/oidc/test/backchannel-logout", form)
			a.want(t, http.StatusBadRequest)
		}
		r := request("POST", "/oidc/test/backchannel-logout", "application/json", `{"logout_token":"x"}`)
		b.send(r).want(t, http.StatusBadRequest)
		b.get("/oidc/test/backchannel-logout").want(t, http.StatusMethodNotAllowed)
		b.foreignPost("/oidc/nobody/backchannel-logout", url.Values{"logout_token": {"x"}}).want(t, http.StatusNotFound)
		if !b.signedIn() {
			t.Error("the session has ended")
		}
	})
	t.Run("keys that cannot be read are no bad token", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.Down(true)
		a := w.browser().foreignPost("/oidc/test/backchannel-logout", url.Values{"logout_token": {w.idp.LogoutToken("user-1", "", nil)}})
		a.want(t, http.StatusServiceUnavailable)
	})
}

// sid answers the session id in the last ID token.
func (ow *oidcWorld) sid(t testing.TB) string {
	t.Helper()
	return claims(t, ow.idp.LastIDToken())["sid"].(string)
}

func (ow *oidcWorld) accepts(t testing.TB, token string) {
	t.Helper()
	a := ow.browser().foreignPost("/oidc/test/backchannel-logout", url.Values{"logout_token": {token}, "ignored_parameter": {"x"}})
	a.want(t, http.StatusOK)
	if cc := a.Header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control %q", cc)
	}
}

func (ow *oidcWorld) refuses(t testing.TB, b *browser, token string) {
	t.Helper()
	a := ow.browser().foreignPost("/oidc/test/backchannel-logout", url.Values{"logout_token": {token}})
	a.want(t, http.StatusBadRequest, `"error":"invalid_request"`)
	if cc := a.Header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control %q", cc)
	}
	if !b.signedIn() {
		t.Error("a bad logout token has ended the session")
	}
}

func TestConformanceRPInitiatedLogout(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(url.Values){
		"oidcc-client-test-rp-init-logout":             nil,
		"oidcc-client-test-rp-init-logout-other-state": func(q url.Values) { q.Set("state", "another") },
		"oidcc-client-test-rp-init-logout-no-state":    func(q url.Values) { q.Del("state") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			page := b.get("/logout").want(t, http.StatusOK, `name="provider"`, "Also sign out of Testify")
			if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' "+w.idp.Issuer) {
				t.Errorf("the browser would not follow the form to the provider: %s", csp)
			}
			if strings.Contains(page.body, w.idp.LastIDToken()) {
				t.Error("the page holds the ID token")
			}
			a := b.post("/logout", "provider", "1")
			a.want(t, http.StatusSeeOther)
			u, err := url.Parse(a.location())
			if err != nil || !strings.HasPrefix(a.location(), w.idp.Issuer+"/end?") {
				t.Fatalf("Location %q", a.location())
			}
			q := u.Query()
			if q.Get("id_token_hint") != w.idp.LastIDToken() || q.Get("post_logout_redirect_uri") != origin+prefix+"/logged-out" ||
				q.Get("state") == "" || q.Get("client_id") != "gate" {
				t.Errorf("parameters %v", q)
			}
			if b.signedIn() || w.sessions(t) != 0 {
				t.Error("the session goes on")
			}
			w.idp.Lie(func(l *provider.Lies) { l.Callback = change })
			back, _ := visit(t, a.location())
			b.get(back).want(t, http.StatusOK, "You are signed out")
		})
	}
	t.Run("a provider without an end-session endpoint, or one that is down", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.Lie(func(l *provider.Lies) { l.Metadata = func(m map[string]any) { delete(m, "end_session_endpoint") } })
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		if a := b.get("/logout").want(t, http.StatusOK); strings.Contains(a.body, `name="provider"`) {
			t.Error("the page offers what cannot be done")
		}
		b.post("/logout", "provider", "1").wantRedirect(t, prefix+"/logged-out")
		if b.signedIn() {
			t.Error("the session goes on")
		}
	})
}

func TestConformanceFrontchannel(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	sid := w.sid(t)
	address := func(iss, sid string) string {
		return "/oidc/test/frontchannel-logout?" + url.Values{"iss": {iss}, "sid": {sid}}.Encode()
	}
	for name, bad := range map[string]string{
		"another issuer": address("https://evil.example", sid), "no sid": address(w.idp.Issuer, ""), "nothing": "/oidc/test/frontchannel-logout",
		"two sids": address(w.idp.Issuer, sid) + "&sid=x",
	} {
		b.get(bad).want(t, http.StatusBadRequest)
		if !b.signedIn() {
			t.Fatalf("%s: the session has ended", name)
		}
	}
	b.do("HEAD", address(w.idp.Issuer, sid)).want(t, http.StatusOK)
	if !b.signedIn() {
		t.Fatal("HEAD has ended the session")
	}
	// Frames of other sites send no cookies: the other browser stands for that.
	a := w.browser().get(address(w.idp.Issuer, sid)).want(t, http.StatusOK)
	if b.signedIn() {
		t.Error("oidcc-client-test-rp-frontchannel-rpinitlogout: the session goes on")
	}
	csp := a.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "frame-ancestors "+w.idp.Issuer) || strings.Contains(csp, "*") || a.Header.Get("X-Frame-Options") != "" {
		t.Errorf("the provider cannot frame it, or others can: %q, %q", csp, a.Header.Get("X-Frame-Options"))
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", a.Header.Get("Cache-Control"))
	}
	// No other address may be framed.
	for _, path := range []string{"/login", "/logout", "/oidc/test/callback", "/oidc/nobody/frontchannel-logout"} {
		if a := b.get(path); a.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s can be framed", path)
		}
	}
}
