package caddyauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/runtime"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// StoreConfig says where users and sessions are kept.
type StoreConfig struct {
	// Engine: `sqlite` (default) or `postgres`.
	Engine string `json:"engine,omitempty"`
	// Path of the SQLite file. Default: gatehouse/gatehouse.db in Caddy's data directory. Placeholders are allowed.
	Path string `json:"path,omitempty"`
	// DSN of the PostgreSQL database, as a URL or as key=value pairs. Use a placeholder: it holds a password.
	DSN string `json:"dsn,omitempty"`
}

// storeOptions say which store to open.
type storeOptions struct {
	engine, path, dsn string
}

// parseStore reads `store sqlite [<path>]` or `store postgres <dsn>`.
func parseStore(a *App, d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("store takes sqlite [<path>] or postgres <dsn>")
	}
	if len(args) == 2 && args[1] == "" {
		return d.Errf("store %s: the value is empty; is the variable that it comes from set?", args[0])
	}
	var err error
	if a.Store, err = storeOf(args); err != nil {
		return d.WrapErr(err)
	}
	if err := checkPlaceholders(a.Store.Path + a.Store.DSN); err != nil {
		return d.Errf("store %s: %w", args[0], err)
	}
	if a.Store.Path != "" {
		if err := checkPath(a.Store.Path); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// storeOf returns the store that the values of the option name.
func storeOf(args []string) (*StoreConfig, error) {
	c := &StoreConfig{Engine: args[0]}
	switch {
	case args[0] == "sqlite" && len(args) == 1:
	case args[0] == "sqlite" && len(args) == 2:
		c.Path = args[1]
	case args[0] == "postgres" && len(args) == 2:
		c.DSN = args[1]
	case args[0] == "sqlite":
		return nil, errors.New("store sqlite takes one path, or none for Caddy's data directory")
	case args[0] == "postgres":
		return nil, errors.New("store postgres takes one dsn; put it in quotes if it has spaces, or use a placeholder such " +
			"as {env.DATABASE_URL}")
	default:
		return nil, fmt.Errorf("store: unknown engine %q; use sqlite or postgres", args[0])
	}
	return c, nil
}

func resolveStore(a *App, o *options) error {
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
		o.store = storeOptions{engine: "postgres", dsn: strings.TrimSpace(dsn)} // files and variables end in line breaks
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
		if err := checkPath(path); err != nil {
			return "", err
		}
		return filepath.Abs(path)
	}
	dir := caddy.AppDataDir() // now, not at init: an env file may have set it
	if !filepath.IsAbs(dir) {
		return "", errors.New("store sqlite: no home directory to keep data in; set XDG_DATA_HOME, or give a path: store " +
			"sqlite /var/lib/gatehouse/gatehouse.db")
	}
	return filepath.Join(dir, "gatehouse", "gatehouse.db"), nil
}

// checkPath refuses what would be a file of an unexpected name. It shows nothing of the value: it may be a DSN.
func checkPath(path string) error {
	switch {
	case strings.Contains(path, "://"), strings.HasPrefix(path, "file:"), strings.HasPrefix(path, ":memory:"):
		return errors.New("store sqlite: give the path of a file, such as /var/lib/gatehouse/gatehouse.db; a DSN is for " +
			"store postgres")
	case strings.TrimSpace(path) != path, strings.ContainsFunc(path, unicode.IsControl):
		return errors.New("store sqlite: the path begins or ends with a blank, or has a line break in it")
	case strings.HasSuffix(path, "/"):
		return errors.New("store sqlite: the path ends in /; give a file in that folder, such as gatehouse.db")
	}
	return nil
}

// key names the store in the pool of runtimes. It contains no secret: a DSN has a password in it.
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

// open returns how to open the store.
func (s storeOptions) open(log *zap.Logger) func(context.Context) (runtime.Engine, error) {
	return func(ctx context.Context) (runtime.Engine, error) { return sqlstore.Open(ctx, s.sql(log)) }
}

// check refuses what is certain to fail, and changes nothing. Whether the store is whole is found out by opening it.
// connect asks PostgreSQL, too.
func (s storeOptions) check(ctx context.Context, log *zap.Logger, connect bool) error {
	if connect {
		return sqlstore.Probe(ctx, s.sql(log))
	}
	return sqlstore.Check(ctx, s.sql(log))
}

func storeSettings(a *App, s *settings) {
	location := a.opt.store.path
	if a.opt.store.engine != "sqlite" {
		location = a.rt.Store.Info().Location
	}
	s.add("store", a.opt.store.engine, location, a.Store == nil)
}
