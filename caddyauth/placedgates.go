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

// placedGates returns the gates of a server. It is called with a request, when all routes are provisioned.
func (a *App) placedGates(srv *caddyhttp.Server) []placedGate {
	if found, known := a.placed.Load(srv); known {
		return found.([]placedGate) //nolint:errcheck // nothing else is stored
	}
	a.routing.Lock()
	defer a.routing.Unlock()
	f := gateFinder{named: srv.NamedRoutes}
	f.find(srv.Routes, nil, 0)
	a.placed.Store(srv, f.found)
	return f.found
}

// gateFinder walks the routes of a server.
type gateFinder struct {
	named map[string]*caddyhttp.Route
	found []placedGate
}

// find adds the gates in a list of routes, which stands within others. Named routes may invoke each other: the depth is
// bounded.
func (f *gateFinder) find(routes caddyhttp.RouteList, within []caddyhttp.MatcherSets, depth int) {
	const deepest = 64
	if depth > deepest {
		return
	}
	for _, r := range routes {
		here := slices.Concat(within, []caddyhttp.MatcherSets{r.MatcherSets})
		for _, h := range r.Handlers {
			switch h := h.(type) {
			case *Gate:
				f.found = append(f.found, placedGate{h, here})
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
