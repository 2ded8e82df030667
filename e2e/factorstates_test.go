package e2e

import (
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/webauthn"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// now goes on with the page that a visitor has open.
func now(who func(*world) *browser.Page, more func(p *browser.Page)) func(*testing.T, *world) {
	return followedBy(func(_ *testing.T, w *world) { w.p = who(w) }, more)
}

// signsIn submits the sign-in page as somebody who is asked for a second step.
func signsIn(name string) func(*testing.T, *world) {
	return followedBy(at(anon, "/_auth/login?switch=1"), func(p *browser.Page) { submitSignIn(p, name, "a password of somebody") })
}

// refusePasskey sends what no authenticator has made.
func refusePasskey(p *browser.Page) {
	p.Loads(func() {
		p.Eval(`(() => { const f = document.querySelector("form[data-passkey]"); f.elements.state.value = "x"; f.requestSubmit() })()`, nil)
	})
}

// newcomer opens the page of somebody new at a site that demands a second factor, and passkeys below a path.
func newcomer(name, grace string, authenticator webauthn.VirtualAuthenticatorOptions) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		g := start(t, gate.Options{Global: "mfa required {\ngrace " + grace + "\n}", Site: "require mfa passkey"})
		addUser(t, g, name, "a password of somebody")
		w.new = open(t, g, w.view)
		w.new.Plug(authenticator)
		w.p = w.new
		w.p.Go(g.URL + "/app")
		submitSignIn(w.p, name, "a password of somebody")
	}
}

// someone is the newcomer.
func someone(w *world) *browser.Page { return w.new }

var fromSecret = regexp.MustCompile(`secret=([A-Z2-7]+)`)

// confirmApp enters the code of the app that the page shows.
func confirmApp(t *testing.T, w *world) {
	t.Helper()
	a := &phone{secret: fromSecret.FindStringSubmatch(w.p.Find("link", "Open it in an app.*").Attr("href"))[1]}
	w.p.Find("textbox", "Code").Fill(a.code(t))
	w.p.Find("button", "Confirm").Follow()
}

// makeNamed fills in the name of a new passkey and makes it. It loads the next page.
func makeNamed(name string) func(p *browser.Page) {
	return func(p *browser.Page) {
		p.Find("textbox", "Name.*").Fill(name)
		p.Loads(func() { p.Find("button", "Create a passkey").Click() })
	}
}

// factorStates are those of the pages of second factors, in an order in which each makes what the next ones need: bob adds
// an app and then a passkey, carol a key that can only be touched, and newcomers what they have to have.
var factorStates = []state{
	{"second factors, none", 200, at(bob, "/_auth/account/two-factor")},
	{"recovery codes, none", 200, at(bob, "/_auth/account/recovery-codes")},
	{"app, set up", 200, followedBy(at(bob, "/_auth/account/two-factor"), func(p *browser.Page) {
		p.Find("button", "Set up an authenticator app").Follow()
	})},
	{"app, wrong code", 422, now(bob, func(p *browser.Page) {
		p.Find("textbox", "Code").Fill("no code")
		p.Find("button", "Confirm").Follow()
	})},
	{"recovery codes, made", 200, func(t *testing.T, w *world) {
		w.p = w.bob
		setUp(t, w.p, w.g)
	}},
	{"account, with something to do", 200, at(bob, "/_auth/account")},
	{"second factors", 200, at(bob, "/_auth/account/two-factor")},
	{"app, rename", 200, followedBy(at(bob, "/_auth/account/two-factor"), func(p *browser.Page) {
		p.Find("link", "Rename Phone").Follow()
	})},
	{"app, remove", 200, followedBy(at(bob, "/_auth/account/two-factor"), func(p *browser.Page) {
		p.Find("link", "Remove Phone").Follow()
	})},
	{"recovery codes", 200, at(bob, "/_auth/account/recovery-codes")},
	{"confirm, with a code", 200, at(bob, "/_auth/reauth?rt=/_auth/account")},
	{"second step", 200, signsIn("bob")},
	{"second step, wrong", 401, now(anon, func(p *browser.Page) {
		p.Find("textbox", "Code").Fill("no code")
		p.Find("button", "Sign in").Follow()
	})},
	{"second step, recovery code", 200, now(anon, func(p *browser.Page) {
		p.Find("link", "Use a recovery code").Follow()
	})},
	{"second step, recovery code, wrong", 401, now(anon, func(p *browser.Page) {
		p.Find("textbox", "Recovery code").Fill("no code")
		p.Find("button", "Sign in").Follow()
	})},
	{"passkeys, none", 200, func(t *testing.T, w *world) {
		w.p = w.carol
		w.p.Plug(browser.TouchKey())
		at(carol, "/_auth/account/passkeys")(t, w)
	}},
	{"passkey, refused", 422, now(carol, func(p *browser.Page) { makeNamed(longName + longName)(p) })},
	{"passkeys", 200, followedBy(at(carol, "/_auth/account/passkeys"), makeNamed(longName[:60]))},
	{"passkey, rename", 200, now(carol, func(p *browser.Page) { p.Find("link", "Rename .*").Follow() })},
	{"passkey, rename refused", 422, now(carol, func(p *browser.Page) {
		p.Find("textbox", "Name").Fill(longName + longName)
		p.Find("button", "Save").Follow()
	})},
	{"passkey, remove", 200, followedBy(at(carol, "/_auth/account/passkeys"), func(p *browser.Page) { p.Find("link", "Remove .*").Follow() })},
	{"account, with a passkey", 200, at(carol, "/_auth/account")},
	{"second factors, a passkey", 200, at(carol, "/_auth/account/two-factor")},
	{"second factors, asked for", 200, now(carol, func(p *browser.Page) {
		p.Find("checkbox", "Ask for .*").Click()
		p.Find("button", "Save").Follow()
	})},
	{"recovery codes, of a passkey", 200, at(carol, "/_auth/account/recovery-codes")},
	{"confirm, with a passkey", 200, at(carol, "/_auth/reauth?rt=/_auth/account")},
	{"confirm, passkey refused", 401, now(carol, refusePasskey)},
	{"second step, passkey", 200, signsIn("carol")},
	{"second step, passkey refused", 401, now(anon, refusePasskey)},
	{"passkeys, with an app", 200, func(t *testing.T, w *world) {
		w.p = w.bob
		w.p.Plug(browser.Platform())
		at(bob, "/_auth/account/passkeys")(t, w)
		makeNamed("")(w.p)
	}},
	{"confirm, with a code or a passkey", 200, at(bob, "/_auth/reauth?rt=/_auth/account")},
	{"second step, code or passkey", 200, signsIn("bob")},
	{"passkeys, removed", 200, followedBy(at(bob, "/_auth/account/passkeys"), func(p *browser.Page) {
		p.Find("link", "Remove .*").Follow()
		p.Find("button", "Remove").Follow()
	})},
	{"trusted browsers, none", 200, at(bob, "/_auth/account/browsers")},
	{"users, with second factors", 200, at(admin, "/_auth/admin/users?mfa=any")},
	{"user, sign-in with second factors", 200, at(admin, "/_auth/admin/users/{bob}/sign-in")},
	{"user, reset second factors", 200, at(admin, "/_auth/admin/users/{bob}/reset-mfa")},
	{"user, second factors reset", 200, now(admin, func(p *browser.Page) { p.Find("button", "Reset second factors").Follow() })},
	{"second factor, demanded later", 200, newcomer("eve", "14d", browser.TouchKey())},
	{"second factor, app", 200, now(someone, func(p *browser.Page) { p.Find("button", "Set up an authenticator app").Follow() })},
	{"second factor, wrong code", 401, now(someone, func(p *browser.Page) {
		p.Find("textbox", "Code").Fill("no code")
		p.Find("button", "Confirm").Follow()
	})},
	{"second factor, codes made", 200, func(t *testing.T, w *world) {
		w.p = w.new
		confirmApp(t, w)
	}},
	{"passkey, demanded", 200, now(someone, func(p *browser.Page) { p.Find("link", "Continue").Follow() })},
	{"second factor, demanded now", 200, newcomer("dora", "0", browser.Platform())},
	{"second factor, passkey refused", 422, now(someone, func(p *browser.Page) { makeNamed(longName + longName)(p) })},
	{"second factor, passkey made", 200, now(someone, makeNamed("Key"))},
}
