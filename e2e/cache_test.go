package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// fileApp is an app of files that changed long ago, of which a browser would keep each for weeks, and an address that
// has moved for ever.
func fileApp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	old := time.Now().Add(-200 * 24 * time.Hour)
	for name, text := range map[string]string{"index": "welcome", "one": "the first secret", "two": "the second secret"} {
		path := filepath.Join(dir, name+".html")
		page := "<!doctype html><html lang=en><link rel=icon href=data:,><title>app</title><p>" + text
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("root * %s\nhandle /moved {\nredir * /two.html permanent\n}\nfile_server", dir)
}

// visit looks at the pages of a fileApp.
func visit(t *testing.T, p *browser.Page, g *gate.Gate) {
	t.Helper()
	for _, path := range []string{"/one.html", "/moved", "/one.html"} {
		p.Go(g.URL + path)
		if !strings.Contains(p.Text(), "secret") {
			t.Fatalf("%s shows %s", path, p.Text())
		}
	}
}

// showsNothing checks that neither the address bar nor Back shows anything of the app.
func showsNothing(t *testing.T, p *browser.Page, g *gate.Gate, when string) {
	t.Helper()
	for _, path := range []string{"/one.html", "/moved", "/two.html"} {
		p.Go(g.URL + path)
		if strings.Contains(p.Text(), "secret") {
			t.Errorf("%s: %s shows %s", when, path, p.Text())
		}
	}
	for i := range 5 {
		p.Back()
		if strings.Contains(p.Text(), "secret") {
			t.Errorf("%s: going back %d pages shows %s at %s", when, i+1, p.Text(), p.Path())
		}
	}
}

// After a session nothing of the app is shown, however long a browser would have kept it: by the address bar, and by going
// back; whether it ended by a sign-out or elsewhere.
func TestAfterASessionNothingOfTheAppIsShown(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *browser.Page, g *gate.Gate){
		"after a sign-out": func(p *browser.Page, g *gate.Gate) {
			p.Go(g.URL + "/_auth/logout")
			p.Find("button", "Sign out").Follow()
		},
		"after an end elsewhere": func(p *browser.Page, g *gate.Gate) {
			if _, err := g.Gatehouse(t.Context(), "", "session", "revoke", "--user", gate.Admin); err != nil {
				t.Fatal(err)
			}
			p.Until("the end to be known", func() bool {
				a, err := g.Do(g.Client(), "/one.html", nil, "Cookie", p.Cookies())
				return err == nil && a.Status == http.StatusUnauthorized
			})
		},
	} {
		g := start(t, gate.Options{HTTPS: true, App: fileApp(t)})
		p := open(t, g, browser.View{})
		signIn(t, p, g)
		visit(t, p, g)
		end(p, g)
		showsNothing(t, p, g, name)
	}
}
