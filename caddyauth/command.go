package caddyauth

import (
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// StoreOptions returns how to open the store, for commands that look at it before they open it. Call Resolve before.
func (a *App) StoreOptions(log *zap.Logger) sqlstore.Options { return a.opt.store.sql(log) }

// SiteTitle returns the title on our pages, which no password may be. Call Resolve before.
func (a *App) SiteTitle() string { return a.opt.title }

// EnvPrefix returns what stands before the names of the variables that make the administrator.
func (a *App) EnvPrefix() string { return a.opt.seed.EnvPrefix }
