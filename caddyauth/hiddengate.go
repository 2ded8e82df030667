package caddyauth

import (
	"maps"
	"slices"
	"strings"
)

// hiddenGates returns the handlers that respond to every request before a gate, which then guards nothing. Proxies are
// among those that ungated reports.
func (p *plan) hiddenGates() []bypass {
	w := &walk{plan: p, caddyfile: p.fromCaddyfile()}
	for _, r := range p.routes {
		w.site = siteName(p, r)
		w.hiddenIn([]*planRoute{r}, nil, true)
	}
	w.site = p.listen
	w.hiddenIn(slices.DeleteFunc(slices.Clone(p.routes), func(r *planRoute) bool { return !r.anyHost() }), nil, true)
	w.hiddenIn(p.errors, []string{"handle_errors"}, true)
	for _, name := range slices.Sorted(maps.Keys(p.named)) {
		w.hiddenIn([]*planRoute{p.named[name]}, []string{"&(" + name + ")"}, false)
	}
	return w.bypasses
}

// barrier is a handler that requests do not go beyond, and where it is; the zero barrier is none.
type barrier struct {
	handler *planHandler
	label   []string
}

// barriers are what stands before a place in a list of routes.
type barriers struct {
	all   barrier // responds to every request
	here  barrier // responds to every request that the present route gets
	files barrier // sends whatever file there is
}

// hiddenIn looks for a gate that comes after a handler which responds to every request of a list, or sends any file.
func (w *walk) hiddenIn(list []*planRoute, label []string, top bool) {
	groups := make(routeGroups)
	var b barriers
	for _, r := range list {
		inner := label
		if matchers := r.describe(top); matchers != "" {
			inner = append(slices.Clone(label), matchers)
		}
		b.here = b.all
		if s := groups[r.group]; b.here.handler == nil && s != nil && s.last != nil && len(s.last.handlers) > 0 {
			b.here = barrier{s.last.handlers[0], s.label}
		}
		if w.hiddenInRoute(r, inner, &b) {
			return
		}
		if groups.add(r, inner) && b.all.handler == nil && len(r.handlers) > 0 {
			b.all = barrier{r.handlers[0], inner}
		}
	}
}

// hiddenInRoute looks at a route behind barriers, and adds its own to them. It reports whether it found a gate that no
// request reaches.
func (w *walk) hiddenInRoute(r *planRoute, label []string, b *barriers) bool {
	for _, h := range r.handlers {
		gate := w.plan.handlerHasGate(h, nil)
		if gate && w.addHidden(h, b) {
			return true
		}
		for _, l := range h.lists {
			w.hiddenIn(l.routes, label, false)
		}
		if b.here.handler == nil && h.respondsToAll() { // what follows in this route is for the same requests
			b.here = barrier{h, label}
			if r.anyRequest && r.group == "" {
				b.all = b.here
			}
		}
		if b.files.handler == nil && !gate && r.sendsFiles(h) {
			b.files = barrier{h, label}
		}
	}
	return false
}

// addHidden adds what hides a gate, and reports whether no request reaches it.
func (w *walk) addHidden(gate *planHandler, b *barriers) bool {
	switch {
	case b.here.handler != nil:
		w.add(b.here.handler, b.here.label, "this responds to every request before the gate at "+gatePlace(gate)+
			", which no request reaches, so that nobody has to sign in: write gatehouse before this")
		return true
	case b.files.handler != nil:
		w.add(b.files.handler, b.files.label, "this sends the files that it has before the gate at "+gatePlace(gate)+
			", so that nobody has to sign in for them: write gatehouse before this, or name the paths that are for everybody")
		b.files = barrier{}
	}
	return false
}

// routeGroups are the groups of a list of routes: of each the first route that matches runs, and no other.
type routeGroups map[string]*routeGroup

type routeGroup struct {
	last   *planRoute // matches every request, so that no later one runs
	label  []string   // of last
	passes bool       // one of them lets requests on
}

// add adds the next route of the list, and reports whether no request goes beyond its group.
func (g routeGroups) add(r *planRoute, label []string) bool {
	if r.group == "" {
		return false
	}
	s := g[r.group]
	if s == nil {
		s = new(routeGroup)
		g[r.group] = s
	}
	if s.last != nil {
		return false
	}
	s.passes = s.passes || !r.respondsToAll()
	if r.anyRequest {
		s.last, s.label = r, label
	}
	return s.last != nil && !s.passes
}

// respondsToAll reports whether nothing comes after a route, whatever it matches.
func (r *planRoute) respondsToAll() bool {
	return slices.ContainsFunc(r.handlers, (*planHandler).respondsToAll)
}

// respondsToAll reports whether nothing comes after a handler, whatever is requested.
func (h *planHandler) respondsToAll() bool {
	if h.name == "subroute" {
		groups := make(routeGroups)
		return slices.ContainsFunc(h.mainRoutes(), func(r *planRoute) bool {
			return r.group == "" && r.anyRequest && r.respondsToAll() || groups.add(r, nil)
		})
	}
	return terminalHandlers[h.name] && !h.passThru
}

// sendsFiles reports whether a handler of a route sends whatever file there is, and lets other requests on. Where paths
// are named, somebody has thought of what is for everybody.
func (r *planRoute) sendsFiles(h *planHandler) bool {
	file := slices.Contains(r.others, "file")
	switch {
	case len(r.paths) > 0 || !r.anyRequest && !file:
		return false
	case h.name == "subroute":
		return slices.ContainsFunc(h.mainRoutes(), func(inner *planRoute) bool {
			return slices.ContainsFunc(inner.handlers, func(h *planHandler) bool {
				return inner.sendsFiles(h) || file && inner.anyRequest && h.name == "file_server"
			})
		})
	}
	return h.name == "file_server" && (file || h.passThru)
}

// gatePlace returns the place of the first gate in a handler.
func gatePlace(h *planHandler) string {
	if h.at != "" {
		return h.at
	}
	for _, l := range h.lists {
		for _, r := range l.routes {
			for _, inner := range r.handlers {
				if inner.name == "gatehouse" || len(inner.lists) > 0 {
					return gatePlace(inner)
				}
			}
		}
	}
	return strings.TrimPrefix(h.path, "/")
}
