package caddyauth

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A gate that stands in a named route, or in error routes, and nowhere else is provisioned when Caddy has compiled the
// routes before. What is put together at every request can still be changed then: subroutes, which all sites of a
// Caddyfile are that name a host, and all `handle` and `route` blocks.

// inEach puts an entrance into each of the routes, or says which of them cannot have one.
func inEach(front caddyhttp.Route, routes caddyhttp.RouteList) error {
	for _, r := range routes {
		if err := inRoute(front, r); err != nil {
			return err
		}
	}
	return nil
}

func inRoute(front caddyhttp.Route, r caddyhttp.Route) error {
	for _, h := range r.Handlers {
		name := caddy.GetModuleName(h)
		switch sub, ok := h.(*caddyhttp.Subroute); {
		case ok:
			sub.Routes = append(caddyhttp.RouteList{front}, sub.Routes...)
			return nil
		case name == "gatehouse", ends[name] && name != "file_server":
			return nil // it is an entrance itself, or goes nowhere
		case passes[name], guardsItself[name], name == "invoke", name == "file_server": // which may pass on what it does not have
		default:
			return fmt.Errorf("gatehouse stands only in a named route or in handle_errors of this site, so that %s beside it would see what clients "+
				"say of who they are: write gatehouse in the site itself, or put %s into a handle or route block", name, name)
		}
	}
	return nil
}

// inNamed puts an entrance into each named route.
func inNamed(ctx caddy.Context, front caddyhttp.MiddlewareHandler, srv *caddyhttp.Server) error {
	app, err := ctx.App("http")
	if err != nil {
		return err
	}
	for _, r := range srv.NamedRoutes {
		r.Handlers = append([]caddyhttp.MiddlewareHandler{front}, r.Handlers...)
		if r.HandlersRaw != nil {
			continue // what Caddy loads comes after what is there
		}
		if err := r.ProvisionHandlers(ctx, app.(*caddyhttp.App).Metrics); err != nil {
			return err
		}
	}
	return nil
}

// beforeSubErrors puts an entrance before the error routes that subroutes have of their own: like the server's, they run
// after a gate has returned.
func beforeSubErrors(again caddyhttp.Route, routes caddyhttp.RouteList) {
	for _, r := range routes {
		for _, h := range r.Handlers {
			for _, list := range routeLists(h) {
				beforeSubErrors(again, list.routes)
			}
			if sub, ok := h.(*caddyhttp.Subroute); ok && sub.Errors != nil && len(sub.Errors.Routes) > 0 {
				sub.Errors.Routes = append(caddyhttp.RouteList{again}, sub.Errors.Routes...)
			}
		}
	}
}
