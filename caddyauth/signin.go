package caddyauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// The option sign_in: which ways to sign in are offered, and whether passwords are one.

// SignInConfig says which ways to sign in there are.
type SignInConfig struct {
	// First is the name of a provider that people are sent to at once, without a sign-in page in between.
	First string `json:"first,omitempty"`
	// Passwords are `shown` on the sign-in page (default), `hidden` behind a link there, or `off`: refused but for the
	// managed administrator.
	Passwords string `json:"passwords,omitempty"`
}

// Values of Passwords.
const (
	passwordsShown  = "shown"
	passwordsHidden = "hidden"
	passwordsOff    = "off"
)

// signInOptions are the ways to sign in.
type signInOptions struct {
	signIn    web.SignIn
	passwords login.Passwords
}

func parseSignIn(a *App, d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.SignIn = &SignInConfig{}
	c := a.SignIn
	return block(d, func(option string) (err error) {
		switch option {
		case "first":
			if c.First, err = oneArg(d); err == nil {
				a.checkLater(d, a.checkFirst) // the provider may come later
			}
			return err
		case "passwords":
			if c.Passwords, err = oneArg(d); err != nil {
				return err
			}
			if err := c.checkPasswords(); err != nil {
				return d.WrapErr(err)
			}
			a.checkLater(d, a.checkOff)
			return nil
		}
		return d.Errf("unrecognized option %q; sign_in knows first and passwords", option)
	})
}

// checkLater has a check done when all lines of the global option are read. Its error has the present line.
func (a *App) checkLater(d *caddyfile.Dispenser, check func() error) {
	at := *d
	a.afterLines = append(a.afterLines, func() error {
		if err := check(); err != nil {
			return at.WrapErr(err)
		}
		return nil
	})
}

func (c *SignInConfig) checkPasswords() error {
	switch c.Passwords {
	case "", passwordsShown, passwordsHidden, passwordsOff:
		return nil
	}
	return fmt.Errorf("sign_in passwords: unknown value %q; use shown, hidden or off", c.Passwords)
}

// checkFirst refuses a first provider that is not configured.
func (a *App) checkFirst() error {
	var names []string
	for _, p := range a.OIDC {
		if p != nil {
			names = append(names, p.Name)
		}
	}
	first := a.SignIn.First
	switch {
	case first == "" || slices.Contains(names, first):
		return nil
	case len(names) == 0:
		return fmt.Errorf("sign_in first: there is no provider %q; add it with: oidc %s { … }", first, first)
	}
	return fmt.Errorf("sign_in first: there is no provider %q; write one of those that are configured (%s), or add it "+
		"with: oidc %s { … }", first, strings.Join(names, ", "), first)
}

// checkOff refuses to turn passwords off where nobody, or nobody in an emergency, could sign in.
func (a *App) checkOff() error {
	switch {
	case a.SignIn.Passwords != passwordsOff:
		return nil
	case len(a.OIDC) == 0:
		return errors.New("sign_in passwords off: there is no provider to sign in with; add one with oidc <name> { … }, " +
			"or use passwords shown")
	case a.Admin == nil || a.Admin.Mode != "managed":
		return errors.New("sign_in passwords off: nobody could sign in while the providers are down; write admin managed, " +
			"whose administrator keeps a password, or use passwords hidden")
	}
	return nil
}

func resolveSignIn(a *App, o *options) error {
	o.passwords = login.AllPasswords
	c := a.SignIn
	if c == nil {
		return nil
	}
	for _, check := range []func() error{c.checkPasswords, a.checkFirst, a.checkOff} {
		if err := check(); err != nil {
			return err
		}
	}
	o.signIn.First = c.First
	switch c.Passwords {
	case passwordsHidden:
		o.signIn.HidePasswords = true
	case passwordsOff:
		o.signIn.HidePasswords, o.passwords = true, login.ManagedPasswords
	}
	return nil
}

func signInSettings(a *App, s *settings) {
	c := a.SignIn
	if c == nil {
		c = &SignInConfig{}
	}
	passwords := c.Passwords
	if passwords == "" {
		passwords = passwordsShown
	}
	s.add("sign_in", "first", c.First, c.First == "")
	s.add("sign_in", "passwords", passwords, c.Passwords == "")
}
