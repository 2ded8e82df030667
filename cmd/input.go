package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// maxInput bounds the input read as a password; the policy rejects a longer one anyway.
const maxInput = 64 << 10

// newPassword asks for a new password twice, or reads it from standard input with --password-stdin.
func (c *call) newPassword() (string, error) {
	if c.readsStdin() {
		return c.stdinPassword()
	}
	if !term.IsTerminal(int(c.in.Fd())) {
		return "", errors.New("standard input is no terminal to ask for a password on: use --password-stdin")
	}
	first, err := c.askPassword("New password: ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errors.New("no password was entered; nothing was changed")
	}
	second, err := c.askPassword("Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords are not the same; nothing was changed")
	}
	return first, nil
}

// stdinPassword reads all of standard input and drops one trailing newline, which `echo` and editors add.
func (c *call) stdinPassword() (string, error) {
	data, err := io.ReadAll(io.LimitReader(c.in, maxInput+1))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	if len(data) > maxInput {
		return "", errors.New("what came on standard input is too long for a password")
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if s == "" {
		return "", errors.New("no password came on standard input")
	}
	return s, nil
}

// askPassword reads a line from the terminal without echo.
func (c *call) askPassword(prompt string) (string, error) {
	fd := int(c.in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("asking for a password: %w", err)
	}
	// An interrupt would leave the terminal without echo.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	defer close(done)
	defer signal.Stop(stop)
	go func() {
		select {
		case <-stop:
			_ = term.Restore(fd, state)
			_, _ = fmt.Fprintln(c.stderr)
			os.Exit(exitInterrupted) //nolint:forbidigo,revive // the terminal is restored, and nobody waits for a result
		case <-done:
		}
	}()
	_, _ = fmt.Fprint(c.stderr, prompt)
	line, err := term.ReadPassword(fd)
	_, _ = fmt.Fprintln(c.stderr)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(line), nil
}

// exitInterrupted is the exit code that shells report for an interrupted program.
const exitInterrupted = 130

// interactive reports whether standard input is a terminal.
func (c *call) interactive() bool { return term.IsTerminal(int(c.in.Fd())) }

// readLine reads a line from the terminal with echo.
func (c *call) readLine(prompt string) (string, error) {
	if !c.interactive() {
		return "", errors.New("standard input is no terminal to ask on")
	}
	_, _ = fmt.Fprint(c.stderr, prompt)
	var b strings.Builder
	buf := make([]byte, 1)
	for b.Len() < maxInput { // byte by byte: what follows the line belongs to the next prompt
		n, err := c.in.Read(buf)
		if n == 1 {
			if buf[0] == '\n' {
				break
			}
			b.WriteByte(buf[0])
			continue
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("reading the answer: %w", err)
		}
	}
	return strings.TrimSpace(b.String()), nil
}

// confirm asks to type word before an action that can't be undone. Without a terminal, --yes confirms.
func (c *call) confirm(what, word string) error {
	if c.boolFlag("yes") {
		return nil
	}
	input, err := c.readLine(fmt.Sprintf("%s This can't be undone. Type %q to go on: ", what, word))
	if err != nil {
		return fmt.Errorf("%w; use --yes to go on without a question", err)
	}
	if input != word {
		return errors.New("that was not what was asked for; nothing was changed")
	}
	return nil
}
