package cmd

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// notScripted are verbs that no script can run, with where they are tested instead.
var notScripted = map[string]string{
	"login":       "TestLoginPrintsTheTokenAsAskedFor: it needs somebody who approves",
	"healthcheck": "TestHealthcheckAsksTheListener: it needs a Caddy that runs",
}

// Every verb takes --json; a script checks its output, and the documentation describes it.
func TestEveryVerbPrintsJSON(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("testdata/json.txt")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	root := &cobra.Command{Use: "gatehouse"}
	build(root)
	n := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.HasSubCommands() {
			for _, sub := range c.Commands() {
				walk(sub)
			}
			return
		}
		n++
		path := c.CommandPath()
		if c.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", path)
		}
		tried := false
		for line := range strings.Lines(string(script)) {
			if rest, ok := strings.CutPrefix(line, "exec caddy "+path+" "); ok && strings.Contains(rest, "--json") {
				tried = true
			}
		}
		if verb := strings.TrimPrefix(path, "gatehouse "); !tried && notScripted[verb] == "" {
			t.Errorf("testdata/json.txt does not run %s with --json", path)
		}
		if verb := strings.TrimPrefix(path, "gatehouse "); !strings.Contains(string(page), "\n| `"+verb) {
			t.Errorf("docs/operations.md does not tell what %s prints", verb)
		}
	}
	walk(root)
	if n < 15 {
		t.Errorf("found %d verbs only", n)
	}
}
