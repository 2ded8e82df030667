package e2e

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// makePasskey makes a passkey of whoever is signed in, and ends on the page that lists it.
func makePasskey(p *browser.Page, g *gate.Gate, name string) {
	p.Go(g.URL + "/_auth/account/passkeys")
	p.Find("textbox", "Name.*").Fill(name)
	p.Loads(func() { p.Find("button", "Create a passkey").Click() })
}

// A passkey that is made at one site below cookie_domain signs in at another one, by what the browser offers in the name
// field or by the button, without a password and under the content policy of our pages. One that is removed is gone from
// the password manager, too, and no other.
func TestAPasskeyIsMadeUsedAndRemoved(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{HTTPS: true, Hosts: []string{"a.gate.test", "b.gate.test"}, Global: "session {\ncookie_domain gate.test\n}"})
	other := strings.Replace(g.URL, "//a.", "//b.", 1)
	p := open(t, g, browser.View{}, host(t, other))
	a := p.Plug(browser.Platform())
	signIn(t, p, g)
	makePasskey(p, g, "Laptop")
	if text := p.Text(); !strings.Contains(text, "Laptop") || !strings.Contains(text, "Signs in by itself") ||
		!strings.Contains(text, "gate.test") {
		t.Fatalf("the list is\n%s", text)
	}
	kept := a.Credentials()
	if len(kept) != 1 || kept[0].RpID != "gate.test" || len(kept[0].UserHandle) != 64 {
		t.Fatalf("the authenticator has %+v", kept)
	}
	signOut(p, g)
	p.Go(other + "/reports")
	p.Until("the sign-in by autofill", func() bool { return strings.Contains(p.Text(), "app: GET /reports as admin") })
	signOut(p, &gate.Gate{URL: other})

	// An older counter, as from a copy, keeps nobody out.
	kept[0].SignCount = 0
	a.Restore(kept[0])
	p.Go(g.URL + "/x")
	p.Until("the sign-in with an older counter", func() bool { return strings.Contains(p.Text(), "app: GET /x as admin") })

	p.Go(g.URL + "/_auth/account/passkeys")
	p.Find("link", "Remove Laptop").Follow()
	p.Find("button", "Remove").Follow()
	if !strings.Contains(p.Text(), "You have no passkeys") {
		t.Errorf("the list is\n%s", p.Text())
	}
	p.Until("the password manager to forget it", func() bool { return len(a.Credentials()) == 0 })
}

// A change of the own name reaches the password manager, which shows it beside the passkey from then on.
func TestAChangedNameReachesThePasswordManager(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{HTTPS: true, Hosts: []string{"a.gate.test"}})
	p := open(t, g, browser.View{})
	a := p.Plug(browser.Platform())
	signIn(t, p, g)
	makePasskey(p, g, "Laptop")
	shown := func() string {
		list := a.Credentials()
		if len(list) != 1 {
			t.Fatalf("the authenticator has %+v", list)
		}
		return list[0].UserName + "/" + list[0].UserDisplayName
	}
	if got := shown(); got != "admin/admin" {
		t.Fatalf("it is made for %s", got)
	}
	p.Go(g.URL + "/_auth/account/profile")
	p.Find("textbox", "Display name.*").Fill("Ada L.")
	p.Loads(func() { p.Find("button", "Save").Click() })
	p.Until("the password manager to show the new name", func() bool { return shown() == "admin/Ada L." })
}

// Whoever cancels, or signs in with the password while the browser waits for a passkey, sees no error. A passkey that is
// not known here is refused on a page, and stays where it is.
func TestWaitingForAPasskeyDisturbsNobody(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	a := p.Plug(browser.Platform())
	signIn(t, p, g)
	makePasskey(p, g, "Laptop")
	a.Touched(false)
	signOut(p, g)
	p.Go(g.URL + "/_auth/login?rt=/x")
	button := p.Find("button", "Sign in with a passkey")
	button.Click()
	button.Click()
	if text := p.Text(); strings.Contains(text, "did not work") || !strings.Contains(text, "Password") {
		t.Errorf("the page is\n%s", text)
	}
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if p.Path() != "/x" {
		t.Errorf("it ends at %s", p.Path())
	}
	p.Back()
	p.Go(g.URL + "/_auth/login?switch=1")
	a.Touched(true)
}

// A key that can only be touched signs nobody in by itself, but confirms who is signed in, over plain HTTP to this machine
// as well.
func TestATouchOnlyKeyConfirms(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	p.Plug(browser.TouchKey())
	signIn(t, p, g)
	makePasskey(p, g, "Key")
	if text := p.Text(); !strings.Contains(text, "Only after the password") {
		t.Fatalf("the list is\n%s", text)
	}
	p.Go(g.URL + "/_auth/reauth?rt=/x")
	p.Loads(func() { p.Find("button", "Use a passkey").Click() })
	if p.Path() != "/x" {
		t.Errorf("it ends at %s with\n%s", p.Path(), p.Text())
	}
	signOut(p, g)
	p.Go(g.URL + "/_auth/login")
	p.Find("button", "Sign in with a passkey").Click()
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if !strings.Contains(p.Text(), "as admin") {
		t.Errorf("it is at %s with\n%s", p.Path(), p.Text())
	}
}

// Without scripts, and where browsers offer no passkeys, pages say what else there is.
func TestPagesWithoutPasskeys(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Hosts: []string{"127.0.0.1", "localhost"}})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/account/passkeys")
	if !strings.Contains(p.Text(), "do not work at an IP address") || p.Has("button", "Create a passkey") {
		t.Errorf("the page is\n%s", p.Text())
	}
	local := strings.Replace(g.URL, "127.0.0.1", "localhost", 1)
	plain := open(t, &gate.Gate{URL: local}, browser.View{NoScript: true})
	plain.Go(local + "/_auth/login")
	if plain.Has("button", "Sign in with a passkey") {
		t.Error("there is a button that cannot work")
	}
}
