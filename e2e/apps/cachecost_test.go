//go:build apps

package apps

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// cachedFiles of a MiB each are what a browser keeps in its cache.
const cachedFiles = 300

// What docs/performance.md says of browsers' caches: what it costs to ask again for files that are there, and how long a
// sign-out takes that clears them.
func TestWhatBrowsersCachesCost(t *testing.T) {
	dir := largeFiles(t)
	for _, option := range []string{"on", "off"} {
		here, there := newVisit(t, "here-"+option, option, dir), newVisit(t, "there-"+option, option, dir)
		for range 3 {
			empty := there.signOut()
			first, came := here.loadAll()
			again, cameAgain := here.loadAll()
			there.signIn()
			other, own := there.signOut(), here.signOut()
			here.signIn()
			there.signIn()
			t.Logf("cache_headers %s: loading takes %v (%.1f MiB), again %v (%.1f MiB); signing out with an empty cache %v, "+
				"with 300 MiB of another host %v, of this host %v", option, first, came, again, cameAgain, empty, other, own)
		}
	}
}

// largeFiles makes files that changed long ago, so that browsers would show each for weeks.
func largeFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	old := time.Now().Add(-200 * 24 * time.Hour)
	content := make([]byte, 1<<20)
	for i := range cachedFiles {
		_, _ = rand.Read(content) // never fails
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	page := []byte("<!doctype html><link rel=icon href=data:,><title>app</title>")
	if err := os.WriteFile(filepath.Join(dir, "index.html"), page, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// visit is a signed-in person at a site of files.
type visit struct {
	g *gate.Gate
	p *browser.Page
}

func newVisit(t *testing.T, name, option, dir string) visit {
	t.Helper()
	g, err := gate.Start(t.Context(), t.TempDir(), gate.Options{
		HTTPS: true, Hosts: []string{name + ".test"}, Global: "cache_headers " + option, App: "root * " + dir + "\nfile_server",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	v := visit{g, harness.Chromium().OpenKept(t, browser.View{}, g.URL[len("https://"):])}
	t.Cleanup(v.p.Close)
	v.signIn()
	return v
}

func (v visit) signIn() {
	v.p.Go(v.g.URL + "/")
	signIn(v.p, gate.Admin)
}

// signOut signs out and returns how long that took, from the button to the next page.
func (v visit) signOut() time.Duration {
	v.p.Go(v.g.URL + "/_auth/logout")
	button, began := v.p.Find("button", "Sign out"), time.Now()
	button.Follow()
	return time.Since(began).Round(time.Millisecond)
}

// loadAll loads all files, a few at a time, and returns how long that took and what came over the network, in MiB.
func (v visit) loadAll() (spent time.Duration, came float64) {
	v.p.Forget()
	for i := 0; i < cachedFiles; i += 10 {
		var ms int
		v.p.Eval(fmt.Sprintf(`(async () => {
			const began = performance.now();
			await Promise.all([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(k => fetch("/" + (%d + k)).then(a => a.blob())));
			return Math.round(performance.now() - began);
		})()`, i), &ms)
		spent += time.Duration(ms) * time.Millisecond
	}
	for _, r := range v.p.Requests() {
		came += r.Bytes
	}
	return spent, came / (1 << 20)
}
