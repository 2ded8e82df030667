package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Opening the sign-out page signs nobody out; the button does, and a page confirms it.
func TestSignOutNeedsTheButton(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v)
		signIn(t, p, g)
		p.Go(g.URL + "/_auth/logout")
		p.Go(g.URL + "/private")
		if !strings.Contains(p.Text(), "as admin") {
			t.Fatalf("%s: looking at the page has signed out: %s", v, p.Text())
		}
		p.Go(g.URL + "/_auth/logout")
		p.Find("button", "Sign out").Follow()
		if p.Find("heading", ".*signed out.*"); p.Status() != http.StatusOK || p.Path() != "/_auth/logged-out" {
			t.Errorf("%s: it ends at %s with status %d", v, p.Path(), p.Status())
		}
		p.Find("link", "Sign in again").Follow()
		p.Find("heading", "Sign in to .*")
	}
}

// After signing out, Back shows nothing private, and the old cookie is invalid.
func TestAfterSignOutNothingPrivateIsLeft(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "admin {\nname \"Private Name\"\n}"})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/account")
	if !strings.Contains(p.Text(), "Private Name") {
		t.Fatalf("the account page says %s", p.Text())
	}
	cookies := p.Cookies()
	p.Go(g.URL + "/_auth/logout")
	p.Find("button", "Sign out").Follow()
	for range 3 {
		p.Back()
		if strings.Contains(p.Text(), "Private Name") {
			t.Errorf("Back shows %s at %s", p.Text(), p.Path())
		}
	}
	if a := must[gate.Response](t)(g.Do(g.Client(), "/", nil, "Cookie", cookies)); a.Status != http.StatusUnauthorized {
		t.Errorf("the cookie of before is answered with %d", a.Status)
	}
}

// "Sign out everywhere else" ends the session of the other browser at once, and keeps this one.
func TestSignOutEverywhereElse(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		here, there := open(t, g, v), open(t, g, v)
		signIn(t, here, g)
		signIn(t, there, g)
		here.Go(g.URL + "/_auth/account/sessions")
		here.Find("button", "Sign out everywhere else").Follow()
		if here.Has("button", "Sign out everywhere else") && here.Has("link", "Cancel") {
			here.Find("button", "Sign out everywhere else").Follow() // after the confirmation
		}
		there.Go(g.URL + "/private")
		if !there.Has("heading", "Sign in to .*") {
			t.Errorf("%s: the other browser sees %s", v, there.Text())
		}
		here.Go(g.URL + "/private")
		if !strings.Contains(here.Text(), "as admin") {
			t.Errorf("%s: this browser sees %s", v, here.Text())
		}
	}
}
