package admin

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Routes returns the routes of the admin pages.
func Routes(d *web.Deps, c Config) []web.Route {
	if c.Providers == nil {
		c.Providers = func() []api.ProviderStatus { return nil }
	}
	if c.Effective == nil {
		c.Effective = func() Settings { return Settings{} }
	}
	if c.Sites == nil {
		c.Sites = func() []SiteRules { return nil }
	}
	return slices.Concat(
		dashboard{d, c}.routes(),
		users{d, c}.routes(),
		user{d, c}.routes(),
		invites{d}.routes(),
		roles{d, c}.routes(),
		sessions{d}.routes(),
		tokens{d}.routes(),
		audit{d, c}.routes(),
		providers{d, c}.routes(),
		settings{d, c}.routes(),
		// An address without a page is 403 for everyone but administrators.
		[]web.Route{{Pattern: "/admin/", Access: web.Admin}},
	)
}

// get returns the route of a page that changes nothing.
func get(pattern string, h web.Handler) web.Route { return web.Get(pattern, web.Admin, h) }

// change returns the routes of a page that changes something: GET shows or asks, POST does it. action is what the audit
// log calls it.
func change(d *web.Deps, pattern, action string, f form) []web.Route {
	return []web.Route{
		web.Get(pattern, web.AdminFresh, showForm(f)),
		{
			Method: http.MethodPost, Pattern: pattern, Access: web.AdminFresh, ChecksFresh: true,
			Audit: action, Handle: postForm(d, f, action),
		},
	}
}
