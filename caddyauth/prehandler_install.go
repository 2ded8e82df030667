package caddyauth

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// installPreHandlers inserts preHandlers into a server, once, and warns of routes that bypass its gates. It runs while
// Caddy provisions the server: its routes first, its error routes next, its named routes last.
func (a *App) installPreHandlers(ctx caddy.Context, srv *caddyhttp.Server) error {
	if a.installed[srv] {
		return nil
	}
	if a.installed == nil {
		a.installed = make(map[*caddyhttp.Server]bool)
		if err := a.checkServers(ctx); err != nil {
			return err
		}
	}
	a.installed[srv] = true
	if err := a.checkListeners(srv); err != nil {
		return err
	}
	plan, err := readPlan(srv)
	if err != nil {
		return err
	}
	if err := a.insertPreHandlers(ctx, srv, plan); err != nil {
		return err
	}
	for _, b := range slices.Concat(plan.ungated(), plan.hiddenGates(), plan.anyAudience()) {
		if err := a.warn(b.place, b.text); err != nil {
			return err
		}
	}
	return nil
}

// insertPreHandlers inserts a preHandler before the routes of a server and one before its error routes, and our pages
// where no gate would see the requests for them.
func (a *App) insertPreHandlers(ctx caddy.Context, srv *caddyhttp.Server, plan *plan) error {
	var failed error
	sites, errorSites := plan.sites(plan.routes), plan.sites(plan.errors)
	newRoute := func(p *preHandler) caddyhttp.Route {
		p.app = a
		r, err := routeOf(ctx, p)
		if err != nil && failed == nil {
			failed = err
		}
		return r
	}
	beforeErrors := newRoute(&preHandler{sites: errorSites, errorRoutes: true})
	// beforeSubErrors comes before the error routes of subroutes, which belong to one site.
	beforeSubErrors := newRoute(&preHandler{sites: sites, errorRoutes: true})
	pages, err := a.pageInsertions(ctx, plan, !unprovisioned(srv.Routes))
	if err != nil {
		return err
	}
	first := &preHandler{sites: sites, routes: srv.Routes}
	first.insert = func(routes caddyhttp.RouteList) caddyhttp.RouteList {
		routes = insertPages(routes, pages)
		insertBeforeErrors(beforeSubErrors, routes)
		for _, r := range srv.NamedRoutes {
			insertBeforeErrors(beforeSubErrors, caddyhttp.RouteList{*r})
		}
		return routes
	}
	main := newRoute(first)
	var errorRoutes caddyhttp.RouteList
	if srv.Errors != nil {
		errorRoutes = srv.Errors.Routes
	}
	switch {
	case failed != nil:
	case unprovisioned(srv.Routes): // Caddy provisions this list, and compiles the one that it finds afterwards
		srv.Routes = caddyhttp.RouteList{main}
		if len(errorRoutes) > 0 {
			srv.Errors.Routes = append(caddyhttp.RouteList{beforeErrors}, errorRoutes...)
		}
	case unprovisioned(errorRoutes): // the gate is in error routes only
		insertPages(srv.Routes, pages)
		failed = insertInEach(newRoute(&preHandler{sites: sites}), srv.Routes)
		beforeErrors = newRoute(&preHandler{sites: errorSites, errorRoutes: true, routes: errorRoutes})
		srv.Errors.Routes = caddyhttp.RouteList{beforeErrors}
	default: // the gate is in a named route only
		insertPages(srv.Routes, pages)
		if failed = insertInEach(newRoute(&preHandler{sites: sites}), srv.Routes); failed == nil {
			failed = insertInEach(beforeErrors, errorRoutes)
		}
		if failed == nil {
			failed = insertInNamed(ctx, newRoute(&preHandler{sites: sites}).Handlers[0], srv)
		}
	}
	return failed
}

// unprovisioned reports whether any of the routes is not provisioned, or is being provisioned.
func unprovisioned(routes caddyhttp.RouteList) bool {
	for _, r := range routes {
		if r.HandlersRaw != nil {
			return true
		}
	}
	return false
}

// insertInEach inserts a preHandler into each of the routes, or returns an error about one that cannot have it.
//
// A gate that is in a named route, or in error routes, and nowhere else is provisioned when Caddy has compiled the
// routes before. What is compiled at every request can still be changed then: subroutes, which all sites of a Caddyfile
// are that name a host, and all `handle` and `route` blocks.
func insertInEach(front caddyhttp.Route, routes caddyhttp.RouteList) error {
	for _, r := range routes {
		if err := insertInRoute(front, r); err != nil {
			return err
		}
	}
	return nil
}

func insertInRoute(front, r caddyhttp.Route) error {
	for _, h := range r.Handlers {
		name := caddy.GetModuleName(h)
		switch sub, ok := h.(*caddyhttp.Subroute); {
		case ok:
			sub.Routes = append(caddyhttp.RouteList{front}, sub.Routes...)
			return nil
		case name == "gatehouse", terminalHandlers[name] && name != "file_server":
			return nil // it receives the request itself, or ends it
		case passingHandlers[name], authHandlers[name], name == "invoke",
			name == "file_server": // with pass_thru it passes on what it does not have
		default:
			return fmt.Errorf("gatehouse stands only in a named route or in handle_errors of this site, so that %s beside it "+
				"would see what clients "+
				"say of who they are: write gatehouse in the site itself, or put %s into a handle or route block", name, name)
		}
	}
	return nil
}

// insertInNamed inserts a preHandler into each named route.
func insertInNamed(ctx caddy.Context, front caddyhttp.MiddlewareHandler, srv *caddyhttp.Server) error {
	app, err := ctx.App("http")
	if err != nil {
		return err
	}
	httpApp, ok := app.(*caddyhttp.App)
	if !ok {
		return fmt.Errorf("the http app is a %T", app)
	}
	for _, r := range srv.NamedRoutes {
		r.Handlers = append([]caddyhttp.MiddlewareHandler{front}, r.Handlers...)
		if r.HandlersRaw != nil {
			continue // what Caddy loads comes after it
		}
		if err := r.ProvisionHandlers(ctx, httpApp.Metrics); err != nil {
			return err
		}
	}
	return nil
}

// insertBeforeErrors inserts a preHandler before the error routes of subroutes: like the server's, they run after a
// gate has returned.
func insertBeforeErrors(front caddyhttp.Route, routes caddyhttp.RouteList) {
	for _, r := range routes {
		for _, h := range r.Handlers {
			for _, list := range routeLists(h) {
				insertBeforeErrors(front, list.routes)
			}
			if sub, ok := h.(*caddyhttp.Subroute); ok && sub.Errors != nil && len(sub.Errors.Routes) > 0 {
				sub.Errors.Routes = append(caddyhttp.RouteList{front}, sub.Errors.Routes...)
			}
		}
	}
}
