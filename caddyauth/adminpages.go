package caddyauth

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/login"
)

// adminConfig returns what the admin pages may know of this configuration.
func (a *App) adminConfig(providers *login.OIDC) admin.Config {
	started := time.Now()
	config := admin.Config{
		Effective: func() admin.Settings { return a.effectiveSettings(started) }, Sites: a.siteRules,
	}
	return providerPages(config, providers, a.opt.prefix)
}

// siteRules returns the rules of each gate, for the admin pages.
func (a *App) siteRules() []admin.SiteRules {
	hosts := a.gateHosts()
	var rules []admin.SiteRules
	for _, g := range a.gates {
		rules = append(rules, admin.SiteRules{
			Hosts: hosts[g], Guards: g.guards, Public: g.Public, Optional: g.Optional, Require: g.Require,
		})
	}
	return rules
}

// matcherText names the requests that a gate guards, in the words of a Caddyfile: one text for each set of matchers,
// each of which is enough; none where there are no matchers.
func matcherText(sets caddyhttp.RawMatcherSets) []string {
	var list []string
	for _, set := range sets {
		list = append(list, setText(set))
	}
	return list
}

func setText(set map[string]json.RawMessage) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		raw := set[name]
		var values []string
		var negated []map[string]json.RawMessage
		switch {
		case json.Unmarshal(raw, &values) == nil:
			parts = append(parts, name+" "+strings.Join(values, " "))
		case name == "not" && json.Unmarshal(raw, &negated) == nil:
			for _, n := range negated {
				parts = append(parts, "not "+setText(n))
			}
		default:
			parts = append(parts, name+" "+string(raw))
		}
	}
	return strings.Join(parts, ", ")
}

// gateHosts returns the hosts of the sites that the gates are in; none where that is every host. It looks at what Caddy
// has provisioned, and so at the hosts in the routes that are modules by now.
func (a *App) gateHosts() map[*Gate][]string {
	a.routing.Lock()
	defer a.routing.Unlock()
	found := make(map[*Gate][]string)
	for srv := range a.installed {
		walkHosts(srv.Routes, nil, found)
		if srv.Errors != nil {
			walkHosts(srv.Errors.Routes, nil, found)
		}
		for _, r := range srv.NamedRoutes {
			walkHosts(caddyhttp.RouteList{*r}, nil, found)
		}
	}
	return found
}

// walkHosts notes for each gate below the routes the hosts of the innermost route that names any.
func walkHosts(routes caddyhttp.RouteList, within []string, found map[*Gate][]string) {
	for i := range routes {
		hosts := within
		if named := routeHosts(routes[i].MatcherSets); len(named) > 0 {
			hosts = named
		}
		for _, h := range routes[i].Handlers {
			if g, ok := h.(*Gate); ok {
				found[g] = append(found[g], hosts...)
				continue
			}
			if p, ok := h.(*preHandler); ok {
				walkHosts(p.routes, hosts, found)
				continue
			}
			for _, list := range routeLists(h) {
				walkHosts(list.routes, hosts, found)
			}
		}
	}
}

func routeHosts(sets caddyhttp.MatcherSets) []string {
	var hosts []string
	for _, set := range sets {
		for _, m := range set {
			if names, ok := m.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *names...)
			}
		}
	}
	return hosts
}
