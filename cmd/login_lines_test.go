package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// documentedLines returns the block of docs/programs.md with a text.
func documentedLines(t *testing.T, text string) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/programs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(doc), "```bash\n")[1:] {
		if block, _, _ = strings.Cut(block, "```"); strings.Contains(block, text) {
			return block
		}
	}
	t.Fatalf("no block has %q", text)
	return ""
}

// The documented lines put a token into a file that is its owner's alone, in place of the last one, and leave what is
// there when nobody approved.
func TestTheDocumentedLinesKeepATokenInAFile(t *testing.T) {
	t.Parallel()
	const own = "machine git.example.com login ada password "
	for name, c := range map[string]struct{ lines, file, before, printed, want string }{
		"netrc": {
			"~/.netrc.new", ".netrc",
			"machine a.test login x password y\n" + own + "old\nmachine git.example.com.test login x password z\ndefault login d password e\n",
			own + "new\n",
			own + "new\nmachine a.test login x password y\nmachine git.example.com.test login x password z\ndefault login d password e\n",
		},
		"the first line of netrc": {"~/.netrc.new", ".netrc", "", own + "new\n", own + "new\n"},
		"kubectl":                 {"gatehouse-token", ".kube/gatehouse-token", "old\n", "new\n", "new\n"},
		"the first of kubectl":    {"gatehouse-token", ".kube/gatehouse-token", "", "new\n", "new\n"},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, c.file)
		write := func(name, text string, mode os.FileMode) {
			t.Helper()
			if err := os.WriteFile(name, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if c.before != "" {
			write(file, c.before, 0o644)
		}
		write(filepath.Join(dir, "caddy"), "#!/bin/sh\ncat \"$HOME/printed\"\n", 0o700)
		run := func() error {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", documentedLines(t, c.lines))
			cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH")}
			return cmd.Run()
		}
		if err := run(); err == nil { // nothing is printed, and the status is not 0
			t.Errorf("%s: no error without a token", name)
		}
		if got, err := os.ReadFile(file); string(got) != c.before || (err == nil) != (c.before != "") {
			t.Errorf("%s: without a token the file is %q, %v", name, got, err)
		}
		write(filepath.Join(dir, "printed"), c.printed, 0o600)
		if err := run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: the file is %q, %v", name, got, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: its mode is %v, %v", name, info.Mode(), err)
		}
	}
}
