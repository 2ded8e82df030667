package caddyauth

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// sitePages serves our pages on a site whose gates do not see all requests for them: one in a `handle`, `handle_path`
// or `route` block, or behind something that responds. It is inserted where missingPages says, and does nothing for
// other requests.
type sitePages struct {
	gate  *Gate // without rules; it guards nothing
	hosts *planRoute
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (p *sitePages) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req := firstRequest(r.Context())
	if req == nil || !hasPrefix(req.path, p.gate.app.opt.prefix) || !p.serves(r) {
		return next.ServeHTTP(w, r)
	}
	return p.gate.ServeHTTP(w, r, next) // below the prefix it serves pages or says that it cannot
}

// serves reports whether r is for a host of the site.
func (p *sitePages) serves(r *http.Request) bool {
	return p.hosts == nil || hostSite{hosts: p.hosts.hostMatch}.matches(r)
}

// insertion is a route to insert into a list of the server.
type insertion struct {
	spot
	route caddyhttp.Route
}

// pageInsertions returns routes with our pages for the sites of a server that need them. compiled means that the
// server's own list cannot be changed any more.
func (a *App) pageInsertions(ctx caddy.Context, p *plan, compiled bool) ([]insertion, error) {
	var list []insertion
	for _, s := range p.missingPages(a.opt.prefix) {
		if compiled && len(s.steps) == 0 {
			var err error
			if s, err = p.insideSite(s.probe); err != nil {
				return nil, err
			}
		}
		r, err := routeOf(ctx, &sitePages{gate: &Gate{app: a, log: ctx.Logger(new(Gate))}, hosts: s.probe.hosts})
		if err != nil {
			return nil, err
		}
		list = append(list, insertion{s, r})
	}
	return list, nil
}

// insideSite returns the beginning of the subroute that a site is.
func (p *plan) insideSite(pr *probe) (spot, error) {
	pr.rewritten = false
	for i, r := range p.routes {
		if len(r.handlers) > 0 && r.handlers[0].name == "subroute" && r.match(pr, false) == always {
			return spot{probe: pr, steps: []step{{i, 0}}}, nil
		}
	}
	return spot{}, errOnlyNamed
}

var errOnlyNamed = errors.New("gatehouse stands only in a named route or in handle_errors, where its pages cannot be " +
	"reached, so that nobody could sign in: write gatehouse in the site itself, or give the site's address a host")

// insertPages inserts our pages into the routes of a server.
func insertPages(routes caddyhttp.RouteList, list []insertion) caddyhttp.RouteList {
	// Inner and later places first, so that each of the others is still where it was found.
	slices.SortStableFunc(list, func(a, b insertion) int {
		return cmp.Or(len(b.steps)-len(a.steps), b.index-a.index)
	})
	for _, in := range list {
		to := &routes
		for _, s := range in.steps {
			to = &(*to)[s.route].Handlers[s.handler].(*caddyhttp.Subroute).Routes //nolint:errcheck // of that name
		}
		*to = slices.Insert(slices.Clip(*to), in.index, in.route)
	}
	return routes
}
