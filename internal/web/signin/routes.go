package signin

import (
	"embed"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Files are the templates and texts of the pages.
//
//go:embed templates lang
var Files embed.FS

// Routes returns the addresses of all ways in and out.
func Routes(d *web.Deps) []web.Route {
	login, stepUp, links, logout := &Login{d}, &StepUp{d}, &Links{d}, &Logout{d}
	routes := slices.Concat(
		[]web.Route{
			web.Get("/{$}", web.Optional, login.index),
			web.Get("/login/help", web.Public, login.help),
			web.Get("/continue", web.Public, login.continuation),
			web.Get("/logged-out", web.Optional, logout.done),
		},
		web.Form("/login", web.Optional, login.show, login.post),
		web.Form(web.StepUpPage, web.SignedIn, stepUp.show, stepUp.post),
		(&Second{d}).routes(),
		(&Passkeys{d}).routes(),
		duringSetup(web.Get("/link/{token}", web.Public, links.open), web.Post("/language", web.Public, postLanguage)),
		duringSetup(web.Form("/welcome", web.Public, links.show, links.post)...),
		duringSetup(web.Form("/logout", web.Optional, logout.show, logout.post)...),
	)
	if d.OIDC == nil {
		return routes
	}
	return append(routes, (&OIDC{d}).routes()...)
}

// routes are the addresses of the sign-in through providers. Providers post to two of them from their own sites; these
// check what is posted by what it is, and by the browser's cookie, and look up no session.
func (h *OIDC) routes() []web.Route {
	return slices.Concat(
		web.Form("/oidc/{name}/start", web.Optional, h.start, h.confirmed),
		[]web.Route{
			crossSite(web.Get("/oidc/{name}/callback", web.Optional, h.callback)),
			crossSite(web.Post("/oidc/{name}/callback", web.Optional, h.posted)),
		},
		duringSetup(
			crossSite(web.Post("/oidc/{name}/backchannel-logout", web.Public, h.backchannel)),
			web.Get("/oidc/{name}/frontchannel-logout", web.Public, h.frontchannel),
			web.Get("/oidc/{name}/icon", web.Public, h.icon),
			web.Get("/oidc/{name}/jwks.json", web.Public, h.publicKeys),
		),
	)
}

func duringSetup(routes ...web.Route) []web.Route {
	for i := range routes {
		routes[i].DuringSetup = true
	}
	return routes
}

func crossSite(rt web.Route) web.Route {
	rt.CrossSite = true
	return rt
}
