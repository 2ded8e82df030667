package caddyauth

import (
	"context"
	"fmt"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// SeedValues checks the administrator's values in the configuration and the environment. Call Resolve before.
func (a *App) SeedValues() (*seed.Values, error) {
	return seed.Parse(a.opt.seed, os.LookupEnv, seed.ReadFile, a.opt.policy)
}

// OpenStore opens the store for a command. The caller closes it. Call Resolve before.
func (a *App) OpenStore(ctx context.Context, log *zap.Logger) (store.Store, error) {
	db, err := sqlstore.Open(ctx, a.opt.store.sql(log))
	if err != nil {
		return nil, err
	}
	return db, nil
}

// HashParams returns the cost of password hashes. Call Resolve before.
func (a *App) HashParams() password.Params { return a.opt.hash }

// PasswordPolicy returns the rules for new passwords. Call Resolve before.
func (a *App) PasswordPolicy() password.Policy { return a.opt.policy }

// Passwords says whose passwords are accepted. Call Resolve before.
func (a *App) Passwords() login.Passwords { return a.opt.passwords }

// SecondFactors returns who has to have a second factor.
func (a *App) SecondFactors() login.SecondFactors { return a.opt.second }

// TokenLimits returns the bounds of tokens, nil where there are none. Call Resolve before.
func (a *App) TokenLimits() *account.TokenLimits { return a.opt.tokens }

// MountPrefix returns where our pages are. Call Resolve before.
func (a *App) MountPrefix() string { return a.opt.prefix }

// StoreOptions returns how to open the store, for commands that look at it before they open it. Call Resolve before.
func (a *App) StoreOptions(log *zap.Logger) sqlstore.Options { return a.opt.store.sql(log) }

// SiteTitle returns the title on our pages, which no password may be. Call Resolve before.
func (a *App) SiteTitle() string { return a.opt.title }

// EnvPrefix returns the prefix of the names of the variables that make the administrator.
func (a *App) EnvPrefix() string { return a.opt.seed.EnvPrefix }

// ProviderCheck is how a provider responded, and why it can't be used; "" where it can.
type ProviderCheck struct {
	api.ProviderStatus
	Problem string
}

// CheckProviders asks the named providers for their metadata and keys, all of the configuration without names. It needs
// no store. Call Resolve before.
func (a *App) CheckProviders(ctx context.Context, names []string) ([]ProviderCheck, error) {
	log := zap.NewNop()
	reg, err := oidc.NewRegistry(oidc.NewPool(oidc.PoolOptions{Log: log}), nil, a.opt.providers, oidc.Options{Log: log})
	if err != nil {
		return nil, err
	}
	pages := providerPages(admin.Config{}, &login.OIDC{Registry: reg}, a.opt.prefix)
	known := make([]string, len(a.opt.providers))
	for i, p := range a.opt.providers {
		known[i] = p.Name
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no provider %q; the configuration has %v", name, known)
		}
	}
	problems := make(map[string]string)
	for _, name := range known {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		problems[name] = ""
		if err := pages.CheckProvider(ctx, name); err != nil {
			problems[name] = err.Error()
		}
	}
	var out []ProviderCheck
	for _, s := range pages.Providers() {
		if problem, asked := problems[s.Name]; asked {
			out = append(out, ProviderCheck{s, problem})
		}
	}
	return out, nil
}
