//go:build programs

package programs

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// installed returns the path of what scripts/install-programs has installed.
func installed(t *testing.T, path ...string) string {
	t.Helper()
	return harness.Installed(t, "GATEHOUSE_PROGRAMS", "gatehouse-programs", "scripts/install-programs", path...)
}

// unpacked returns the program of a Debian package that is installed or unpacked.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	return installed(t, name, "usr", "bin", name)
}

// server runs a program at a port until the test ends, waits until it responds at path, and returns it as an app.
func server(t *testing.T, at, path string, command ...string) http.Handler {
	t.Helper()
	address := "http://127.0.0.1:" + at
	(&harness.Program{Home: t.TempDir(), Ready: address + path, Command: command}).Launch(t)
	return harness.To(t, address)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// use is what a section of programs.md says.
func use(t *testing.T, section string) harness.Use {
	t.Helper()
	return harness.Use{Lines: harness.Section(t, section, "programs.md")}
}

// with returns what a file of a client says with other lines than the page shows first.
func with(u harness.Use, old, other string) harness.Use {
	u.Lines = u.Lines.Replace(old, other)
	return u
}

func contains(t *testing.T, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s has no %q:\n%s", what, part, text)
	}
}
