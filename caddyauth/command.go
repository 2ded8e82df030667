package caddyauth

import (
	"context"
	"os"

	"go.uber.org/zap"

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

// MountPrefix returns where our pages are. Call Resolve before.
func (a *App) MountPrefix() string { return a.opt.prefix }

// StoreOptions returns how to open the store, for commands that look at it before they open it. Call Resolve before.
func (a *App) StoreOptions(log *zap.Logger) sqlstore.Options { return a.opt.store.sql(log) }

// SiteTitle returns the title on our pages, which no password may be. Call Resolve before.
func (a *App) SiteTitle() string { return a.opt.title }

// EnvPrefix returns the prefix of the names of the variables that make the administrator.
func (a *App) EnvPrefix() string { return a.opt.seed.EnvPrefix }
