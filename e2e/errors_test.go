package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// A fetch without a session gets a response that says so, with the sign-in URL.
func TestFetchWithoutASessionGetsTheSignInURL(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/_auth/logged-out")
	var got struct {
		Status        int
		Type, Kind    string
		Authenticate  string
		LoginURL      string
		Title, Detail string
	}
	var raw string
	p.Eval(`fetch("/data?x=1", {redirect: "manual"}).then(async r => { const b = await r.json(); return JSON.stringify({status: r.status,
		type: r.headers.get("Content-Type"), kind: r.type, authenticate: r.headers.get("WWW-Authenticate"),
		loginURL: b.login_url, title: b.title, detail: b.detail}) })`, &raw)
	if err := json.Unmarshal([]byte(raw), &got); err != nil {
		t.Fatal(err)
	}
	p.Expect("log network error.*401.*/data") // the browser logs each failed request to its console
	if got.Status != 401 || got.Kind != "basic" || !strings.HasPrefix(got.Type, "application/problem+json") {
		t.Errorf("the answer is %+v", got)
	}
	if !strings.HasPrefix(got.Authenticate, "Bearer ") || strings.Contains(got.Authenticate, "Basic") {
		t.Errorf("WWW-Authenticate: %s", got.Authenticate)
	}
	if !strings.Contains(got.LoginURL, "/_auth/login") || got.Title == "" || got.Detail == "" {
		t.Errorf("the body says %+v", got)
	}
}

const formApp = `header Content-Type "text/html; charset=utf-8"
	@form method GET
	respond @form <<HTML
		<!doctype html><html lang="en"><meta charset="utf-8"><title>App</title><link rel="icon" href="/_auth/assets/none">
		<form method="post" action="/save"><label for="t">Text</label> <textarea id="t" name="t"></textarea> <button>Save</button></form></html>
		HTML
	respond "saved" 200`

// A form that is sent to the app after the session ended is not lost: the page says how to send it again, and Back
// restores the text.
func TestFormAfterTheSessionEndedIsNotLost(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{App: formApp, Site: "public /_auth/assets/none"})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Forget()
	p.Go(g.URL + "/form")
	p.Forget() // the favicon request, which fails
	p.Find("textbox", "Text").Fill("an hour of work")
	if _, err := g.Gatehouse(t.Context(), "", "session", "revoke", "--user", gate.Admin); err != nil {
		t.Fatal(err)
	}
	c := g.Client()
	p.Until("the session to end", func() bool {
		return must[gate.Response](t)(g.Do(c, "/x", nil, "Cookie", p.Cookies())).Status == http.StatusUnauthorized
	})
	p.Find("button", "Save").Follow()
	if p.Status() != http.StatusUnauthorized || !strings.Contains(p.Text(), "Nothing was saved") {
		t.Fatalf("status %d, and it says %s", p.Status(), p.Text())
	}
	link := p.Find("link", "Sign in in a new tab.*")
	if link.Attr("target") != "_blank" || !strings.HasPrefix(link.Attr("href"), "/_auth/login") {
		t.Errorf("the link leads to %s in %s", link.Attr("href"), link.Attr("target"))
	}
	other := guard(t, p.Tab())
	other.Go(g.URL + "/_auth/login")
	submitSignIn(other, gate.Admin, gate.AdminPassword)
	other.Forget()
	p.Back()
	p.Until("the form", func() bool { return p.Has("textbox", "Text") })
	if got := p.Find("textbox", "Text").Value(); got != "an hour of work" {
		t.Errorf("Back brings %q", got)
	}
	p.Find("button", "Save").Follow()
	if p.Text() != "saved" {
		t.Errorf("sending again says %s", p.Text())
	}
	p.Forget()
}

// The same for a form of the account pages: nothing changes before the user signs in again.
func TestOwnFormAfterTheSessionEndedChangesNothing(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "admin {\nname \"Old Name\"\n}"})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/account/profile")
	p.Find("textbox", "Display name.*").Fill("New Name")
	if _, err := g.Gatehouse(t.Context(), "", "session", "revoke", "--user", gate.Admin); err != nil {
		t.Fatal(err)
	}
	p.Until("the session to end", func() bool {
		return must[gate.Response](t)(g.Do(g.Client(), "/x", nil, "Cookie", p.Cookies())).Status == http.StatusUnauthorized
	})
	p.Find("button", "Save").Follow()
	if p.Status() != http.StatusUnauthorized {
		t.Errorf("status %d", p.Status())
	}
	signIn(t, p, g)
	p.Go(g.URL + "/_auth/account/profile")
	if got := p.Find("textbox", "Display name.*").Value(); got != "Old Name" {
		t.Errorf("the name is %q", got)
	}
}

// The 403 page shows the user, what was refused and why, and a reference id; nothing in the URL can change its text.
func TestForbiddenPageSaysWhy(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Site: "require role admin"})
	addUser(t, g, "bob", "a password of somebody")
	p := open(t, g, browser.View{})
	signInAs(t, p, g, "bob", "a password of somebody")
	p.Go(g.URL + "/staff?reason=You+have+won&error=Call+555")
	text := p.Text()
	if p.Status() != http.StatusForbidden {
		t.Errorf("status %d", p.Status())
	}
	for _, want := range []string{"bob", "/staff", "the role admin", "Reference"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "won") || strings.Contains(text, "555") {
		t.Errorf("the address speaks in the page:\n%s", text)
	}
	p.Find("link", "Switch user").Follow()
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if !strings.HasPrefix(p.Text(), "app: GET /staff") || !strings.HasSuffix(p.Text(), "as admin") {
		t.Errorf("switching leads to %s", p.Text())
	}
}

// While the store is unavailable, the sign-in page says so, and not that the password is wrong; afterwards everything
// works without a restart.
func TestStoreOutageAndRecovery(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/_auth/login")
	unlock := lockStore(t, g)
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if p.Status() != http.StatusServiceUnavailable || strings.Contains(p.Text(), "incorrect") ||
		!strings.Contains(p.Text(), "Reference") {
		t.Errorf("status %d: %s", p.Status(), p.Text())
	}
	if a := must[gate.Response](t)(g.Do(g.Client(), "/_auth/healthz", nil)); a.Status != http.StatusServiceUnavailable {
		t.Errorf("the health check answers %d", a.Status)
	}
	unlock()
	p.Until("the store", func() bool {
		return must[gate.Response](t)(g.Do(g.Client(), "/_auth/healthz", nil)).Status == http.StatusOK
	})
	signIn(t, p, g)
}

// lockStore makes the SQLite file unusable for all others: it takes the locks of the write-ahead log, one of which
// each reader and writer needs (https://sqlite.org/walformat.html#the_wal_index_file_format, section 2.3).
func lockStore(t *testing.T, g *gate.Gate) (unlock func()) {
	t.Helper()
	index, err := os.OpenFile(g.Store()+"-shm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: 120, Len: 8}
	if err := syscall.FcntlFlock(index.Fd(), syscall.F_SETLKW, &lock); err != nil {
		t.Fatal(err)
	}
	unlock = sync.OnceFunc(func() { index.Close() }) // which releases the locks
	t.Cleanup(unlock)
	return unlock
}

// A reload keeps sessions, an open form can be sent, and the assets of an open page still load.
func TestReloadKeepsSessionsAndPages(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	in, form := open(t, g, browser.View{}), open(t, g, browser.View{})
	signIn(t, in, g)
	form.Go(g.URL + "/wanted")
	var parts []string
	form.Eval(`[...document.querySelectorAll("link[href], script[src]")].map(e => e.href || e.src)`, &parts)
	err := g.Reload(t.Context(), func(s string) string {
		return strings.Replace(s, "gatehouse {", "gatehouse {\nbrand {\ntitle \"After the reload\"\naccent \"#7a1fa2\"\n}", 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	in.Go(g.URL + "/_auth/account")
	if !strings.Contains(in.Text(), "After the reload") {
		t.Errorf("the account page says %s", in.Text())
	}
	if len(parts) < 3 {
		t.Errorf("the page has the parts %v", parts)
	}
	for _, part := range parts {
		if a := must[gate.Response](t)(g.Do(g.Client(), strings.TrimPrefix(part, g.URL), nil)); a.Status != http.StatusOK {
			t.Errorf("%s is answered with %d", part, a.Status)
		}
	}
	submitSignIn(form, gate.Admin, gate.AdminPassword)
	if form.Path() != "/wanted" {
		t.Errorf("the form of before leads to %s", form.Path())
	}
}

// A restart keeps sessions.
func TestRestartKeepsSessions(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	if err := g.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Go(g.URL + "/private")
	if !strings.Contains(p.Text(), "as admin") {
		t.Errorf("after the restart: %s", p.Text())
	}
}
