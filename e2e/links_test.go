package e2e

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

var linkForm = regexp.MustCompile(`/_auth/link/[A-Za-z0-9_-]+`)

// Link previews do not use up a one-time link; the user can set a password once; and the URL in the address bar no
// longer contains the token.
func TestOneTimeLinkSetsAPassword(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for i, v := range []browser.View{{}, {NoScript: true}, {Width: 320, Phone: true}} {
		name := []string{"ada", "bea", "cleo"}[i]
		out, err := g.Gatehouse(t.Context(), "", "user", "add", name, "--link")
		if err != nil {
			t.Fatal(err)
		}
		link := linkForm.FindString(out)
		if link == "" {
			t.Fatalf("there is no link in %q", out)
		}
		for range 2 {
			if a := must[gate.Response](t)(g.Do(g.Client(), link, nil)); a.Status >= 400 {
				t.Fatalf("%s: a preview gets %d", v, a.Status)
			}
		}
		p := open(t, g, v)
		p.Go(g.URL + link)
		if strings.Contains(p.URL(), link) || strings.Contains(p.Source(), strings.TrimPrefix(link, "/_auth/link/")) {
			t.Errorf("%s: the token is still in the address or the page", v)
		}
		p.Find("heading", "Welcome")
		p.Find("textbox", "New password").Fill("short")
		p.Find("button", "Set password and sign in").Follow()
		if p.Status() != http.StatusUnprocessableEntity {
			t.Errorf("%s: a password that is too short gets %d", v, p.Status())
		}
		p.Find("textbox", "New password").Fill("the password that they chose")
		p.Find("button", "Set password and sign in").Follow()
		p.Go(g.URL + "/private")
		if !strings.Contains(p.Text(), "as "+name) {
			t.Errorf("%s: they see %s", v, p.Text())
		}
		again := open(t, g, v)
		again.Go(g.URL + link)
		again.Find("heading", ".*has been used.*")
		signInAs(t, again, g, name, "the password that they chose")
	}
}

// Without an administrator the app is closed, every page says what to do, and the link in the log creates the first
// one.
func TestSetUpLinkCreatesTheFirstAdministrator(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Env: []string{"ADMIN_PASSWORD="}})
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/")
	if !strings.Contains(p.Text(), "ADMIN_PASSWORD") || p.Has("textbox", "Password") {
		t.Errorf("the page says %s", p.Text())
	}
	link := ""
	for line := range strings.Lines(g.Log()) {
		var entry struct {
			Link    string      `json:"setup_link"`
			Expires json.Number `json:"expires"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Link != "" {
			link = entry.Link
			if _, err := entry.Expires.Int64(); err != nil {
				t.Errorf("the link expires at %s, which nobody can read", entry.Expires)
			}
		}
	}
	if !strings.HasPrefix(link, g.URL+"/_auth/link/") {
		t.Fatalf("the log has no link to open: %q", link)
	}
	p.Go(link)
	p.Find("textbox", "Username").Fill("founder")
	p.Find("textbox", "New password").Fill("the password of the founder 1")
	p.Find("button", "Make the account and sign in").Follow()
	p.Go(g.URL + "/private")
	if !strings.Contains(p.Text(), "as founder") {
		t.Errorf("the founder sees %s", p.Text())
	}
	late := open(t, g, browser.View{})
	late.Go(link)
	if late.Has("textbox", "New password") {
		t.Error("the link works twice")
	}
}
