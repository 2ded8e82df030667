package caddyauth

import (
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/runtime"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// live are the parts of a started app. They belong to one configuration; what they share with the next is in rt.
type live struct {
	rt       *runtime.Runtime
	opt      *options
	sessions *session.Manager
	hasher   *password.Hasher
	accounts *account.Service
	portal   *portal.Portal
	oidc     *login.OIDC // nil without providers
}

// newLive wires the parts of an app whose store is open.
func newLive(a *App) (*live, error) {
	rt, o := a.rt, a.opt
	hasher := password.NewHasher(o.hash, rt.HashSlots(o.hash))
	logins := &login.Service{
		Store: rt.Store, Sessions: rt.Sessions, Hasher: hasher, Throttle: rt.Throttle,
		Limits: o.throttle, Lifetime: o.limits, Clock: time.Now, Log: a.log.Named("login"), Count: rt.Metrics.SignIn,
	}
	accounts := &account.Service{
		Store: rt.Store, Sessions: rt.Sessions, Login: logins, Hasher: hasher, Policy: o.policy,
		Title: o.title, EnvPrefix: o.seed.EnvPrefix, Clock: time.Now, Log: a.log.Named("account"),
	}
	providers, err := a.newOIDC(logins)
	if err != nil {
		return nil, err
	}
	accounts.Effective = providers.Effective
	// The portal and the admin pages share one set: what is made for a language is made once.
	pages, err := ui.NewSet(ui.Config{
		Brand: o.brand, Language: o.language, Log: a.log.Named("pages"), Sources: []ui.Source{portal.Files, admin.Files},
	})
	if err != nil {
		return nil, err
	}
	var p *portal.Portal
	admins, err := a.adminPages(accounts, providerPages(admin.Config{Pages: pages}, providers, o.prefix), func(w http.ResponseWriter, r *http.Request) {
		p.Fail(w, r, store.ErrNotFound, !strings.Contains(r.URL.Path, "/api/"))
	})
	if err != nil {
		return nil, err
	}
	p, err = portal.New(portal.Config{
		Extra: admins,
		Store: rt.Store, Sessions: rt.Sessions, Login: logins, Accounts: accounts, OIDC: providers,
		CookieDomain: o.cookieDomain, Pages: pages, TrustReturn: o.trustReturn,
		Clock: time.Now, Log: a.log.Named("pages"),
	})
	if err != nil {
		return nil, err
	}
	return &live{
		rt: rt, opt: o, sessions: rt.Sessions, hasher: hasher, accounts: accounts, portal: p, oidc: providers,
	}, nil
}
