package caddyauth

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func parseStrict(a *App, d *caddyfile.Dispenser) error {
	a.Strict = true
	return noArgs(d)
}

// resolveStrict has nothing to check.
func resolveStrict(*App, *options) error { return nil }

// warn logs what an operator should know of a configuration that works all the same. place is where it is: file and
// line, site > route > handler, or a path in JSON. With `strict` it returns an error, which refuses the configuration.
// All warnings about a configuration go through here, and stand on the admin pages, too. What a start finds or changes
// in the store is none: with `strict` the server could not start again after what happened while it ran.
func (a *App) warn(place, text string) error {
	if a.Strict {
		return fmt.Errorf("%s: %s (a warning, which strict makes an error)", place, text)
	}
	a.log.Warn(text, zap.String("place", place))
	a.notes = append(a.notes, admin.Note{Place: place, Text: text})
	return nil
}

func strictSettings(a *App, s *settings) { s.add("", "strict", onOff(a.Strict), !a.Strict) }
