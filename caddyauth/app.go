package caddyauth

import (
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/runtime"
	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/store"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Gate))
}

// App is Gatehouse itself: the accounts, sessions and pages that every gate of this Caddy shares. Without any
// configuration it keeps a SQLite database in Caddy's data directory and makes the administrator `admin` from the
// environment variable ADMIN_PASSWORD.
type App struct {
	// Store is where users and sessions are kept; default SQLite in Caddy's data directory.
	Store *StoreConfig `json:"store,omitempty"`
	// Admin is how the first administrator is made; default from ADMIN_PASSWORD, once.
	Admin *AdminConfig `json:"admin,omitempty"`
	// OIDC are providers that people sign in with, beside local accounts.
	OIDC []*ProviderConfig `json:"oidc,omitempty"`
	// TokenIssuers are platforms whose programs come with a JWT of theirs, such as CI systems and clusters.
	TokenIssuers []*TokenIssuerConfig `json:"token_issuers,omitempty"`
	// SignIn says which ways to sign in there are.
	SignIn *SignInConfig `json:"sign_in,omitempty"`
	// Session is how long a sign-in lasts.
	Session *SessionConfig `json:"session,omitempty"`
	// Tokens switches tokens of programs on; default off.
	Tokens *TokensConfig `json:"tokens,omitempty"`
	// Password bounds passwords and the cost of their hashes.
	Password *PasswordConfig `json:"password,omitempty"`
	// MFA says who has to have a second factor.
	MFA *MFAConfig `json:"mfa,omitempty"`
	// Throttle bounds how fast passwords may be tried.
	Throttle *ThrottleConfig `json:"throttle,omitempty"`
	// Audit is how long the audit log is kept; default for ever.
	Audit *AuditConfig `json:"audit,omitempty"`
	// Prefix is the mount point of our pages on every gated site; default /_auth.
	Prefix string `json:"prefix,omitempty"`
	// AdminHosts serve the admin pages; default every gated site.
	AdminHosts []string `json:"admin_hosts,omitempty"`
	// Language of the pages and messages for browsers that ask for none that there is: `de`, `en` (default) or `es`.
	Language string `json:"language,omitempty"`
	// Brand makes the pages look like the operator's.
	Brand *BrandConfig `json:"brand,omitempty"`
	// TrustReturn are other hosts, as host or host:port, that a sign-in may return to.
	TrustReturn []string `json:"trust_return,omitempty"`
	// Strict makes errors of the warnings about a configuration.
	Strict bool `json:"strict,omitempty"`
	// ForwardedHost believes X-Forwarded-Host of the proxies that Caddy trusts, where the site's own address is needed;
	// never for AdminHosts, which are compared with the Host header alone. Default: it is not read.
	ForwardedHost bool `json:"forwarded_host,omitempty"`
	// CacheHeaders sends `Cache-Control: private, no-cache` with the app's responses to signed-in people that say nothing
	// about caches, so that a browser shows nothing of them after the session; default true.
	CacheHeaders *bool `json:"cache_headers,omitempty"`

	afterLines []func() error // checks of the Caddyfile that need all of its lines

	log       *zap.Logger
	opt       *options
	seed      *seed.Values
	rt        *runtime.Runtime
	guarded   guardedNames
	secret    guardedNames               // headers that are secrets as a whole
	gates     []*Gate                    // all that use this app, for the admin pages
	notes     []admin.Note               // warnings about the configuration, for the admin pages
	installed map[*caddyhttp.Server]bool // servers that have preHandlers
	placed    sync.Map                   // by server, the gates in it; see placedGates
	routing   sync.Mutex                 // held while routes are changed before the first request, or are looked at

	lenientClientIP atomic.Bool // a server with a gate lets clients choose their address
	untrusted       untrustedProxy
	unknownProto    atomic.Bool // a proxy has sent a scheme that nobody knows
	unknownHost     atomic.Bool // likewise a host
	upgradeNotes    noteLimit
	unusedFactors   atomic.Int64                        // people with a second factor that nobody is asked for
	lostPasskeys    atomic.Pointer[[]store.PasskeySite] // of domains that no site uses
	machines        *machineJWTs
	sites           siteNames // of all gates

	live      atomic.Pointer[live] // nil until the store is open
	ready     chan struct{}        // closed when live is set, or will not be soon
	readyOnce sync.Once
	waiting   waiting // for the store

	announcing waiting // until Caddy runs this configuration
}

// CaddyModule implements caddy.Module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse", New: func() caddy.Module { return new(App) }}
}

// Provision checks the configuration and the environment. It changes nothing: `caddy validate` and reloads that
// fail later come through here, too.
func (a *App) Provision(ctx caddy.Context) error {
	a.log, a.ready = ctx.Logger(), make(chan struct{})
	if err := a.Resolve(); err != nil {
		return err
	}
	if err := a.warnOfProviders(); err != nil {
		return err
	}
	if err := a.warnOfTokenIssuers(); err != nil {
		return err
	}
	values, err := a.SeedValues()
	if err != nil {
		return err
	}
	a.seed = values
	if err := a.opt.store.check(ctx, a.log, validating()); err != nil {
		return err
	}
	rt, err := acquireRuntime(a.opt.store)
	if err != nil {
		return err
	}
	a.rt = rt
	if a.machines, err = a.newMachineJWTs(); err != nil {
		return err
	}
	return rt.Metrics.Register(ctx.GetMetricsRegistry())
}

// Cleanup releases the store, which is closed when no configuration uses it any more.
func (a *App) Cleanup() error {
	if a.ready != nil {
		a.readyOnce.Do(func() { close(a.ready) })
	}
	if a.rt == nil {
		return nil
	}
	a.waiting.stop()
	a.announcing.stop()
	rt := a.rt
	a.rt = nil
	rt.Release(a)
	return releaseRuntime(a.opt.store)
}

// Interface guards.
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
