package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// testedElsewhere lists documented commands that other tests run.
var testedElsewhere = map[string]string{
	"ADMIN_PASSWORD='…' go run ./cmd/caddy run --config Caddyfile.example": "TestExampleCaddyfile",
	"make test": ".ci/run, which runs this",
	"xcaddy build --with github.com/gatehouse-auth/gatehouse@v0.0.0=.":                                               "make xcaddy in .ci/run, by way of xcaddy.json",
	"caddy gatehouse store migrate --from sqlite:/var/lib/gatehouse/gatehouse.db --to 'postgres:{env.DATABASE_URL}'": "the command line's scripts, on both engines",
	"caddy gatehouse user reset-mfa ada --link":                                                                      "the command line's scripts, with --yes: it asks on a terminal",
}

var shell = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// The documented commands work. They run unchanged, in the order of the page, beside a running gate with the users
// that they mention.
func TestDocumentedCommandsRun(t *testing.T) {
	t.Parallel()
	top := must[string](t)(gate.Top())
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		pages = append(pages, must[[]string](t)(filepath.Glob(filepath.Join(top, pattern)))...)
	}
	n := 0
	for _, page := range pages {
		if filepath.Base(page) == "install.md" {
			continue // e2e/shipped runs its commands, in the image and in a checkout that they name
		}
		blocks := shell.FindAllStringSubmatch(string(must[[]byte](t)(os.ReadFile(page))), -1)
		if len(blocks) == 0 {
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			g := start(t, gate.Options{})
			if !strings.HasSuffix(page, "README.md") {
				addUser(t, g, "ada", "a password of somebody")
			}
			path := withCaddy(t)
			for _, block := range blocks {
				for line := range strings.Lines(block[1]) {
					if line = strings.TrimSpace(line); testedElsewhere[line] == "" {
						runShell(t, g, path, line)
					}
				}
			}
		})
		n += len(blocks)
	}
	if n < 4 {
		t.Errorf("found %d blocks only", n)
	}
}

// withCaddy returns a PATH in which `caddy` is the binary under test.
func withCaddy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(must[string](t)(gate.Binary()), filepath.Join(dir, "caddy")); err != nil {
		t.Fatal(err)
	}
	return dir + ":" + os.Getenv("PATH")
}

func runShell(t *testing.T, g *gate.Gate, path, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
	cmd.Dir = g.Dir()
	cmd.Env = append(g.Environ(), "PATH="+path)
	out, err := cmd.CombinedOutput()
	if err != nil || len(strings.TrimSpace(string(out))) == 0 {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}
