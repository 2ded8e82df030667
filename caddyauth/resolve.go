package caddyauth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// options are the configuration with defaults filled in, checked, and placeholders replaced. They are never written
// back to fields that have a JSON name: Caddy shows those.
type options struct {
	store        storeOptions
	seed         seed.Config
	lifetime     session.Limits
	storeGrace   time.Duration
	cookieDomain string
	hash         password.Params
	policy       password.Policy
	attempts     login.Limits
	keepEvents   time.Duration // 0: for ever
	prefix       string
	adminHosts   []reqctx.Host
	language     string
	brand        ui.Brand
	title        string
	trustReturn  []string
	forwarded    bool // X-Forwarded-Host of trusted proxies names the site
	providers    []oidc.Config
}

// Resolve fills in defaults, replaces placeholders and checks every value. It reads files that the configuration
// names and changes nothing. The first problem is answered as an error that names the option.
func (a *App) Resolve() error {
	o := &options{}
	steps := []func(*options) error{
		a.resolveStore, a.resolveAdmin, a.resolveSession, a.resolvePassword, a.resolveThrottle, a.resolveAudit, a.resolvePages,
		a.resolveOIDC,
	}
	for _, step := range steps {
		if err := step(o); err != nil {
			return err
		}
	}
	o.seed.Title = o.title // a password that is just the site's name is refused
	a.opt = o
	return nil
}

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

func (a *App) resolveAdmin(o *options) error {
	c := a.Admin
	if c == nil {
		c = &AdminConfig{}
	}
	o.seed = seed.Config{Mode: seed.Mode(c.Mode), EnvPrefix: c.EnvPrefix, FormerAdmin: c.FormerAdmin}
	switch c.Mode {
	case "":
		o.seed.Mode, o.seed.ModeDefault = "seed", true
	case "seed", "managed":
	default:
		return fmt.Errorf("admin: unknown mode %q; use seed or managed", c.Mode)
	}
	switch c.FormerAdmin {
	case "", "keep", "demote", "disable": // left out, it means keep
	default:
		return fmt.Errorf("admin: former_admin %q; use keep, demote or disable", c.FormerAdmin)
	}
	if c.FormerAdmin != "" && o.seed.Mode != "managed" {
		return errors.New("admin: former_admin is for managed administrators; write admin managed, or remove it")
	}
	if c.EnvPrefix != "" && !envPrefix.MatchString(c.EnvPrefix) {
		return fmt.Errorf("admin: env_prefix %q; use letters, digits and underscores, such as APP_", c.EnvPrefix)
	}
	values := []struct {
		option string
		from   *string
		to     **string
	}{
		{"user", c.User, &o.seed.User}, {"email", c.Email, &o.seed.Email}, {"name", c.Name, &o.seed.Name},
		{"password", c.Password, &o.seed.Password}, {"password_file", c.PasswordFile, &o.seed.PasswordFile},
		{"password_hash", c.PasswordHash, &o.seed.PasswordHash}, {"force_sync", c.ForceSync, &o.seed.ForceSync},
	}
	for _, v := range values {
		if v.from == nil {
			continue
		}
		s, err := placeholder("admin "+v.option, *v.from)
		if err != nil {
			return err
		}
		*v.to = &s
	}
	return nil
}

var envPrefix = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// maxStoreGrace bounds for how long a session that was ended elsewhere may go on.
const maxStoreGrace = 10 * time.Second

func (a *App) resolveSession(o *options) error {
	o.lifetime = session.DefaultLimits
	c := a.Session
	if c == nil {
		return nil
	}
	for _, d := range []struct {
		option string
		from   caddy.Duration
		to     *time.Duration
	}{{"idle", c.Idle, &o.lifetime.Idle}, {"absolute", c.Absolute, &o.lifetime.Absolute}, {"remember", c.Remember, &o.lifetime.Remember}} {
		if d.from < 0 {
			return fmt.Errorf("session %s: must be positive", d.option)
		}
		if d.from > 0 {
			*d.to = time.Duration(d.from)
		}
	}
	if o.storeGrace = time.Duration(c.StoreGrace); o.storeGrace < 0 || o.storeGrace > maxStoreGrace {
		return fmt.Errorf("session store_grace: %v; use at most %v, or leave it out so that nothing goes on without the store", o.storeGrace, maxStoreGrace)
	}
	if c.CookieDomain == "" {
		return nil
	}
	domain, err := cookieDomain(c.CookieDomain)
	o.cookieDomain = domain
	return err
}

// cookieDomain refuses what browsers refuse, and what would hand the session to strangers' sites.
func cookieDomain(s string) (string, error) {
	d := strings.ToLower(strings.TrimPrefix(s, "."))
	h, ok := reqctx.ParseHost(d)
	// net/http leaves out a Domain with an underscore or a final dot: the cookie would be for one host alone.
	if _, err := netip.ParseAddr(d); err == nil || !ok || h.Name != d || strings.Contains(d, "_") || strings.HasSuffix(d, ".") {
		return "", fmt.Errorf("session cookie_domain: %q is not a domain name", s)
	}
	if suffix, _ := publicsuffix.PublicSuffix(d); suffix == d && d != "localhost" {
		return "", fmt.Errorf("session cookie_domain: %q belongs to many owners; give your own domain below it", s)
	}
	return d, nil
}

func (a *App) resolvePassword(o *options) error {
	o.hash, o.policy = password.Default, password.Policy{MinLength: 12}
	c := a.Password
	if c == nil {
		return nil
	}
	if c.MinLength != 0 {
		if c.MinLength < 8 || c.MinLength > 128 {
			return fmt.Errorf("password min_length: %d; use 8 to 128", c.MinLength)
		}
		o.policy.MinLength = c.MinLength
	}
	if c.Argon2id != nil {
		o.hash = password.Params{MemoryKiB: c.Argon2id.MemoryKiB, Time: c.Argon2id.Time, Threads: c.Argon2id.Threads}
		if err := o.hash.Validate(); err != nil {
			return fmt.Errorf("password argon2id: %w", err)
		}
	}
	return nil
}

// A store counts in windows of a microsecond or more, its unit of time; less than a millisecond is a slip of the unit.
const (
	minClientWindow   = time.Millisecond
	maxClientAttempts = 1_000_000
)

func (a *App) resolveThrottle(o *options) error {
	o.attempts = login.DefaultLimits
	c := a.Throttle
	if c == nil {
		return nil
	}
	switch {
	case c.Free < 0, c.ClientAttempts < 0:
		return errors.New("throttle: counts must be positive")
	case c.Longest < 0, c.ClientWindow < 0:
		return errors.New("throttle: durations must be positive")
	case c.Free > 100:
		return fmt.Errorf("throttle free: %d; use 1 to 100", c.Free)
	case (c.ClientAttempts == 0) != (c.ClientWindow == 0):
		return errors.New("throttle client: give both a count and a window, such as 30/1m")
	case c.ClientAttempts > maxClientAttempts:
		return fmt.Errorf("throttle client: %d attempts; use 1 to %d", c.ClientAttempts, maxClientAttempts)
	case c.ClientWindow != 0 && time.Duration(c.ClientWindow) < minClientWindow:
		return fmt.Errorf("throttle client: a window of %v is too short to count in; use %v or more", time.Duration(c.ClientWindow), minClientWindow)
	}
	if c.Free > 0 {
		o.attempts.Free = c.Free
	}
	if c.Longest > 0 {
		o.attempts.Longest = time.Duration(c.Longest)
	}
	if c.ClientAttempts > 0 {
		o.attempts.Client, o.attempts.Window = c.ClientAttempts, time.Duration(c.ClientWindow)
	}
	return nil
}
