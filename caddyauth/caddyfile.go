package caddyauth

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("gatehouse", parseApp)
	httpcaddyfile.RegisterDirective("gatehouse", parseGate)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse", httpcaddyfile.Before, "basic_auth")
}

// parseApp reads the global option.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("the global option gatehouse is given twice; put everything in one block")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "gatehouse", Value: caddyconfig.JSON(app, nil)}, nil
}

// parseGate reads the site directive. The matcher goes into the handler, not onto its route: the handler has to see
// every request of the site.
func parseGate(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	gate := &Gate{At: h.File() + ":" + strconv.Itoa(h.Line())}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, h.Errf("%v", err) // Caddy's own error names no line
	}
	if err := gate.read(h.Dispenser, providerNames(h.Option("gatehouse"))); err != nil {
		return nil, err
	}
	if len(matcher) > 0 {
		gate.MatcherSetsRaw = caddyhttp.RawMatcherSets{matcher}
	}
	return h.NewRoute(nil, gate), nil
}

// providerNames returns whom people can sign in through, by the global option.
func providerNames(option any) []string {
	app, _ := option.(httpcaddyfile.App)
	global := new(App)
	if err := json.Unmarshal(app.Value, global); err != nil { // there is no global option
		global = new(App)
	}
	return global.providerNames()
}

// once returns an error when an option is given again.
type once map[string]bool

func (o once) take(d *caddyfile.Dispenser, option string) error {
	if o[option] {
		return d.Errf("%s is given twice", option)
	}
	o[option] = true
	return nil
}

// one reads exactly one argument.
func one(d *caddyfile.Dispenser) (string, error) {
	var s string
	option := d.Val()
	if !d.AllArgs(&s) {
		return "", d.Errf("%s takes exactly one value", option)
	}
	if s == "" {
		return "", d.Errf("%s: the value is empty; leave the line out for the default", option)
	}
	return s, nil
}

// many reads one or more arguments.
func many(d *caddyfile.Dispenser) ([]string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return nil, d.Errf("%s takes at least one value", option)
	}
	return args, nil
}

// none refuses arguments.
func none(d *caddyfile.Dispenser) error {
	if option := d.Val(); d.CountRemainingArgs() > 0 {
		return d.Errf("%s takes no value", option)
	}
	return nil
}

// block calls parse for each line of the block that follows, and refuses lines given twice unless repeat says so.
func block(d *caddyfile.Dispenser, parse func(option string) error, repeat ...string) error {
	seen := make(once)
	owner := d.Val()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if !slices.Contains(repeat, option) {
			if err := seen.take(d, option); err != nil {
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

// UnmarshalCaddyfile reads the site directive:
//
//	gatehouse [<matcher>] {
//		public   <path>…
//		optional <path>…
//		require  role|group|user|email|domain|provider <value>…
//		api      <path>…
//		header   <Name> user|id|email|name|groups|role|provider
//		allow_preflight
//	}
func (g *Gate) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return g.read(d, nil) }

// read reads the directive where these providers are configured; nil where that is not known.
func (g *Gate) read(d *caddyfile.Dispenser, providers []string) error {
	d.Next()
	if d.CountRemainingArgs() > 0 {
		d.NextArg()
		return d.Errf("unexpected value %q; a matcher comes first and begins with '/', '@' or is '*'", d.Val())
	}
	return block(d, func(option string) error {
		if err := g.parseLine(d, option); err != nil || providers == nil || option != "require" {
			return err
		}
		if err := knownProviders(g.Require[len(g.Require)-1], providers); err != nil {
			return d.WrapErr(err)
		}
		return nil
	}, "public", "optional", "api", "require", "header")
}

func (g *Gate) parseLine(d *caddyfile.Dispenser, option string) error {
	switch option {
	case "public":
		return g.parsePaths(d, &g.Public)
	case "optional":
		return g.parsePaths(d, &g.Optional)
	case "api":
		return g.parsePaths(d, &g.API)
	case "require":
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.Err("require takes a field and at least one value, such as: require group staff")
		}
		rule := Rule{Field: policy.Field(args[0]), Values: args[1:]}
		if err := rule.Validate(); err != nil {
			return d.WrapErr(err)
		}
		g.Require = append(g.Require, rule)
		if err := g.checkRequire(); err != nil {
			return d.WrapErr(err)
		}
		return nil
	case "header":
		var h HeaderConfig
		if !d.AllArgs(&h.Name, &h.Value) {
			return d.Err("header takes a name and one of user, id, email, name, groups, role, provider")
		}
		g.Headers = append(g.Headers, h)
		if _, err := newHeaders(g.Headers); err != nil {
			return d.WrapErr(err)
		}
		if err := g.checkHeaders(); err != nil {
			return d.WrapErr(err)
		}
		return nil
	case "allow_preflight":
		g.AllowPreflight = true
		return none(d)
	default:
		return d.Errf("unrecognized option %q; gatehouse knows public, optional, require, api, header and allow_preflight", option)
	}
}

// parsePaths reads path rules and checks them where the line number is known.
func (g *Gate) parsePaths(d *caddyfile.Dispenser, to *[]string) error {
	args, err := many(d)
	if err != nil {
		return err
	}
	*to = append(*to, args...)
	if err := g.checkPaths(); err != nil {
		return d.WrapErr(err)
	}
	if _, err := policy.NewPaths(args); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Gate)(nil)
)
