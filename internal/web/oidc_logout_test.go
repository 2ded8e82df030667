package web_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

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
		"expired":                  set("exp", 1000),
		"issued in the far future": set("iat", int64(1)<<36),
		"neither sub nor sid":      func(c, _ map[string]any) { delete(c, "sub"); delete(c, "sid") },
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
			{},
			{"logout_token": {""}},
			{"logout_token": {"x"}},
			{"logout_token": {"a.b.c"}},
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

// sid returns the session id in the last ID token.
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
			if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' "+w.idp.Issuer+" http:;") {
				t.Errorf("the browser would not follow the form to the provider, and on from there: %s", csp)
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
			w.idp.SetFaults(func(l *provider.Faults) { l.Callback = change })
			back, _ := visit(t, a.location())
			b.get(back).want(t, http.StatusOK, "You are signed out")
		})
	}
	t.Run("a provider without an end-session endpoint, or one that is down", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetFaults(func(l *provider.Faults) { l.Metadata = func(m map[string]any) { delete(m, "end_session_endpoint") } })
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

// Older providers say that a logout token is a JWT, and others not when it ends: what it is follows from its event.
func TestLogoutTokensOfOlderProvidersAreTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change header
		ok     bool
	}{
		"typ JWT":             {func(_, h map[string]any) { h["typ"] = "JWT" }, true},
		"no exp":              {func(c, _ map[string]any) { delete(c, "exp") }, true},
		"exp null":            {func(c, _ map[string]any) { c["exp"] = nil }, true},
		"both":                {func(c, h map[string]any) { delete(c, "exp"); h["typ"] = "jwt" }, true},
		"typ JWT and a nonce": {func(c, h map[string]any) { c["nonce"], h["typ"] = "n", "JWT" }, false},
		"typ JWT, no event":   {func(c, h map[string]any) { delete(c, "events"); h["typ"] = "JWT" }, false},
		"no exp, and nine minutes old": {func(c, _ map[string]any) {
			delete(c, "exp")
			c["iat"] = c["iat"].(int64) - 9*60
		}, true},
		"no exp, and eleven minutes old": {func(c, _ map[string]any) {
			delete(c, "exp")
			c["iat"] = c["iat"].(int64) - 11*60
		}, false},
		"no exp and no iat": {func(c, _ map[string]any) { delete(c, "exp"); delete(c, "iat") }, false},
		"exp as text":       {func(c, _ map[string]any) { c["exp"] = "later" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			token := w.idp.LogoutToken("user-1", w.sid(t), c.change)
			if !c.ok {
				w.refuses(t, b, token)
				return
			}
			w.accepts(t, token)
			if b.signedIn() {
				t.Error("the session goes on")
			}
			w.Clock.Advance(8 * time.Minute)
			b.viaProvider("").wantRedirect(t, "/")
			w.refuses(t, b, token) // a replay, for as long as it could be taken
		})
	}
}

// A wrong algorithm is one also when there is no session any more to compare with.
func TestALogoutTokenOfAnotherAlgorithmIsRefusedWithoutASession(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	sid := w.sid(t)
	w.accepts(t, w.idp.LogoutToken("user-1", sid, nil))
	ec := provider.EC(t, "ec")
	w.idp.Keys(provider.RSA(0), ec)
	var claims map[string]any
	w.idp.LogoutToken("user-1", sid, func(c, _ map[string]any) { claims = maps.Clone(c) })
	a := w.browser().foreignPost("/oidc/test/backchannel-logout", url.Values{"logout_token": {ec.Sign(claims, nil)}})
	a.want(t, http.StatusBadRequest, "invalid_request")
	w.accepts(t, w.idp.LogoutToken("user-1", sid, nil))
}

func TestARefusedLogoutTokenIsReportedToTheOperator(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	w.refuses(t, b, w.idp.LogoutToken("user-1", w.sid(t), func(c, _ map[string]any) { c["aud"] = "another" }))
	if w.logs.FilterLevelExact(zapcore.WarnLevel).FilterMessageSnippet("refused a logout").Len() != 1 {
		t.Error("the log does not warn")
	}
	e := w.audited(t, "session.end")
	if len(e) != 1 || e[0].Outcome != store.Denied || e[0].Actor != "provider:test" || !strings.Contains(e[0].Details["problem"], "aud") {
		t.Errorf("the audit log says %+v", e)
	}
	if s := w.oidc.Registry.Status()[0]; s.LogoutRefused.IsZero() || !strings.Contains(s.LogoutError, "aud") || s.LastError != "" {
		t.Errorf("the status says %+v", s)
	}
	// Anybody can send them: no more is written than somebody would read.
	for range 100 {
		w.browser().foreignPost("/oidc/test/backchannel-logout", url.Values{"logout_token": {"x"}}).want(t, http.StatusBadRequest)
	}
	if n := len(w.audited(t, "session.end")); n > 10 {
		t.Errorf("%d events of a hundred refused tokens", n)
	}
	if n := w.logs.FilterMessageSnippet("refused a logout").Len(); n > 10 {
		t.Errorf("%d lines in the log", n)
	}
}

func TestAMalformedFrontChannelLogoutIsABadRequest(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	for _, query := range []string{
		"", "?iss=%zz", "?sid=%", "?iss=a;sid=b", "?iss=" + url.QueryEscape(w.idp.Issuer), "?iss=x&sid=y",
		"?iss=" + url.QueryEscape(w.idp.Issuer) + "&sid=a&sid=b", "?iss=" + url.QueryEscape(w.idp.Issuer) + "&sid=%00",
	} {
		w.browser().get("/oidc/test/frontchannel-logout"+query).want(t, http.StatusBadRequest)
	}
}
