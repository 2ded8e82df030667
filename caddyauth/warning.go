package caddyauth

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
)

// warning is what an operator should know of a configuration that works all the same.
type warning struct {
	place string // where it is: file and line, site > route > handler, or a path in JSON
	text  string
}

func (a *App) parseStrict(d *caddyfile.Dispenser) error {
	a.Strict = true
	return none(d)
}

// warn tells of something in a configuration while it is loaded. With `strict` it returns an error, which refuses the
// configuration. All warnings about a configuration come through here, and are kept for the pages that show them. What a
// start finds or changes in the store is none: it would keep a server from coming back for what happened while it ran.
func (a *App) warn(place, text string) error {
	if a.Strict {
		return fmt.Errorf("%s: %s (a warning, which strict makes an error)", place, text)
	}
	a.told = append(a.told, warning{place, text})
	a.log.Warn(text, zap.String("place", place))
	return nil
}
