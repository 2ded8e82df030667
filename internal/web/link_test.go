package web_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

const freshPass = "seven purple elephants"

func (w *world) cli() account.Actor { return account.Actor{Kind: account.CommandLine} }

// invited makes a user without a password and opens the link.
func (w *world) invited(name string) invitation {
	w.T.Helper()
	_, link, err := w.Accounts.Create(w.T.Context(), w.cli(), account.NewUser{Username: name, Role: store.RoleUser, Active: true})
	if err != nil {
		w.T.Fatal(err)
	}
	b := w.browser()
	return invitation{link.Token, b, b.get("/link/"+link.Token).wantRedirect(w.T, "/_auth/welcome")}
}

// Scanners and previews open links. Looking at one, however often, spends nothing.
func TestLookingAtALinkNeverSpendsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.invited("grace")
	for range 3 {
		for _, method := range []string{"GET", "HEAD"} {
			in.b.do(method, "/link/"+in.token).wantRedirect(t, "/_auth/welcome")
			in.b.do(method, "/welcome").want(t, 200)
			w.browser().do(method, "/link/"+in.token).wantRedirect(t, "/_auth/welcome")
		}
	}
	page := in.b.get("/welcome").want(t, 200, "You are invited to Acme. Your username is grace.", `value="grace"`)
	if strings.Contains(page.body, in.token) {
		t.Error("the token is in the page")
	}
	in.b.post("/welcome", "password", freshPass).wantRedirect(t, "/")
	if !in.b.signedIn() {
		t.Error("not signed in after using the link")
	}
	if in.b.cookies["__Host-gatehouse-link"] != "" {
		t.Error("the link's cookie stays after its use")
	}
	w.browser().signIn("grace", freshPass)
}

// Of any number of people who send the form at once, one wins.
func TestALinkWorksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.invited("grace")
	const n = 8
	var wg sync.WaitGroup
	codes := make([]int, n)
	for i := range n {
		b := w.browser()
		b.cookies["__Host-gatehouse-link"] = in.token
		wg.Go(func() { codes[i] = b.post("/welcome", "password", freshPass).StatusCode })
	}
	wg.Wait()
	won := 0
	for _, c := range codes {
		switch c {
		case 303:
			won++
		case 410:
		default:
			t.Errorf("status %d", c)
		}
	}
	if won != 1 {
		t.Fatalf("%d of %d used the link: %v", won, n, codes)
	}
	w.browser().get("/link/"+in.token).want(t, 410, "has been used", "1 Mar 2026")
}

// Each reason for which a link is of no use, by itself.
func TestDeadLinksSayWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	user := func(name string) (store.User, string) {
		u, link, err := w.Accounts.Create(ctx, w.cli(), account.NewUser{Username: name, Role: store.RoleUser, Active: true})
		if err != nil {
			t.Fatal(err)
		}
		return u, link.Token
	}
	both := func(token string, status int, text string) {
		t.Helper()
		w.browser().get("/link/"+token).want(t, status, text)
		b := w.browser()
		b.cookies["__Host-gatehouse-link"] = token
		b.get("/welcome").want(t, status, text)
		b.post("/welcome", "password", freshPass).want(t, status, text)
		if b.signedIn() {
			t.Error("a dead link signed somebody in")
		}
	}

	u, replaced := user("replaced")
	if _, err := w.Accounts.ResetPassword(ctx, w.cli(), u.ID, account.Reset{}); err != nil {
		t.Fatal(err)
	}
	both(replaced, 410, "withdrawn")

	u, off := user("turned-off")
	inactive := false
	if _, err := w.Accounts.Update(ctx, w.cli(), u.ID, account.Patch{Active: &inactive}); err != nil {
		t.Fatal(err)
	}
	both(off, 410, "withdrawn")

	u, gone := user("gone")
	if err := w.Accounts.Delete(ctx, w.cli(), u.ID); err != nil {
		t.Fatal(err)
	}
	both(gone, 404, "not known")
	both(store.NewToken(), 404, "not known")
	for _, junk := range []string{"x", strings.Repeat("A", 44), "..%2f..", "%00", "<script>"} {
		w.browser().get("/link/"+strings.ReplaceAll(junk, "<", "%3C")).want(t, 404)
	}

	_, late := user("late")
	w.Clock.Advance(73 * time.Hour)
	both(late, 410, "has expired")
}

func TestARefusedFormDoesNotSpendTheLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.invited("grace")
	for _, bad := range []string{"", "short", "grace12345678", strings.Repeat("x", 2000)} {
		a := in.b.post("/welcome", "password", bad).want(t, 422, "Error: ")
		if bad != "" && strings.Contains(a.body, `value="`+bad) {
			t.Errorf("the refused password %q is in the page", bad)
		}
	}
	in.b.post("/welcome", "password", freshPass, "password", "x").want(t, 400)
	in.b.post("/welcome", "password", freshPass).wantRedirect(t, "/")
}

// Anyone who uses a link leaves the session behind that the browser had, also somebody else's.
func TestALinkEndsTheSessionBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.invited("grace")
	in.b.signIn("ada", adaPass)
	old := in.b.token()
	in.b.post("/welcome", "password", freshPass).wantRedirect(t, "/")
	replay := w.browser()
	replay.cookies["__Host-gatehouse"] = old
	if replay.signedIn() || !in.b.signedIn() || in.b.token() == old {
		t.Error("the session before goes on")
	}
	var me struct{ User struct{ Username string } }
	in.b.get("/api/v1/session").json(t, &me)
	if me.User.Username != "grace" {
		t.Errorf("signed in as %q", me.User.Username)
	}
}

func TestSetUpLinkMakesTheFirstAdministrator(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	for _, path := range []string{"/", "/login"} {
		w.browser().get(path).want(t, 503, "not set up yet", "ADMIN_PASSWORD", "caddy gatehouse user add", "set-up link")
	}
	w.browser().post("/login", "username", "admin", "password", "x").want(t, 503, "not set up yet")
	w.browser().get("/healthz").want(t, 200)

	link, err := w.Accounts.IssueSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.get("/link/"+link.Token).wantRedirect(t, "/_auth/welcome")
	b.get("/welcome").want(t, 200, "first administrator")
	b.post("/welcome", "username", "", "email", "not an address", "password", "short").want(t, 422, "3 problems", `value="not an address"`)
	b.post("/welcome", "username", "boss", "email", "boss@example.test", "name", "The Boss", "password", freshPass).wantRedirect(t, "/_auth/account")
	b.get("/account").want(t, 200, "The Boss", "Administrator", "The site is set up")
	w.browser().get("/login").want(t, 200, `name="password"`)
	w.browser().get("/link/"+link.Token).want(t, 410)
}

// Set-up is out of reach once there is an administrator, also with a link from before.
func TestSetUpLinkIsWorthlessOnceThereIsAnAdministrator(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	first, err := w.Accounts.IssueSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Accounts.Create(t.Context(), w.cli(), account.NewUser{Username: "root", Role: store.RoleAdmin, Password: rootPass, Active: true}); err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.cookies["__Host-gatehouse-link"] = first.Token
	b.post("/welcome", "username", "evil", "password", freshPass).want(t, 410)
	if _, err := w.Store.UserByUsername(t.Context(), "evil"); err == nil {
		t.Error("a second administrator was made by a set-up link")
	}
}
