package account

import (
	"embed"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/internal/web/signin"
)

// Files are the templates and texts of the pages.
//
//go:embed templates lang
var Files embed.FS

// Routes returns the addresses of the account pages.
func Routes(d *web.Deps) []web.Route {
	profile, password, sessions, appearance := &Profile{d}, &Password{d}, &Sessions{d}, &Appearance{d}
	routes := slices.Concat(
		[]web.Route{
			web.Get("/account", web.SignedIn, (&Overview{d}).show),
			web.Get("/account/sessions", web.SignedIn, sessions.list),
			web.Get("/account/activity", web.SignedIn, (&Activity{d}).show),
		},
		web.Form("/account/profile", web.SignedIn, profile.show, profile.post),
		web.Form(web.PasswordPage, web.AnySignedIn, password.show, password.post),
		web.Form("/account/sessions/others", web.SignedIn, sessions.confirmOthers, sessions.endOthers),
		web.Form("/account/sessions/{id}/revoke", web.SignedIn, sessions.confirmRevoke, sessions.revoke),
		web.Form("/account/appearance", web.SignedIn, appearance.show, appearance.post),
		passkeyRoutes(d),
		browserRoutes(d),
	)
	routes = append(routes, twoFactorRoutes(d)...)
	if d.Accounts.Tokens != nil {
		routes = append(routes, tokenRoutes(d)...)
	}
	if d.OIDC == nil {
		return routes
	}
	providers := &Providers{Deps: d, SignIn: &signin.OIDC{Deps: d}}
	return append(routes, web.Form("/account/providers", web.SignedIn, providers.show, providers.post)...)
}
