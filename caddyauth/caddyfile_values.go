package caddyauth

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// seenLines returns an error when an option is given again.
type seenLines map[string]bool

func (o seenLines) add(d *caddyfile.Dispenser, option string) error {
	if o[option] {
		return d.Errf("%s is given twice", option)
	}
	o[option] = true
	return nil
}

// block calls parse for each line of the block that follows, and refuses lines given twice unless repeat says so.
func block(d *caddyfile.Dispenser, parse func(option string) error, repeat ...string) error {
	seen := make(seenLines)
	owner := d.Val()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if !slices.Contains(repeat, option) {
			if err := seen.add(d, option); err != nil {
				return err
			}
		}
		if err := parse(option); err != nil {
			return err
		}
		if d.NextArg() {
			return d.Errf("%s %s: unexpected value %q", owner, option, d.Val())
		}
	}
	return nil
}

// oneArg reads exactly one argument.
func oneArg(d *caddyfile.Dispenser) (string, error) {
	var s string
	option, none := d.Val(), d.CountRemainingArgs() == 0
	if !d.AllArgs(&s) {
		return "", d.Errf("%s takes exactly one value%s", option, commentHint(none))
	}
	if s == "" {
		return "", d.Errf("%s: the value is empty; leave the line out for the default", option)
	}
	return s, nil
}

// someArgs reads one or more arguments.
func someArgs(d *caddyfile.Dispenser) ([]string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return nil, d.Errf("%s takes at least one value", option)
	}
	return args, nil
}

// commentHint tells those whose value is a comment to Caddy what to do.
func commentHint(none bool) string {
	if none {
		return "; put one that begins with # in quotes, since a comment begins there"
	}
	return ""
}

// noArgs refuses arguments.
func noArgs(d *caddyfile.Dispenser) error {
	if option := d.Val(); d.CountRemainingArgs() > 0 {
		return d.Errf("%s takes no value", option)
	}
	return nil
}

// durationArg reads one positive duration.
func durationArg(d *caddyfile.Dispenser, to *caddy.Duration) error {
	option := d.Val()
	s, err := oneArg(d)
	if err != nil {
		return err
	}
	v, err := caddy.ParseDuration(s)
	if err != nil || v <= 0 {
		return d.Errf("%s: %q is not a positive duration; write for example 30m, 12h or 7d", option, s)
	}
	*to = caddy.Duration(v)
	return nil
}

// countArg reads one positive whole number.
func countArg(d *caddyfile.Dispenser) (int, error) {
	option := d.Val()
	s, err := oneArg(d)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, d.Errf("%s: %q is not a positive whole number", option, s)
	}
	return n, nil
}

// repeated refuses a list that holds a value twice. Values are the same when key returns the same for them.
func repeated[T any](option string, list []T, key func(T) string) error {
	seen := make(map[string]bool)
	for _, v := range list {
		k := key(v)
		if seen[k] {
			return fmt.Errorf("%s: %q is given twice", option, k)
		}
		seen[k] = true
	}
	return nil
}

// same is the key of values that compare as they are.
func same(s string) string { return s }
