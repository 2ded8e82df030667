// Package webtest provides what the tests of pages and of the API share: a site on a real store at a time that only the
// test moves, and browsers for it. Only tests import it.
package webtest

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	accountpages "github.com/gatehouse-auth/gatehouse/internal/web/account"
	devicepages "github.com/gatehouse-auth/gatehouse/internal/web/device"
	"github.com/gatehouse-auth/gatehouse/internal/web/signin"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// Prefix is the path below which the pages and the API are mounted.
const Prefix = "/_auth"

// Cheap are password parameters that take no time.
var Cheap = password.Params{MemoryKiB: 64, Time: 1, Threads: 1}

// Sources are the templates and texts that every World has.
var Sources = []ui.Source{web.Files, signin.Files, accountpages.Files, devicepages.Files}

// Services are a fresh store and what works on it.
type Services struct {
	T        testing.TB
	Clock    *testenv.Clock
	Store    *sqlstore.DB
	Sessions *session.Manager
	Login    *login.Service
	Accounts *account.Service
	log      *zap.Logger
}

// NewServices returns services for a site with a title. log may be nil.
func NewServices(t testing.TB, title string, log *zap.Logger) *Services {
	t.Helper()
	if log == nil {
		log = zap.NewNop()
	}
	clock := testenv.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	db := testenv.Store(t, func(o *sqlstore.Options) { o.Clock = clock.Now })
	sessions := session.NewManager(db, session.Options{Clock: clock.Now})
	t.Cleanup(sessions.Close)
	tokens := account.DefaultTokenLimits
	tokens.Device = true
	hasher := password.NewHasher(Cheap, password.NewSlots(2, 64))
	limits := login.DefaultLimits
	limits.Client = 100_000 // every test signs in from one address
	logins := &login.Service{
		Store: db, Sessions: sessions, Hasher: hasher, Throttle: login.NewThrottle(db, clock.Now),
		Limits: limits, Lifetime: session.DefaultLimits, Clock: clock.Now, Log: log,
		Passwords: login.AllPasswords, Sealer: seal.New(db),
	}
	accounts := account.New(account.Config{
		Store: db, Sessions: sessions, Login: logins, Hasher: hasher, Title: title, Clock: clock.Now, Log: log,
		Passwords: login.AllPasswords, Tokens: &tokens,
	})
	return &Services{T: t, Clock: clock, Store: db, Sessions: sessions, Login: logins, Accounts: accounts, log: log}
}

// WebConfig returns the configuration of pages over the services, without the pages themselves.
func (s *Services) WebConfig() web.Config {
	return web.Config{
		Store: s.Store, Sessions: s.Sessions, Login: s.Login, Accounts: s.Accounts, Clock: s.Clock.Now, Log: s.log,
		Device: device.NewLimits(s.Clock.Now),
	}
}

// Config is what a World is made from. Sources and Routes come after those of every World; Routes may be nil.
type Config struct {
	web.Config
	Brand    ui.Brand
	Language string
	Sources  []ui.Source
	Routes   func(*web.Deps) []web.Route
}

// World is a site's pages for signing in and for one's own account, and what the configuration adds to them.
type World struct {
	*Services
	Deps   *web.Deps
	Table  []web.Route
	Router *web.Router
	Server *httptest.Server // nil before Serve
}

// New returns the World of a configuration, whose services are s.
func New(s *Services, c Config) *World {
	s.T.Helper()
	var err error
	c.Pages, err = ui.NewSet(ui.Config{
		Brand: c.Brand, Language: c.Language, Log: s.log, Sources: slices.Concat(Sources, c.Sources),
	})
	if err != nil {
		s.T.Fatal(err)
	}
	deps, err := web.NewDeps(c.Config)
	if err != nil {
		s.T.Fatal(err)
	}
	routes := slices.Concat(web.Routes(deps), signin.Routes(deps), accountpages.Routes(deps), devicepages.Routes(deps))
	if c.Routes != nil {
		routes = append(routes, c.Routes(deps)...)
	}
	return &World{Services: s, Deps: deps, Table: routes, Router: web.NewRouter(deps, routes)}
}

// Serve starts a server that has the World below Prefix, as in front of a site, until the test ends.
func (w *World) Serve() {
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.Router.ServeHTTP(rw, reqctx.With(r, &reqctx.Request{
			ID: "req-1", ClientIP: netip.MustParseAddr("192.0.2.7"), Host: r.Host, Prefix: Prefix,
		}))
	}))
	w.T.Cleanup(w.Server.Close)
}
