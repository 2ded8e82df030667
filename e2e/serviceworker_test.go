package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// shellApp is an app whose service worker answers all navigations with the app's shell, as Workbox does by default.
var shellApp = map[string]string{
	"index.html": `<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href="data:,"><title>app</title><h1>The app</h1>
<script>navigator.serviceWorker.register("/sw.js");</script>`,
	"sw.js": `self.addEventListener("install", (e) => {
  self.skipWaiting();
  e.waitUntil(caches.open("shell").then((c) => c.add("/")));
});
self.addEventListener("activate", (e) => e.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (e) => {
  if (e.request.mode === "navigate") e.respondWith(caches.match("/").then((r) => r || fetch(e.request)));
});`,
}

// startFiles starts a gate before an app that is files; more are lines of the site.
func startFiles(t *testing.T, files map[string]string, more ...string) *gate.Gate {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, gate.Options{App: strings.Join(append(more, "root * "+dir, "file_server"), "\n")})
}

// signOutElsewhere ends the session of a page without the page.
func signOutElsewhere(t *testing.T, g *gate.Gate, p *browser.Page) {
	t.Helper()
	a := must[gate.Response](t)(g.Do(g.Client(), "/_auth/logout", url.Values{}, "Cookie", p.Cookies()))
	if a.Status != http.StatusSeeOther {
		t.Fatalf("signing out elsewhere: %d", a.Status)
	}
}

// swState tells which worker the site has, and what is cached.
const swState = `navigator.serviceWorker.getRegistration().then(async (r) => JSON.stringify({
  active: r?.active?.state, other: r?.installing?.state ?? r?.waiting?.state,
  caches: await caches.keys() }))`

// Without an exclusion in its worker the app's shell hides the gate's pages while somebody is signed in. Once the
// session is over the sign-in page is shown all the same, and then the app has its worker and its caches again.
func TestAServiceWorkerKeepsNobodyFromTheSignIn(t *testing.T) {
	t.Parallel()
	g := startFiles(t, shellApp)
	for _, address := range []string{"/", "/_auth/login", "/?deep=link"} {
		p := open(t, g, browser.View{})
		is := func(expression string) bool {
			var yes bool
			p.Eval("Promise.resolve("+expression+").then(Boolean)", &yes)
			return yes
		}
		signIn(t, p, g)
		p.Go(g.URL + "/")
		awaitWorker(t, p)
		p.Eval(`caches.open("kept").then((c) => c.put("/kept", new Response("x"))).then(() => true)`, nil)
		p.Go(g.URL + "/_auth/account")
		if !strings.Contains(p.Text(), "The app") {
			t.Fatalf("the worker answers no navigation: %s", p.Text())
		}
		signOutElsewhere(t, g, p)
		p.Go(g.URL + address)
		p.Until("the sign-in page at "+address, func() bool { return p.Has("heading", "Sign in to .*") })
		if is("navigator.serviceWorker.controller") {
			t.Errorf("%s: a worker is still there", address)
		}
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		p.Go(g.URL + "/")
		awaitWorker(t, p)
		if !is(`caches.match("/kept")`) {
			t.Errorf("%s: the app's cache is lost", address)
		}
	}
}

// awaitWorker waits until the app's worker is active. It answers the next page load, even if it was too late for this one.
func awaitWorker(t *testing.T, p *browser.Page) {
	t.Helper()
	state := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		p.Eval(swState, &state)
		if strings.Contains(state, `"active":"activated"`) && strings.Contains(state, `"shell"`) {
			return
		}
	}
	t.Fatalf("there is no worker of the app: %s", state)
}
