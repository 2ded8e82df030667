package web_test

import (
	"context"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestSignInLeadsToWhereOneWasGoing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/login?rt=/reports%3Fyear=2026").want(t, 200, `name="rt" value="/reports?year=2026"`, "Sign in to Acme", "for 30 days")
	b.post("/login", "username", "ada", "password", adaPass, "rt", "/reports?year=2026").wantRedirect(t, "/reports?year=2026")
	if !b.signedIn() {
		t.Fatal("no session after the sign-in")
	}
	w.browser().post("/login", "username", "ADA@Example.test", "password", adaPass).wantRedirect(t, "/")
}

func TestSignInReturnsToATrustedHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	a := b.get("/login?rt=https://other.example.test/x").want(t, 200, "go on to other.example.test")
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://other.example.test https:;") {
		t.Errorf("a browser would not follow the form: %s", csp)
	}
	b.post("/login", "username", "ada", "password", adaPass, "rt", "https://other.example.test/x").wantRedirect(t, "https://other.example.test/x")
	b.get("/continue?rt=https://other.example.test/x").want(t, 200, `content="0; url=https://other.example.test/x"`, "Continue to other.example.test")
	b.get("/continue?rt=https://evil.example/").wantRedirect(t, "/")
	b.get("/continue?rt=/x").wantRedirect(t, "/x")
}

// A page of ours that needs a sign-in comes back after it, with its query; nothing else of ours does.
func TestOwnPagesComeBackAfterTheSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	a := b.get("/account/sessions?cursor=x")
	a.wantRedirect(t, "/_auth/login?to="+url.QueryEscape("/_auth/account/sessions?cursor=x"))
	to := "/_auth/account/sessions?cursor=x"
	b.get(strings.TrimPrefix(a.location(), prefix)).want(t, 200, `name="to" value="/_auth/account/sessions?cursor=x"`)
	b.post("/login", "username", "ada", "password", adaPass, "to", to).wantRedirect(t, to)
	for _, evil := range []string{"/_auth/logout", "/_auth/account/../logout", "/_auth/account%2f..%2flogout", "//evil.example", "/x", "/_auth/accounts", "/_auth/oidc/x/callback", "/_auth/admin/%2e%2e/logout"} {
		w.browser().post("/login", "username", "ada", "password", adaPass, "to", evil).wantRedirect(t, "/")
	}
}

var changingParts = regexp.MustCompile(`nonce="[A-Z2-7]+"|value="(ada|nobody|off|nopass|ada@example\.test)"`)

// The same bytes, status, headers and cookies for a wrong password and for names that nobody has, that are
// turned off, or that have no password.
func TestWrongSignInsAreAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	off, _, err := w.Accounts.Create(t.Context(), w.cli(), account.NewUser{Username: "off", Role: store.RoleUser, Password: freshPass, Active: true})
	if err != nil {
		t.Fatal(err)
	}
	inactive := false
	if _, err := w.Accounts.Update(t.Context(), w.cli(), off.ID, account.Patch{Active: &inactive}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Accounts.Create(t.Context(), w.cli(), account.NewUser{Username: "nopass", Role: store.RoleUser, Active: true}); err != nil {
		t.Fatal(err)
	}
	look := func(a answer) string {
		h := a.Header.Clone()
		h.Del("Content-Length")
		h["Content-Security-Policy"] = nil
		var b strings.Builder
		if err := h.Write(&b); err != nil {
			t.Fatal(err)
		}
		return strconv.Itoa(a.StatusCode) + "\n" + b.String() + changingParts.ReplaceAllString(a.body, "")
	}
	for _, tries := range []string{"wrong", "throttled"} {
		want := ""
		for _, name := range []string{"ada", "nobody", "off", "nopass"} {
			var a answer
			for i := 0; i == 0 || (tries == "throttled" && i < 8); i++ {
				a = w.browser().post("/login", "username", name, "password", "not the password", "rt", "/x")
			}
			if got := look(a); want == "" {
				want = got
			} else if got != want {
				t.Errorf("%s: %s differs:\n%s\nfrom\n%s", tries, name, got, want)
			}
		}
	}
}

func TestAWrongSignInKeepsTheNameAndForgetsThePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.browser().post("/login", "username", "ada", "password", "canary-wrong-password", "rt", "/x", "remember", "1")
	a.want(t, 401, "<title>Error: Sign in - Acme</title>", `value="ada"`, "incorrect", `name="rt" value="/x"`, " checked")
	if strings.Contains(a.body, "canary-wrong-password") {
		t.Error("the password is in the page")
	}
	if got := a.Header.Get("WWW-Authenticate"); got != `Bearer realm="Acme"` {
		t.Errorf("WWW-Authenticate %q: a browser must not ask in a window of its own", got)
	}
	if !regexp.MustCompile(`<input id="password"[^>]*aria-describedby="password-e"[^>]*autofocus`).MatchString(a.body) {
		t.Error("the password does not get the focus with the reason beside it")
	}
}

func TestEmptyFieldsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 { // they count as no attempt
		w.browser().post("/login", "username", "ada", "password", "").want(t, 422, "Enter your password.", `value="ada"`)
	}
	w.browser().post("/login", "username", "", "password", "x").want(t, 422, "Enter your username")
	w.browser().post("/login").want(t, 422, "There are 2 problems")
	w.browser().signIn("ada", adaPass)
}

// Names and passwords of any bytes are wrong, and never an error of ours.
func TestOddNamesAreWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"\x00", "ada\x00", "\xff\xfe", strings.Repeat("x", 60_000), "\r\n", "' OR 1=1 --", "%", "\u202e", "ada\u0000"} {
		w.browser().post("/login", "username", name, "password", "x").want(t, 401)
	}
	for _, pass := range []string{"\x00", "\xff", strings.Repeat("x", 60_000), adaPass + "\x00"} {
		w.browser().post("/login", "username", "ada", "password", pass)
	}
}

func TestTooManyAttemptsSayWhenToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var a answer
	for range 7 {
		a = w.browser().post("/login", "username", "ada", "password", "wrong")
	}
	a.want(t, 429, "Too many attempts", "<time datetime=\"2026-03-01T12:00:")
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || wait < 1 {
		t.Fatalf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	w.browser().post("/login", "username", "ada", "password", adaPass).want(t, 429)
	w.Clock.Advance(time.Duration(wait) * time.Second)
	w.browser().signIn("ada", adaPass)
}

// Only who knows the password learns that an account is turned off.
func TestATurnedOffAccountSaysSoAfterTheRightPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inactive := false
	if _, err := w.Accounts.Update(t.Context(), w.cli(), w.ada.ID, account.Patch{Active: &inactive}); err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.post("/login", "username", "ada", "password", adaPass).want(t, 403, "turned off")
	if b.token() != "" {
		t.Error("a session cookie was set")
	}
	w.browser().post("/login", "username", "ada", "password", "wrong").want(t, 401)
}

// checking fills the only place there is for a password's check, until leave is called.
func (w *world) checking() (leave func()) {
	w.T.Helper()
	slots := password.NewSlots(1, 0)
	w.Login.Hasher = password.NewHasher(webtest.Cheap, slots)
	_, leave, err := slots.Admit(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	return leave
}

func TestABusyServerSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leave := w.checking()
	a := w.browser().post("/login", "username", "ada", "password", adaPass)
	a.want(t, 503, "Too many people are signing in")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	leave()
	w.browser().post("/login", "username", "ada", "password", adaPass).want(t, 303)
}

// Anyone who has left, for instance while a flood was held back, gets no page: making it costs most of a refusal.
func TestNoPageIsMadeForAClientThatLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	defer w.checking()()
	r := request("POST", "/login", "application/x-www-form-urlencoded", "username=ada&password=x")
	ctx, hangUp := context.WithTimeout(r.Context(), 50*time.Millisecond)
	defer hangUp()
	if a := w.browser().send(r.WithContext(ctx)); a.StatusCode != 503 || a.body != "" {
		t.Errorf("answered %d %q", a.StatusCode, a.body)
	}
}

// A session that somebody planted in the browser does not become the person's.
func TestSignInMakesANewSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("root", rootPass)
	planted := b.token()
	b.signIn("ada", adaPass)
	if b.token() == planted {
		t.Fatal("the token stayed the same")
	}
	replay := w.browser()
	replay.cookies["__Host-gatehouse"] = planted
	if replay.signedIn() {
		t.Error("the session of before goes on")
	}
}

func TestRememberKeepsTheCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for tick, want := range map[string]int{"": 0, "1": 30 * 24 * 3600} {
		for _, c := range w.browser().post("/login", "username", "ada", "password", adaPass, "remember", tick).Cookies() {
			if c.Name == "__Host-gatehouse" && c.MaxAge != want {
				t.Errorf("remember=%q: Max-Age %d, want %d", tick, c.MaxAge, want)
			}
		}
	}
}

func TestSignInPageShowsWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	a := b.get("/login?rt=/reports").want(t, 200, "signed in as ada", `href="/reports"`, "/_auth/account", "Sign out", "switch=1")
	if strings.Contains(a.body, `name="password"`) {
		t.Error("asks for a password")
	}
	b.get("/login?switch=1&rt=/reports").want(t, 200, `name="password"`, `value="/reports"`)
	b.get("/").wantRedirect(t, "/_auth/account")
	w.browser().get("/").wantRedirect(t, "/_auth/login")
}

func TestSessionEndedIsSaidOnTheWayBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	w.Clock.Advance(13 * time.Hour)
	b.get("/login?rt=/x").want(t, 200, "Your session has ended")
	if a := w.browser().get("/login?rt=/x"); strings.Contains(a.body, "Your session has ended") {
		t.Error("somebody who had no session is told that it ended")
	}
}

func TestBlockedCookiesAreMentioned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.header.Set("Referer", origin+"/_auth/login?rt=/x")
	b.get("/login?rt=/x").want(t, 200, "blocking cookies")
	if a := b.get("/login?rt=/x"); strings.Contains(a.body, "blocking cookies") {
		t.Error("said to a browser that keeps cookies")
	}
}

// Sign-out

func TestSignOutNeedsAPost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.get("/logout").want(t, 200, "signed in as ada", `method="post"`)
	b.do("HEAD", "/logout").want(t, 200)
	if !b.signedIn() {
		t.Fatal("looking at the page signed out")
	}
	old := b.token()
	b.post("/logout").wantRedirect(t, "/_auth/logged-out")
	b.get("/logged-out").want(t, 200, "You are signed out", "Sign in again")
	if b.token() != "" {
		t.Error("the cookie stays")
	}
	b.cookies["__Host-gatehouse"] = old
	if b.signedIn() {
		t.Error("the old cookie works")
	}
	b.post("/logout").wantRedirect(t, "/_auth/logged-out")
	w.browser().get("/logout").wantRedirect(t, "/_auth/logged-out")
}

// Signing out over HTTPS deletes the browser's cache of this host, with a session and without one: a page of the app may
// be in it either way. Nothing else does, and nothing deletes cookies or storage, which are the app's.
func TestSignOutDeletesTheBrowsersCache(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		w := newWorld(t)
		w.insecure = !secure
		want := ""
		if secure {
			want = `"cache"`
		}
		b := w.browser().signIn("ada", adaPass)
		for _, a := range []answer{b.post("/logout"), b.post("/logout"), w.browser().post("/logout", "everywhere", "1")} {
			if got := a.Header.Get("Clear-Site-Data"); got != want {
				t.Errorf("over HTTPS %v a sign-out sends %q, want %q", secure, got, want)
			}
		}
		for _, path := range []string{"/logout", "/logged-out", "/login", "/account"} {
			if got := b.get(path).Header.Get("Clear-Site-Data"); got != "" {
				t.Errorf("%s sends %q", path, got)
			}
		}
	}
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, root := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	a.post("/logout", "everywhere", "1").wantRedirect(t, "/_auth/logged-out")
	if a.signedIn() || b.signedIn() || !root.signedIn() {
		t.Error("everywhere means all of mine, and nobody else's")
	}
}

// Confirming who one is

func TestReauthRenewsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	w.Clock.Advance(time.Hour)
	old := b.token()
	b.post("/reauth", "password", "wrong").want(t, 401, "The password is incorrect", "Error: ")
	b.post("/reauth", "password", adaPass, "rt", "/_auth/account/sessions?x=1").wantRedirect(t, "/_auth/account/sessions?x=1")
	if b.token() == old || !b.signedIn() {
		t.Error("the session was not renewed")
	}
	var s struct{ Auth struct{ Time time.Time } }
	b.get("/api/v1/session").json(t, &s)
	if !s.Auth.Time.Equal(w.Clock.Now()) {
		t.Errorf("proved at %v", s.Auth.Time)
	}
	b.post("/reauth", "password", adaPass, "rt", "/app").wantRedirect(t, "/app")
	for _, evil := range []string{"//evil.example", "https://evil.example", "/_auth/logout", "/_auth/login"} {
		b.post("/reauth", "password", adaPass, "rt", evil).wantRedirect(t, "/_auth/account")
	}
	b.cookies["__Host-gatehouse"] = old
	if b.signedIn() {
		t.Error("the old token works")
	}
}

// Anyone who is not signed in any more proves it by signing in, and goes on from there as well.
func TestReauthOfSomebodyWhoIsNotSignedInGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for rt, want := range map[string]string{
		"/_auth/account/sessions?x=1": "/_auth/login?to=" + url.QueryEscape("/_auth/account/sessions?x=1"),
		"/reports?year=2026":          "/_auth/login?rt=" + url.QueryEscape("/reports?year=2026"),
		"":                            "/_auth/login",
		"//evil.test":                 "/_auth/login",
		"/_auth/logout":               "/_auth/login",
	} {
		w.browser().get("/reauth?rt="+url.QueryEscape(rt)).wantRedirect(t, want)
	}
}

// Anyone who has to wait comes back to where they were going.
func TestWaitingKeepsTheWayBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app, own := "/reports?year=2026", "/_auth/account/sessions?x=1"
	b := w.browser().signIn("ada", adaPass)
	for range 8 {
		b.post("/reauth", "password", "wrong")
		w.browser().post("/login", "username", "ada", "password", "wrong")
	}
	for _, c := range []struct {
		b         *browser
		at, field string
		value     string
	}{
		{w.browser(), "/login", "rt", app},
		{w.browser(), "/login", "to", own},
		{w.browser(), "/login", "rt", "//evil.test"},
		{b, "/reauth", "rt", own},
		{b, "/account/password", "to", own},
		{b, "/account/password", "rt", app},
	} {
		a := c.b.post(c.at, "username", "ada", "password", "wrong", "current_password", "wrong", "new_password", freshPass, c.field, c.value).
			want(t, 429, `action="/_auth`+c.at+`"`)
		if kept := strings.Contains(a.body, `name="`+c.field+`" value="`+c.value+`"`); kept != (c.value != "//evil.test") {
			t.Errorf("%s: %s=%s is kept: %v", c.at, c.field, c.value, kept)
		}
	}
}

// A stolen session is no way to guess the password.
func TestReauthIsThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	var a answer
	for range 8 {
		a = b.post("/reauth", "password", "wrong")
	}
	a.want(t, 429)
	b.post("/account/password", "current_password", "wrong", "new_password", freshPass).want(t, 429)
}
