package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// markup is HTML and other input that attackers put into names.
var markup = []string{
	`<script>alert(1)</script>`,
	`<img src=x onerror=alert(2)>`,
	`"><svg onload=alert(3)>`,
	`'onfocus='alert(4)' autofocus='`,
	`{{constructor.constructor('alert(5)')()}}`,
	`</title><script src=//evil.test/x.js></script>`,
	`{http.request.header.Cookie} {env.ADMIN_PASSWORD}`,
}

// XSS: names, groups and User-Agents are shown as text on every page: no dialog, no request, no CSP violation, and no
// placeholder replaced.
func TestMarkupIsShownAsText(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Site: "require group nobody-has-this"})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	for i, text := range markup {
		name := "user-" + string(rune('a'+i))
		_, err := g.Gatehouse(t.Context(), "a password of somebody\n", "user", "add", name, "--name", text, "--group", text,
			"--password-stdin")
		if err != nil {
			t.Fatal(err)
		}
		c := g.Client()
		form := map[string][]string{"username": {name}, "password": {"a password of somebody"}}
		if a := must[gate.Response](t)(g.Do(c, "/_auth/login", form, "User-Agent",
			"Agent "+text)); a.Status != http.StatusSeeOther {
			t.Fatalf("%s: signing in: %d", name, a.Status)
		}
		own := open(t, g, browser.View{})
		signInAs(t, own, g, name, "a password of somebody")
		for _, path := range []string{
			"/_auth/account", "/_auth/account/profile", "/_auth/account/sessions",
			"/_auth/account/activity", "/app/" + "%3Cb%3E",
		} {
			own.Go(g.URL + path)
			own.Clean()
		}
		own.Go(g.URL + "/_auth/account")
		if !strings.Contains(own.Text(), text) {
			t.Errorf("the account page does not show %q as it is: %s", text, own.Text())
		}
		own.Close()
	}
	for _, path := range []string{
		"/_auth/admin", "/_auth/admin/users", "/_auth/admin/sessions", "/_auth/admin/audit",
		"/_auth/admin/roles",
	} {
		p.Go(g.URL + path)
		p.Clean()
	}
	p.Go(g.URL + "/_auth/admin/users")
	for _, text := range markup {
		if !strings.Contains(p.Text(), text) {
			t.Errorf("the list of users does not show %q as it is", text)
		}
	}
}
