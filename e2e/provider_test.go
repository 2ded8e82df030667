package e2e

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// A provider's button is a link on the same site with the return URL, so that form-action does not block the redirect
// to the provider. If the provider is down the page says so, and local sign-in works.
func TestProviderButtonsAreLinks(t *testing.T) {
	t.Parallel()
	ports, err := gate.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://127.0.0.1:" + strconv.Itoa(ports[0]) // nothing listens there
	g := start(t, gate.Options{Global: "oidc staff {\nissuer " + issuer +
		"\nclient_id gate\nclient_secret a-secret-of-the-test-that-is-long-enough\nlabel Staff\ninsecure_http\n}"})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v)
		p.Go(g.URL + "/wanted?x=1")
		button := p.Find("link", "Continue with Staff")
		u, err := url.Parse(button.Attr("href"))
		if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/_auth/oidc/") || u.Query().Get("rt") != "/wanted?x=1" {
			t.Errorf("%s: the button leads to %s", v, u)
		}
		button.Follow()
		if !strings.HasPrefix(p.URL(), g.URL) || p.Status() < 400 || !strings.Contains(p.Text(), "Staff can't be reached") {
			t.Errorf("%s: a provider that is down: %d at %s: %s", v, p.Status(), p.URL(), p.Text())
		}
		p.Go(g.URL + "/wanted?x=1")
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		if p.Path() != "/wanted?x=1" {
			t.Errorf("%s: local sign-in leads to %s", v, p.Path())
		}
	}
}
