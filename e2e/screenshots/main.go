// Command screenshots takes the pictures of the documentation: a gate with a few accounts, in light and dark colors,
// on a desktop and on a phone.
//
//	go run ./screenshots <folder>
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

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
	return take(b, g, folder)
}

func populate(ctx context.Context, g *gate.Gate) error {
	for _, p := range people {
		_, err := g.Gatehouse(ctx, "a password for the pictures\n", "user", "add", p[0], "--name", p[1],
			"--email", p[0]+"@example.com", "--group", p[2], "--password-stdin")
		if err != nil {
			return err
		}
		if _, err := g.SignIn(g.Client(), p[0], "a password for the pictures"); err != nil {
			return err
		}
	}
	_, err := g.Gatehouse(ctx, "", "user", "disable", people[3][0])
	return err
}

func take(b *browser.Browser, g *gate.Gate, folder string) error {
	host := g.URL[len("http://"):]
	for suffix, view := range views {
		p := b.Open(reporter{}, view, host)
		p.Go(g.URL + "/")
		if err := write(folder, "login"+suffix, p.Picture()); err != nil {
			return err
		}
		p.Find("textbox", "Username or e-mail").Fill("ada")
		p.Find("textbox", "Password").Fill(gate.AdminPassword)
		p.Find("button", "Sign in").Follow()
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
