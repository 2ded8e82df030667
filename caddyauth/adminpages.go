package caddyauth

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

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
	var rules []admin.SiteRules
	for _, g := range a.gates {
		site, also := g.matcherText()
		rules = append(rules, admin.SiteRules{
			Site: site, Also: also, Public: g.Public, Optional: g.Optional, Require: g.Require,
		})
	}
	return rules
}

// matcherText names the requests that a gate guards, from its matchers: "" for all of them, or one set of matchers and
// those that are enough, too.
func (g *Gate) matcherText() (site string, also []string) {
	if len(g.MatcherSetsRaw) == 0 {
		return "", nil
	}
	var sets []string
	for _, set := range g.MatcherSetsRaw {
		var parts []string
		for name, raw := range set {
			var values []string
			if json.Unmarshal(raw, &values) == nil {
				parts = append(parts, name+" "+strings.Join(values, " "))
			} else {
				parts = append(parts, name+" "+string(raw))
			}
		}
		slices.Sort(parts)
		sets = append(sets, strings.Join(parts, ", "))
	}
	return sets[0], sets[1:]
}
