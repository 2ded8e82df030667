package admin

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

const (
	goodPass  = webtest.GoodPass
	otherPass = webtest.OtherPass
	prefix    = webtest.Prefix
)

type (
	browser  = webtest.Browser
	response = webtest.Response
)

var operator = webtest.Operator

// world is the pages and the API.
type world struct {
	*webtest.World
	table []web.Route // of administrators, without those for what does not exist
	ui    *ui.UI
}

// sources are the templates and texts of the other pages.
var sources = slices.Concat(webtest.Sources, []ui.Source{api.Files})

// config is what a test may change.
type config struct {
	Config
	Language string
	NoTokens bool
}

func newWorld(t testing.TB, with ...func(*config)) *world {
	t.Helper()
	c := config{Config: Config{Providers: acme, Sites: threeSites, Effective: oneSetting}}
	for _, change := range with {
		change(&c)
	}
	s := webtest.NewServices(t, "Orchard", nil)
	if c.NoTokens {
		s.Accounts.Tokens = nil
	}
	w := &world{World: webtest.New(s, webtest.Config{
		Config: s.WebConfig(), Language: c.Language, Sources: []ui.Source{api.Files, Files},
		Routes: func(deps *web.Deps) []web.Route {
			endpoints, err := api.Routes(deps, api.Config{Providers: c.Providers})
			if err != nil {
				t.Fatal(err)
			}
			return slices.Concat(endpoints, Routes(deps, c.Config))
		},
	})}
	for _, rt := range w.Table {
		if admin := rt.Access == web.Admin || rt.Access == web.AdminFresh; admin && rt.Handle != nil {
			w.table = append(w.table, rt)
		}
	}
	w.ui = w.Deps.Pages.Default()
	w.Serve()
	return w
}

func acme() []api.ProviderStatus {
	return []api.ProviderStatus{{
		Name: "acme", Label: "Acme", Issuer: "https://id.acme.test",
		RedirectURI: "https://app.test/_auth/oidc/acme/callback", Scopes: []string{"openid"}, Keys: 2,
	}}
}

func threeSites() []SiteRules {
	return []SiteRules{
		{Hosts: []string{"open.test"}, Public: []string{"/health"}},
		{Hosts: []string{"staff.test"}, Require: []policy.Rule{{Field: policy.FieldGroup, Values: []string{"staff"}}}},
		{Hosts: []string{"acme.test"}, Require: []policy.Rule{{Field: policy.FieldProvider, Values: []string{"acme"}}}},
	}
}

func oneSetting() Settings {
	return Settings{Version: "1.2.3", Caddy: "v2.11.9", Options: []Option{
		{Section: "session", Name: "idle", Value: "12h", Source: "default"},
	}}
}

// noCheck finds every provider well.
func noCheck(context.Context, string) error { return nil }

// failedCheck finds every provider ill.
func failedCheck(context.Context, string) error { return errors.New("its keys are not there") }
