package cmd_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// runCaddy runs the command in an environment of its own; it has to succeed.
func runCaddy(t *testing.T, args ...string) {
	t.Helper()
	c := exec.Command("caddy", args...)
	c.Dir = t.TempDir()
	c.Env = cleanEnv(c.Dir)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("caddy %v: %v: %s", args, err, &stderr)
	}
}

// cleanEnv returns an environment with only PATH and the race detector's options of this machine.
func cleanEnv(home string) []string {
	return []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"),
		"CADDY_ADMIN=unix/" + home + "/admin.sock",
	}
}
