package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Users change their name, password and theme with and without scripts.
func TestAccountPagesChangeTheAccount(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for i, v := range []browser.View{{}, {NoScript: true}} {
		name := []string{"ada", "bea"}[i]
		addUser(t, g, name, "a password of somebody")
		p, other := open(t, g, v), open(t, g, v)
		signInAs(t, p, g, name, "a password of somebody")
		signInAs(t, other, g, name, "a password of somebody")

		p.Go(g.URL + "/_auth/account/profile")
		p.Find("textbox", "Display name.*").Fill("Countess " + name)
		p.Find("button", "Save").Follow()
		if !p.Has("status", ".*") || !strings.Contains(p.Text(), "Saved.") {
			t.Errorf("%s: saving says %s", v, p.Text())
		}
		p.Go(g.URL + "/_auth/account")
		if !strings.Contains(p.Text(), "Countess "+name) {
			t.Errorf("%s: the overview says %s", v, p.Text())
		}

		p.Go(g.URL + "/_auth/account/password")
		p.Find("textbox", "Current password").Fill("a password of somebody")
		p.Find("textbox", "New password").Fill("another password of " + name + " " + name)
		p.Find("button", "Change password").Follow()
		if !strings.Contains(p.Text(), "Your password was changed.") {
			t.Errorf("%s: changing the password says %s", v, p.Text())
		}
		other.Go(g.URL + "/private")
		if !other.Has("heading", "Sign in to .*") {
			t.Errorf("%s: the other browser goes on", v)
		}

		p.Go(g.URL + "/_auth/account/appearance")
		p.Find("radio", "Dark").Click()
		p.Find("button", "Save").Follow()
		var theme, background string
		p.Eval("document.documentElement.dataset.theme || ''", &theme)
		p.Eval("getComputedStyle(document.body).backgroundColor", &background)
		if theme != "dark" || background != "rgb(15, 18, 22)" {
			t.Errorf("%s: the theme is %q on %s", v, theme, background)
		}

		p.Go(g.URL + "/_auth/account/activity")
		if !strings.Contains(p.Text(), "Password changed") {
			t.Errorf("%s: the activity says %s", v, p.Text())
		}
	}
}

// Errors are shown at the field, several ones also in a summary, and passwords are never sent back.
func TestRefusedPasswordChangeIsExplained(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/account/password")
	p.Find("textbox", "Current password").Fill(gate.AdminPassword)
	p.Find("textbox", "New password").Fill("canary")
	p.Find("button", "Change password").Follow()
	if p.Status() != http.StatusUnprocessableEntity || !strings.HasPrefix(p.Title(), "Error:") {
		t.Errorf("status %d, title %q", p.Status(), p.Title())
	}
	if f := p.Find("textbox", "New password"); !strings.Contains(f.Description, "at least 12 characters") {
		t.Errorf("the field is described as %q", f.Description)
	}
	if f := p.Focused(); f == nil || f.Name != "New password" {
		t.Errorf("the focus is on %+v", f)
	}
	if strings.Contains(p.Source(), "canary") || strings.Contains(p.Source(), gate.AdminPassword) {
		t.Error("a password is in the page")
	}
}

// A session can be ended from the list, which describes each and marks the current one.
func TestEndASessionFromTheList(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p, other := open(t, g, browser.View{}), open(t, g, browser.View{})
	signIn(t, p, g)
	signIn(t, other, g)
	p.Go(g.URL + "/_auth/account/sessions")
	if n := strings.Count(p.Text(), "This device"); n != 1 {
		t.Errorf("%d sessions are marked as the present one", n)
	}
	p.Find("button", "Revoke session on Chrome on Linux, 127.0.0.1, since .*").Follow()
	if p.Has("link", "Cancel") {
		p.Find("button", "Revoke session").Follow() // after the confirmation
	}
	if !strings.Contains(p.Text(), "The session was ended.") {
		t.Errorf("the page says %s", p.Text())
	}
	other.Go(g.URL + "/private")
	other.Find("heading", "Sign in to .*")
	p.Go(g.URL + "/private")
	if !strings.Contains(p.Text(), "as admin") {
		t.Errorf("the present session ended, too: %s", p.Text())
	}
}
