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

// hiddenIn looks for a gate that comes after a handler which responds to every request of a list.
func (w *walk) hiddenIn(list []*planRoute, label []string, top bool) {
	var before *planHandler
	var beforeLabel []string
	for _, r := range list {
		inner := label
		if matchers := r.describe(top); matchers != "" {
			inner = append(slices.Clone(label), matchers)
		}
		for _, h := range r.handlers {
			if before != nil && w.plan.handlerHasGate(h, nil) {
				w.add(before, beforeLabel, "this responds to every request before the gate at "+gatePlace(h)+", which no "+
					"request reaches, so that nobody has to sign in: write gatehouse before this")
				return
			}
			for _, l := range h.lists {
				w.hiddenIn(l.routes, inner, false)
			}
			if before == nil && r.anyRequest && r.group == "" && h.respondsToAll() {
				before, beforeLabel = h, inner
			}
		}
	}
}

// respondsToAll reports whether nothing comes after a handler, whatever is requested.
func (h *planHandler) respondsToAll() bool {
	if h.name == "subroute" {
		return slices.ContainsFunc(h.mainRoutes(), func(r *planRoute) bool {
			return r.anyRequest && r.group == "" &&
				slices.ContainsFunc(r.handlers, func(h *planHandler) bool { return h.respondsToAll() })
		})
	}
	return terminalHandlers[h.name] && !h.passThru
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
