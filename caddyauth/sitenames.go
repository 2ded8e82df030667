package caddyauth

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// siteNames are the hosts of all sites that have a gate.
type siteNames struct {
	names []string
	any   bool // some site takes every host, or one that is not known yet
}

// readServers reads the routes of all servers. It runs while Caddy provisions the first that has a gate.
func readServers(ctx caddy.Context) ([]*plan, error) {
	app, err := ctx.App("http")
	if err != nil {
		return nil, err
	}
	httpApp, ok := app.(*caddyhttp.App)
	if !ok {
		return nil, fmt.Errorf("the http app is a %T", app)
	}
	var plans []*plan
	for _, name := range slices.Sorted(maps.Keys(httpApp.Servers)) {
		p, err := readPlan(httpApp.Servers[name])
		if err != nil {
			return nil, err
		}
		p.path = "apps/http/servers/" + name // Caddy has not told those that come later their names
		p.apart = apart(httpApp.Servers[name])
		p.setBrowsers(httpApp.Servers[name], httpApp.HTTPPort)
		plans = append(plans, p)
	}
	return plans, nil
}

// checkServers looks at the sites of all servers together.
func (a *App) checkServers(ctx caddy.Context) error {
	plans, err := readServers(ctx)
	if err != nil {
		return err
	}
	var sites siteNames
	for _, p := range plans {
		for _, r := range p.routes {
			if p.gatedSite(r) {
				sites.add(r)
			}
		}
	}
	a.sites = sites
	if err := a.checkSiteNames(sites); err != nil {
		return err
	}
	found := openSites(plans)
	for _, p := range plans {
		found = append(found, a.unmetDemands(p)...)
	}
	for _, b := range found {
		if err := a.warn(b.place, b.text); err != nil {
			return err
		}
	}
	return nil
}

func (s *siteNames) add(r *planRoute) {
	s.names = append(s.names, r.hosts...)
	s.any = s.any || r.anyHost() || strings.Contains(strings.Join(r.hosts, ""), "{")
}

// serves reports whether a site has that name.
func (s siteNames) serves(name string) bool {
	return s.any || slices.ContainsFunc(s.names, func(site string) bool { return wildcardMatches(site, name) })
}

// within reports whether a site is the domain or below it.
func (s siteNames) within(domain string) bool {
	return s.serves(domain) || slices.ContainsFunc(s.names, func(site string) bool {
		site = strings.ToLower(site)
		return site == domain || strings.HasSuffix(site, "."+domain)
	})
}

// wildcardMatches reports whether a name is a site's, in which "*" stands for one label.
func wildcardMatches(site, name string) bool {
	a, b := strings.Split(strings.ToLower(site), "."), strings.Split(strings.ToLower(name), ".")
	return slices.EqualFunc(a, b, func(a, b string) bool { return a == "*" || a == b })
}

// checkSiteNames refuses options about hosts that none of the gated sites has: they would do nothing, and nobody would
// see why.
func (a *App) checkSiteNames(sites siteNames) error {
	names := strings.Join(sites.names, " ")
	unserved := slices.DeleteFunc(slices.Clone(a.opt.adminHosts),
		func(h reqctx.Host) bool { return sites.serves(h.Name) })
	switch {
	case len(unserved) == 0:
	case len(unserved) == len(a.opt.adminHosts):
		return fmt.Errorf("global option gatehouse: admin_host %s: no site with a gate has this name, so nobody could open "+
			"the administration; gated sites are %s: name one of them, or write a site of that name with gatehouse in it",
			joinHosts(unserved), names)
	default:
		if err := a.warn("gatehouse > admin_host", "no site with a gate has the name "+joinHosts(unserved)+
			"; gated sites are "+names); err != nil {
			return err
		}
	}
	// Behind a proxy that sends another Host, the site's name is not what browsers call it.
	if d := a.opt.cookieDomain; d != "" && !a.opt.forwardedHost && !sites.within(d) {
		return fmt.Errorf("global option gatehouse: session cookie_domain %s: no site with a gate is below this domain, so "+
			"that no session would be shared; gated sites are %s: name the domain that they have in common, or leave the "+
			"line out", d, names)
	}
	return a.checkRPSite(sites)
}

// checkListeners warns of sites on unix sockets where nobody's address is known.
func (a *App) checkListeners(srv *caddyhttp.Server) error {
	if srv.TrustedProxiesUnix {
		return nil
	}
	for _, address := range srv.Listen {
		if strings.HasPrefix(address, "unix") {
			return a.warn(address, "on a unix socket nobody's address is known: the audit log shows none, and wrong "+
				"passwords of all strangers together are limited, to ten times those of one address; add "+
				"trusted_proxies_unix to the servers block of the global options, and see that the proxy sets X-Forwarded-For")
		}
	}
	return nil
}
