package caddyauth

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Of several gates on the way of a request it is enough that one has its path among those for Basic: one in the site
// and one in a handle block, say. The outer one decides first, so it has to know what the inner one has.

// placedGate is a gate with paths for Basic, and where it stands.
type placedGate struct {
	gate   *Gate
	within []caddyhttp.MatcherSets // of the routes around it, from the outside in
}

// takesBasic reports whether a token may come as Basic: on the paths for it, and only from programs. A browser that has
// once been told a token sends it by itself, with requests that other sites make it send, too.
func (g *Gate) takesBasic(r *http.Request, req *request) bool {
	switch {
	case fromBrowser(r.Header):
		return false
	case g.basic.Match(req.target):
		req.first.tookBasic = true // for gates after this one
	}
	return req.first.tookBasic || g.leadsToBasic(r, req)
}

// offersBasic reports whether a program that is refused is asked for Basic. A browser would open a window of its own.
func (g *Gate) offersBasic(r *http.Request, req *request) bool {
	h := r.Header
	return !fromBrowser(h) && len(h["Referer"]) == 0 && !holdsFold(h["Accept"], "text/html") &&
		!holdsFold(h["User-Agent"], "mozilla/") && (g.basic.Match(req.target) || g.leadsToBasic(r, req))
}

// leadsToBasic reports whether another gate of the server, which guards the request by its matchers and those of the
// routes around it, has the path among those for Basic. Where a handler between the two leads elsewhere, that one never
// decides: then the token has come as Basic to a path for which some gate of the site has said so.
func (g *Gate) leadsToBasic(r *http.Request, req *request) bool {
	if g.server == nil {
		return false
	}
	g.basicGatesOnce.Do(func() { g.basicGates = g.app.findBasicGates(g.server) })
	for _, p := range g.basicGates {
		if p.gate != g && p.gate.basic.Match(req.target) && p.guards(r, req) {
			return true
		}
	}
	return false
}

// guards reports whether a request is among those that reach the gate, and that it guards. What cannot be found out is
// not.
func (p placedGate) guards(r *http.Request, req *request) bool {
	for _, sets := range p.within {
		if len(sets) == 0 {
			continue
		}
		if ok, err := sets.AnyMatchWithError(r); err != nil || !ok {
			return false
		}
	}
	selected, err := p.gate.selects(r, req)
	return err == nil && selected
}

// findBasicGates finds the gates of a server that have paths for Basic. It runs with a request, when all routes are
// provisioned.
func (a *App) findBasicGates(srv *caddyhttp.Server) []placedGate {
	a.routing.Lock()
	defer a.routing.Unlock()
	f := basicGateFinder{named: srv.NamedRoutes}
	f.find(srv.Routes, nil, 0)
	return f.found
}

// basicGateFinder walks the routes of a server.
type basicGateFinder struct {
	named map[string]*caddyhttp.Route
	found []placedGate
}

// find adds the gates in a list of routes, which stands within others. Named routes may invoke each other: the depth is
// bounded.
func (f *basicGateFinder) find(routes caddyhttp.RouteList, within []caddyhttp.MatcherSets, depth int) {
	const deepest = 64
	if depth > deepest {
		return
	}
	for _, r := range routes {
		here := slices.Concat(within, []caddyhttp.MatcherSets{r.MatcherSets})
		for _, h := range r.Handlers {
			switch h := h.(type) {
			case *Gate:
				if len(h.Basic) > 0 {
					f.found = append(f.found, placedGate{h, here})
				}
			case *preHandler:
				f.find(h.routes, here, depth+1)
			case *caddyhttp.Invoke:
				if named := f.named[h.Name]; named != nil {
					f.find(caddyhttp.RouteList{*named}, here, depth+1)
				}
			default:
				for _, list := range routeLists(h) {
					f.find(list.routes, here, depth+1)
				}
			}
		}
	}
}

// fromBrowser reports whether only a browser sends such headers.
func fromBrowser(h http.Header) bool {
	for name := range h {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}

// holdsFold reports whether a value has a text in it, in upper or lower case.
func holdsFold(values []string, text string) bool {
	for _, v := range values {
		if strings.Contains(strings.ToLower(v), text) {
			return true
		}
	}
	return false
}
