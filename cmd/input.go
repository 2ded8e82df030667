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

// maxInput bounds what is read as a password; a longer one is refused by the policy anyway.
const maxInput = 64 << 10

// newPassword asks for a new password twice, or reads it from standard input with --password-stdin.
func (c *call) newPassword() (string, error) {
	if c.readsStdin() {
		return c.stdinPassword()
	}
	if !term.IsTerminal(int(c.in.Fd())) {
		return "", errors.New("standard input is no terminal to ask for a password on: use --password-stdin")
	}
	first, err := c.ask("New password: ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errors.New("no password was entered; nothing was changed")
	}
	second, err := c.ask("Again: ")
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

// ask reads a line from the terminal without showing it.
func (c *call) ask(prompt string) (string, error) {
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
			_, _ = fmt.Fprintln(c.note)
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	_, _ = fmt.Fprint(c.note, prompt)
	line, err := term.ReadPassword(fd)
	_, _ = fmt.Fprintln(c.note)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(line), nil
}

// exitInterrupted is what shells report for a program that an interrupt ended.
const exitInterrupted = 130

// interactive reports whether there is somebody to ask.
func (c *call) interactive() bool { return term.IsTerminal(int(c.in.Fd())) }

// line asks for a line of text that may be seen.
func (c *call) line(prompt string) (string, error) {
	if !c.interactive() {
		return "", errors.New("standard input is no terminal to ask on")
	}
	_, _ = fmt.Fprint(c.note, prompt)
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

// confirm asks for the word before something that can't be undone. Without a terminal, --yes says it.
func (c *call) confirm(what, word string) error {
	if c.has("yes") {
		return nil
	}
	answer, err := c.line(fmt.Sprintf("%s This can't be undone. Type %q to go on: ", what, word))
	if err != nil {
		return fmt.Errorf("%w; use --yes to go on without a question", err)
	}
	if answer != word {
		return errors.New("that was not what was asked for; nothing was changed")
	}
	return nil
}
