package caddyauth

import (
	"slices"
	"strings"
)

// bypass is a way through a site without a gate.
type bypass struct {
	place    string
	text     string
	upstream string // of a proxy, the addresses
}

// What handlers of Caddy do with a request.
var (
	// terminalHandlers respond themselves, with what is in the configuration or on this machine.
	terminalHandlers = nameSet("static_response", "error", "file_server", "metrics", "copy_response")
	// passingHandlers pass the request on to what comes next.
	passingHandlers = nameSet("headers", "rewrite", "encode", "vars", "map", "request_body", "templates", "push",
		"log_append", "tracing", "timeouts", "copy_response_headers", "intercept", "subroute", "acme_server")
	// authHandlers authenticate every request by themselves.
	authHandlers = nameSet("authentication")
)

func nameSet(list ...string) map[string]bool {
	set := make(map[string]bool)
	for _, n := range list {
		set[n] = true
	}
	return set
}

// sites returns the sites of the server's routes, or of its error routes, as far as [preHandler.mayReachGate] has to
// look: to the last one that has no gate. The two lists can differ for one host: a site without error routes has those
// of the site for every host.
func (p *plan) sites(list []*planRoute) []hostSite {
	var out []hostSite
	last := 0 // how many there are until the last one without a gate
	for _, r := range list {
		s, exclusive := hostSite{gated: p.gatedSite(r)}, r.exclusive()
		if !r.anyHost() {
			s.hosts, exclusive = r.hostMatch, exclusive && len(r.hostMatch) > 0
		}
		if !s.gated && !exclusive {
			continue // what comes after it may have one
		}
		if out = append(out, s); !s.gated {
			last = len(out)
		}
	}
	return out[:last]
}

// gatedSite reports whether there is a gate in the routes or error routes for the hosts of r.
func (p *plan) gatedSite(r *planRoute) bool {
	gated := func(o *planRoute) bool { return sameHosts(o, r) && p.gated(o) }
	return slices.ContainsFunc(p.routes, gated) || slices.ContainsFunc(p.errors, gated)
}

// gated reports whether there is a gate in a route.
func (p *plan) gated(r *planRoute) bool { return p.containsGate(r, nil) }

func (p *plan) containsGate(r *planRoute, invoked []string) bool {
	return slices.ContainsFunc(r.handlers, func(h *planHandler) bool { return p.handlerHasGate(h, invoked) })
}

func (p *plan) handlerHasGate(h *planHandler, invoked []string) bool {
	if h.name == "gatehouse" {
		return true
	}
	named := p.named[h.invoke]
	if named != nil && !slices.Contains(invoked, h.invoke) && p.containsGate(named, append(invoked, h.invoke)) {
		return true
	}
	return slices.ContainsFunc(h.lists, func(l planList) bool {
		return slices.ContainsFunc(l.routes, func(r *planRoute) bool { return p.containsGate(r, invoked) })
	})
}

// fromCaddyfile reports whether the server was written as a Caddyfile: its gates have a file and a line.
func (p *plan) fromCaddyfile() bool {
	lists := [][]*planRoute{p.routes, p.errors}
	for _, r := range p.named {
		lists = append(lists, []*planRoute{r})
	}
	return slices.ContainsFunc(lists, hasPlace)
}

func hasPlace(routes []*planRoute) bool {
	return slices.ContainsFunc(routes, func(r *planRoute) bool {
		return slices.ContainsFunc(r.handlers, func(h *planHandler) bool {
			return h.at != "" || slices.ContainsFunc(h.lists, func(l planList) bool { return hasPlace(l.routes) })
		})
	})
}

// walk follows requests through the routes of a server.
type walk struct {
	plan      *plan
	caddyfile bool
	site      string
	invoked   []string
	bypasses  []bypass
}

// ungated returns the upstreams that an anonymous request reaches past the gate of their site. It errs on the side of
// reporting: an unknown handler counts as an upstream, and a matcher may select any request.
func (p *plan) ungated() []bypass {
	w := &walk{plan: p, caddyfile: p.fromCaddyfile()}
	gated := append(slices.Clone(p.routes), p.errors...)
	gated = slices.DeleteFunc(gated, func(r *planRoute) bool { return !p.gated(r) })
	w.server(p.routes, gated, nil)
	w.server(p.errors, gated, []string{"handle_errors"})
	return w.bypasses
}

// server walks those of the server's routes that are of a site with a gate, or lead to one.
func (w *walk) server(list, gated []*planRoute, label []string) {
	var met []*planRoute            // there is a gate before what comes after these
	groups := make(map[string]bool) // with a member that passes on requests without a gate
	for i, r := range list {
		if !w.plan.mayReachGate(r) || !slices.ContainsFunc(gated, func(g *planRoute) bool { return overlap(r, g) }) {
			continue
		}
		w.site = siteName(w.plan, r)
		past := slices.ContainsFunc(met, func(m *planRoute) bool { return covers(m, r) })
		open := !w.route(r, past, i == len(list)-1 || r.terminal, label, true)
		if r.group != "" {
			groups[r.group] = groups[r.group] || open
			open = groups[r.group]
		}
		if !open && r.hostsOnly() {
			met = append(met, r)
		}
	}
}

// siteName returns what the site of a route is called in messages.
func siteName(p *plan, r *planRoute) string {
	if r.anyHost() {
		return p.listen
	}
	return strings.Join(r.hosts, " ")
}

// mayReachGate reports whether a route of the server, or of its error routes, is of a site that has a gate, or may lead
// to one: it does not belong to another site alone.
func (p *plan) mayReachGate(r *planRoute) bool {
	if p.gatedSite(r) {
		return true
	}
	return !slices.ContainsFunc(p.routes, func(o *planRoute) bool { return sameHosts(o, r) && o.exclusive() })
}

// sameHosts reports whether two routes are of one site.
func sameHosts(a, b *planRoute) bool {
	return a.anyHost() && b.anyHost() || slices.Equal(a.hosts, b.hosts)
}

// overlap reports whether two routes may see requests for one host.
func overlap(a, b *planRoute) bool {
	return a.anyHost() || b.anyHost() || slices.ContainsFunc(a.hosts, func(h string) bool {
		return slices.ContainsFunc(b.hosts, func(o string) bool {
			return strings.EqualFold(h, o) || strings.ContainsAny(h+o, "*{")
		})
	})
}

// covers reports whether a sees every request that b does.
func covers(a, b *planRoute) bool {
	if a.anyHost() || b.anyHost() {
		return a.anyHost()
	}
	return !slices.ContainsFunc(b.hosts, func(h string) bool { return !slices.Contains(a.hosts, h) })
}

// routes walks a list of routes and reports whether every request that is passed on at its end went through a gate.
// Nothing comes after a list that is last.
func (w *walk) routes(routes []*planRoute, last bool, label []string) bool {
	gated := false
	groups := make(map[string]bool) // with a member that passes on requests without a gate
	for i, r := range routes {
		after := slices.ContainsFunc(routes[i+1:], func(o *planRoute) bool { return r.group == "" || o.group != r.group })
		out := w.route(r, gated, r.terminal || last && !after, label, false)
		open := !out
		if r.group != "" {
			groups[r.group] = groups[r.group] || open
			open = groups[r.group]
		}
		if r.anyRequest && !open {
			gated = true
		}
	}
	return gated
}

// route walks one route.
func (w *walk) route(r *planRoute, gated, last bool, label []string, top bool) bool {
	if matchers := r.describe(top); matchers != "" {
		label = append(slices.Clone(label), matchers)
	}
	for i, h := range r.handlers {
		if gated {
			return true
		}
		gated = w.handler(h, last && i == len(r.handlers)-1, label)
	}
	return gated
}

// handler walks one handler without a gate before it, and reports whether there is one before what comes after it, or
// nothing comes after it.
func (w *walk) handler(h *planHandler, last bool, label []string) bool {
	switch {
	case h.name == "gatehouse", terminalHandlers[h.name] && !h.passThru, authHandlers[h.name]:
		return true
	case h.passThru:
		return false
	case h.name == "invoke":
		return w.invoke(h, last, label)
	case h.name == "subroute":
		out := false
		for _, l := range h.lists {
			if l.errors {
				w.routes(l.routes, true, append(slices.Clone(label), "errors"))
				continue
			}
			out = w.routes(l.routes, last, label)
		}
		return out
	}
	for _, l := range h.lists {
		w.routes(l.routes, true, label)
	}
	if passingHandlers[h.name] {
		return false
	}
	if h.name == "reverse_proxy" || last {
		w.report(h, label)
	}
	return h.name == "reverse_proxy" && len(h.lists) == 0
}

func (w *walk) invoke(h *planHandler, last bool, label []string) bool {
	named := w.plan.named[h.invoke]
	if named == nil || slices.Contains(w.invoked, h.invoke) {
		return true // it fails
	}
	w.invoked = append(w.invoked, h.invoke)
	defer func() { w.invoked = w.invoked[:len(w.invoked)-1] }()
	return w.routes([]*planRoute{named}, last, append(slices.Clone(label), "&("+h.invoke+")"))
}

// report adds a handler that an anonymous request reaches.
func (w *walk) report(h *planHandler, label []string) {
	fix := "to leave a path to everybody, write it behind public in the gatehouse directive and drop the block of its " +
		"own; else write gatehouse before this"
	if slices.Contains(label, "handle_errors") || slices.Contains(label, "errors") {
		fix = "errors are raised before the gate, too, so anybody gets here with any address: write gatehouse in these " +
			"error routes, or answer without the app"
	}
	w.add(h, label, "strangers reach this without passing the gate of this site; what they say of who they are "+
		"is taken from the request. "+fix)
}

// add adds a finding, once.
func (w *walk) add(h *planHandler, label []string, text string) {
	place := h.path
	if w.caddyfile {
		handler, route := strings.TrimSpace(h.name+" "+h.detail), strings.Join(label, " ")
		if route == "" {
			route = "*"
		}
		place = w.site + " > " + route + " > " + handler
	}
	if next := (bypass{place, text, h.detail}); !slices.Contains(w.bypasses, next) {
		w.bypasses = append(w.bypasses, next)
	}
}

// describe returns the matchers of a route in words. Hosts of the server's own routes are the site's name.
func (r *planRoute) describe(top bool) string {
	var parts []string
	if !top {
		for _, h := range r.hosts {
			if h != "*" {
				parts = append(parts, h)
			}
		}
	}
	parts = append(parts, r.paths...)
	for _, o := range r.others {
		parts = append(parts, "@"+o)
	}
	return strings.Join(parts, " ")
}
