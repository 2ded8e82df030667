package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// state is a page in one of its states, for checks that apply to all of them.
type state struct {
	name   string
	status int64
	reach  func(t *testing.T, w *world)
}

// world is a gate with a few users, and a page for each kind of visitor.
type world struct {
	g     *gate.Gate
	anon  *browser.Page // nobody
	in    *browser.Page // the administrator
	bob   *browser.Page // a user without access to the app
	carol *browser.Page // another one
	new   *browser.Page // somebody who has just come to another gate
	p     *browser.Page // the page of the current state
	id    string        // of bob's account
	view  browser.View  // the first, in which pages are opened
}

func newWorld(t *testing.T, v browser.View) *world {
	t.Helper()
	g := start(t, gate.Options{
		Global: "admin {\nemail root@example.com\nname \"Ada Lovelace\"\n}\nmfa {\ntrust_browser 30d\n}\nthrottle {\nfree 4\n}\nbrand {\nsupport https://help.example/\n}\ntokens {\ndevice\n}",
		Site:   "require role admin",
	})
	addUser(t, g, "bob", "a password of somebody")
	addUser(t, g, "carol", "a password of somebody")
	w := &world{g: g, view: v, anon: open(t, g, v), in: open(t, g, v), bob: open(t, g, v), carol: open(t, g, v)}
	signIn(t, w.in, g)
	signInAs(t, w.bob, g, "bob", "a password of somebody")
	signInAs(t, w.carol, g, "carol", "a password of somebody")
	// Another session, which also looks up the id of bob's account.
	c := g.Client()
	if a := must[gate.Response](t)(g.SignIn(c, gate.Admin, gate.AdminPassword)); a.Status != http.StatusSeeOther {
		t.Fatalf("a second session: %d", a.Status)
	}
	var list struct{ Items []struct{ ID string } }
	a := must[gate.Response](t)(g.Do(c, "/_auth/api/v1/users?q=bob", nil))
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("looking for bob: %v %s", err, a.Body)
	}
	w.id = list.Items[0].ID
	return w
}

// at opens a path as one of the visitors.
func at(who func(*world) *browser.Page, path string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		w.p = who(w)
		w.p.Go(w.g.URL + strings.ReplaceAll(path, "{bob}", w.id))
	}
}

func anon(w *world) *browser.Page  { return w.anon }
func admin(w *world) *browser.Page { return w.in }
func bob(w *world) *browser.Page   { return w.bob }
func carol(w *world) *browser.Page { return w.carol }

// followedBy runs further steps to reach a state.
func followedBy(first func(*testing.T, *world), more func(p *browser.Page)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		first(t, w)
		more(w.p)
	}
}

// pick selects bob and asks to turn the account on, which it is already.
func pick(p *browser.Page) {
	p.Eval(`document.querySelectorAll("tbody input[type=checkbox]").forEach(c => c.checked = true)`, nil)
	p.Eval(`document.querySelector("select[name=do]").value = "activate"`, nil)
	p.Find("button", "Continue").Follow()
}

// longName is one that has to be broken, and has letters that are written from the right.
const longName = "Wolfeschlegelsteinhausenbergerdorff-backup-to-another-continent שלום-עולם"

// makeToken fills the form for a new token in, as far as it has to be.
func makeToken(p *browser.Page) {
	p.Find("textbox", "Name").Fill(longName)
	p.Find("button", "Make the token").Follow()
}

// follow goes on from the state before, on the administrator's page.
func follow(role, name string) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.p = w.in
		w.p.Find(role, name).Follow()
	}
}

// states of all pages. Those that use something up come last.
var states = []state{
	{"login", 200, at(anon, "/app?x=1")},
	{"login, wrong", 401, followedBy(at(anon, "/_auth/login"),
		func(p *browser.Page) { submitSignIn(p, "nobody", "not the password") })},
	{"login, empty", 422, followedBy(at(anon, "/_auth/login"), func(p *browser.Page) {
		p.Eval(`document.querySelectorAll("[required]").forEach(e => e.required = false)`, nil)
		p.Find("button", "Sign in").Follow()
	})},
	{"login, throttled", 429, followedBy(at(anon, "/_auth/login"), func(p *browser.Page) {
		for range 12 {
			p.Go(strings.SplitAfter(p.URL(), "/_auth/")[0] + "login")
			if submitSignIn(p, "nobody-else", "not the password"); p.Status() == http.StatusTooManyRequests {
				return
			}
		}
	})},
	{"login help", 200, at(anon, "/_auth/login/help")},
	{"logged out", 200, at(anon, "/_auth/logged-out")},
	{"not found", 404, at(anon, "/_auth/nothing-here")},
	{"link that never was", 404, at(anon, "/_auth/link/"+strings.Repeat("A", 43))},
	{"session ended", 401, followedBy(at(anon, "/_auth/logged-out"), func(p *browser.Page) {
		p.Loads(func() {
			p.Eval(`(() => { const f = document.createElement("form"); f.method = "post"; f.action = "/app"; document.body.append(f); f.submit() })()`, nil)
		})
	})},
	{"forbidden", 403, at(bob, "/app/secret")},
	{"signed in already", 200, at(admin, "/_auth/login?rt=/app")},
	{"sign out", 200, at(admin, "/_auth/logout")},
	{"confirm", 200, at(admin, "/_auth/reauth?rt=/_auth/account")},
	{"confirm, wrong", 401, followedBy(at(bob, "/_auth/reauth"), func(p *browser.Page) {
		p.Find("textbox", "Password").Fill("not the password")
		p.Find("button", "Confirm").Follow()
	})},
	{"account", 200, at(admin, "/_auth/account")},
	{"profile", 200, at(admin, "/_auth/account/profile")},
	{"profile, refused", 422, followedBy(at(admin, "/_auth/account/profile"), func(p *browser.Page) {
		p.Find("textbox", "Display name.*").Fill(strings.Repeat("long ", 60))
		p.Find("button", "Save").Follow()
	})},
	{"profile, saved", 200, followedBy(at(admin, "/_auth/account/profile"),
		func(p *browser.Page) { p.Find("button", "Save").Follow() })},
	{"password", 200, at(admin, "/_auth/account/password")},
	{"password, refused", 422, followedBy(at(admin, "/_auth/account/password"), func(p *browser.Page) {
		p.Eval(`document.querySelectorAll("[required]").forEach(e => e.required = false)`, nil)
		p.Find("button", "Change password").Follow()
	})},
	{"sessions", 200, at(admin, "/_auth/account/sessions")},
	{"sessions, others", 200, at(admin, "/_auth/account/sessions/others")},
	{"sessions, details", 200, followedBy(at(admin, "/_auth/account/sessions"), func(p *browser.Page) {
		p.Eval(`document.querySelectorAll("details").forEach(d => d.open = true)`, nil)
	})},
	{"tokens, none", 200, at(bob, "/_auth/account/tokens")},
	{"token, new", 200, at(admin, "/_auth/account/tokens/new")},
	{"token, refused", 422, followedBy(at(admin, "/_auth/account/tokens/new"), func(p *browser.Page) {
		p.Find("textbox", "Name").Fill("a name")
		p.Find("textbox", "Hosts").Fill("https://app.example.com")
		p.Find("textbox", "Paths.*").Fill("no path")
		p.Find("button", "Make the token").Follow()
	})},
	{"token, made", 200, followedBy(at(admin, "/_auth/account/tokens/new"), makeToken)},
	{"token, shown before", 410, followedBy(func(t *testing.T, w *world) { w.p = w.in }, (*browser.Page).Reload)},
	{"tokens", 200, at(admin, "/_auth/account/tokens")},
	{"token, rotate", 200, followedBy(at(admin, "/_auth/account/tokens"), func(p *browser.Page) {
		p.Find("link", "Rotate "+longName+".*").Follow()
	})},
	{"token, revoke", 200, followedBy(at(admin, "/_auth/account/tokens"), func(p *browser.Page) {
		p.Find("link", "Revoke "+longName+".*").Follow()
	})},
	{"device", 200, at(admin, "/_auth/device")},
	{"device, wrong code", 422, followedBy(at(admin, "/_auth/device"), func(p *browser.Page) {
		p.Find("textbox", "Code").Fill("bcdf-ghjk")
		p.Find("button", "Continue").Follow()
	})},
	{"device, asked", 200, func(t *testing.T, w *world) {
		w.p = w.in
		w.p.Go(deviceCode(t, w.g, longName[:60]).Open)
	}},
	{"device, denied", 200, follow("button", "Deny")},
	{"activity", 200, at(admin, "/_auth/account/activity")},
	{"appearance", 200, at(admin, "/_auth/account/appearance")},
	{"admin", 200, at(admin, "/_auth/admin")},
	{"admin, refused", 403, at(bob, "/_auth/admin")},
	{"users", 200, at(admin, "/_auth/admin/users")},
	{"users, none", 200, at(admin, "/_auth/admin/users?q=nobody-has-this-name")},
	{"users, past the end", 200, at(admin, "/_auth/admin/users?page=9999")},
	{"users, picked", 200, followedBy(at(admin, "/_auth/admin/users"), pick)},
	{"users, acted on", 200, followedBy(followedBy(at(admin, "/_auth/admin/users"), pick), func(p *browser.Page) {
		p.Find("button", "Turn on").Follow()
	})},
	{"users, nobody picked", 200, followedBy(at(admin, "/_auth/admin/users"), func(p *browser.Page) {
		p.Eval(`document.querySelector("select[name=do]").value = "activate"`, nil)
		p.Find("button", "Continue").Follow()
	})},
	{"user", 200, at(admin, "/_auth/admin/users/{bob}")},
	{"user, access", 200, at(admin, "/_auth/admin/users/{bob}/access")},
	{"user, sign-in", 200, at(admin, "/_auth/admin/users/{bob}/sign-in")},
	{"user, sessions", 200, at(admin, "/_auth/admin/users/{bob}/sessions")},
	{"user, activity", 200, at(admin, "/_auth/admin/users/{bob}/activity")},
	{"user, edit", 200, at(admin, "/_auth/admin/users/{bob}/edit")},
	{"user, edit refused", 422, followedBy(at(admin, "/_auth/admin/users/{bob}/edit"), func(p *browser.Page) {
		p.Find("textbox", "E-mail.*").Fill("no address at all")
		p.Find("button", "Save.*").Follow()
	})},
	{"user, turn off", 200, at(admin, "/_auth/admin/users/{bob}/deactivate")},
	{"user, delete", 200, at(admin, "/_auth/admin/users/{bob}/delete")},
	{"user, reset link", 200, at(admin, "/_auth/admin/users/{bob}/reset-link")},
	{"user, require change", 200, at(admin, "/_auth/admin/users/{bob}/require-change")},
	{"user, unlock", 200, at(admin, "/_auth/admin/users/{bob}/unlock")},
	{"user, end sessions", 200, at(admin, "/_auth/admin/users/{bob}/end-sessions")},
	{"invite", 200, at(admin, "/_auth/admin/users/invite")},
	{"invite, refused", 422, followedBy(at(admin, "/_auth/admin/users/invite"), func(p *browser.Page) {
		p.Find("textbox", "Username.*").Fill("bob")
		p.Find("button", "Make the account").Follow()
	})},
	{"invited", 200, followedBy(at(admin, "/_auth/admin/users/invite"), func(p *browser.Page) {
		p.Find("textbox", "Username.*").Fill("guest" + strconv.FormatInt(time.Now().UnixNano(), 36))
		p.Find("button", "Make the account").Follow()
	})},
	{"invites", 200, at(admin, "/_auth/admin/invites")},
	{"roles", 200, at(admin, "/_auth/admin/roles")},
	{"all sessions", 200, at(admin, "/_auth/admin/sessions")},
	{"end everybody's sessions", 200, at(admin, "/_auth/admin/sessions/everyone")},
	{"service account, new", 200, at(admin, "/_auth/admin/users/invite?kind=service")},
	{"service account, made", 200, followedBy(at(admin, "/_auth/admin/users/invite?kind=service"), func(p *browser.Page) {
		p.Find("textbox", "Username.*").Fill("robot" + strconv.FormatInt(time.Now().UnixNano(), 36))
		p.Find("button", "Make the account").Follow()
	})},
	{"service account, new token", 200, follow("link", "New token")},
	{"service account, token made", 200, followedBy(func(t *testing.T, w *world) { w.p = w.in }, func(p *browser.Page) {
		p.Find("textbox", "Hosts").Fill("*")
		makeToken(p)
	})},
	{"service account, tokens", 200, follow("link", "Done")},
	{"service account, rotate", 200, follow("link", "Rotate "+longName+".*")},
	{"service account", 200, follow("link", "robot.*")},
	{"service account, edit", 200, follow("link", "Edit")},
	{"all tokens", 200, at(admin, "/_auth/admin/tokens")},
	{"user, tokens", 200, at(admin, "/_auth/admin/users/{bob}/tokens")},
	{"user, token refused", 403, at(admin, "/_auth/admin/users/{bob}/tokens/new")},
	{"token of all, revoke", 200, followedBy(at(admin, "/_auth/admin/tokens"), func(p *browser.Page) {
		p.All("link", "Revoke "+longName+".*")[0].Follow()
	})},
	{"audit", 200, at(admin, "/_auth/admin/audit")},
	{"audit, none", 200, at(admin, "/_auth/admin/audit?q=nothing-like-this")},
	{"audit, one", 200, followedBy(at(admin, "/_auth/admin/audit"), func(p *browser.Page) {
		p.Loads(func() { p.Eval(`document.querySelector("tbody a[href*='/admin/audit/']").click()`, nil) })
	})},
	{"providers", 200, at(admin, "/_auth/admin/providers")},
	{"settings", 200, at(admin, "/_auth/admin/settings")},
	{"one-time link", 200, func(t *testing.T, w *world) {
		t.Helper()
		out, err := w.g.Gatehouse(t.Context(), "", "user", "add", "guest-"+strings.ToLower(t.Name()[len(t.Name())-6:]),
			"--link")
		if err != nil {
			t.Fatal(err)
		}
		at(anon, linkForm.FindString(out))(t, w)
	}},
	{"one-time link, refused", 422, followedBy(func(t *testing.T, w *world) { w.p = w.anon }, func(p *browser.Page) {
		p.Find("textbox", "New password").Fill("short")
		p.Find("button", "Set password and sign in").Follow()
	})},
}

// eachState brings the pages into each state and checks them in all views.
func eachState(t *testing.T, views []browser.View, check func(t *testing.T, s state, p *browser.Page, v browser.View)) {
	t.Helper()
	w := newWorld(t, views[0])
	for _, s := range slices.Concat(states, factorStates) {
		s.reach(t, w)
		if got := w.p.Status(); got != s.status {
			t.Errorf("%s: status %d, not %d:\n%s", s.name, got, s.status, w.p.Text())
		}
		for _, v := range views {
			w.p.Look(v)
			check(t, s, w.p, v)
		}
		w.p.Look(views[0])
	}
}
