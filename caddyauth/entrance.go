package caddyauth

import (
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// entrance is what a request meets first in a server on which a gate stands, before any route of it. A gate guards what
// comes after it, but an app can be reached beside it: by a `handle` block of its own, by error routes, also of errors
// that were raised before the gate. The entrance sees to it that no way through the site carries an identity that a
// client made up, or our cookie. It opens and closes nothing.
//
// It is put before the routes when the first gate of a server is provisioned: what is written in JSON by hand has it as
// well as what came from a Caddyfile.
type entrance struct {
	app    *App
	sites  []hostSite
	errors bool // stands before error routes

	routes caddyhttp.RouteList // that it stands before; nil where Caddy goes on to them by itself
	inner  func()              // puts entrances before error routes of subroutes; may be nil
	once   sync.Once
	chain  caddyhttp.Handler
}

// hostSite is a route of the server's own list, which is a site's where the configuration is a Caddyfile.
type hostSite struct {
	hosts []caddyhttp.RequestMatcherWithError // any of which matches; nil for every host
	gated bool                                // a gate stands in it
	alone bool                                // it takes requests for its hosts whole: nothing after it sees them
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (e *entrance) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if e.routes != nil {
		e.once.Do(func() { // all routes are provisioned by now; next is the end of Caddy's list, and always the same
			if e.inner != nil {
				e.inner()
			}
			e.chain = e.routes.Compile(next)
		})
		next = e.chain
	}
	req := firstRequest(r.Context())
	switch {
	case req == nil && e.leads(r):
		if e.app.conceal(w, r) {
			return nil
		}
		receive(e.app, r)
	case req != nil && e.errors && req.gate != nil:
		return req.gate.serveErrorRoutes(w, r, next, req)
	}
	return next.ServeHTTP(w, r)
}

// leads reports whether r may come to a site that has a gate. What is surely another site's is left alone: its app may
// have an identity from elsewhere.
func (e *entrance) leads(r *http.Request) bool {
	for _, s := range e.sites {
		if !s.gated && !s.alone {
			continue
		}
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

// Routes returns the routes that the entrance stands before, for who looks for a handler in a running configuration.
func (e *entrance) Routes() caddyhttp.RouteList { return e.routes }

// route returns a route with the entrance and nothing else.
func (e *entrance) route(ctx caddy.Context) (caddyhttp.Route, error) {
	r := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{e}}
	return r, r.ProvisionHandlers(ctx, nil)
}

// enter puts entrances into a server, once, and looks for ways past its gates. It runs while Caddy provisions the
// server: its routes first, its error routes next, its named routes last.
func (a *App) enter(ctx caddy.Context, srv *caddyhttp.Server) error {
	if a.entered[srv] {
		return nil
	}
	if a.entered == nil {
		a.entered = make(map[*caddyhttp.Server]bool)
	}
	a.entered[srv] = true
	plan, err := readPlan(srv)
	if err != nil {
		return err
	}
	if err := a.putEntrances(ctx, srv, plan); err != nil {
		return err
	}
	for _, way := range plan.ungated() {
		if err := a.warn(way.place, way.text); err != nil {
			return err
		}
	}
	return nil
}

// waiting reports whether some of the routes have not been provisioned, or are just being.
func waiting(routes caddyhttp.RouteList) bool {
	for _, r := range routes {
		if r.HandlersRaw != nil {
			return true
		}
	}
	return false
}

// putEntrances puts an entrance before the routes of a server and one before its error routes.
func (a *App) putEntrances(ctx caddy.Context, srv *caddyhttp.Server, plan *plan) error {
	var failed error
	sites, errorSites := plan.sites(plan.routes), plan.sites(plan.errors)
	put := func(sites []hostSite, errors bool, routes caddyhttp.RouteList) caddyhttp.Route {
		e := &entrance{app: a, sites: sites, errors: errors, routes: routes}
		r, err := e.route(ctx)
		if err != nil && failed == nil {
			failed = err
		}
		return r
	}
	again := put(errorSites, true, nil)
	within := put(sites, true, nil) // before error routes of subroutes, which are one site's
	main := put(sites, false, srv.Routes)
	main.Handlers[0].(*entrance).inner = func() {
		beforeSubErrors(within, main.Handlers[0].(*entrance).routes)
		for _, r := range srv.NamedRoutes {
			beforeSubErrors(within, caddyhttp.RouteList{*r})
		}
	}
	var errorRoutes caddyhttp.RouteList
	if srv.Errors != nil {
		errorRoutes = srv.Errors.Routes
	}
	switch {
	case failed != nil:
	case waiting(srv.Routes): // Caddy goes through the list as it is, and compiles the one that it finds afterwards
		srv.Routes = caddyhttp.RouteList{main}
		if len(errorRoutes) > 0 {
			srv.Errors.Routes = append(caddyhttp.RouteList{again}, errorRoutes...)
		}
	case waiting(errorRoutes): // the gate stands in error routes only
		failed = inEach(put(sites, false, nil), srv.Routes)
		srv.Errors.Routes = caddyhttp.RouteList{put(errorSites, true, errorRoutes)}
	default: // the gate stands in a named route only
		if failed = inEach(put(sites, false, nil), srv.Routes); failed == nil {
			failed = inEach(again, errorRoutes)
		}
		if failed == nil {
			failed = inNamed(ctx, put(sites, false, nil).Handlers[0], srv)
		}
	}
	return failed
}
