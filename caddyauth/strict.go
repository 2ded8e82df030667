package caddyauth

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
)

func parseStrict(a *App, d *caddyfile.Dispenser) error {
	a.Strict = true
	return noArgs(d)
}

// warn logs what an operator should know of a configuration that works all the same. place is where it is: file and
// line, site > route > handler, or a path in JSON. With `strict` it returns an error, which refuses the configuration.
// All warnings about a configuration go through here. What a start finds or changes in the store is none: with `strict`
// the server could not start again after what happened while it ran.
func (a *App) warn(place, text string) error {
	if a.Strict {
		return fmt.Errorf("%s: %s (a warning, which strict makes an error)", place, text)
	}
	a.log.Warn(text, zap.String("place", place))
	return nil
}
