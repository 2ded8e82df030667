package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
)

// textApp is an app with text that somebody types, and with a worker that leaves pages to the server.
var textApp = map[string]string{
	"index.html": `<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href="data:,"><title>app</title><h1>The app</h1>
<form method=post action="/index.html"><label>Text <textarea id=t name=t></textarea></label><button>Save</button></form>
<script>navigator.serviceWorker.register("/sw.js");</script>`,
	"sw.js": `self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (e) => e.waitUntil(self.clients.claim()));
self.addEventListener("fetch", () => {});`,
}

// registered tells whether the site has a worker, "none" after ours has given way.
const registered = `navigator.serviceWorker.getRegistration().then((r) => r ? String(r.active?.state) : "none")`

// A worker that gives way loads no window anew in which something may be lost.
func TestAWorkerThatGivesWayLosesNoText(t *testing.T) {
	t.Parallel()
	g := startFiles(t, textApp)
	for _, how := range []string{"another tab", "a form"} {
		p := open(t, g, browser.View{})
		signIn(t, p, g)
		p.Go(g.URL + "/")
		awaitRegistered(t, p, "activated")
		p.Find("textbox", "Text").Fill("an hour of work")
		signOutElsewhere(t, g, p)
		if how == "another tab" {
			q := guard(t, p.Tab())
			q.Go(g.URL + "/")
			awaitRegistered(t, q, "none")
			settle()
			kept := ""
			if p.Eval(`String(document.getElementById("t")?.value)`, &kept); kept != "an hour of work" {
				t.Errorf("%s: %q is left of the text at %s", how, kept, p.URL())
			}
			continue
		}
		p.Find("button", "Save").Follow()
		awaitRegistered(t, p, "none")
		settle()
		if !strings.HasSuffix(p.URL(), "/index.html") {
			t.Errorf("%s: the page that holds it is gone, for %s", how, p.URL())
		}
	}
}

// awaitRegistered waits for a state of the site's worker. A page that is being replaced has none.
func awaitRegistered(t *testing.T, p *browser.Page, want string) {
	t.Helper()
	state := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if p.Eval(registered, &state); state == want {
			return
		}
	}
	t.Fatalf("the worker is %s, not %s", state, want)
}

// settle gives a navigation that must not happen the time to happen.
func settle() {
	time.Sleep(2 * time.Second) // waits: nothing tells that a page is not loaded anew
}
