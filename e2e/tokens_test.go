package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// withToken requests a path of the app as a program does, and returns the status and the body.
func withToken(t *testing.T, g *gate.Gate, token string) gate.Response {
	t.Helper()
	return must[gate.Response](t)(g.Do(g.Client(), "/reports", nil, "Authorization", "Bearer "+token))
}

// A person makes a token and sees it once, a program gets in with it, and is out when it is revoked: with and without
// scripts.
func TestATokenFromThePageOpensTheGate(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "tokens"})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v)
		signIn(t, p, g)
		p.Go(g.URL + "/_auth/account")
		p.Find("link", "Tokens").Follow()
		p.Find("link", "New token").Follow()
		p.Find("textbox", "Name").Fill("Nightly backup")
		p.Find("button", "Make the token").Follow()
		token := p.Find("textbox", "Token").Value()
		if !strings.HasPrefix(token, "gatehouse_pat_") || !p.Has("heading", "Token Nightly backup") {
			t.Fatalf("%s: the page shows %q: %s", v, token, p.Text())
		}
		if p.Has("button", "Copy") == v.NoScript {
			t.Errorf("%s: a button to copy: %v", v, !v.NoScript)
		}
		if a := withToken(t, g, token); a.Status != http.StatusOK || !strings.Contains(a.Body, "as admin") {
			t.Errorf("%s: with the token: %d %s", v, a.Status, a.Body)
		}
		p.Reload()
		if p.Status() != http.StatusGone || strings.Contains(p.Source(), token) {
			t.Errorf("%s: after a reload: %d %s", v, p.Status(), p.Text())
		}
		p.Find("link", "Done").Follow()
		if n := len(p.All("link", "Revoke Nightly backup …"+token[len(token)-4:])); n != 1 {
			t.Fatalf("%s: %d tokens end in that: %s", v, n, p.Text())
		}
		p.Find("link", "Revoke Nightly backup .*").Follow()
		p.Find("button", "Revoke").Follow()
		if !strings.Contains(p.Text(), "The token is revoked.") || !strings.Contains(p.Text(), "You have no tokens.") {
			t.Errorf("%s: revoking says %s", v, p.Text())
		}
		if a := withToken(t, g, token); a.Status != http.StatusUnauthorized {
			t.Errorf("%s: with the revoked token: %d", v, a.Status)
		}
	}
}

// An administrator makes a service account and a token for it; rotating it keeps the program in, and turning the
// account off puts it out.
func TestAServiceAccountFromThePagesGetsIn(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "tokens"})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/admin/users")
	p.Find("link", "New service account").Follow()
	p.Find("textbox", "Username.*").Fill("backup-bot")
	p.Find("button", "Make the account").Follow()
	p.Find("link", "New token").Follow()
	p.Find("textbox", "Name").Fill("first")
	p.Find("textbox", "Hosts").Fill("localhost")
	p.Find("button", "Make the token").Follow()
	first := p.Find("textbox", "Token").Value()
	if a := withToken(t, g, first); a.Status != http.StatusOK || !strings.Contains(a.Body, "as backup-bot") {
		t.Fatalf("with the token: %d %s", a.Status, a.Body)
	}
	p.Find("link", "Done").Follow()
	p.Find("link", "Rotate first .*").Follow()
	p.Find("button", "Make the new token").Follow()
	second := p.Find("textbox", "Token").Value()
	for name, token := range map[string]string{"old": first, "new": second} {
		if a := withToken(t, g, token); a.Status != http.StatusOK {
			t.Errorf("with the %s token: %d %s", name, a.Status, a.Body)
		}
	}
	p.Find("link", "Done").Follow()
	p.Find("link", "Profile").Follow()
	p.Find("link", "Turn off").Follow()
	p.Find("button", "Turn off").Follow()
	if a := withToken(t, g, second); a.Status != http.StatusUnauthorized {
		t.Errorf("while the account is off: %d", a.Status)
	}
}

// By keyboard only: make a token, and revoke it.
func TestTokensByKeyboard(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "tokens"})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/account/tokens")
	tabTo(t, p, "New token")
	p.Loads(func() { p.Press("\r") })
	tabTo(t, p, "Name")
	p.Type("by keyboard")
	p.Loads(func() { p.Press("\r") })
	tabTo(t, p, "Token")
	if f := p.Focused(); !strings.HasPrefix(f.Value(), "gatehouse_pat_") {
		t.Errorf("the field holds %q", f.Value())
	}
	tabTo(t, p, "Done")
	p.Loads(func() { p.Press("\r") })
	p.Go(g.URL + "/_auth/account/tokens")
	tabTo(t, p, p.Find("link", "Revoke by keyboard .*").Name)
	p.Loads(func() { p.Press("\r") })
	tabTo(t, p, "Revoke")
	p.Loads(func() { p.Press("\r") })
	if !strings.Contains(p.Text(), "You have no tokens.") {
		t.Errorf("the page says %s", p.Text())
	}
}
