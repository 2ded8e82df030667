package caddyauth

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/runtime"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/site"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// live are the parts of a started app. They belong to one configuration; what they share with the next is in rt.
type live struct {
	rt       *runtime.Runtime
	opt      *options
	sessions *session.Manager
	hasher   *password.Hasher
	accounts *account.Service
	oidc     *login.OIDC // nil without providers
	second   login.SecondFactors
	machines *machineJWTs
	site     *site.Site
}

// newLive wires the parts of an app whose store is open.
func newLive(a *App) (*live, error) {
	rt, o := a.rt, a.opt
	ending := &login.EndingStore{Store: rt.Store}
	hasher := password.NewHasher(o.hash, rt.HashSlots(o.hash))
	logins := &login.Service{
		Store: ending, Sessions: rt.Sessions, Hasher: hasher, Throttle: rt.Throttle,
		Limits: o.throttle, Lifetime: o.limits, Clock: time.Now, Log: a.log.Named("login"), Count: rt.Metrics.SignIn,
		Passwords: o.passwords, Second: o.second, Sealer: seal.New(rt.Store), CountStep: rt.Metrics.Step,
	}
	accounts := account.New(account.Config{
		Store: ending, Sessions: rt.Sessions, Login: logins, Hasher: hasher, Policy: o.policy,
		Title: o.title, EnvPrefix: o.seed.EnvPrefix, Clock: time.Now, Log: a.log.Named("account"),
		Passwords: o.passwords, Tokens: o.tokens,
	})
	providers, err := a.newOIDC(logins)
	if err != nil {
		return nil, err
	}
	accounts.Effective, accounts.Methods = providers.Effective, providers.Methods
	if providers != nil {
		ending.Ended, providers.Background = providers.RevokeEnded, rt.Background
	}
	pages, err := site.New(web.Config{
		Store: rt.Store, Sessions: rt.Sessions, Login: logins, Accounts: accounts, OIDC: providers, SignIn: o.signIn,
		CookieDomain: o.cookieDomain, TrustReturn: o.trustReturn, AdminHosts: o.adminHosts,
		Clock: time.Now, Log: a.log.Named("pages"), Device: rt.Device,
		Needs:      a.needs,
		PublicKeys: func(ctx context.Context) ([]byte, error) { return rt.Assertions.PublicKeys(ctx, o.storeGrace) },
	}, a.adminConfig(providers), o.brand, o.language)
	if err != nil {
		return nil, err
	}
	return &live{
		rt: rt, opt: o, sessions: rt.Sessions, hasher: hasher, accounts: accounts, oidc: providers, site: pages,
		machines: a.machines, second: o.second,
	}, nil
}
