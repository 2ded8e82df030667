package web_test

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestOverviewSaysWhoOneIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.get("/account").want(t, 200, "Ada L.", "ada@example.test", "dev, ops", "192.0.2.7", "with a password", "signed in on 1 device")
	if a := b.get("/account"); strings.Contains(a.body, "/_auth/admin") {
		t.Error("somebody who is no administrator is shown the way to the admin pages")
	}
	w.browser().signIn("root", rootPass).get("/account").want(t, 200, "/_auth/admin")
}

func TestProfileChangesTheDisplayNameOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.post("/account/profile", "name", "Countess").wantRedirect(t, "/_auth/account/profile")
	b.get("/account/profile").want(t, 200, `value="Countess"`, "Saved.", "changed by an administrator")
	// What the page does not change is refused, and not said to be saved, whatever comes with it.
	for _, field := range []string{"username", "email", "role", "groups", "active"} {
		b.post("/account/profile", "name", "Else", field, "evil@example.test").want(t, 403, "changed by an administrator")
	}
	b.post("/account/profile", "new_password", freshPass).want(t, 403, "Change your own password under your account")
	// A form without the name leaves it alone.
	b.post("/account/profile").wantRedirect(t, "/_auth/account/profile")
	b.post("/account/profile", "language", "en").wantRedirect(t, "/_auth/account/profile")
	if a := b.get("/account/profile"); strings.Contains(a.body, "Saved.") {
		t.Error("said twice, or of what was not saved")
	}
	u, err := w.Store.User(t.Context(), w.ada.ID)
	if err != nil || u.Name != "Countess" || u.Username != "ada" || u.Email != "ada@example.test" || u.Role != store.RoleUser {
		t.Errorf("%+v, %v", u, err)
	}
	b.post("/account/profile", "name", strings.Repeat("x", 300)).want(t, 422, "Error: Profile", `aria-invalid="true"`, strings.Repeat("x", 300))
	b.post("/account/profile", "name", "a", "name", "b").want(t, 400)
	b.post("/account/profile", "name", "").wantRedirect(t, "/_auth/account/profile")
	if u, err = w.Store.User(t.Context(), w.ada.ID); err != nil || u.Name != "" {
		t.Errorf("an empty name: %+v, %v", u, err)
	}
}

// A password change gives this browser a new session and ends the others, unless the person unticks that.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	for _, tick := range []bool{true, false} {
		w := newWorld(t)
		b, other, root := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
		b.get("/account/password").want(t, 200, `name="end_others" value="1" checked`, `autocomplete="new-password"`, `value="ada"`)
		old := b.token()
		form := []string{"current_password", adaPass, "new_password", freshPass}
		if tick {
			form = append(form, "end_others", "0", "end_others", "1")
		} else {
			form = append(form, "end_others", "0") // what a browser sends for an unticked box of ours
		}
		b.post("/account/password", form...).wantRedirect(t, "/_auth/account/password")
		b.get("/account/password").want(t, 200, "Your password was changed.")
		if b.token() == old || !root.signedIn() {
			t.Error("the browser has to go on with a new session, and others' sessions are not touched")
		}
		if other.signedIn() == tick {
			t.Errorf("ticked %v: the other device is signed in: %v", tick, other.signedIn())
		}
		replay := w.browser()
		replay.cookies["__Host-gatehouse"] = old
		if replay.signedIn() {
			t.Error("the old token works")
		}
		w.browser().post("/login", "username", "ada", "password", adaPass).want(t, 401)
		w.browser().signIn("ada", freshPass)
	}
}

func TestPasswordChangeRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	for _, c := range []struct{ current, fresh, text string }{
		{"wrong", freshPass, "The password is incorrect"},
		{adaPass, "short", "at least 12"},
		{adaPass, adaPass, "other than the present"},
		{adaPass, "ada@example.test1", "Error: "},
		{"", "", "Error: "},
	} {
		a := b.post("/account/password", "current_password", c.current, "new_password", c.fresh)
		if a.StatusCode != 422 || !strings.Contains(strings.ToLower(a.body), strings.ToLower(c.text)) {
			t.Errorf("%q to %q: status %d without %q", c.current, c.fresh, a.StatusCode, c.text)
		}
		for _, secret := range []string{c.current, c.fresh} {
			if len(secret) > 4 && strings.Contains(a.body, `"`+secret+`"`) {
				t.Errorf("%q is in the page", secret)
			}
		}
	}
	b.post("/account/password", "current_password", adaPass, "current_password", "x", "new_password", freshPass).want(t, 400)
	if !b.signedIn() {
		t.Error("a refused change signed out")
	}
}

// Anyone who was given a password by somebody else does nothing before choosing an own one, on any address.
func TestMustChangeHoldsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Accounts.ResetPassword(t.Context(), w.cli(), w.ada.ID, account.Reset{Password: freshPass, MustChange: true}); err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.post("/login", "username", "ada", "password", freshPass, "rt", "/reports").wantRedirect(t, "/_auth/account/password?rt=%2Freports")
	b.get("/account/password?rt=/reports").want(t, 200, "everything else has to wait", `name="rt" value="/reports"`)
	for _, rt := range w.addresses() {
		if rt.Access != "person" {
			continue
		}
		for _, m := range rt.Methods {
			a := b.do(m, address(rt.Pattern))
			if rt.API {
				a.wantProblem(t, 403, "must-change")
			} else {
				a.wantRedirect(t, "/_auth/account/password")
			}
		}
	}
	u, err := w.Store.User(t.Context(), w.ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	if at, held := w.gate.PasswordChange(httptest.NewRecorder(), request("GET", "/../reports", "", ""), u); !held || !strings.HasSuffix(at, "/account/password") {
		t.Errorf("Hold: %q, %v", at, held)
	}
	b.post("/account/password", "current_password", freshPass, "new_password", "now it is only mine", "end_others", "1", "rt", "/reports").wantRedirect(t, "/reports")
	b.get("/account").want(t, 200)
	if u, _ = w.Store.User(t.Context(), w.ada.ID); u.MustChange {
		t.Error("still has to change it")
	}
	if _, held := w.gate.PasswordChange(httptest.NewRecorder(), request("GET", "/", "", ""), u); held {
		t.Error("still held")
	}
}

func TestSessionsCanBeSeenAndEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, phone := w.browser().signIn("ada", adaPass), w.browser()
	phone.header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit/605 Version/18.0 Mobile Safari/604")
	phone.signIn("ada", adaPass)
	id := w.sessionOf(phone)
	a := b.get("/account/sessions").want(t, 200, "This device", "Firefox on Windows", "Safari on iPhone", `on Safari on iPhone, 192.0.2.7, since `, "Sign out everywhere else")
	for _, secret := range []string{b.token(), phone.token(), store.HashToken(b.token()).String()} {
		if strings.Contains(a.body, secret) {
			t.Error("a token, or its hash, is in the page")
		}
	}
	b.get("/account/sessions/"+id+"/revoke").want(t, 200, "Safari on iPhone", "signed out at once")
	if !phone.signedIn() {
		t.Fatal("looking at the question ended the session")
	}
	b.post("/account/sessions/"+id+"/revoke").wantRedirect(t, "/_auth/account/sessions")
	b.get("/account/sessions").want(t, 200, "The session was ended.")
	if phone.signedIn() || !b.signedIn() {
		t.Error("the wrong session was ended")
	}
	b.post("/account/sessions/"+id+"/revoke").want(t, 404)

	own := w.sessionOf(b)
	b.post("/account/sessions/"+own+"/revoke").wantRedirect(t, "/_auth/logged-out")
	if b.token() != "" {
		t.Error("the cookie stays")
	}
}

func TestSignOutEverywhereElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, other, root := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	b.get("/account/sessions/others").want(t, 200, "You stay signed in here")
	b.post("/account/sessions/others").wantRedirect(t, "/_auth/account/sessions")
	if !b.signedIn() || other.signedIn() || !root.signedIn() {
		t.Error("everywhere else means all of mine but this one")
	}
}

// Somebody else's session is not there, no matter who asks.
func TestOthersSessionsAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, root := w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	id := w.sessionOf(root)
	b.get("/account/sessions/"+id+"/revoke").want(t, 404)
	b.post("/account/sessions/"+id+"/revoke").want(t, 404)
	b.do("DELETE", "/api/v1/me/sessions/"+id).wantProblem(t, 404, "not-found")
	for _, odd := range []string{"x", strings.ToUpper(id), id + "0", "%2e%2e", strings.Repeat("z", 26), id[:25]} {
		b.post("/account/sessions/"+odd+"/revoke").want(t, 404)
		b.do("DELETE", "/api/v1/me/sessions/"+odd).want(t, 404)
	}
	if !root.signedIn() {
		t.Error("somebody else's session was ended")
	}
}

// One's own part of the log: with where one was oneself, without where others were.
func TestActivityTellsWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	w.browser().post("/login", "username", "ada", "password", "wrong").want(t, 401)
	root := w.browser()
	root.ip = "203.0.113.99"
	root.signIn("root", rootPass)
	name := "Renamed"
	s, u, err := w.Store.Session(t.Context(), w.sessionOf(root))
	if err != nil {
		t.Fatal(err)
	}
	actor := account.Actor{UserID: u.ID, Name: u.Username, SessionID: s.ID, AuthAt: s.AuthAt}
	actor.Client.IP = netip.MustParseAddr(s.IP)
	if _, err := w.Accounts.Update(t.Context(), actor, w.ada.ID, account.Patch{Name: &name}); err != nil {
		t.Fatal(err)
	}
	a := b.get("/account/activity").want(t, 200, "Sign-in", "failed", "done", "Account changed", "192.0.2.7", "root")
	if strings.Contains(a.body, "203.0.113.99") {
		t.Error("the administrator's address is told")
	}
	if strings.Contains(w.browser().signIn("root", rootPass).get("/account/activity").body, "failed") {
		t.Error("somebody else's attempts are shown")
	}
}

func TestListsGoOnPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	for range 30 {
		w.Clock.Advance(time.Second)
		b.w.browser().signIn("ada", adaPass)
	}
	for _, list := range []string{"/account/sessions", "/account/activity"} {
		first := b.get(list).want(t, 200, "Older entries")
		_, after, _ := strings.Cut(first.body, list+"?cursor=")
		cursor, _, ok := strings.Cut(after, `"`)
		if !ok {
			t.Fatalf("%s: no way to the next page", list)
		}
		if second := b.get(list+"?cursor="+cursor).want(t, 200); strings.Contains(second.body, "Older entries") {
			t.Errorf("%s: 31 rows on more than two pages", list)
		}
		b.get(list+"?cursor=nonsense").want(t, 400)
	}
}

func TestAppearanceIsKeptInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.post("/account/appearance", "theme", "dark").wantRedirect(t, "/_auth/account/appearance")
	b.get("/account/appearance").want(t, 200, `data-theme="dark"`, `value="dark" checked`, `<meta name="color-scheme" content="dark">`)
	b.post("/account/appearance", "theme", "auto").wantRedirect(t, "/_auth/account/appearance")
	if a := b.get("/account/appearance").want(t, 200, `value="auto" checked`); strings.Contains(a.body, "data-theme") {
		t.Error("the choice stays")
	}
	b.post("/account/appearance", "theme", "dark\"><script>").want(t, 422)
}

// A session that ended anywhere is over on the next request.
func TestEndedSessionsAreOverAtOnce(t *testing.T) {
	t.Parallel()
	inactive := false
	for name, end := range map[string]func(ctx context.Context, w *world) error{
		"turned off": func(ctx context.Context, w *world) error {
			_, err := w.Accounts.Update(ctx, w.cli(), w.ada.ID, account.Patch{Active: &inactive})
			return err
		},
		"deleted": func(ctx context.Context, w *world) error { return w.Accounts.Delete(ctx, w.cli(), w.ada.ID) },
		"password reset": func(ctx context.Context, w *world) error {
			_, err := w.Accounts.ResetPassword(ctx, w.cli(), w.ada.ID, account.Reset{Password: freshPass})
			return err
		},
		"ended by an administrator": func(ctx context.Context, w *world) error {
			_, err := w.Accounts.EndSessions(ctx, w.cli(), w.ada.ID)
			return err
		},
		"idle": func(_ context.Context, w *world) error { w.Clock.Advance(13 * time.Hour); return nil },
	} {
		w := newWorld(t)
		b := w.browser().signIn("ada", adaPass)
		b.get("/account").want(t, 200)
		if err := end(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if a := b.get("/account"); a.StatusCode != 303 || !strings.HasPrefix(a.location(), "/_auth/login") {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
		b.post("/account/profile", "name", "x").want(t, 401, "Nothing was saved")
		b.get("/api/v1/me").wantProblem(t, 401, "unauthorized")
	}
}
