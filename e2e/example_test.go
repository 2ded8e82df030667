package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// Caddyfile.example is what new users run first: the gate requires a sign-in, the administrator of the environment
// can sign in, and the demo app gets the identity.
func TestExampleCaddyfile(t *testing.T) {
	t.Parallel()
	top := must[string](t)(gate.Top())
	raw := must[[]byte](t)(os.ReadFile(filepath.Join(top, "Caddyfile.example")))
	g, err := gate.StartFile(t.Context(), t.TempDir(), string(raw), []int{8080, 9000})
	if err != nil {
		t.Fatal(err)
	}
	harness.StopAtEnd(t, g)

	if got := must[gate.Response](t)(g.Do(g.Client(), "/health", nil)); got.Status != 200 || got.Body != "ok" {
		t.Errorf("the public path answers %d %q", got.Status, got.Body)
	}
	got := must[gate.Response](t)(g.Do(g.Client(), "/api/x", nil, "Accept", "text/html", "Sec-Fetch-Mode", "navigate"))
	if got.Status != 401 || !strings.HasPrefix(got.Header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("the API answers %d %s", got.Status, got.Header.Get("Content-Type"))
	}

	p := open(t, g, browser.View{})
	p.Go(g.URL + "/?page=1")
	if !p.Has("heading", "Sign in.*") {
		t.Fatalf("no sign-in page, but: %s", p.Text())
	}
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if p.Find("heading", "Hello, admin"); p.Path() != "/?page=1" {
		t.Errorf("the way leads to %s, not back to where it began", p.Path())
	}
	if text := p.Text(); !strings.Contains(text, "Remote-Role:   admin") {
		t.Errorf("the demo app does not show the role: %s", text)
	}
	p.Find("link", "Sign out").Follow()
	p.Find("button", "Sign out").Follow()
	p.Go(g.URL + "/")
	p.Find("heading", "Sign in.*")
}
