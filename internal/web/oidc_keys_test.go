package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func TestConformanceFormPost(t *testing.T) {
	t.Parallel()
	t.Run("oidcc-client-test by form_post", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetFaults(func(l *provider.Faults) { l.FormPost = true })
		b := w.browser()
		b.viaProvider("?rt=%2Freports").wantRedirect(t, "/reports")
		if b.who().User.Email != "ada@example.com" {
			t.Error("signed in as somebody else")
		}
	})
	t.Run("oidcc-client-test-form-post-error", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetFaults(func(l *provider.Faults) {
			l.FormPost = true
			l.Callback = func(q url.Values) { q.Del("code"); q.Set("error", "login_required") }
		})
		b := w.browser()
		a := b.viaProvider("?rt=%2Freports")
		a.wantRedirect(t, prefix+"/login?canceled=test&rt=%2Freports")
		b.get(strings.TrimPrefix(a.location(), prefix)).want(t, http.StatusOK, "was canceled", "Continue with Testify")
		w.nobody(t)
	})
	t.Run("a posted answer works once, in the browser that began", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetFaults(func(l *provider.Faults) { l.FormPost = true })
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
		w.idp.SetFaults(func(l *provider.Faults) {
			l.Metadata = func(m map[string]any) { m["jwks_uri"] = m["issuer"].(string) + "/jwks2" }
			l.Handle = func(e string, rw http.ResponseWriter, r *http.Request) bool {
				if e == "jwks" && r.URL.Path == "/jwks" {
					rw.WriteHeader(http.StatusNotFound)
					return true
				}
				return false
			}
		})
		w.Clock.Advance(15 * time.Second)
		w.browser().viaProvider("").wantRedirect(t, "/")
	})
	t.Run("unknown keys make the keys be read a few times a minute at most", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.browser().viaProvider("").wantRedirect(t, "/")
		w.idp.SetFaults(func(l *provider.Faults) {
			l.Sign = func(c map[string]any) any { return provider.RSA(1).Sign(c, map[string]any{"kid": "made-up"}) }
		})
		before := w.idp.Calls("jwks")
		for range 20 {
			w.browser().viaProvider("").want(t, http.StatusBadRequest, unverifiable)
		}
		if n := w.idp.Calls("jwks") - before; n > 5 {
			t.Errorf("the keys were read %d times within a minute", n)
		}
		w.idp.ClearFaults()
		w.idp.Keys(provider.RSA(2))
		w.Clock.Advance(time.Minute)
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
		clock bool // a clock must be wrong
	}{
		"expired 59 s ago":          {"exp", -59 * time.Second, true, false},
		"expired 60 s ago":          {"exp", -60 * time.Second, false, false},
		"issued in 60 s":            {"iat", 60 * time.Second, true, false},
		"issued in 61 s":            {"iat", 61 * time.Second, false, true},
		"issued in two hours":       {"iat", 2 * time.Hour, false, false},
		"not valid before 60 s":     {"nbf", 60 * time.Second, true, false},
		"not valid before 61 s":     {"nbf", 61 * time.Second, false, false},
		"issued an hour ago (slow)": {"iat", -time.Hour, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			claim(c.claim, w.Clock.Now().Add(c.by).Unix())(t, w.idp)
			a := w.browser().viaProvider("")
			if c.fine {
				a.wantRedirect(t, "/")
				return
			}
			if c.clock {
				a.want(t, http.StatusServiceUnavailable, misconfigured)
			} else {
				a.want(t, http.StatusBadRequest, unverifiable)
			}
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
		w.idp.SetFaults(func(l *provider.Faults) {
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
		w.browser().viaProvider("").want(t, http.StatusServiceUnavailable, misconfigured)
		w.nobody(t)
	})
}
