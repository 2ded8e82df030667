// Package site puts the pages and the API together: it collects the routes of all packages that have some, and makes
// the one router that serves them.
package site

import (
	"slices"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	accountpages "github.com/gatehouse-auth/gatehouse/internal/web/account"
	"github.com/gatehouse-auth/gatehouse/internal/web/device"
	"github.com/gatehouse-auth/gatehouse/internal/web/signin"
)

// Site is what serves the pages and the API of one configuration.
type Site struct {
	Router    *web.Router   // everything below the mount prefix
	Responses web.Responses // what the gate says on the app's own addresses
}

// New makes a site. c.Pages are made by it, from a brand and the language for those who ask for none that there is. It
// fails on a template or a text that is wrong, and on a trusted host that is none.
func New(c web.Config, a admin.Config, brand ui.Brand, language string) (*Site, error) {
	log := c.Log
	if log == nil {
		log = zap.NewNop()
	}
	var err error
	sources := []ui.Source{web.Files, signin.Files, accountpages.Files, device.Files, api.Files, admin.Files}
	if c.Pages, err = ui.NewSet(ui.Config{Brand: brand, Language: language, Log: log, Sources: sources}); err != nil {
		return nil, err
	}
	deps, err := web.NewDeps(c)
	if err != nil {
		return nil, err
	}
	endpoints, err := api.Routes(deps, api.Config{Providers: a.Providers})
	if err != nil {
		return nil, err
	}
	pages := slices.Concat(web.Routes(deps), signin.Routes(deps), accountpages.Routes(deps), device.Routes(deps),
		admin.Routes(deps, a))
	return &Site{Router: web.NewRouter(deps, slices.Concat(pages, endpoints)), Responses: web.NewResponses(deps)}, nil
}
