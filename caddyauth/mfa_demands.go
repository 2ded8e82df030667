package caddyauth

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Sites where something demands what only a passkey meets, and where no passkey can work: nobody would get in.

// setBrowsers notes how browsers reach a server.
func (p *plan) setBrowsers(srv *caddyhttp.Server, httpPort int) {
	p.secure = usesTLS(srv, httpPort) || srv.TrustedProxiesUnix || srv.TrustedProxiesRaw != nil || trustsProxies(srv)
}

// trustsProxies reports whether a server may believe a proxy that browsers use HTTPS. Caddy shows that to nobody once
// it has read it; where it cannot be seen, it may.
func trustsProxies(srv *caddyhttp.Server) bool {
	f := reflect.ValueOf(srv).Elem().FieldByName("trustedProxies")
	return !f.IsValid() || f.Kind() != reflect.Interface || !f.IsNil()
}

// rawRules reads the require lines of a gate as its JSON has them. What cannot be read is refused elsewhere.
func rawRules(v any) (rules []Rule) {
	text, err := json.Marshal(v)
	if err != nil || json.Unmarshal(text, &rules) != nil {
		return nil
	}
	return rules
}

// unmetDemands are the gates that nobody gets through, because only a passkey would do and none works on their hosts.
func (a *App) unmetDemands(p *plan) []bypass {
	if a.opt.forwardedHost { // a proxy says what browsers call the site
		return nil
	}
	d := demandWalk{app: a, plan: p}
	for _, r := range slices.Concat(p.routes, p.errors) {
		d.route(r, nil, nil)
	}
	return d.found
}

// demandWalk looks at the gates of a server.
type demandWalk struct {
	app   *App
	plan  *plan
	found []bypass
}

// route looks at the gates in a route for some hosts, nil for every host.
func (d *demandWalk) route(r *planRoute, hosts, invoked []string) {
	if !r.anyHost() {
		hosts = r.hosts
	}
	for _, h := range r.handlers {
		if h.name == "gatehouse" {
			d.gate(h, hosts)
		}
		if named := d.plan.named[h.invoke]; named != nil && !slices.Contains(invoked, h.invoke) {
			d.route(named, hosts, append(slices.Clone(invoked), h.invoke))
		}
		for _, l := range h.lists {
			for _, inner := range l.routes {
				d.route(inner, hosts, invoked)
			}
		}
	}
}

func (d *demandWalk) gate(h *planHandler, hosts []string) {
	line := d.app.passkeyDemand(h.rules)
	if line == "" {
		return
	}
	var lost []string
	why := ""
	for _, host := range hosts {
		if reason := d.app.noPasskeys(host, d.plan.secure); reason != "" {
			lost, why = append(lost, host), cmp.Or(why, reason)
		}
	}
	if len(lost) == 0 && !d.app.opt.second.NoPasskeys {
		return
	}
	at, mend := "on "+strings.Join(lost, " "), why
	if d.app.opt.second.NoPasskeys {
		at, mend = "here", "there are none: add passkey to mfa methods"
	}
	b := bypass{place: cmp.Or(h.at, h.path), text: fmt.Sprintf("%s demands a passkey, and none can be used %s, so that "+
		"nobody whom it concerns gets further: %s; or %s", line, at, mend, d.app.otherWays(h.rules))}
	if !slices.Contains(d.found, b) {
		d.found = append(d.found, b)
	}
}

// passkeyDemand returns the line that only a passkey meets where a gate with these rules stands, "" for none.
func (a *App) passkeyDemand(rules []Rule) string {
	vouches := func(strong bool) bool {
		return slices.ContainsFunc(a.OIDC, func(p *ProviderConfig) bool { return p.vouches(strong) })
	}
	second := a.opt.second
	level := policy.NeedOf(rules).Level
	switch only := second.NoTOTP && !vouches(false); {
	case level == assurance.PhishingResistant && !vouches(true):
		return "require mfa passkey"
	case second.Mode == login.MFAOff, !only:
		return ""
	case level == assurance.Two:
		return "require mfa (with mfa methods passkey)"
	case second.Mode == login.MFAAdmins:
		return "mfa admins (with methods passkey)"
	case second.Mode == login.MFARequired:
		return "mfa required (with methods passkey)"
	case len(second.Groups) > 0:
		return "mfa group " + strings.Join(second.Groups, " ") + " (with methods passkey)"
	}
	return ""
}

// otherWays says what else would meet what a gate demands.
func (a *App) otherWays(rules []Rule) string {
	if policy.NeedOf(rules).Level == assurance.PhishingResistant {
		return "write require mfa, which every second factor meets"
	}
	return "add totp to mfa methods"
}

// noPasskeys returns why no passkey works on a host of a site, "" where one may.
func (a *App) noPasskeys(host string, secure bool) string {
	if strings.ContainsAny(host, "*{") {
		return ""
	}
	if strings.Contains(host, ":") { // an IPv6 address
		host = "[" + strings.Trim(host, "[]") + "]"
	}
	_, err := passkey.SiteOf(&reqctx.Request{Host: strings.ToLower(host), Secure: secure}, a.opt.second.PasskeyDomain, "")
	if err == nil {
		return ""
	}
	return err.Error()
}
