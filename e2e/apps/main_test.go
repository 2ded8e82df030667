//go:build apps

package apps

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}

// installed returns the path of what scripts/install-apps has installed.
func installed(t *testing.T, path ...string) string {
	t.Helper()
	return harness.Installed(t, "GATEHOUSE_APPS", "gatehouse-apps", "scripts/install-apps", path...)
}

// launch runs a program in an empty home until the test ends, and waits until it responds at address.
func launch(t *testing.T, home, address string, env []string, command ...string) {
	t.Helper()
	(&harness.Program{Home: home, Ready: address, Env: env, Command: command}).Launch(t)
}

var (
	siteBlock = regexp.MustCompile(`(?s)^[a-z.]+ \{\n\tgatehouse(?: \{\n(.*?)\n\t\})?\n(.*)\n\}\n$`)
	upstream  = regexp.MustCompile(`localhost:[0-9]+`)
)

// behind runs a gate with the Caddyfile of a page of docs/apps, its upstream at port, on a host of its own.
func behind(t *testing.T, page, port string, more ...string) *gate.Gate {
	t.Helper()
	block := harness.Blocks(t, "caddyfile", "apps", page+".md")[0]
	site := siteBlock.FindStringSubmatch(block)
	if site == nil {
		t.Fatalf("%s.md shows another Caddyfile than a site with a gate:\n%s", page, block)
	}
	app := upstream.ReplaceAllString(site[2], "127.0.0.1:"+port)
	if more != nil {
		app = strings.Join(more, "\n")
	}
	return harness.Start(t, gate.Options{HTTPS: true, Hosts: []string{page + ".test"}, Site: site[1], App: app})
}

// signedIn opens a page of the app and signs in on the way. What the app's own pages log is not judged.
func signedIn(t *testing.T, g *gate.Gate, path string) *browser.Page {
	t.Helper()
	p := harness.Chromium().Open(t, browser.View{}, strings.TrimPrefix(g.URL, "https://"))
	t.Cleanup(p.Close)
	p.Go(g.URL + path)
	signIn(p, gate.Admin)
	return p
}

// signIn signs in on the sign-in page.
func signIn(p *browser.Page, username string) {
	p.Find("textbox", "Username or e-mail").Fill(username)
	p.Find("textbox", "Password").Fill(gate.AdminPassword)
	p.Find("button", "Sign in").Follow()
}

// shows waits until the page shows a text. Large apps take their time.
func shows(t *testing.T, p *browser.Page, text string) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !strings.Contains(p.Text(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not show %q but\n%s", p.URL(), text, p.Text())
		}
		time.Sleep(100 * time.Millisecond) // waits: the pause of a poll that has a deadline
	}
}

// endsElsewhere ends the person's sessions from the command line.
func endsElsewhere(t *testing.T, g *gate.Gate, username string) {
	t.Helper()
	if _, err := g.Gatehouse(t.Context(), "", "session", "revoke", "--user", username); err != nil {
		t.Fatal(err)
	}
}

// comesBack checks that the app leads to the sign-in page after the session's end, and back after it.
func comesBack(t *testing.T, p *browser.Page, g *gate.Gate, text string) {
	t.Helper()
	endsElsewhere(t, g, gate.Admin)
	p.Until("the sign-in page", func() bool {
		p.Reload()
		return p.Has("heading", "Sign in to .*")
	})
	signIn(p, gate.Admin)
	shows(t, p, text)
}
