package caddyauth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/login"
)

// ThrottleConfig bounds how fast passwords may be tried.
type ThrottleConfig struct {
	// Free wrong passwords for one account before it gets slower; default 5.
	Free int `json:"free,omitempty"`
	// Longest is the longest wait; default 15m.
	Longest caddy.Duration `json:"longest,omitempty"`
	// ClientAttempts of one client address in ClientWindow; default 30 in 1m.
	ClientAttempts int `json:"client_attempts,omitempty"`
	// ClientWindow is the time for ClientAttempts.
	ClientWindow caddy.Duration `json:"client_window,omitempty"`
}

// throttleOptions bound the attempts.
type throttleOptions struct {
	throttle login.Limits
}

func parseThrottle(a *App, d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.Throttle = &ThrottleConfig{}
	return block(d, func(option string) (err error) {
		switch option {
		case "free":
			if a.Throttle.Free, err = countArg(d); err != nil {
				return err
			}
			return a.check(d, resolveThrottle)
		case "longest":
			return durationArg(d, &a.Throttle.Longest)
		case "client":
			s, err := oneArg(d)
			if err != nil {
				return err
			}
			if a.Throttle.ClientAttempts, a.Throttle.ClientWindow, err = parseRate(s); err != nil {
				return d.WrapErr(err)
			}
			return a.check(d, resolveThrottle)
		}
		return d.Errf("unrecognized option %q; throttle knows free, longest and client", option)
	})
}

// parseRate reads "30/1m".
func parseRate(s string) (int, caddy.Duration, error) {
	count, window, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	w, err2 := caddy.ParseDuration(window)
	if !ok || err != nil || err2 != nil || n < 1 || w <= 0 {
		return 0, 0, fmt.Errorf("client: %q is not attempts per time; write for example 30/1m", s)
	}
	return n, caddy.Duration(w), nil
}

// A store counts in windows of a microsecond or more, its unit of time; less than a millisecond is a slip of the unit.
const (
	minClientWindow   = time.Millisecond
	maxClientAttempts = 1_000_000
)

func resolveThrottle(a *App, o *options) error {
	o.throttle = login.DefaultLimits
	c := a.Throttle
	if c == nil {
		return nil
	}
	switch {
	case c.Free < 0, c.ClientAttempts < 0:
		return errors.New("throttle: counts must be positive")
	case c.Longest < 0, c.ClientWindow < 0:
		return errors.New("throttle: durations must be positive")
	case c.Free > 100:
		return fmt.Errorf("throttle free: %d; use 1 to 100", c.Free)
	case (c.ClientAttempts == 0) != (c.ClientWindow == 0):
		return errors.New("throttle client: give both a count and a window, such as 30/1m")
	case c.ClientAttempts > maxClientAttempts:
		return fmt.Errorf("throttle client: %d attempts; use 1 to %d", c.ClientAttempts, maxClientAttempts)
	case c.ClientWindow != 0 && time.Duration(c.ClientWindow) < minClientWindow:
		return fmt.Errorf("throttle client: a window of %v is too short to count in; use %v or "+
			"more", time.Duration(c.ClientWindow), minClientWindow)
	}
	if c.Free > 0 {
		o.throttle.FreeAttempts = c.Free
	}
	if c.Longest > 0 {
		o.throttle.MaxWait = time.Duration(c.Longest)
	}
	if c.ClientAttempts > 0 {
		o.throttle.Client, o.throttle.Window = c.ClientAttempts, time.Duration(c.ClientWindow)
	}
	return nil
}

func throttleSettings(a *App, s *settings) {
	t, d := a.opt.throttle, login.DefaultLimits
	s.add("throttle", "free", strconv.Itoa(t.FreeAttempts), t.FreeAttempts == d.FreeAttempts)
	s.add("throttle", "longest", span(t.MaxWait), t.MaxWait == d.MaxWait)
	s.add("throttle", "client", strconv.Itoa(t.Client)+"/"+span(t.Window), t.Client == d.Client && t.Window == d.Window)
}
