package caddyauth

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/account"
)

// TokensConfig switches tokens of programs on: pages, API and command line.
type TokensConfig struct {
	// Expiry is what the form offers; default 90d, or MaxExpiry where that is less.
	Expiry caddy.Duration `json:"expiry,omitempty"`
	// MaxExpiry is the longest life of a token; default 366d.
	MaxExpiry caddy.Duration `json:"max_expiry,omitempty"`
	// NoExpiry says whose tokens may never expire: off (default), service or on.
	NoExpiry string `json:"no_expiry,omitempty"`
	// PerUser is how many live tokens an account may have; default 50.
	PerUser int `json:"per_user,omitempty"`
	// Device lets programs sign in with a code that their owners approve in a browser (RFC 8628).
	Device bool `json:"device,omitempty"`
}

// tokenOptions are the options of tokens.
type tokenOptions struct {
	tokens *account.TokenLimits // nil: there are no tokens
}

func parseTokens(a *App, d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.Tokens = &TokensConfig{}
	err := block(d, func(option string) (err error) {
		switch option {
		case "expiry":
			return durationArg(d, &a.Tokens.Expiry)
		case "max_expiry":
			return durationArg(d, &a.Tokens.MaxExpiry)
		case "no_expiry":
			if a.Tokens.NoExpiry, err = oneArg(d); err != nil {
				return err
			}
			return a.check(d, resolveTokens)
		case "per_user":
			if a.Tokens.PerUser, err = countArg(d); err != nil {
				return err
			}
			return a.check(d, resolveTokens)
		case "device":
			a.Tokens.Device = true
			return noArgs(d)
		}
		return d.Errf("unrecognized option %q; tokens knows expiry, max_expiry, no_expiry, per_user and device", option)
	})
	if err != nil {
		return err
	}
	return a.check(d, resolveTokens)
}

// maxPerUser bounds how many tokens one account may have: each change of the account looks at all of them.
const maxPerUser = 10_000

func resolveTokens(a *App, o *options) error {
	c := a.Tokens
	if c == nil {
		return nil
	}
	limits := account.DefaultTokenLimits
	if c.Expiry < 0 || c.MaxExpiry < 0 {
		return errors.New("tokens: durations must be positive")
	}
	if c.MaxExpiry > 0 {
		limits.MaxExpiry = time.Duration(c.MaxExpiry)
	}
	limits.Expiry = min(limits.Expiry, limits.MaxExpiry)
	if c.Expiry > 0 {
		limits.Expiry = time.Duration(c.Expiry)
	}
	switch {
	case limits.Expiry > limits.MaxExpiry:
		return fmt.Errorf("tokens expiry: %s is longer than max_expiry, %s; give max_expiry as well", span(limits.Expiry),
			span(limits.MaxExpiry))
	case c.PerUser < 0 || c.PerUser > maxPerUser:
		return fmt.Errorf("tokens per_user: %d; use 1 to %d", c.PerUser, maxPerUser)
	case c.PerUser > 0:
		limits.PerUser = c.PerUser
	}
	limits.Device = c.Device
	var err error
	limits.NoExpiry, err = noExpiry(c.NoExpiry)
	o.tokens = &limits
	return err
}

func noExpiry(word string) (account.NoExpiry, error) {
	switch word {
	case "", "off":
		return account.NoExpiryForNobody, nil
	case "service":
		return account.NoExpiryForServices, nil
	case "on":
		return account.NoExpiryForAll, nil
	}
	return 0, fmt.Errorf("tokens no_expiry: %q; use off, service (for service accounts) or on", word)
}

func tokensSettings(a *App, s *settings) {
	t, d := a.opt.tokens, account.DefaultTokenLimits
	if t == nil {
		s.add("tokens", "", "off", true)
		return
	}
	s.add("tokens", "expiry", span(t.Expiry), t.Expiry == d.Expiry)
	s.add("tokens", "max_expiry", span(t.MaxExpiry), t.MaxExpiry == d.MaxExpiry)
	s.add("tokens", "no_expiry", cmp.Or(a.Tokens.NoExpiry, "off"), t.NoExpiry == d.NoExpiry)
	s.add("tokens", "per_user", strconv.Itoa(t.PerUser), t.PerUser == d.PerUser)
	s.add("tokens", "device", onOff(t.Device), !t.Device)
}
