package caddyauth

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// openSites returns the upstreams that a gate guards on one site, and that strangers reach by another one that has no
// gate: on port 80 beside HTTPS, by an old name, by a site for every host.
func openSites(plans []*plan) []bypass {
	guarded := make(map[string]string) // the site, by address of the upstream
	caddyfile := false
	for _, p := range plans {
		caddyfile = caddyfile || p.fromCaddyfile()
		for _, r := range p.routes {
			if !p.gatedSite(r) {
				continue
			}
			for _, dial := range proxied(r.handlers) {
				guarded[dial] = siteName(p, r)
			}
		}
	}
	var list []bypass
	for _, p := range plans {
		for _, r := range p.routes {
			if p.apart || p.gatedSite(r) {
				continue
			}
			w := &walk{plan: p, caddyfile: caddyfile, site: siteName(p, r)}
			w.route(r, false, true, nil, true)
			for _, b := range w.bypasses {
				i := slices.IndexFunc(strings.Fields(b.upstream), func(dial string) bool { return guarded[dial] != "" })
				if i < 0 {
					continue
				}
				dial := strings.Fields(b.upstream)[i]
				b.text = "strangers reach " + dial + " here without a gate, which the site " + guarded[dial] + " puts it " +
					"behind: write gatehouse in this site, too, redirect to the other one, or listen where strangers do not come"
				list = append(list, b)
			}
		}
	}
	return list
}

// proxied returns the addresses that proxies among handlers send requests to, and those within them.
func proxied(handlers []*planHandler) []string {
	var list []string
	for _, h := range handlers {
		if h.name == "reverse_proxy" {
			list = append(list, strings.Fields(h.detail)...)
		}
		for _, l := range h.lists {
			for _, r := range l.routes {
				list = append(list, proxied(r.handlers)...)
			}
		}
	}
	return list
}

// apart reports whether strangers do not reach a server.
func apart(srv *caddyhttp.Server) bool {
	certificates := slices.ContainsFunc(srv.TLSConnPolicies, func(p *caddytls.ConnectionPolicy) bool {
		return p.ClientAuthentication != nil && !strings.HasPrefix(p.ClientAuthentication.Mode, "request") &&
			p.ClientAuthentication.Mode != "verify_if_given"
	})
	return certificates || len(srv.Listen) > 0 && !slices.ContainsFunc(srv.Listen, public)
}

// public reports whether others than this machine may connect to an address.
func public(address string) bool {
	a, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return true
	}
	if a.IsUnixNetwork() || strings.EqualFold(a.Host, "localhost") {
		return false
	}
	ip, err := netip.ParseAddr(strings.Trim(a.Host, "[]"))
	return err != nil || !ip.IsLoopback()
}
