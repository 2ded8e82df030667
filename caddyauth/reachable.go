package caddyauth

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Our pages are reached where a gate sees their requests. It does not see them in a block for other paths: in
// `handle /app/* { gatehouse; … }` nobody could sign in, and a neighbor would get the password. So each site that has a
// gate is asked, while it is loaded, where requests for the pages would go; where they would not certainly come to a
// gate, the pages are inserted before what takes them away (see sitePages).

// outcome is where the requests of a probe go.
type outcome int

const (
	passesOn  outcome = iota // to what comes after
	meetsGate                // a gate sees them
	answered                 // something else responds
	refused                  // something responds that has nothing but what is written in the configuration
)

// spot is where pages are inserted: before a route in a list.
type spot struct {
	probe *probe
	steps []step // from the server's own list to the one in a subroute
	index int
}

// step leads to the routes of a subroute.
type step struct{ route, handler int }

// missingPages returns where our pages have to be inserted so that they respond on every site that has a gate.
func (p *plan) missingPages(prefix string) []spot {
	var spots []spot
	for _, pr := range p.probes(prefix) {
		if p.follow(p.routes, pr, nil) == meetsGate {
			continue
		}
		pr.rewritten = false
		s, ok := p.spotIn(p.routes, pr, nil)
		if !ok { // the gate is in error routes only
			s = spot{}
		}
		s.probe = pr
		spots = append(spots, s)
	}
	return spots
}

// probes returns a probe for each set of hosts that gates are for.
func (p *plan) probes(prefix string) []*probe {
	var list []*probe
	var visit func(r, hosts *planRoute)
	visit = func(r, hosts *planRoute) {
		if !p.gated(r) {
			return
		}
		if !r.anyHost() {
			hosts = r
		}
		before := len(list)
		for _, h := range r.handlers {
			for _, l := range h.lists {
				for _, inner := range l.routes {
					visit(inner, hosts)
				}
			}
		}
		known := func(o *probe) bool { return sameSite(o.hosts, hosts) }
		direct := func(h *planHandler) bool { return h.name == "gatehouse" || h.invoke != "" }
		if (len(list) == before || slices.ContainsFunc(r.handlers, direct)) && !slices.ContainsFunc(list, known) {
			list = append(list, newProbe(hosts, prefix))
		}
	}
	for _, r := range slices.Concat(p.routes, p.errors) {
		visit(r, nil)
	}
	return list
}

func sameSite(a, b *planRoute) bool {
	return a == b || a != nil && b != nil && slices.Equal(a.hosts, b.hosts)
}

// maxProbeHosts bounds the work for a site with very many names.
const maxProbeHosts = 16

// newProbe returns requests for our pages on the hosts of a route. A name with a wildcard stands for hosts that have no
// block of their own.
func newProbe(hosts *planRoute, prefix string) *probe {
	names := []string{"*.invalid"}
	if hosts != nil {
		names = hosts.hosts[:min(len(hosts.hosts), maxProbeHosts)]
	}
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	p := &probe{hosts: hosts}
	for _, name := range names {
		name = strings.ReplaceAll(name, "*", "gatehouse-probe")
		for _, page := range []string{"/login", "/account", "/admin"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r, err := http.NewRequestWithContext(ctx, method, "http://gatehouse.invalid"+prefix+page, http.NoBody)
				if err != nil {
					continue
				}
				r.Host, r.RequestURI = name, prefix+page
				p.requests = append(p.requests, r)
			}
		}
	}
	return p
}

// follow follows the requests of a probe through a list of routes.
func (p *plan) follow(list []*planRoute, pr *probe, invoked []string) outcome {
	taken := make(map[string]bool) // groups of which a route was certainly chosen
	for _, r := range list {
		selected := r.match(pr, false)
		if selected == never || taken[r.group] {
			continue
		}
		out := p.followRoute(r, pr, invoked)
		if out == passesOn && r.terminal {
			out = answered
		}
		switch {
		case selected == always && out != passesOn, out == answered:
			return out
		case selected == always && r.group != "":
			taken[r.group] = true
		}
		// What refuses some requests does so because the operator wants it, such as those from elsewhere.
	}
	return passesOn
}

func (p *plan) followRoute(r *planRoute, pr *probe, invoked []string) outcome {
	for _, h := range r.handlers {
		if out := p.followHandler(h, pr, invoked); out != passesOn {
			return out
		}
	}
	return passesOn
}

func (p *plan) followHandler(h *planHandler, pr *probe, invoked []string) outcome {
	switch {
	case h.name == "gatehouse":
		return meetsGate
	case h.name == "file_server" && !h.passThru, h.name == "reverse_proxy" && !h.asks:
		return answered
	case h.name != "file_server" && terminalHandlers[h.name]:
		return refused
	case h.rewrites:
		pr.rewritten = true
	case h.name == "invoke":
		if named := p.named[h.invoke]; named != nil && !slices.Contains(invoked, h.invoke) {
			return p.follow([]*planRoute{named}, pr, append(slices.Clone(invoked), h.invoke))
		}
	case h.name == "subroute":
		return p.follow(h.mainRoutes(), pr, invoked)
	}
	return passesOn
}

// mainRoutes returns the routes of a subroute, without its error routes.
func (h *planHandler) mainRoutes() []*planRoute {
	for _, l := range h.lists {
		if !l.errors {
			return l.routes
		}
	}
	return nil
}

// spotIn returns the place for our pages in a list of routes: before the first route that has a gate of this site or
// takes their requests away, as deep inside as all these requests come. What comes earlier keeps its effect: headers,
// and refusing those who come from elsewhere.
func (p *plan) spotIn(list []*planRoute, pr *probe, steps []step) (spot, bool) {
	for i, r := range list {
		selected := r.match(pr, false)
		hasGate := p.gated(r) && r.match(pr, true) != never
		stops := false
		if selected != never {
			out := p.followRoute(r, pr, nil)
			stops = out == answered || selected == always && (out == refused || r.terminal)
		}
		if !hasGate && !stops {
			continue
		}
		if selected == always {
			if s, ok := p.spotInside(r, i, pr, steps); ok {
				return s, true
			}
		}
		return spot{steps: steps, index: i}, true
	}
	return spot{}, false
}

// spotInside returns the place within a route that all requests of a probe come to.
func (p *plan) spotInside(r *planRoute, i int, pr *probe, steps []step) (spot, bool) {
	for j, h := range r.handlers {
		if h.name == "subroute" {
			if s, ok := p.spotIn(h.mainRoutes(), pr, append(slices.Clone(steps), step{i, j})); ok {
				return s, true
			}
		} else if p.followHandler(h, pr, nil) != passesOn {
			return spot{}, false
		}
	}
	return spot{}, false
}
