package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// tokenError makes the token endpoint respond with an OAuth error.
func tokenError(status int, code, description string) func(*testing.T, *provider.Provider) {
	return lies(func(l *provider.Faults) {
		l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
			if e != "token" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"error": code, "error_description": description})
			return true
		}
	})
}

// What somebody has to change is named as that: on the page, in the log at level error, in the status.
func TestAMistakeInAConfigurationIsNamedAsOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lie  func(*testing.T, *provider.Provider)
		says string
	}{
		"a wrong secret": {func(_ *testing.T, p *provider.Provider) { p.Client.Secret = "another one" }, "client_secret"},
		"a client that is not allowed": {
			tokenError(400, "unauthorized_client", "no code flow for you"),
			"no code flow for you",
		},
		"another issuer": {lies(func(l *provider.Faults) {
			l.Metadata = func(m map[string]any) { m["issuer"] = "https://other.example" }
		}), "https://other.example"},
		"discovery that is not found": {lies(func(l *provider.Faults) {
			l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
				if e == "discovery" {
					w.WriteHeader(http.StatusNotFound)
				}
				return e == "discovery"
			}
		}), "status 404"},
		"weak keys alone": {
			func(t *testing.T, p *provider.Provider) { p.Keys(provider.WeakRSA(t, "weak")) },
			`key "weak": it has 1024 bits`,
		},
		"an encrypted ID token": {signWith(func(map[string]any) any { return "e30.AA.AA.AA.AA" }), "encrypted (JWE)"},
		"algorithms that are not accepted": {lies(func(l *provider.Faults) {
			l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"HS256"} }
		}), "sign_alg"},
		"access tokens bound to keys": {lies(func(l *provider.Faults) {
			l.Token = func(a map[string]any) { a["token_type"] = "DPoP" }
		}), "DPoP"},
		"a proof that is required":           {tokenError(400, "invalid_dpop_proof", ""), "DPoP"},
		"a proof that is required, in words": {tokenError(400, "invalid_request", "DPoP proof is missing"), "DPoP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			c.lie(t, w.idp)
			b := w.browser()
			r := request("GET", "/oidc/test/start", "", "")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			a := b.send(r)
			if a.StatusCode == http.StatusSeeOther {
				a = b.callback(a.location())
			}
			a.want(t, http.StatusServiceUnavailable, misconfigured)
			if a.Header.Get("Retry-After") != "" {
				t.Error("says to try again")
			}
			w.nobody(t)
			var logged strings.Builder
			for _, e := range w.logs.FilterLevelExact(zapcore.ErrorLevel).All() {
				logged.WriteString(e.Message)
				for _, f := range e.Context {
					if err, ok := f.Interface.(error); ok {
						logged.WriteString(err.Error())
					}
					logged.WriteString(f.String)
				}
			}
			if !strings.Contains(logged.String(), c.says) {
				t.Errorf("no error in the log has %q: %s", c.says, logged.String())
			}
			if s := w.oidc.Registry.Status()[0]; !s.Misconfigured && name != "requests that have to be pushed" {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// The clock of a provider is measured, and named when it is the reason.
func TestAProvidersWrongClockIsNamedWithWhatWasMeasured(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"ahead": 90 * time.Second, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.idp.SetNow(func() time.Time { return w.Clock.Now().Add(by) })
			w.browser().viaProvider("").want(t, http.StatusServiceUnavailable, misconfigured)
			s := w.oidc.Registry.Status()[0]
			if want := by.Abs().String() + " " + name; !strings.Contains(s.LastError, want) || !s.SkewBad || s.Skew != by {
				t.Errorf("%q does not say %q; skew %s", s.LastError, want, s.Skew)
			}
		})
	}
}

// "Check now" finds out what the next person would run into.
func TestACheckFindsWrongCredentialsAndForgetsThemWhenTheyAreRight(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	right := w.idp.Client.Secret
	w.idp.Client.Secret = "another one"
	s, err := w.oidc.Registry.Check(t.Context(), "test")
	if err != nil || !s.Misconfigured || !strings.Contains(s.LastError, "client_secret") {
		t.Errorf("status %+v, %v", s, err)
	}
	w.idp.Client.Secret = right
	if s, err = w.oidc.Registry.Check(t.Context(), "test"); err != nil || s.Misconfigured || s.LastError != "" {
		t.Errorf("status %+v, %v", s, err)
	}
	tokenError(500, "", "")(t, w.idp)
	if s, err = w.oidc.Registry.Check(t.Context(), "test"); err != nil || s.Misconfigured {
		t.Errorf("a token endpoint that is down is called misconfigured: %+v, %v", s, err)
	}
}

// What a provider says about an error is in the log, unless it repeats a secret.
func TestAnErrorDescriptionIsLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	for description, shown := range map[string]bool{
		"The client is not enabled": true, "bad secret s3cret of the gate: 32 bytes or more!": false,
	} {
		w := newOIDCWorld(t)
		tokenError(401, "invalid_client", description)(t, w.idp)
		w.browser().viaProvider("").want(t, http.StatusServiceUnavailable, misconfigured)
		text := w.oidc.Registry.Status()[0].LastError
		if strings.Contains(text, description) != shown || !strings.Contains(text, "invalid_client") {
			t.Errorf("the status says %q", text)
		}
	}
}

// Keys for encryption are normal, and what cannot be used is a note beside an error, never in its place.
func TestANoteAboutKeysHidesNoError(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.idp.SetFaults(func(l *provider.Faults) {
		l.JWKS = func(keys []any) any {
			enc := provider.RSA(1)
			enc.Use = "enc"
			return map[string]any{"keys": append(keys, enc.JWK())}
		}
	})
	w.browser().viaProvider("").wantRedirect(t, "/")
	if s := w.oidc.Registry.Status()[0]; s.KeyNote != "" || s.LastError != "" || s.Keys != 1 {
		t.Errorf("status %+v", s)
	}
	w.idp.SetFaults(func(l *provider.Faults) {
		l.JWKS = func(keys []any) any {
			return map[string]any{"keys": append(keys, map[string]any{"kty": "RSA", "kid": "odd", "n": "!", "e": "AQAB"})}
		}
	})
	w.Clock.Advance(11 * time.Minute)
	w.browser().viaProvider("").wantRedirect(t, "/")
	w.idp.Client.Secret = "another one"
	w.browser().viaProvider("").want(t, http.StatusServiceUnavailable, misconfigured)
	s := w.oidc.Registry.Status()[0]
	if s.KeyNote != `key "odd": n is not base64url` || !strings.Contains(s.LastError, "client_secret") {
		t.Errorf("status %+v", s)
	}
	if n := w.logs.FilterMessageSnippet("keys of a provider are not used").FilterField(
		zap.Strings("keys", []string{`key "odd": n is not base64url`})).Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
