// Command screenshots takes the pictures of the documentation: a gate with a few accounts, in light and dark colors,
// on a desktop and on a phone.
//
//	go run ./screenshots <folder>
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// views of each page, with the suffix of the file name.
var views = map[string]browser.View{
	"-light":       {Width: 1120, Height: 720, Calm: true},
	"-dark":        {Width: 1120, Height: 720, Calm: true, Dark: true},
	"-phone-light": {Width: 390, Height: 720, Phone: true, Calm: true, Scale: 2},
	"-phone-dark":  {Width: 390, Height: 720, Phone: true, Calm: true, Scale: 2, Dark: true},
}

// pages for a signed-in user, with the prefix of the file name.
var pages = map[string]string{
	"account":  "/_auth/account",
	"sessions": "/_auth/account/sessions",
	"users":    "/_auth/admin/users",
}

// people are the users besides the administrator: username, name, group.
var people = [][3]string{
	{"grace", "Grace Hopper", "staff"},
	{"edsger", "Edsger Dijkstra", "staff"},
	{"barbara", "Barbara Liskov", "board"},
	{"donald", "Donald Knuth", "staff"},
	{"radia", "Radia Perlman", "board"},
}

// password of people.
const password = "a password for the pictures"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: screenshots <folder>")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

// failure is an error that the browser reports, recovered in run.
type failure struct{ error }

type reporter struct{}

func (reporter) Helper() {}

func (reporter) Errorf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (reporter) Fatalf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func run(ctx context.Context, folder string) (err error) {
	defer func() {
		if f, ok := recover().(failure); ok {
			err = f.error
		}
	}()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gatehouse-screenshots")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	g, err := gate.Start(ctx, dir, gate.Options{Global: `brand {
		title "Example Ltd"
		support mailto:help@example.com
	}`, Env: []string{"ADMIN_USER=ada", "ADMIN_EMAIL=ada@example.com", "ADMIN_NAME=Ada Lovelace"}})
	if err != nil {
		return err
	}
	defer func() { _ = g.Stop() }()
	if err := populate(ctx, g); err != nil {
		return err
	}
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := take(b, g, folder); err != nil {
		return err
	}
	return takeFactors(ctx, b, g, folder)
}

func populate(ctx context.Context, g *gate.Gate) error {
	for _, p := range people {
		_, err := g.Gatehouse(ctx, password+"\n", "user", "add", p[0], "--name", p[1],
			"--email", p[0]+"@example.com", "--group", p[2], "--password-stdin")
		if err != nil {
			return err
		}
		if _, err := g.SignIn(g.Client(), p[0], password); err != nil {
			return err
		}
	}
	_, err := g.Gatehouse(ctx, "", "user", "disable", people[3][0])
	return err
}

// takeFactors takes the pages of somebody who has an authenticator app and a passkey.
func takeFactors(ctx context.Context, b *browser.Browser, g *gate.Gate, folder string) error {
	p := b.Open(reporter{}, browser.View{Calm: true}, g.URL[len("http://"):])
	p.Plug(browser.Platform())
	p.Go(g.URL + "/_auth/account/two-factor")
	submitSignIn(p, people[0][0], password)
	p.Find("button", "Set up an authenticator app").Follow()
	_, secret, _ := strings.Cut(p.Find("link", "Open it in an app.*").Attr("href"), "secret=")
	code, err := exec.CommandContext(ctx, "oathtool", "--totp", "--base32", secret).Output()
	if err != nil {
		return fmt.Errorf("oathtool (make prepare installs it): %w", err)
	}
	p.Find("textbox", "Code").Fill(strings.TrimSpace(string(code)))
	p.Find("textbox", "Name.*").Fill("Phone")
	p.Find("button", "Confirm").Follow()
	p.Find("checkbox", "I have saved these codes").Click()
	p.Find("button", "Confirm").Follow()
	p.Go(g.URL + "/_auth/account/passkeys")
	p.Find("textbox", "Name.*").Fill("Laptop")
	p.Loads(func() { p.Find("button", "Create a passkey").Click() })
	p.Go(g.URL + "/_auth/account/two-factor")
	if err := look(p, folder, "second-factors"); err != nil {
		return err
	}
	p.Close()
	p = b.Open(reporter{}, browser.View{Calm: true}, g.URL[len("http://"):])
	p.Go(g.URL + "/")
	submitSignIn(p, people[0][0], password)
	defer p.Close()
	return look(p, folder, "second-step")
}

// look takes pictures of what a page shows, in all views.
func look(p *browser.Page, folder, name string) error {
	for suffix, view := range views {
		p.Look(view)
		if err := write(folder, name+suffix, p.Picture()); err != nil {
			return err
		}
	}
	return nil
}

func submitSignIn(p *browser.Page, username, password string) {
	p.Find("textbox", "Username or e-mail").Fill(username)
	p.Find("textbox", "Password").Fill(password)
	p.Find("button", "Sign in").Follow()
}

func take(b *browser.Browser, g *gate.Gate, folder string) error {
	host := g.URL[len("http://"):]
	for suffix, view := range views {
		p := b.Open(reporter{}, view, host)
		p.Go(g.URL + "/")
		if err := write(folder, "login"+suffix, p.Picture()); err != nil {
			return err
		}
		submitSignIn(p, "ada", gate.AdminPassword)
		for name, path := range pages {
			p.Go(g.URL + path)
			if err := write(folder, name+suffix, p.Picture()); err != nil {
				return err
			}
		}
		p.Clean()
		p.Close()
	}
	return nil
}

func write(folder, name string, picture []byte) error {
	path := filepath.Join(folder, name+".png")
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}
