package caddyauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// storeOptions say which store to open.
type storeOptions struct {
	engine, path, dsn string
}

func (a *App) resolveStore(o *options) error {
	c := a.Store
	if c == nil {
		c = &StoreConfig{}
	}
	switch c.Engine {
	case "", "sqlite":
		if c.DSN != "" {
			return errors.New("store sqlite: a dsn is for postgres; give a path")
		}
		path, err := sqlitePath(c.Path)
		o.store = storeOptions{engine: "sqlite", path: path}
		return err
	case "postgres":
		if c.Path != "" {
			return errors.New("store postgres: a path is for sqlite; give a dsn")
		}
		dsn, err := placeholder("store postgres", c.DSN)
		o.store = storeOptions{engine: "postgres", dsn: dsn}
		return err
	default:
		return fmt.Errorf("store: unknown engine %q; use sqlite or postgres", c.Engine)
	}
}

func sqlitePath(configured string) (string, error) {
	if configured != "" {
		path, err := placeholder("store sqlite", configured)
		if err != nil {
			return "", err
		}
		return filepath.Abs(path)
	}
	dir := caddy.AppDataDir() // now, not at init: an env file may have set it
	if !filepath.IsAbs(dir) {
		return "", errors.New("store sqlite: no home directory to keep data in; set XDG_DATA_HOME, or give a path: store sqlite /var/lib/gatehouse/gatehouse.db")
	}
	return filepath.Join(dir, "gatehouse", "gatehouse.db"), nil
}

// key names the store in the pool of runtimes. It holds no secret: a DSN has a password in it.
func (s storeOptions) key() string {
	if s.engine == "sqlite" {
		return "sqlite:" + s.path
	}
	sum := sha256.Sum256([]byte(s.dsn))
	return s.engine + ":" + hex.EncodeToString(sum[:])
}

func (s storeOptions) sql(log *zap.Logger) sqlstore.Options {
	return sqlstore.Options{Engine: s.engine, Path: s.path, DSN: s.dsn, Log: log, Clock: time.Now, Migrate: true}
}

// check refuses what is certain to fail, and changes nothing. Whether the store is whole is found out by opening it.
func (s storeOptions) check(ctx context.Context, log *zap.Logger) error {
	return sqlstore.Check(ctx, s.sql(log))
}
