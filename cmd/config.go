package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// errNoConfig means that nothing says where the store is. A guess could change another store than the server's.
var errNoConfig = errors.New("no configuration found: give --config <Caddyfile>, or --store <file or DSN>, " +
	"or run this where the Caddyfile is")

// loadApp returns the configuration of Gatehouse, resolved with the environment of this process as the server would.
func (c *call) loadApp() (*caddyauth.App, error) {
	if err := c.loadEnv(); err != nil {
		return nil, err
	}
	app, err := c.readApp()
	if err != nil {
		return nil, err
	}
	if err := app.Resolve(); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return app, nil
}

// loadEnv reads the files of --envfile. Like in `caddy run`, variables that are already set are not changed.
func (c *call) loadEnv() error {
	files, _ := c.cmd.Flags().GetStringArray("envfile")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading --envfile: %w", err)
		}
		file, err := parseEnv(data)
		if err != nil {
			return fmt.Errorf("reading --envfile %s: %w", name, err)
		}
		c.noteCut(name, file)
		for key, value := range file.values() {
			if _, set := os.LookupEnv(key); set {
				continue
			}
			if err := os.Setenv(key, value); err != nil {
				return fmt.Errorf("reading --envfile %s: %w", name, err)
			}
			c.envFrom[key] = name
		}
	}
	return nil
}

// noteCut tells of values that a '#' ends, as it does for Caddy: a password would be shorter than its owner thinks. It
// may begin a comment, too, so this is no error.
func (c *call) noteCut(name string, file *envFile) {
	for _, e := range file.entries {
		if !e.cut {
			continue
		}
		at := fmt.Sprintf("%s:%d", name, e.first+1)
		c.envCut[e.key] = at
		c.notef("note: %s: %s", at, cutText(e.key))
	}
}

func cutText(variable string) string {
	return "the value of " + variable + " ends before the #, which begins a comment for Caddy within quotes, too. If " +
		"what follows belongs to it, keep the value in a file of its own: ADMIN_PASSWORD_FILE, or {file./path} in the " +
		"Caddyfile"
}

func (c *call) readApp() (*caddyauth.App, error) {
	if c.given("store") {
		if c.flag("config") != "" {
			return nil, errors.New("give --config or --store, not both")
		}
		at, err := storeConfig(c.flag("store"))
		return &caddyauth.App{Store: at}, err
	}
	if c.flag("config") == "-" && c.readsStdin() {
		return nil, errors.New("standard input can't be both the configuration and the password; give --config a file")
	}
	raw, cfg, err := c.loadConfig(errNoConfig)
	if err != nil {
		return nil, err
	}
	c.sites = caddyauth.SiteAddresses(raw)
	c.adminAddress = adminAddressOf(cfg)
	return parseApp(raw, cfg)
}

// loadConfig reads the configuration of Caddy that --config names, or that is here, as JSON and parsed. Where there is
// none, it returns the error missing.
func (c *call) loadConfig(missing error) ([]byte, *caddy.Config, error) {
	raw, _, _, err := caddycmd.LoadConfig(c.flag("config"), c.flag("adapter"))
	if err != nil {
		return nil, nil, err
	}
	if len(raw) == 0 {
		return nil, nil, missing
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(caddy.RemoveMetaFields(raw), cfg); err != nil {
		return nil, nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return raw, cfg, nil
}

// parseApp returns Gatehouse's part of a configuration of Caddy.
func parseApp(raw []byte, cfg *caddy.Config) (*caddyauth.App, error) {
	app := new(caddyauth.App)
	part, configured := cfg.AppsRaw["gatehouse"]
	if !configured {
		// A site may use the gate without a global option; then all options have their defaults.
		if !usesGate.Match(raw) {
			return nil, errors.New("this configuration does not use gatehouse; check --config, or give --store <file or DSN>")
		}
		return app, nil
	}
	if err := caddy.StrictUnmarshalJSON(bytes.TrimSpace(part), app); err != nil {
		return nil, fmt.Errorf("reading the gatehouse part of the configuration: %w", err)
	}
	return app, nil
}

var usesGate = regexp.MustCompile(`"handler"\s*:\s*"gatehouse"`)

// dsnForm matches PostgreSQL DSNs: URLs, key=value pairs, and placeholders, which mean a DSN since those hold a
// password.
var dsnForm = regexp.MustCompile(
	`^(postgres(ql)?://|(host|hostaddr|dbname|user|service|port|sslmode)\s*=|\{(env|file)\.)`)

// urlForm matches URLs that are not stores, and misspelled DSNs: as a path they would be shown, including the
// password.
var urlForm = regexp.MustCompile(`(?i)^\s*([a-z][a-z0-9+.-]*\s*://|postgres(ql)?\s*(:|//))|password\s*=`)

// storeConfig parses the value of --store: with an engine prefix, or a path or DSN alone. An empty value, from an
// unset variable, must not become the default store.
func storeConfig(at string) (*caddyauth.StoreConfig, error) {
	cfg := engineForm(at)
	switch {
	case cfg != nil:
	case dsnForm.MatchString(at):
		cfg = &caddyauth.StoreConfig{Engine: sqlstore.EnginePostgres, DSN: at}
	case !urlForm.MatchString(at):
		cfg = &caddyauth.StoreConfig{Engine: sqlstore.EngineSQLite, Path: at}
	}
	if cfg == nil || cfg.Path == "" && cfg.DSN == "" {
		// The value may hold a password, so it is not shown.
		return nil, errors.New("--store needs [sqlite:]<path> or [postgres:]<dsn>")
	}
	return cfg, nil
}

// engineForm parses sqlite:<path> or postgres:<dsn>; nil when it is neither.
func engineForm(at string) *caddyauth.StoreConfig {
	switch {
	case strings.HasPrefix(at, "sqlite:"):
		return &caddyauth.StoreConfig{Engine: sqlstore.EngineSQLite, Path: strings.TrimPrefix(at, "sqlite:")}
	case strings.HasPrefix(at, "postgres://"), strings.HasPrefix(at, "postgresql://"):
		return &caddyauth.StoreConfig{Engine: sqlstore.EnginePostgres, DSN: at}
	case strings.HasPrefix(at, "postgres:"):
		return &caddyauth.StoreConfig{Engine: sqlstore.EnginePostgres, DSN: strings.TrimPrefix(at, "postgres:")}
	}
	return nil
}

// env is an open store with the services that verbs need.
type env struct {
	app      *caddyauth.App
	store    store.Store
	hasher   *password.Hasher
	accounts *account.Service
}

// operator is the actor of all changes: who can write the store's files may change accounts.
var operator = account.Actor{Kind: account.CommandLine}

// open opens the store selected by the flags, prints its location, and runs fn. It creates no new store.
func (c *call) open(fn func(e *env) error) error {
	app, err := c.loadApp()
	if err != nil {
		return err
	}
	return c.openStore(app, false, fn)
}

// openStore is [call.open] for a configuration that is loaded; with create it creates the store where there is none.
func (c *call) openStore(app *caddyauth.App, create bool, fn func(e *env) error) (err error) {
	opts, err := c.storeOptions(app)
	if err != nil {
		return err
	}
	if err := c.requireStore(opts, create); err != nil {
		return err
	}
	st, err := sqlstore.Open(c.ctx, opts)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() {
		if cerr := st.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("closing the store: %w", cerr)
		}
	}()
	info := st.Info()
	c.notef("store: %s (%s)", info.Location, info.Engine)
	hasher := password.NewHasher(app.HashParams(), nil)
	return fn(&env{app: app, store: st, hasher: hasher, accounts: account.New(account.Config{
		Store: st, Hasher: hasher, Policy: app.PasswordPolicy(), Title: app.SiteTitle(), EnvPrefix: app.EnvPrefix(),
		Passwords: app.Passwords(), Tokens: c.tokenLimits(app),
	})})
}

// tokenLimits returns the bounds of tokens, nil for a configuration without any. A store alone does not say; as with
// the other options, the defaults apply there.
func (c *call) tokenLimits(app *caddyauth.App) *account.TokenLimits {
	if c.given("store") {
		limits := account.DefaultTokenLimits
		return &limits
	}
	return app.TokenLimits()
}

// requireStore rejects a missing SQLite file: a mistyped path would silently become a new, empty store, other than
// the server's. If creating one is allowed it prints a note instead.
func (c *call) requireStore(opts sqlstore.Options, create bool) error {
	if opts.Engine != sqlstore.EngineSQLite {
		return nil
	}
	_, err := os.Stat(opts.Path)
	if !errors.Is(err, fs.ErrNotExist) {
		return nil // it exists, or opening it returns the error
	}
	if create {
		c.notef("making a new store: there was none at %s", opts.Path)
		return nil
	}
	return fmt.Errorf("there is no store at %s: run this as the user that runs Caddy, with its environment, or start "+
		"Caddy once with this configuration; else check --config, --store and XDG_DATA_HOME%s", opts.Path, c.newStoreHint())
}

// newStoreHint tells of --new-store where there is such a flag.
func (c *call) newStoreHint() string {
	if c.cmd.Flags().Lookup("new-store") == nil {
		return ""
	}
	return ". --new-store makes one there"
}

// absolute returns a path for display, absolute if possible.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// readsStdin reports whether the verb takes a password from standard input.
func (c *call) readsStdin() bool {
	return c.cmd.Flags().Lookup("password-stdin") != nil && c.boolFlag("password-stdin")
}

// flaggedUser returns the id of the account that --user names, "" without the flag.
func (e *env) flaggedUser(c *call) (id string, err error) {
	if !c.given("user") { // an empty variable of a script is nobody, and not everybody
		return "", nil
	}
	u, err := e.user(c, c.flag("user"))
	return u.ID, err
}

// user returns the account named on the command line by id, username, or e-mail address of a local account. An id
// takes precedence, even if a user at a provider has chosen it as username. An ambiguous name is rejected: the wrong
// account could be turned off, or become an administrator.
func (e *env) user(c *call, name string) (store.User, error) {
	if store.ValidID(name) {
		if u, err := e.store.User(c.ctx, name); !errors.Is(err, store.ErrNotFound) {
			return u, err
		}
	}
	byName, err := e.store.UserByUsername(c.ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.User{}, err
	}
	byEmail, err := e.store.UserByLocalEmail(c.ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.User{}, err
	}
	switch {
	case byName.ID == "" && byEmail.ID == "":
		return store.User{}, fmt.Errorf("there is no user %q; see %q", name, "caddy gatehouse user list")
	case byEmail.ID == "" || byEmail.ID == byName.ID:
		return byName, nil
	case byName.ID == "":
		return byEmail, nil
	}
	return store.User{}, fmt.Errorf("%q is the username of the account %s and the e-mail address of the account %s (%s): "+
		"give the id of the one that is meant", name, byName.ID, byEmail.ID, sanitize(byEmail.Username))
}
