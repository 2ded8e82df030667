package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func noRefresh(c *oidc.Config) { c.NoRefresh = true }

// query returns the parameters of an authorization request.
func query(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestAuthParamsGoAlongAndChangeNothingOfOurs(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) {
		c.AuthParams = []oidc.AuthParam{{Name: "prompt", Value: "select_account"}, {Name: "kc_idp_hint", Value: "a b&c=d"}}
	})
	b := w.browser()
	q := query(t, b.start(""))
	if q.Get("prompt") != "select_account" || q.Get("kc_idp_hint") != "a b&c=d" || len(q["nonce"]) != 1 {
		t.Errorf("sent %v", q)
	}
	b.viaProvider("").wantRedirect(t, "/")
	if q := query(t, b.start("?reauth=1")); len(q["prompt"]) != 1 || q.Get("prompt") != "login" || q.Get("max_age") != "0" {
		t.Errorf("a step-up sent %v", q)
	}
}

func TestWhatWasTypedIsAHintOnlyIfTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		w := newOIDCWorld(t, func(c *oidc.Config) { c.LoginHint = on })
		page := w.browser().get("/login").want(t, http.StatusOK)
		if strings.Contains(page.body, "data-hint") != on {
			t.Errorf("on %t: the page offers a hint: %t", on, !on)
		}
		for hint, sent := range map[string]bool{
			"ada@example.com": on, " ada ": on, "": false, "a\x00b": false, "\xff": false, strings.Repeat("x", 300): false,
		} {
			got := query(t, w.browser().start("?login_hint="+url.QueryEscape(hint)))
			if got.Has("login_hint") != sent || sent && got.Get("login_hint") != strings.TrimSpace(hint) {
				t.Errorf("on %t: %q was sent as %q", on, hint, got["login_hint"])
			}
		}
	}
}

// withPAR lets the provider require pushed authorization requests.
func withPAR(idp *provider.Provider, required bool) {
	idp.SetFaults(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) {
			m["require_pushed_authorization_requests"] = required
			m["pushed_authorization_request_endpoint"] = m["issuer"].(string) + "/par"
		}
	})
}

// PAR: the browser carries a reference and nothing else.
func TestAuthorizationRequestsArePushedWhereTheProviderRequiresIt(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AuthParams = []oidc.AuthParam{{Name: "prompt", Value: "consent"}} })
	withPAR(w.idp, true)
	b := w.browser()
	address := b.start("?rt=%2Freports")
	if q := query(t, address); len(q) != 2 || q.Get("client_id") != w.cfg.ClientID || q.Get("request_uri") == "" {
		t.Errorf("the browser carries %v", q)
	}
	b.callback(address).wantRedirect(t, "/reports")
	w.idp.Client.Secret = "another one"
	r := request("GET", "/oidc/test/start", "", "")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w.browser().send(r).want(t, http.StatusServiceUnavailable, misconfigured)
}

// A provider that requires it of one client does not say so in its metadata. Where requests cannot be pushed nobody is sent
// to the provider, and the status says why.
func TestAuthorizationRequestsArePushedWhereTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.Push = true })
	offered := true
	w.idp.SetFaults(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) {
			if offered {
				m["pushed_authorization_request_endpoint"] = m["issuer"].(string) + "/par"
			}
		}
	})
	b := w.browser()
	address := b.start("?rt=%2Freports")
	if q := query(t, address); len(q) != 2 || q.Get("request_uri") == "" {
		t.Errorf("the browser carries %v", q)
	}
	b.callback(address).wantRedirect(t, "/reports")
	offered = false
	s, err := w.oidc.Registry.Check(t.Context(), "test")
	if err != nil || !s.Misconfigured || !strings.Contains(s.Problem, "remove par") {
		t.Errorf("status %+v, %v", s, err)
	}
	r := request("GET", "/oidc/test/start", "", "")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w.browser().send(r).want(t, http.StatusServiceUnavailable, misconfigured)
}

// Keycloak says so in the browser, in words of its own: the log has what to write.
func TestARequirementToPushIsExplainedInTheLog(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	state := query(t, b.start("")).Get("state")
	b.get("/oidc/test/callback?"+url.Values{
		"state": {state}, "error": {"invalid_request"}, "error_description": {"Pushed Authorization Request is only allowed."},
	}.Encode()).want(t, http.StatusForbidden)
	lines := w.logs.FilterMessage("sign-in through a provider failed").All()
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	if text, _ := lines[0].ContextMap()["error"].(string); !strings.Contains(text, "write par") {
		t.Error(text)
	}
}

// identity_key: people are known by a claim that stays when sub changes, and logouts by sub find them all the same.
func TestPeopleAreKnownByTheClaimThatIsConfigured(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.IdentityKey = "oid" })
	id := map[string]any{"oid": "0a1b", "sub": "user-1"}
	w.idp.SetFaults(func(l *provider.Faults) {
		l.ID = func(c map[string]any) {
			for name, v := range id {
				c[name] = v
			}
		}
		l.UserInfo = func(c map[string]any) { c["sub"], c["oid"] = id["sub"], "somebody else's" }
	})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	first := b.who().User.ID
	if s := w.oneSession(t); s.Subject != "claim:oid=0a1b" {
		t.Errorf("the session is of %q", s.Subject)
	}
	w.Clock.Advance(6 * time.Minute)
	if w.fresh(t, w.oidc, b) == nil {
		t.Fatal("the session did not survive its refresh")
	}
	if err := w.oidc.Backchannel(t.Context(), login.Client{}, "test", w.idp.LogoutToken("user-1", "", nil)); err != nil {
		t.Fatal(err)
	}
	if b.signedIn() {
		t.Error("a logout by sub ended nothing")
	}
	id["sub"] = "user-9"
	b.viaProvider("").wantRedirect(t, "/")
	if again := b.who().User.ID; again != first {
		t.Error("another sub is another account")
	}
	delete(id, "oid")
	w.browser().viaProvider("").want(t, http.StatusServiceUnavailable, misconfigured)
}

// A logout of sub that arrives while a sign-in by identity_key is in progress prevents the session.
func TestALogoutBySubPreventsASessionByAnotherClaim(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.IdentityKey = "oid" })
	claim("oid", "0a1b")(t, w.idp)
	b := w.browser()
	address := b.start("")
	w.Clock.Advance(time.Second)
	if err := w.oidc.Backchannel(t.Context(), login.Client{}, "test", w.idp.LogoutToken("user-1", "", nil)); err != nil {
		t.Fatal(err)
	}
	b.callback(address).want(t, http.StatusBadRequest, "took too long")
	if w.sessions(t) != 0 {
		t.Error("there is a session")
	}
}

func TestTheClientsPublicKeyCanBeReadByTheProvider(t *testing.T) {
	t.Parallel()
	key := provider.EC(t, "k1")
	w := newOIDCWorld(t, func(c *oidc.Config) {
		c.Method, c.Secret, c.Key = oidc.KeyJWT, "", &oidc.Key{Private: key.Private, Algorithm: key.Alg, ID: key.ID}
	})
	a := w.browser().get("/oidc/test/jwks.json").want(t, http.StatusOK)
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(a.body), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s, %v", a.body, err)
	}
	if k := set.Keys[0]; k["kid"] != "k1" || k["alg"] != "ES256" || k["use"] != "sig" || k["x"] == nil || k["d"] != nil {
		t.Errorf("the key is %v", k)
	}
	newOIDCWorld(t).browser().get("/oidc/test/jwks.json").want(t, http.StatusNotFound)
	w.browser().get("/oidc/other/jwks.json").want(t, http.StatusNotFound)
}

// The discovery document and single endpoints may be elsewhere; the issuer in it has to be the right one all the same.
func TestAddressesCanBeConfigured(t *testing.T) {
	t.Parallel()
	elsewhere := provider.New(t)
	w := newOIDCWorld(t, func(c *oidc.Config) {
		c.Discovery, c.Issuer = c.Issuer+"/.well-known/openid-configuration", "https://id.example.com"
		c.Endpoints = map[string]string{oidc.EndpointEndSession: elsewhere.Issuer + "/end"}
	})
	w.browser().send(startRequest()).want(t, http.StatusServiceUnavailable, misconfigured) // it says another issuer
	w.idp.SetFaults(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["issuer"] = "https://id.example.com" }
		l.ID = func(c map[string]any) { c["iss"] = "https://id.example.com" }
	})
	w.Clock.Advance(time.Minute)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	if a := b.post("/logout", "provider", "1"); !strings.HasPrefix(a.location(), elsewhere.Issuer+"/end?") {
		t.Errorf("Location %q", a.location())
	}
}

func startRequest() *http.Request {
	r := request("GET", "/oidc/test/start", "", "")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}
