package caddyauth

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Each option of the configuration has a file named after it, with all there is of it: the struct that is its JSON
// form, the parser of its Caddyfile form, the checks, and the rows that the admin pages show of it. A further option
// within one is written there; a further file joins App or Gate, [appLines] or [gateLines], and [sections].
//
// The Caddyfile is read into these structs, they are written as JSON, and nothing is parsed twice. Values that may be
// secret hold placeholders; what they stand for goes to [options], so that Caddy's /config/ never shows it.

// options are the configuration with defaults filled in, checked, and placeholders replaced. They are never written
// back to fields that have a JSON name: Caddy shows those.
type options struct {
	store storeOptions
	adminOptions
	sessionOptions
	signInOptions
	tokenOptions
	passwordOptions
	mfaOptions
	throttleOptions
	auditOptions
	pagesOptions
	cacheOptions
	brandOptions
	oidcOptions
	tokenIssuerOptions
}

// section is what belongs to an option besides its parser.
type section struct {
	resolve  func(*App, *options) error // checks it, fills in defaults and replaces placeholders
	settings func(*App, *settings)      // lists what is in force
}

// sections of the global option, in the order of checks and of the admin pages.
var sections = []section{
	{resolveStore, storeSettings},
	{resolveAdmin, adminSettings},
	{resolveSession, sessionSettings},
	{resolveTokens, tokensSettings},
	{resolvePassword, passwordSettings},
	{resolveMFA, mfaSettings},
	{resolvePasskeys, passkeySettings},
	{resolveThrottle, throttleSettings},
	{resolveAudit, auditSettings},
	{resolvePages, pagesSettings},
	{resolveCacheHeaders, cacheHeadersSettings},
	{resolveBrand, brandSettings},
	{resolveOIDC, oidcSettings},
	{resolveTokenIssuers, tokenIssuerSettings},
	{resolveSignIn, signInSettings},
	{resolveStrict, strictSettings},
}

// Resolve fills in defaults, replaces placeholders and checks every value. It reads files that the configuration
// names and changes nothing. It returns the first problem as an error that names the option.
func (a *App) Resolve() error {
	o := &options{}
	for _, s := range sections {
		if err := s.resolve(a, o); err != nil {
			return err
		}
	}
	o.seed.Title = o.title // a password that is just the site's name is refused
	a.opt = o
	return nil
}

// check resolves an option as far as it has been read, so that an error has its line. It is for options without
// placeholders, which only the server can replace.
func (a *App) check(d *caddyfile.Dispenser, resolve func(*App, *options) error) error {
	if err := resolve(a, &options{}); err != nil {
		return d.WrapErr(err)
	}
	return nil
}
