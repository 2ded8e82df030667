package e2e

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// tabTo presses Tab until the element with that name has the focus.
func tabTo(t *testing.T, p *browser.Page, name string) {
	t.Helper()
	var seen []string
	for range 60 {
		if f := p.Focused(); f != nil && f.Name == name {
			return
		} else if f != nil {
			seen = append(seen, f.Name)
		}
		p.Press("\t")
	}
	t.Fatalf("Tab does not lead to %q on %s, but through %q", name, p.Path(), seen)
}

// By keyboard only: use a one-time link, set a password, change the name, end another session, and sign out.
func TestEverythingByKeyboard(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	out, err := g.Gatehouse(t.Context(), "", "user", "add", "ada", "--link")
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, g, browser.View{})
	p.Go(g.URL + linkForm.FindString(out))
	tabTo(t, p, "New password")
	p.Type("a password by keyboard")
	p.Loads(func() { p.Press("\r") })

	other := open(t, g, browser.View{})
	signInAs(t, other, g, "ada", "a password by keyboard")

	p.Go(g.URL + "/_auth/account")
	tabTo(t, p, "Skip to content")
	p.Press("\r")
	tabTo(t, p, "Change password") // the first focusable element of the content
	p.Go(g.URL + "/_auth/account")
	tabTo(t, p, "Profile")
	p.Loads(func() { p.Press("\r") })
	tabTo(t, p, "Display name (optional)")
	p.Type("Ada")
	p.Loads(func() { p.Press("\r") })
	if !strings.Contains(p.Text(), "Saved.") {
		t.Errorf("saving says %s", p.Text())
	}

	tabTo(t, p, "Sessions")
	p.Loads(func() { p.Press("\r") })
	tabTo(t, p, "Sign out everywhere else")
	p.Loads(func() { p.Press("\r") })
	if p.Has("link", "Cancel") {
		tabTo(t, p, "Sign out everywhere else")
		p.Loads(func() { p.Press("\r") })
	}
	other.Go(g.URL + "/private")
	other.Find("heading", "Sign in to .*")

	tabTo(t, p, "Sign out")
	p.Loads(func() { p.Press("\r") })
	p.Find("heading", ".*signed out.*")
}
