package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// Login CSRF: a valid code with the state of another browser, or of none, makes no session, and the code
// is not sent to the provider.
func TestACallbackBelongsToTheBrowserThatBegan(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	attacker, victim := w.browser(), w.browser()
	back, _ := visit(t, attacker.start(""))
	victim.get(back).want(t, http.StatusBadRequest, "another tab or browser")
	victim.start("") // with a flow of its own
	victim.get(back).want(t, http.StatusBadRequest, "another tab or browser")
	if w.idp.Calls("token") != 0 {
		t.Error("the code was sent to the provider")
	}
	// A cookie of the right name with another value.
	for name := range attacker.cookies {
		if strings.Contains(name, "flow-") {
			victim.cookies[name] = "abc." + strings.Repeat("A", 43)
		}
	}
	victim.get(back).want(t, http.StatusBadRequest, "another tab or browser")
	w.nobody(t)
	if victim.signedIn() || w.idp.Calls("token") != 0 {
		t.Error("signed in")
	}
}

// Each reason alone, and in parallel exactly one winner.
func TestACallbackWorksOnceAndInTime(t *testing.T) {
	t.Parallel()
	t.Run("replayed", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		back, _ := visit(t, b.start(""))
		flows := map[string]string{}
		for k, v := range b.cookies {
			flows[k] = v
		}
		b.get(back).wantRedirect(t, "/")
		calls := w.idp.Calls("token")
		for k, v := range flows {
			b.cookies[k] = v
		}
		b.get(back).want(t, http.StatusBadRequest, "was used before")
		if w.idp.Calls("token") != calls {
			t.Error("the code was sent again")
		}
	})
	t.Run("in parallel", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		back, _ := visit(t, b.start(""))
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 8 {
			c := w.browser()
			for k, v := range b.cookies {
				c.cookies[k] = v
			}
			wg.Go(func() {
				if c.get(back).StatusCode == http.StatusSeeOther {
					mu.Lock()
					won++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if won != 1 || w.sessions(t) != 1 {
			t.Errorf("%d of 8 signed in, %d sessions", won, w.sessions(t))
		}
	})
	t.Run("after ten minutes", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		back, _ := visit(t, b.start(""))
		w.Clock.Advance(10*time.Minute + time.Second)
		b.get(back).want(t, http.StatusBadRequest, "took too long")
		w.nobody(t)
	})
	t.Run("just in time", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		back, _ := visit(t, b.start(""))
		w.Clock.Advance(9 * time.Minute)
		w.idp.SetFaults(func(l *provider.Faults) {}) // the provider issues the token now
		b.get(back).wantRedirect(t, "/")
	})
	t.Run("with another provider's address", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		back, _ := visit(t, b.start(""))
		b.get(strings.Replace(back, "/oidc/test/", "/oidc/other/", 1)).want(t, http.StatusNotFound)
		w.nobody(t)
	})
	t.Run("after the issuer was configured anew", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser()
		back, _ := visit(t, b.start(""))
		other := provider.NewAt(t, w.Clock.Now)
		w.reconfigure(t, func(c *oidc.Config) { c.Issuer = other.Issuer })
		b.get(back).want(t, http.StatusBadRequest, "took too long")
		if other.Calls("token") != 0 {
			t.Error("the code went to another provider")
		}
		w.nobody(t)
	})
}

// What the start refuses, and what somebody might have put into the store's flow, ends at home.
func TestAReturnToIsCheckedAtTheStartAndAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	for raw, want := range map[string]string{
		"/reports?year=2026":               "/reports?year=2026",
		"https://other.example.test/x":     "https://other.example.test/x", // a trusted host
		origin + "/y":                      "/y",
		"//evil.example":                   "/",
		"/\\evil.example":                  "/",
		"https://evil.example/":            "/",
		"javascript:alert(1)":              "/",
		"/%09/evil.example":                "/",
		prefix + "/logout":                 "/",
		prefix + "/account":                "/",
		"https://app.example.test@evil/":   "/",
		"https://other.example.test.evil/": "/",
	} {
		b := w.browser()
		b.viaProvider("?rt="+url.QueryEscape(raw)).wantRedirect(t, want)
	}
	b := w.browser()
	b.viaProvider("?to="+url.QueryEscape(prefix+"/account/profile")).wantRedirect(t, prefix+"/account/profile")
	b.viaProvider("?to="+url.QueryEscape("//evil.example")).wantRedirect(t, "/")
	b.viaProvider("?rt=/a&rt=/b").wantRedirect(t, "/")
}

func TestAnErrorOfTheProviderIsAPageForPeople(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	for code, sees := range map[string]string{
		"access_denied": "was canceled", "login_required": "was canceled", "server_error": unreachable,
		"temporarily_unavailable": unreachable, "invalid_request": "answered with an error", "made_up": "answered with an error",
	} {
		w.idp.SetFaults(func(l *provider.Faults) {
			l.Callback = func(q url.Values) {
				q.Del("code")
				q.Set("error", code)
				q.Set("error_description", "canary <b>markup</b>")
				q.Set("error_uri", "https://evil.example/")
			}
		})
		b := w.browser()
		a := b.viaProvider("?rt=%2Fx")
		if a.StatusCode == http.StatusSeeOther {
			a = b.get(strings.TrimPrefix(a.location(), prefix))
		}
		if !strings.Contains(a.body, sees) || strings.Contains(a.body, "canary") || strings.Contains(a.body, "evil.example") {
			t.Errorf("%s: %d %s", code, a.StatusCode, a.body)
		}
		if !strings.Contains(a.body, "rt=%2Fx") {
			t.Errorf("%s: the way back is lost: %s", code, a.body)
		}
	}
	w.nobody(t)
}

func TestASignInThroughAProviderEndsTheSessionOfBefore(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser().signIn("ada", adaPass)
	old := b.token()
	b.viaProvider("").wantRedirect(t, "/")
	if b.token() == old {
		t.Fatal("the token is the same (session fixation)")
	}
	c := w.browser()
	c.cookies[c.tokenName()] = old
	if c.signedIn() {
		t.Error("the session of before goes on")
	}
	for name := range b.cookies {
		if strings.Contains(name, "flow-") {
			t.Errorf("the flow's cookie is still there: %s", name)
		}
	}
}

func TestTheFlowCookieHasTheAttributesItNeeds(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	a := w.browser().get("/oidc/test/start")
	found := false
	for _, c := range a.Cookies() {
		if strings.HasPrefix(c.Name, "__Host-gatehouse-flow-") {
			found = true
			if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 600 || c.Domain != "" {
				t.Errorf("cookie %+v", c)
			}
		}
	}
	if !found {
		t.Error("there is no flow cookie")
	}
	u, _ := url.Parse(a.location())
	q := u.Query()
	if q.Get("redirect_uri") != origin+prefix+"/oidc/test/callback" || q.Get("response_type") != "code" || q.Get("scope") != "openid profile email" ||
		q.Get("code_challenge_method") != "S256" || len(q.Get("state")) != 43 || len(q.Get("nonce")) != 43 || q.Get("client_secret") != "" {
		t.Errorf("parameters %v", q)
	}
}

// Every secret of every flow is another one.
func TestNoTwoFlowsShareASecret(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	seen := map[string]bool{}
	for range 50 {
		b := w.browser()
		u, _ := url.Parse(b.start(""))
		q := u.Query()
		values := []string{q.Get("state"), q.Get("nonce"), q.Get("code_challenge")}
		for name, v := range b.cookies {
			if strings.Contains(name, "flow-") {
				_, token, _ := strings.Cut(v, ".")
				values = append(values, token)
			}
		}
		if len(values) != 4 {
			t.Fatalf("%d secrets", len(values))
		}
		for _, v := range values {
			if len(v) < 43 || seen[v] {
				t.Fatalf("%q is short, or was used before", v)
			}
			seen[v] = true
		}
	}
}

func TestStartsOfOneAddressAreBounded(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	status := 0
	for range 310 {
		if status = w.browser().get("/oidc/test/start").StatusCode; status == http.StatusTooManyRequests {
			break
		}
	}
	if status != http.StatusTooManyRequests {
		t.Error("an address can begin sign-ins without end")
	}
	other := w.browser()
	other.ip = "198.51.100.9"
	other.viaProvider("").wantRedirect(t, "/")
	w.browser().signIn("ada", adaPass) // other ways in are not touched
}

func TestUnknownProvidersAndPathsAreNotFound(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	for _, path := range []string{"/oidc/nobody/start", "/oidc/nobody/callback?state=x&code=y", "/oidc/nobody/icon", "/oidc/test/icon", "/oidc", "/oidc/test", "/oidc/test/other", "/oidc/nobody/frontchannel-logout?iss=x&sid=y"} {
		a := b.get(path)
		if a.StatusCode != http.StatusNotFound && (!strings.Contains(path, "callback") || a.StatusCode != http.StatusBadRequest) {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}
