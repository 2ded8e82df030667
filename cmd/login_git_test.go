package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The lines of docs/programs.md make git ask for a token once, and keep it; what they call is a call of this command.
func TestTheDocumentedLinesLetGitKeepAToken(t *testing.T) {
	doc, err := os.ReadFile("../docs/programs.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(doc)) {
		if strings.HasPrefix(line, "git config --global ") && strings.Contains(line, " credential.https://git.example.com.helper ") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 {
		t.Fatalf("documented are %q", lines)
	}
	dir := t.TempDir()
	const fake = "#!/bin/sh\necho \"$@\" >> \"$HOME/calls\"\ncase \"$*\" in *get) printf 'username=ada\\npassword=secret\\npassword_expiry_utc=99999999999\\n';; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "caddy"), []byte(fake), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(stdin string, command ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		cmd.Env = []string{"HOME=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "XDG_CACHE_HOME=" + dir}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", command, err, out)
		}
		return string(out)
	}
	run("", "git", "config", "--global", "credential.helper", "store") // of all sites, which writes to a disk
	for range 2 {                                                      // the lines may be run again
		for _, line := range lines {
			run("", "sh", "-c", line)
		}
	}
	defer run("", "git", "credential-cache", "exit")
	const asked = "protocol=https\nhost=git.example.com\n\n"
	given := run(asked, "git", "credential", "fill")
	if !strings.Contains(given, "password=secret\n") {
		t.Fatalf("git got %q", given)
	}
	run(given, "git", "credential", "approve")
	if again := run(asked, "git", "credential", "fill"); !strings.Contains(again, "password=secret\n") {
		t.Errorf("and then %q", again)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, ".git-credentials")); err == nil {
		t.Errorf("on the disk is %q", kept)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil || strings.Count(string(calls), " get\n") != 1 {
		t.Errorf("asked for: %q, %v", calls, err)
	}
	for line := range strings.Lines(string(calls)) {
		args := strings.Fields(line)
		cmd := loginCommand()
		if err := cmd.ParseFlags(args[2:]); err != nil || args[0] != "gatehouse" || args[1] != "login" || cmd.Args(cmd, cmd.Flags().Args()) != nil {
			t.Errorf("git calls %q: %v", line, err)
		}
	}
}
