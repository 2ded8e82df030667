package cmd_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo-terminal: the test's and the program's.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// waitEcho waits until the terminal's echo is on or off.
func waitEcho(t *testing.T, tty *os.File, want bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if (state.Lflag&unix.ECHO != 0) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the terminal never came to echo=%v", want)
		}
	}
}

// startPrompt starts a program that asks for a new password, and returns its standard error.
func startPrompt(t *testing.T, theirs *os.File) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	c := exec.Command("caddy", "gatehouse", "user", "add", "ada", "--new-store", "--store", filepath.Join(t.TempDir(), "gate.db"))
	c.Dir = t.TempDir()
	c.Env = cleanEnv(c.Dir)
	c.Stdin = theirs
	stderr, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	return c, bufio.NewReader(stderr)
}

func TestThePasswordPromptHasNoEcho(t *testing.T) {
	t.Parallel()
	ours, theirs := openTerminal(t)
	c, stderr := startPrompt(t, theirs)
	const secret = "seven quiet otters 42"
	for _, prompt := range []string{"New password: ", "Again: "} {
		readUntil(t, stderr, prompt)
		waitEcho(t, theirs, false)
		if _, err := io.WriteString(ours, secret+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	said, err := io.ReadAll(stderr)
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	waitEcho(t, theirs, true)
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(ours) // ends with an error when the other end is closed
	if strings.Contains(string(shown), "otters") || strings.Contains(string(said), "otters") {
		t.Errorf("the password was shown: %q %q", shown, said)
	}
}

// readUntil reads up to a prompt.
func readUntil(t *testing.T, r *bufio.Reader, prompt string) {
	t.Helper()
	var said strings.Builder
	for !strings.HasSuffix(said.String(), prompt) {
		b, err := r.ReadByte()
		if err != nil {
			t.Fatalf("%v before %q: %s", err, prompt, said.String())
		}
		said.WriteByte(b)
	}
}

func TestAnInterruptedPromptRestoresTheTerminal(t *testing.T) {
	t.Parallel()
	_, theirs := openTerminal(t)
	c, stderr := startPrompt(t, theirs)
	readUntil(t, stderr, "New password: ")
	waitEcho(t, theirs, false)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != 130 {
		t.Errorf("exit code %d, want 130", c.ProcessState.ExitCode())
	}
	waitEcho(t, theirs, true)
}
