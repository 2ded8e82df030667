package e2e

import (
	"net/url"
	"os"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}

// start runs a gate until the test ends.
func start(t *testing.T, o gate.Options) *gate.Gate {
	t.Helper()
	return harness.Start(t, o)
}

// open opens a page for one test, which fails if the page has an issue that the test did not expect.
func open(t *testing.T, g *gate.Gate, v browser.View, more ...string) *browser.Page {
	t.Helper()
	return guard(t, harness.Chromium().Open(t, v, append(more, host(t, g.URL))...))
}

func guard(t *testing.T, p *browser.Page) *browser.Page {
	t.Helper()
	t.Cleanup(func() {
		p.Clean()
		p.Close()
	})
	return p
}

func host(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// signIn signs the administrator in, starting at the app.
func signIn(t *testing.T, p *browser.Page, g *gate.Gate) {
	t.Helper()
	signInAs(t, p, g, gate.Admin, gate.AdminPassword)
}

func signInAs(t *testing.T, p *browser.Page, g *gate.Gate, username, password string) {
	t.Helper()
	p.Go(g.URL + "/_auth/login")
	submitSignIn(p, username, password)
	if p.Has("heading", "Sign in.*") {
		t.Fatalf("%s is not signed in: %s", username, p.Text())
	}
}

// submitSignIn fills in and submits the current sign-in form.
func submitSignIn(p *browser.Page, username, password string) {
	p.Find("textbox", "Username or e-mail").Fill(username)
	p.Find("textbox", "Password").Fill(password)
	p.Find("button", "Sign in").Follow()
}

// addUser creates an account on the command line.
func addUser(t *testing.T, g *gate.Gate, name, password string) {
	t.Helper()
	if _, err := g.Gatehouse(t.Context(), password+"\n", "user", "add", name, "--password-stdin"); err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
