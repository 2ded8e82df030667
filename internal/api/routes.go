package api

import (
	"embed"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Files are the texts of the API.
//
//go:embed lang
var Files embed.FS

// Config of the API.
type Config struct {
	// Providers returns the status of the providers, in the order of the configuration. Nil: none are configured.
	Providers func() []ProviderStatus
}

// Routes returns the routes of the API. It fails if one of them is not described.
func Routes(d *web.Deps, c Config) ([]web.Route, error) {
	if c.Providers == nil {
		c.Providers = func() []ProviderStatus { return nil }
	}
	description := &openAPI{}
	routes := slices.Concat(
		AccountRoutes(d),
		users{d}.routes(),
		userFactors{d}.routes(),
		identities{d}.routes(),
		sessions{d}.routes(),
		tokens{d}.routes(),
		audit{d}.routes(),
		providers{c.Providers}.routes(),
		description.routes(),
		// An address without an endpoint is 403 for everyone but administrators. With and without the slash: where one is
		// missing, ServeMux redirects to the other, on the app's own paths.
		[]web.Route{{Pattern: "/api/v1", Access: web.Admin}, {Pattern: "/api/v1/", Access: web.Admin}},
	)
	return routes, description.build(routes)
}

// AccountRoutes returns the routes with which somebody reads and changes the own account. They are part of [Routes].
func AccountRoutes(d *web.Deps) []web.Route {
	return slices.Concat(me{d}.routes(), ownFactors{d}.routes(), ownTokens{d}.routes(), ownPasskeys{d}.routes(),
		ownBrowsers{d}.routes())
}
