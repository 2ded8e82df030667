package api

import (
	"testing"

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

// world is the API, with the pages for signing in.
type world struct{ *webtest.World }

// config is what a test may change.
type config struct {
	Config
	Language string
}

func newWorld(t testing.TB, with ...func(*config)) *world {
	t.Helper()
	c := config{Config: Config{
		Providers: func() []ProviderStatus {
			return []ProviderStatus{{
				Name: "acme", Label: "Acme", Issuer: "https://id.acme.test",
				RedirectURI: "https://app.test/_auth/oidc/acme/callback", Scopes: []string{"openid"}, Keys: 2,
			}}
		},
	}}
	for _, change := range with {
		change(&c)
	}
	s := webtest.NewServices(t, "Orchard", nil)
	w := &world{webtest.New(s, webtest.Config{
		Config: s.WebConfig(), Language: c.Language, Sources: []ui.Source{Files},
		Routes: func(deps *web.Deps) []web.Route {
			routes, err := Routes(deps, c.Config)
			if err != nil {
				t.Fatal(err)
			}
			return routes
		},
	})}
	w.Serve()
	return w
}

// scene is a world with an account to act on.
type scene struct {
	*world
	webtest.Scene
}

func newScene(t *testing.T, with ...func(*config)) *scene {
	t.Helper()
	w := newWorld(t, with...)
	return &scene{w, w.NewScene()}
}
