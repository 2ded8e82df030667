package caddyauth

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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
	gate := &Gate{At: h.File() + ":" + strconv.Itoa(h.Line()), global: globalOption(h.Option("gatehouse"))}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, h.Errf("%v", err) // Caddy's own error names no line
	}
	if err := gate.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	if len(matcher) > 0 {
		gate.MatcherSetsRaw = caddyhttp.RawMatcherSets{matcher}
	}
	return h.NewRoute(nil, gate), nil
}

// globalOption returns the global option as it was read, for what `require` may ask for.
func globalOption(option any) *App {
	app, _ := option.(httpcaddyfile.App)
	global := new(App)
	if err := json.Unmarshal(app.Value, global); err != nil { // there is none
		global = new(App)
	}
	return global
}

// line is one line that may stand in a block of ours.
type line[T any] struct {
	name  string
	parse func(T, *caddyfile.Dispenser) error
	more  bool // may be given more than once
}

// appLines may stand in the global option. Errors name them in this order.
var appLines = []line[*App]{
	{name: "store", parse: parseStore},
	{name: "admin", parse: parseAdmin},
	{name: "oidc", parse: parseOIDC, more: true},
	{name: "token_issuer", parse: parseTokenIssuer, more: true},
	{name: "sign_in", parse: parseSignIn},
	{name: "session", parse: parseSession},
	{name: "tokens", parse: parseTokens},
	{name: "password", parse: parsePassword},
	{name: "mfa", parse: parseMFA},
	{name: "throttle", parse: parseThrottle},
	{name: "audit", parse: parseAudit},
	{name: "prefix", parse: parsePrefix},
	{name: "admin_host", parse: parseAdminHost, more: true},
	{name: "language", parse: parseLanguage},
	{name: "brand", parse: parseBrand},
	{name: "trust_return", parse: parseTrustReturn, more: true},
	{name: "strict", parse: parseStrict},
	{name: "forwarded_host", parse: parseForwardedHost},
	{name: "cache_headers", parse: parseCacheHeaders},
}

// gateLines may stand in the site directive. Errors name them in this order.
var gateLines = []line[*Gate]{
	{name: "public", parse: (*Gate).parsePublic, more: true},
	{name: "optional", parse: (*Gate).parseOptional, more: true},
	{name: "require", parse: (*Gate).parseRequire, more: true},
	{name: "api", parse: (*Gate).parseAPI, more: true},
	{name: "header", parse: (*Gate).parseHeader, more: true},
	{name: "assertion", parse: (*Gate).parseAssertion},
	{name: "send_groups", parse: (*Gate).parseSendGroups},
	{name: "send_groups_prefix", parse: (*Gate).parseSendGroupsPrefix},
	{name: "allow_preflight", parse: (*Gate).parsePreflight},
	{name: "cors", parse: (*Gate).parseCORS, more: true},
	{name: "upgrade", parse: (*Gate).parseUpgrade, more: true},
	{name: "tokens", parse: (*Gate).parseGateTokens, more: true},
	{name: "basic", parse: (*Gate).parseBasic, more: true},
	{name: "pass_token", parse: (*Gate).parsePassToken},
}

// parseLines reads a block of ours into what these lines fill.
func parseLines[T any](d *caddyfile.Dispenser, into T, lines []line[T]) error {
	var names, more []string
	for _, l := range lines {
		names = append(names, l.name)
		if l.more {
			more = append(more, l.name)
		}
	}
	return block(d, func(option string) error {
		i := slices.Index(names, option)
		if i < 0 {
			last := len(names) - 1
			known := strings.Join(names[:last], ", ") + " and " + names[last]
			if place := elsewhere(option); place != "" {
				return d.Errf("%s does not belong here: it is an option of %s", option, place)
			}
			return d.Errf("unrecognized option %q; gatehouse knows %s", option, known)
		}
		return lines[i].parse(into, d)
	}, more...)
}

// elsewhere returns where an option belongs that stands in another block of ours, "" for none that there is.
func elsewhere(option string) string {
	if slices.ContainsFunc(gateLines, func(l line[*Gate]) bool { return l.name == option }) {
		return "the site directive, in the site's own block: app.example.com { gatehouse { " + option + " … } }"
	}
	if slices.ContainsFunc(appLines, func(l line[*App]) bool { return l.name == option }) {
		return "the global option, at the top of the Caddyfile: { gatehouse { " + option + " … } }"
	}
	for block, options := range innerOptions {
		if slices.Contains(options, option) {
			return "the block " + block + " of the global option: { gatehouse { " + block + " { " + option + " … } } }"
		}
	}
	return ""
}

// innerOptions are options of blocks within the global option, whose names say by themselves what they are.
var innerOptions = map[string][]string{
	"session":  {"idle", "absolute", "remember", "cookie_domain", "cookie_name", "store_grace"},
	"sign_in":  {"first", "passwords"},
	"password": {"min_length", "argon2id"},
	"mfa":      {"grace"},
	"throttle": {"free", "longest", "client"},
	"brand":    {"title", "logo", "accent", "support"},
	"admin":    {"env_prefix", "force_sync", "former_admin", "password_file", "password_hash"},
	"oidc":     {"issuer", "client_id", "client_secret", "client_secret_file", "scopes", "admin_group"},

	"token_issuer": {"jwks", "max_age"},
}

// UnmarshalCaddyfile reads the global option. Everything that can be checked without the server's environment is
// checked here, where file and line are known.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if err := noArgs(d); err != nil {
		return err
	}
	if err := parseLines(d, a, appLines); err != nil {
		return err
	}
	for _, check := range a.afterLines {
		if err := check(); err != nil {
			return err
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
//		require  mfa [passkey]
//		require  fresh <duration> [mfa]
//		api      <path>…
//		header   <Name> user|id|email|name|groups|role|provider|amr|acr|auth_time|mfa_time
//		assertion [<Name>] { … }
//		allow_preflight
//		cors     <origin>…
//		upgrade  <name>…
//	}
func (g *Gate) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.CountRemainingArgs() > 0 {
		d.NextArg()
		return d.Errf("unexpected value %q; a matcher comes first and begins with '/', '@' or is '*'", d.Val())
	}
	return parseLines(d, g, gateLines)
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Gate)(nil)
)
