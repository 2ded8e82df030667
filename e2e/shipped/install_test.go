package shipped

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// installPage returns the commands of docs/install.md, by heading, as far as nothing else is needed for them.
func installPage(t *testing.T) map[string][]string {
	t.Helper()
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(top, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	return commands(string(raw))
}

// The image alone greets whoever signs in, with the lines of the page.
func TestInstallTheImage(t *testing.T) {
	t.Parallel()
	needImage(t)
	lines := installPage(t)["The image"]
	if len(lines) != 3 {
		t.Fatalf("the page has %q", lines)
	}
	e, path := newEngine(t, nil)
	e.port = harness.Port(t)
	r := &recipe{t: t, dir: t.TempDir(), e: e, site: "http://localhost:" + e.port, env: []string{
		"PATH=" + path + ":" + os.Getenv("PATH"), "DOCKER_STAND_IN=" + e.socket,
	}}
	r.shell(lines[0]+lines[1], "")
	if app, _ := signIn(t, r.site, "admin", "a wrong one entirely"); app != "" {
		t.Errorf("a wrong password gets %q", app)
	}
	app, v := signIn(t, r.site, "admin", firstPassword)
	if !strings.Contains(app, "<h1>Hello, admin</h1>") {
		t.Errorf("signed in, the app says %q", app)
	}
	for _, m := range regexp.MustCompile(`<a href="([^"]+)">`).FindAllStringSubmatch(app, -1) {
		res := v.do(http.MethodGet, m[1], nil)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s gets %d", m[1], res.StatusCode)
		}
	}
	if out := r.shell(lines[2], ""); !strings.Contains(out, "admin") {
		t.Errorf("the users: %s", out)
	}
}

// The line for a binary makes one that has the gate.
func TestInstallABinary(t *testing.T) {
	t.Parallel()
	lines := installPage(t)["A binary"]
	if len(lines) != 1 || !strings.Contains(lines[0], " -o caddy ") {
		t.Fatalf("the page has %q", lines)
	}
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "caddy")
	build := exec.Command("bash", "-euc", strings.Replace(lines[0], " -o caddy ", " -o "+binary+" ", 1))
	build.Dir = top
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(binary, "list-modules").Output(); err != nil || !strings.Contains(string(out), "\nhttp.handlers.gatehouse\n") {
		t.Errorf("%v: %s", err, out)
	}
}
