package caddyauth

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// The options about our own pages as a whole: prefix, language, admin_host, trust_return and forwarded_host.

// pagesOptions say where our pages are, and in which language.
type pagesOptions struct {
	prefix        string
	adminHosts    []reqctx.Host
	language      string
	trustReturn   []string
	forwardedHost bool // X-Forwarded-Host of trusted proxies names the site
}

func parsePrefix(a *App, d *caddyfile.Dispenser) (err error) {
	if a.Prefix, err = oneArg(d); err != nil {
		return err
	}
	return a.check(d, resolvePages)
}

func parseLanguage(a *App, d *caddyfile.Dispenser) (err error) {
	if a.Language, err = oneArg(d); err != nil {
		return err
	}
	return a.check(d, resolvePages)
}

func parseAdminHost(a *App, d *caddyfile.Dispenser) error { return a.parseHosts(d, &a.AdminHosts) }

func parseTrustReturn(a *App, d *caddyfile.Dispenser) error { return a.parseHosts(d, &a.TrustReturn) }

func (a *App) parseHosts(d *caddyfile.Dispenser, to *[]string) error {
	hosts, err := someArgs(d)
	if err != nil {
		return err
	}
	*to = append(*to, hosts...)
	return a.check(d, resolvePages)
}

func parseForwardedHost(a *App, d *caddyfile.Dispenser) error {
	a.ForwardedHost = true
	return noArgs(d)
}

const defaultPrefix = "/_auth"

var prefixForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func resolvePages(a *App, o *options) error {
	o.prefix = defaultPrefix
	if a.Prefix != "" {
		o.prefix = a.Prefix
	}
	segments := o.prefix + "/"
	if !prefixForm.MatchString(o.prefix) || strings.Contains(segments, "/./") || strings.Contains(segments, "/../") {
		return fmt.Errorf("prefix: %q; use a path such as /_auth, without a trailing slash", o.prefix)
	}
	o.forwardedHost = a.ForwardedHost
	if err := resolveHosts(a, o); err != nil {
		return err
	}
	if o.language = a.Language; o.language == "" {
		o.language = ui.English
	}
	if !ui.KnownLanguage(o.language) {
		return fmt.Errorf("language: %q; there are texts in %s", a.Language, languageList())
	}
	return nil
}

// resolveHosts checks the options that name hosts.
func resolveHosts(a *App, o *options) (err error) {
	if o.adminHosts, err = parseHosts("admin_host", a.AdminHosts); err != nil {
		return err
	}
	if err := repeated("admin_host", o.adminHosts, reqctx.Host.String); err != nil {
		return err
	}
	trusted, err := parseHosts("trust_return", a.TrustReturn)
	if err != nil {
		return err
	}
	// To return to a host is to return to its usual port.
	usual := func(h reqctx.Host) string { return h.WithoutDefaultPort(true).String() }
	if err := repeated("trust_return", trusted, usual); err != nil {
		return err
	}
	for _, h := range trusted {
		o.trustReturn = append(o.trustReturn, h.String())
	}
	// What the pages would refuse when they are made is refused now: a configuration that is valid has to start.
	_, err = returnto.New(o.trustReturn)
	return err
}

// languageList returns the languages that there are, such as "de (Deutsch), en (English)".
func languageList() string {
	var list []string
	for _, l := range ui.Languages() {
		list = append(list, l.Code+" ("+l.Name+")")
	}
	return strings.Join(list, ", ")
}

func pagesSettings(a *App, s *settings) {
	o := a.opt
	s.add("", "prefix", o.prefix, a.Prefix == "")
	s.add("", "language", o.language, a.Language == "")
	s.add("", "admin_host", joinHosts(o.adminHosts), len(o.adminHosts) == 0)
	s.add("", "trust_return", strings.Join(o.trustReturn, " "), len(o.trustReturn) == 0)
	s.add("", "forwarded_host", onOff(o.forwardedHost), !o.forwardedHost)
}
