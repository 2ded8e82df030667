// Package harness has what the browser tests of several packages need: one Chromium for all tests of a package, gates and
// other programs that end with a test, and the Caddyfiles of the documentation.
package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

var chromium *browser.Browser

// Main runs the tests of a package with a browser and returns the exit code, for TestMain.
func Main(m *testing.M) int {
	var err error
	if chromium, err = browser.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer chromium.Close()
	return m.Run()
}

// Chromium returns the browser of [Main]. Each test has its own browser contexts in it.
func Chromium() *browser.Browser { return chromium }

// Start runs a gate until the test ends.
func Start(t testing.TB, o gate.Options) *gate.Gate {
	t.Helper()
	g, err := gate.Start(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	StopAtEnd(t, g)
	return g
}

// StopAtEnd stops a gate when the test ends, and shows its log if the test failed.
func StopAtEnd(t testing.TB, g *gate.Gate) {
	t.Helper()
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Errorf("stopping the gate: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the gate:\n%s", g.Log())
		}
	})
}

// Port returns a free port.
func Port(t testing.TB) string {
	t.Helper()
	ports, err := gate.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(ports[0])
}

// Installed returns the path of what a script installs outside of the checkout: below the directory that the environment
// variable names, otherwise below a folder of the user's cache.
func Installed(t testing.TB, variable, folder, script string, path ...string) string {
	t.Helper()
	top := os.Getenv(variable)
	if top == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		top = filepath.Join(cache, folder)
	}
	full := filepath.Join(append([]string{top}, path...)...)
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("%v: run %s", err, script)
	}
	return full
}

var fence = regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```")

// Blocks returns the fenced blocks of a language in a page below docs, in their order. There is at least one.
func Blocks(t testing.TB, language string, page ...string) []string {
	t.Helper()
	var blocks []string
	for _, block := range fence.FindAllStringSubmatch(Page(t, page...), -1) {
		if block[1] == language {
			blocks = append(blocks, block[2])
		}
	}
	if blocks == nil {
		t.Fatalf("docs/%s shows no %s", filepath.Join(page...), language)
	}
	return blocks
}

// Page returns the text of a page below docs.
func Page(t testing.TB, page ...string) string {
	t.Helper()
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(append([]string{top, "docs"}, page...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
