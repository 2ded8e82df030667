package caddyauth

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// placedGate is a gate, and where it stands.
type placedGate struct {
	gate   *Gate
	within []caddyhttp.MatcherSets // of the routes around it, from the outside in
	unless []caddyhttp.MatcherSets // of routes before these, after which Caddy takes none of them
}

// guards reports whether a request is among those that reach the gate, and that it guards. What cannot be found out is
// not.
func (p placedGate) guards(r *http.Request, req *request) bool {
	matches := func(sets caddyhttp.MatcherSets) bool {
		ok, err := sets.AnyMatchWithError(r)
		return err == nil && ok
	}
	for _, sets := range p.within {
		if len(sets) > 0 && !matches(sets) {
			return false
		}
	}
	for _, sets := range p.unless {
		if len(sets) == 0 || matches(sets) {
			return false
		}
	}
	selected, err := p.gate.selects(r, req)
	return err == nil && selected
}

// placedGates returns the gates of a server. It is called with a request, when all routes are provisioned.
func (a *App) placedGates(srv *caddyhttp.Server) []placedGate {
	if found, known := a.placed.Load(srv); known {
		return found.([]placedGate) //nolint:errcheck // nothing else is stored
	}
	a.routing.Lock()
	defer a.routing.Unlock()
	f := gateFinder{named: srv.NamedRoutes}
	f.find(srv.Routes, placedGate{}, 0)
	a.placed.Store(srv, f.found)
	return f.found
}

// gateFinder walks the routes of a server.
type gateFinder struct {
	named map[string]*caddyhttp.Route
	found []placedGate
}

// find adds the gates in a list of routes, which stands at a place. Named routes may invoke each other: the depth is
// bounded.
func (f *gateFinder) find(routes caddyhttp.RouteList, at placedGate, depth int) {
	const deepest = 64
	if depth > deepest {
		return
	}
	last := make(map[string][]caddyhttp.MatcherSets) // by group, of which one route is taken; "": those that are the last
	for _, r := range routes {
		here := placedGate{
			within: slices.Concat(at.within, []caddyhttp.MatcherSets{r.MatcherSets}),
			unless: slices.Concat(at.unless, last[""]),
		}
		if r.Group != "" {
			here.unless = append(here.unless, last[r.Group]...)
			last[r.Group] = append(last[r.Group], r.MatcherSets)
		}
		if r.Terminal {
			last[""] = append(last[""], r.MatcherSets)
		}
		for _, h := range r.Handlers {
			f.findIn(h, here, depth)
		}
	}
}

// findIn adds a gate, or the gates within a handler.
func (f *gateFinder) findIn(h caddyhttp.MiddlewareHandler, at placedGate, depth int) {
	switch h := h.(type) {
	case *Gate:
		at.gate = h
		f.found = append(f.found, at)
	case *preHandler:
		f.find(h.routes, at, depth+1)
	case *caddyhttp.Invoke:
		if named := f.named[h.Name]; named != nil {
			f.find(caddyhttp.RouteList{*named}, at, depth+1)
		}
	default:
		for _, list := range routeLists(h) {
			f.find(list.routes, at, depth+1)
		}
	}
}
