package caddyauth_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/internal/password"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const divider = "\n----------\n"

// Each file holds a Caddyfile and, below a line of dashes, the JSON that it means or the error that refuses it.
// An error has to name file and line. Rewrite them with: make golden
func TestCaddyfilesAdaptAsTheirGoldenFilesSay(t *testing.T) {
	cheap := password.MinParams
	password.MinParams = minParams
	defer func() { password.MinParams = cheap }()
	files, err := filepath.Glob("testdata/adapt/*.txt")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d golden files, %v; there should be at least 50", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), divider)
			got := adapt(input)
			refused := strings.HasPrefix(filepath.Base(file), "refused_")
			if refused != strings.HasPrefix(got, "error: ") {
				t.Fatalf("the file's name says refused=%v, but the result is:\n%s", refused, got)
			}
			if refused && !strings.Contains(got, "Caddyfile:") {
				t.Errorf("the error names no file and line: %s", got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.TrimRight(input, "\n")+"\n"+divider[1:]+got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if strings.TrimSpace(want) != got {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func adapt(input string) string {
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "error: " + err.Error()
	}
	var b bytes.Buffer
	if err := json.Indent(&b, out, "", "\t"); err != nil {
		return "error: " + err.Error()
	}
	return strings.TrimSpace(b.String())
}

// No Caddyfile makes the parser panic, and what it accepts it can write as JSON.
func FuzzCaddyfile(f *testing.F) {
	files, err := filepath.Glob("testdata/adapt/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), divider)
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input string) {
		if strings.Contains(input, "import") { // reads files of this machine
			return
		}
		adapt(input)
	})
}
