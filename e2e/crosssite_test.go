package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// attacks are forms that an attacker's site submits, by path.
var attacks = map[string]url.Values{
	"/_auth/logout":           {"everywhere": {"1"}},
	"/_auth/account/password": {"current_password": {gate.AdminPassword}, "new_password": {"the password of an attacker"}},
	"/_auth/account/profile":  {"name": {"Mallory"}},
	"/_auth/login":            {"username": {gate.Admin}, "password": {gate.AdminPassword}},
}

// attacker is a malicious site with forms that attack a gate, each named after its path. It responds to every host
// name.
func attacker(t *testing.T, g *gate.Gate) (port string) {
	t.Helper()
	var forms strings.Builder
	for path, fields := range attacks {
		fmt.Fprintf(&forms, `<form name="%s" method="post" action="%s">`, path, g.URL+path)
		for name := range fields {
			fmt.Fprintf(&forms, `<input name="%s" value="%s">`, name, fields.Get(name))
		}
		forms.WriteString("</form>")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Referrer-Policy", "unsafe-url")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Prizes</title><link rel="icon" href="data:,">%s</html>`,
			forms.String())
	}))
	t.Cleanup(server.Close)
	return server.URL[strings.LastIndex(server.URL, ":")+1:]
}

// CSRF: no other site can act with a signed-in browser, whether cross-site, on another port or on a sibling host,
// which share cookies; over HTTPS and over plain HTTP, where browsers send fewer Sec-Fetch headers.
func TestOtherSitesCannotAct(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, from string
		options    gate.Options
	}{
		{"a strange site", "127.0.0.1", gate.Options{}},
		{"another port", "localhost", gate.Options{}},
		{"a sibling host over plain HTTP", "evil.gate.test", gate.Options{Hosts: []string{"app.gate.test"}}},
		{"a strange host over plain HTTP", "evil.test", gate.Options{Hosts: []string{"app.gate.test"}}},
		{"a sibling host, against HTTPS", "evil.gate.test", gate.Options{Hosts: []string{"app.gate.test"}, HTTPS: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := start(t, c.options)
			site := c.from + ":" + attacker(t, g)
			p := open(t, g, browser.View{}, site)
			signIn(t, p, g)
			before := p.Cookies()
			for path := range attacks {
				p.Go("http://" + site + "/")
				p.Loads(func() { p.Eval(fmt.Sprintf("document.forms[%q].submit()", path), nil) })
				if p.Status() != http.StatusForbidden || !p.Has("heading", "Blocked") {
					t.Errorf("%s: status %d, and the page says %s", path, p.Status(), p.Text())
				}
				p.Go(g.URL + "/private")
				if !strings.Contains(p.Text(), "as admin") || !sameSession(before, p.Cookies()) {
					t.Errorf("%s: afterwards the app says %s", path, p.Text())
				}
			}
			// Nothing has changed.
			if a := must[gate.Response](t)(g.SignIn(g.Client(), gate.Admin,
				gate.AdminPassword)); a.Status != http.StatusSeeOther {
				t.Errorf("the password is another one now: %d", a.Status)
			}
		})
	}
}

// sameSession compares the session cookies in two cookie headers.
func sameSession(a, b string) bool {
	find := func(header string) string {
		for c := range strings.SplitSeq(header, "; ") {
			if name, value, _ := strings.Cut(c, "="); name == "gatehouse" || name == "__Host-gatehouse" {
				return value
			}
		}
		return ""
	}
	return find(a) == find(b) && find(a) != ""
}

// The pages' own forms work over plain HTTP under a name that browsers do not treat as secure: there they send no
// Sec-Fetch-Site, and with another referrer policy no Origin either.
func TestFormsWorkOverPlainHTTP(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Hosts: []string{"app.gate.test"}})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/account/profile")
	p.Find("textbox", "Display name.*").Fill("Ada")
	p.Find("button", "Save").Follow()
	if !strings.Contains(p.Text(), "Saved.") {
		t.Errorf("status %d: %s", p.Status(), p.Text())
	}
}

// Over HTTPS the cookie is bound to the host and to HTTPS.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Hosts: []string{"app.gate.test"}, HTTPS: true})
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/wanted")
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if p.Path() != "/wanted" || !strings.Contains(p.Cookies(), "__Host-gatehouse=") {
		t.Errorf("it ends at %s with the cookies %s", p.Path(), p.Cookies())
	}
	p.Go(g.URL + "/_auth/account")
	p.Find("button", "Sign out").Follow()
	p.Find("heading", ".*signed out.*")
}

// A sign-in may return to another host only if the configuration allows it. Browsers check every redirect after a
// form against the page's form-action.
func TestReturnToAnotherHost(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Other</title><link rel="icon" href="data:,"><h1>the other app at %s</h1></html>`, r.URL.RequestURI())
	}))
	t.Cleanup(other.Close)
	port := other.URL[strings.LastIndex(other.URL, ":")+1:]
	g := start(t, gate.Options{Hosts: []string{"app.gate.test"}, Global: "trust_return other.gate.test:" + port})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v, "other.gate.test:"+port)
		p.Go(g.URL + "/_auth/login?rt=" + url.QueryEscape("http://other.gate.test:"+port+"/x?y=1"))
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		p.Until("the other app", func() bool { return p.Has("heading", `the other app at /x\?y=1`) })

		p = open(t, g, v)
		p.Go(g.URL + "/_auth/login?rt=" + url.QueryEscape("http://stranger.gate.test:"+port+"/x"))
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		if p.URL() != g.URL+"/" {
			t.Errorf("%s: a host that nobody trusts is reached: %s", v, p.URL())
		}
	}
}

// Apps with a sign-in of their own redirect to it from their first page: browsers check that, too, against the
// form-action of the page whose form led there.
func TestTheAppMayRedirectAnywhereAfterASignIn(t *testing.T) {
	t.Parallel()
	var elsewhere string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sso" {
			http.Redirect(w, r, elsewhere+"/sso", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>SSO</title><link rel="icon" href="data:,"><h1>the app's own sign-in</h1></html>`)
	}))
	t.Cleanup(app.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(app.URL, "http://"), ":")
	elsewhere = "http://sso.gate.test:" + port
	g := start(t, gate.Options{Hosts: []string{"app.gate.test"}, App: "reverse_proxy 127.0.0.1:" + port})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v, "sso.gate.test:"+port)
		p.Go(g.URL + "/wanted")
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		p.Until("the app's own sign-in", func() bool { return p.Has("heading", "the app's own sign-in") })
	}
}
