package caddyauth

import (
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/runtime"
)

// preHandler runs before all routes of a server that has a gate. A gate guards what comes after it, but an app can be
// reached beside it: through another `handle` block, through error routes, also of errors that were raised before the
// gate. The preHandler removes forged identities and our cookies from every request of the site, whichever route it
// takes, and our cookies from the response, unless a gate writes it. It allows and denies nothing.
//
// It is inserted when the first gate of a server is provisioned, so that JSON written by hand has it as well as what
// came from a Caddyfile.
type preHandler struct {
	app         *App
	sites       []hostSite
	errorRoutes bool // runs before error routes

	routes caddyhttp.RouteList // that follow, as they were provisioned; nil where Caddy runs them by itself
	// insert returns the routes with what the first request adds to them. It may be nil.
	insert func(caddyhttp.RouteList) caddyhttp.RouteList
	once   sync.Once
	chain  caddyhttp.Handler // the routes, compiled
}

// hostSite is a route of the server's own list, which is a site's where the configuration is a Caddyfile.
type hostSite struct {
	hosts []caddyhttp.RequestMatcherWithError // any of which matches; nil for every host
	gated bool                                // it has a gate, or else no route after it sees requests for its hosts
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (p *preHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if p.routes != nil {
		p.once.Do(func() { // all routes are provisioned by now; next is the end of Caddy's list, and always the same
			p.app.routing.Lock()
			defer p.app.routing.Unlock()
			routes := p.routes // which other requests read: only the once writes, and only to the chain
			if p.insert != nil {
				routes = p.insert(routes)
			}
			p.chain = routes.Compile(next)
		})
		next = p.chain
	}
	req := firstRequest(r.Context())
	switch {
	case req == nil && p.mayReachGate(r):
		if p.app.redact(w, r) {
			return nil
		}
		req = receive(p.app, r)
		req.beside.ResponseWriter, req.beside.CookieName = w, p.app.opt.cookieName
		w = &req.beside
	case req != nil && p.errorRoutes && req.gate != nil:
		return req.gate.serveErrorRoutes(w, r, next, req)
	case req != nil && p.errorRoutes: // what w was before may be a part of it, or not
		w = &runtime.Response{ResponseWriter: w, CookieName: p.app.opt.cookieName}
	}
	return next.ServeHTTP(w, r)
}

// mayReachGate reports whether r may be for a site that has a gate. Requests for other sites stay as they are: their
// apps may have identities from elsewhere.
func (p *preHandler) mayReachGate(r *http.Request) bool {
	for _, s := range p.sites {
		if s.matches(r) {
			return s.gated
		}
	}
	return true
}

func (s hostSite) matches(r *http.Request) bool {
	for _, m := range s.hosts {
		if ok, err := m.MatchWithError(r); ok || err != nil {
			return true
		}
	}
	return s.hosts == nil
}

// Routes returns the routes that follow, for anyone who looks for a handler in a running configuration.
func (p *preHandler) Routes() caddyhttp.RouteList { return p.routes }

// routeOf returns a route with a handler of ours and nothing else.
func routeOf(ctx caddy.Context, h caddyhttp.MiddlewareHandler) (caddyhttp.Route, error) {
	r := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{h}}
	err := r.ProvisionHandlers(ctx, nil) // it changes r
	return r, err
}
