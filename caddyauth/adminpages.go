package caddyauth

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// adminPages makes the admin pages and the JSON API beneath them, on the hosts where they may be. On others notFound
// responds, as if there were none.
func (a *App) adminPages(
	accounts *account.Service, config admin.Config, notFound http.HandlerFunc,
) (http.Handler, error) {
	config.Store, config.Accounts = a.rt.Store, accounts
	config.Clock, config.Log = time.Now, a.log.Named("admin")
	started := time.Now()
	config.Effective = func() admin.Settings { return a.effectiveSettings(started) }
	config.Sites = a.siteRules
	pages, err := admin.New(config)
	if err != nil {
		return nil, err
	}
	hosts := a.opt.adminHosts
	if len(hosts) == 0 {
		return pages, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// By the Host header alone: script in an app on another host can send any X-Forwarded-Host through a proxy that
		// does not set it, and would reach the admin pages with the person's cookie.
		asked, ok := reqctx.Asked(r)
		secure := reqctx.From(r).Secure
		if !ok || !slices.ContainsFunc(hosts, func(h reqctx.Host) bool { return h.Serves(asked, secure) }) {
			notFound(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	}), nil
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
