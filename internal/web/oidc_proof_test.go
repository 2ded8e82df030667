package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// proved returns when the session says that the person proved who they are, nil for nobody knows, and whether a page that
// asks for a recent proof takes it.
func (b *browser) proved() (at *time.Time, recent bool) {
	b.w.T.Helper()
	var who struct{ Auth struct{ Time *time.Time } }
	b.get("/api/v1/session").want(b.w.T, http.StatusOK).json(b.w.T, &who)
	a := b.post("/account/providers", "action", "unlink", "issuer", "x", "subject", "y")
	return who.Auth.Time, a.location() == prefix+"/account/providers"
}

// Fresh is what the provider proved, not that it was asked: with silent single sign-on nobody proves anything.
func TestAProofIsAsRecentAsTheProviderSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ago    time.Duration // of auth_time; never: not there
		out    bool          // no sign-in at all
		recent bool
	}{
		"now":                               {0, false, true},
		"nine minutes ago":                  {9 * time.Minute, false, true},
		"eleven minutes ago":                {11 * time.Minute, false, false},
		"eight hours ago":                   {8 * time.Hour, false, false},
		"half a minute ahead, as clocks do": {-30 * time.Second, false, true},
		"two minutes ahead":                 {-2 * time.Minute, true, false},
		"a year ahead":                      {-365 * 24 * time.Hour, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			at := w.Clock.Now().Add(-c.ago)
			claim("auth_time", at.Unix())(t, w.idp)
			b := w.browser()
			a := b.viaProvider("")
			if c.out {
				a.want(t, http.StatusBadRequest, unverifiable)
				w.nobody(t)
				return
			}
			a.wantRedirect(t, "/")
			got, recent := b.proved()
			if want := min(at.Unix(), w.Clock.Now().Unix()); got == nil || got.Unix() != want || recent != c.recent {
				t.Errorf("proved at %v, recent %t", got, recent)
			}
		})
	}
	t.Run("not said", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		claim("auth_time", nil)(t, w.idp)
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		if at, recent := b.proved(); at != nil || recent {
			t.Errorf("proved at %v, recent %t", at, recent)
		}
		b.get("/account").want(t, http.StatusOK)
	})
}

// unproved is what the page says to a person whose provider confirms nobody.
const unproved = "ask an administrator for one"

// An administrator whose provider never says when it asked is not sent round in circles, and gets on with a password.
func TestWhoeverAProviderCannotConfirmSeesWhatToDo(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	claim("auth_time", nil)(t, w.idp)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	a := b.callback(b.start("?reauth=1")).want(t, http.StatusBadRequest, unproved, `href="/_auth/account"`)
	if strings.Contains(a.body, "/login?") || strings.Contains(a.body, `href="/_auth/reauth"`) {
		t.Errorf("leads back to where it came from: %s", a.body)
	}
	if !b.signedIn() {
		t.Error("the session has ended")
	}
}

func TestAConfirmationProvesNoMoreThanTheProviderSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at  func(now time.Time) any
		ok  bool
		say string
	}{
		"now":             {func(now time.Time) any { return now.Unix() }, true, ""},
		"not said":        {func(time.Time) any { return nil }, false, unproved},
		"before":          {func(now time.Time) any { return now.Add(-2 * time.Minute).Unix() }, false, unproved},
		"ahead":           {func(now time.Time) any { return now.Add(2 * time.Minute).Unix() }, false, unverifiable},
		"the year 1970":   {func(time.Time) any { return 0 }, false, unproved},
		"no time but one": {func(time.Time) any { return "now" }, false, unproved},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			w.Clock.Advance(20 * time.Minute)
			claim("auth_time", c.at(w.Clock.Now()))(t, w.idp)
			a := b.callback(b.start("?reauth=1"))
			if !c.ok {
				a.want(t, http.StatusBadRequest, c.say)
			}
			if _, recent := b.proved(); recent != c.ok {
				t.Errorf("recent %t", recent)
			}
		})
	}
}

func TestAConfirmationTakesOverWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
	w.idp.SetClaim("groups", []string{"admins", "there"})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	w.wantRights(t, b, "admin", "admins", "there")
	w.idp.SetClaim("groups", []string{"there"})
	w.idp.SetClaim("email_verified", false)
	b.callback(b.start("?reauth=1")).wantRedirect(t, prefix+"/account")
	w.wantRights(t, b, "user", "there")
	if l := w.fresh(t, w.oidc, b); l == nil || l.User.EmailVerified {
		t.Errorf("the address counts as verified: %+v", l)
	}
	if u := w.user(t, "ada-2"); u.Role != "user" || !slices.Equal(u.Groups, []string{"there"}) {
		t.Errorf("the account is %+v", u)
	}
}

// Whom the rules do not let in any more is out, also when they confirm.
func TestAConfirmationIsCheckedByTheRules(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"staff"}}} })
	w.idp.SetClaim("groups", "staff")
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	w.idp.SetClaim("groups", "visitors")
	b.callback(b.start("?reauth=1")).want(t, http.StatusForbidden, "not allowed")
	if b.signedIn() {
		t.Error("the session goes on")
	}
}

// Every name that the provider has for a session ends it.
func TestALogoutEndsAConfirmedSessionByEachOfItsNames(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"first", "second", "person"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			names := map[string]string{"first": w.sid(t)}
			b.callback(b.start("?reauth=1")).wantRedirect(t, prefix+"/account")
			names["second"] = w.sid(t)
			b.callback(b.start("?reauth=1")).wantRedirect(t, prefix+"/account")
			subject := map[string]string{"person": "user-1"}[which]
			w.accepts(t, w.idp.LogoutToken(subject, names[which], nil))
			if b.signedIn() {
				t.Error("the session goes on")
			}
		})
	}
	t.Run("a session that began with a password", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.browser().signIn("ada", adaPass)
		b.linkProvider().wantRedirect(t, prefix+"/account/providers")
		w.Clock.Advance(20 * time.Minute)
		w.idp.SetClaim("groups", "there")
		b.callback(b.start("?reauth=1")).wantRedirect(t, prefix+"/account")
		w.wantRights(t, b, "user", "dev", "ops") // only the proof comes from there
		w.accepts(t, w.idp.LogoutToken("", w.sid(t), nil))
		if b.signedIn() {
			t.Error("the session goes on")
		}
	})
}

// tokenAnswer makes the token endpoint respond with that to every request.
func tokenAnswer(status int, contentType, body string) func(*provider.Faults) {
	return func(l *provider.Faults) {
		l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
			if e != "token" {
				return false
			}
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
}

func TestARefusalEndsTheSessionAndNothingElseDoesBeforeTheGrace(t *testing.T) {
	t.Parallel()
	const js = "application/json"
	for name, c := range map[string]struct {
		status     int
		kind, body string
		refused    bool
	}{
		"as the standard says":         {400, js, `{"error":"invalid_grant"}`, true},
		"Dex":                          {400, js, `{"error":"invalid_request","error_description":"Refresh token is invalid."}`, true},
		"Pocket ID":                    {400, js, `{"error":"Refresh token is invalid or expired"}`, true},
		"a word of its own":            {401, js, `{"error":"user_blocked"}`, true},
		"forbidden":                    {403, js, `{"error":"access_denied"}`, true},
		"as text":                      {400, "text/plain", `{"error":"invalid_grant"}`, true},
		"with a charset":               {400, js + "; charset=utf-8", ` {"error":"invalid_grant"} `, true},
		"our credentials":              {401, js, `{"error":"invalid_client"}`, false},
		"our registration":             {400, js, `{"error":"unauthorized_client"}`, false},
		"our grant":                    {400, js, `{"error":"unsupported_grant_type"}`, false},
		"busy":                         {400, js, `{"error":"temporarily_unavailable"}`, false},
		"too fast":                     {400, js, `{"error":"slow_down"}`, false},
		"its own fault":                {400, js, `{"error":"server_error"}`, false},
		"another status":               {500, js, `{"error":"invalid_grant"}`, false},
		"not found":                    {404, js, `{"error":"invalid_grant"}`, false},
		"too many":                     {429, js, `{"error":"invalid_grant"}`, false},
		"a good status":                {200, js, `{"error":"invalid_grant"}`, false},
		"a firewall":                   {403, "text/html", `<h1>Forbidden</h1>`, false},
		"a form":                       {400, "application/x-www-form-urlencoded", `error=invalid_grant`, false},
		"a list":                       {400, js, `[{"error":"invalid_grant"}]`, false},
		"an object":                    {400, js, `{"error":{"code":"invalid_grant"}}`, false},
		"a number":                     {400, js, `{"error":400}`, false},
		"null":                         {400, js, `{"error":null}`, false},
		"nothing said":                 {400, js, `{"error":""}`, false},
		"another member":               {400, js, `{"Error":"invalid_grant"}`, false},
		"half an answer":               {400, js, `{"error":"invalid_grant"`, false},
		"nothing":                      {400, js, ``, false},
		"more than one value":          {400, js, `{"error":"invalid_grant"}{}`, false},
		"a redirect":                   {302, js, `{"error":"invalid_grant"}`, false},
		"a good answer without tokens": {200, js, `{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(c *oidc.Config) { c.RefreshGrace = 20 * time.Minute })
			b := w.signedInFor(t, 6*time.Minute)
			w.idp.SetFaults(tokenAnswer(c.status, c.kind, c.body))
			if goesOn := w.fresh(t, w.oidc, b) != nil; goesOn == c.refused {
				t.Fatalf("refused %t, and the session goes on: %t", c.refused, goesOn)
			}
			if c.refused {
				if w.sessions(t) != 0 {
					t.Error("its row is still there")
				}
				return
			}
			w.Clock.Advance(19 * time.Minute)
			if w.fresh(t, w.oidc, b) == nil {
				t.Fatal("the session has ended before the time")
			}
			w.Clock.Advance(2 * time.Minute)
			// Another Caddy, or this one after a reload, knows since when, too.
			if w.fresh(t, w.reloaded(t, func(*oidc.Config) {}), b) != nil || w.sessions(t) != 0 {
				t.Error("the session outlives refresh_grace")
			}
		})
	}
}

func TestARefreshThatWorksBeginsTheGraceAnew(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.signedInFor(t, 6*time.Minute)
	for range 4 {
		w.idp.Down(true)
		if w.fresh(t, w.oidc, b) == nil {
			t.Fatal("the session has ended")
		}
		w.Clock.Advance(50 * time.Minute)
		w.idp.Down(false)
		w.Clock.Advance(time.Minute)
		calls := w.idp.Calls("token")
		if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token") != calls+1 {
			t.Fatal("not refreshed")
		}
		w.Clock.Advance(6 * time.Minute)
	}
}

// A response about somebody else ends the session, and nobody is asked with the access token in it.
func TestARefreshAboutSomebodyElseIsNotAskedAnyFurther(t *testing.T) {
	t.Parallel()
	for name, info := range map[string]int{"userinfo works": 0, "userinfo fails": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.signedInFor(t, 6*time.Minute)
			w.idp.SetFaults(func(l *provider.Faults) {
				l.ID = func(c map[string]any) { c["sub"] = "user-2" }
				l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
					if e == "userinfo" && info != 0 {
						w.WriteHeader(info)
					}
					return e == "userinfo" && info != 0
				}
			})
			calls := w.idp.Calls("userinfo")
			if w.fresh(t, w.oidc, b) != nil || w.sessions(t) != 0 {
				t.Error("the session goes on")
			}
			if w.idp.Calls("userinfo") != calls {
				t.Error("userinfo was asked")
			}
		})
	}
}

// The provider takes each refresh token once. What it gave in its place counts, whatever fails afterwards.
func TestARotatedTokenIsKeptWhateverFailsAfterwards(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"userinfo", "jwks"} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.signedInFor(t, 6*time.Minute)
			if endpoint == "jwks" {
				w.idp.Keys(provider.RSA(1)) // which has to be read
				w.Clock.Advance(time.Hour)
			}
			w.idp.SetFaults(func(l *provider.Faults) {
				l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
					if e == endpoint {
						w.WriteHeader(http.StatusBadGateway)
					}
					return e == endpoint
				}
			})
			if w.fresh(t, w.oidc, b) == nil {
				t.Fatal("the session has ended")
			}
			w.idp.ClearFaults()
			w.Clock.Advance(2 * time.Minute)
			calls := w.idp.Calls("token")
			if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token") != calls+1 {
				t.Errorf("not refreshed with the new token: %d calls", w.idp.Calls("token")-calls)
			}
		})
	}
}
