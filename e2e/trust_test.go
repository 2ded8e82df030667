package e2e

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Whoever ticks the box beside the code, or before a passkey, is not asked for either at the next sign-in, until the
// browser is forgotten. With and without scripts.
func TestABrowserIsTrustedUntilItIsForgotten(t *testing.T) {
	t.Parallel()
	const box = "Trust this browser for 30 days"
	for _, v := range []browser.View{{Width: 320}, {NoScript: true, Width: 390}} {
		g := start(t, gate.Options{Global: "mfa {\ntrust_browser 30d\n}"})
		addUser(t, g, "ada", "a password of ada")
		p := open(t, g, v)
		signInAs(t, p, g, "ada", "a password of ada")
		a, _ := setUp(t, p, g)
		if !v.NoScript {
			p.Plug(browser.TouchKey())
			makePasskey(p, g, "Key")
		}
		again := func() (asked bool) {
			t.Helper()
			signOut(p, g)
			p.Go(g.URL + "/_auth/login")
			submitSignIn(p, "ada", "a password of ada")
			return p.Has("checkbox", box)
		}
		fits := func(what string) {
			t.Helper()
			var wide bool
			p.Eval("document.documentElement.scrollWidth > document.documentElement.clientWidth", &wide)
			if wide {
				t.Errorf("%s is wider than the window", what)
			}
		}
		if !again() {
			t.Fatalf("the page has no box:\n%s", p.Text())
		}
		fits("the second step")
		p.Find("checkbox", box).Click()
		if v.NoScript {
			p.Find("textbox", "Code").Fill(a.code(t))
			p.Find("button", "Sign in").Follow()
		} else { // the box is that of the form for a code, and goes along
			p.Loads(func() { p.Find("button", "Use a passkey").Click() })
		}
		if again() || !strings.Contains(p.Text(), "as ada") {
			t.Fatalf("the browser is not trusted:\n%s", p.Text())
		}
		p.Go(g.URL + "/_auth/account/sessions")
		p.Find("link", "Trusted browsers").Follow()
		if !strings.Contains(p.Text(), "This browser") {
			t.Errorf("the list is\n%s", p.Text())
		}
		fits("the list")
		p.Find("button", "Forget on .*").Follow()
		if !strings.Contains(p.Text(), "No browser is trusted") || !again() {
			t.Errorf("after it was forgotten:\n%s", p.Text())
		}
	}
}
