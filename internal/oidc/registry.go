package oidc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Registry holds the providers of one configuration. It is safe for concurrent use, and has no state that a reload
// would lose: flows are in the store, metadata and keys in the pool.
type Registry struct {
	list  []*provider
	names map[string]*provider
	store store.Store
	seal  *seal.Sealer
	now   func() time.Time
	log   *zap.Logger
}

// provider is one provider of the configuration.
type provider struct {
	Config
	remote     *remote
	now        func() time.Time
	gateGroups func() []string // groups that the gates require; may be nil
	refreshes  breaker         // of this client's token endpoint: others at the issuer may be served differently
}

// Options of a [Registry]. The zero value is the default of each.
type Options struct {
	Clock func() time.Time // default time.Now
	Log   *zap.Logger      // default none
	// Groups returns the groups that gates require: they are kept first for a user in more groups than the limit.
	Groups func() []string
}

// NewRegistry validates the configurations. It makes no requests to providers.
func NewRegistry(pool *Pool, st store.Store, configs []Config, o Options) (*Registry, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	g := &Registry{names: make(map[string]*provider), store: st, seal: seal.New(st), now: o.Clock, log: o.Log}
	for _, c := range configs {
		if err := c.Validate(); err != nil {
			return nil, err
		}
		if g.names[c.Name] != nil {
			return nil, fmt.Errorf("oidc %s: duplicate name", c.Name)
		}
		p := &provider{Config: c, remote: pool.remote(&c), now: o.Clock, gateGroups: o.Groups}
		g.list, g.names[c.Name] = append(g.list, p), p
	}
	return g, nil
}

// Config returns the configuration of a provider. It is shared and must not be changed.
func (g *Registry) Config(name string) (*Config, bool) {
	p := g.names[name]
	if p == nil {
		return nil, false
	}
	return &p.Config, true
}

// Configs returns the configurations of all providers, in order.
func (g *Registry) Configs() []*Config {
	out := make([]*Config, len(g.list))
	for i, p := range g.list {
		out[i] = &p.Config
	}
	return out
}

// HasIssuer reports whether a provider with that issuer is configured.
func (g *Registry) HasIssuer(issuer string) bool {
	return slices.ContainsFunc(g.list, func(p *provider) bool { return p.Issuer == issuer })
}

// Label returns a provider's display name.
func (g *Registry) Label(name string) (string, bool) {
	p := g.names[name]
	if p == nil {
		return "", false
	}
	return p.label(), true
}

// Len returns how many providers there are.
func (g *Registry) Len() int { return len(g.list) }

// Choice is a provider on the sign-in page.
type Choice struct {
	Name    string
	Label   string
	HasIcon bool
	Down    bool // the last request failed
	// Misconfigured reports that it failed because of a configuration: trying again is no use.
	Misconfigured bool
	LoginHint     bool // what was typed as username is passed on
}

// firstCheckWait is how long the sign-in page waits for providers that have not been checked yet.
const firstCheckWait = 400 * time.Millisecond

// Choices returns the providers in the order of the configuration. Providers that have not been checked yet, or not
// recently, are checked in parallel, with a short timeout, so that the page can say which is down before a user tries
// it.
func (g *Registry) Choices(ctx context.Context) []Choice {
	ctx, cancel := context.WithTimeout(ctx, firstCheckWait)
	defer cancel()
	var checks sync.WaitGroup
	for _, p := range g.list {
		if first, due := p.remote.checkDue(); due {
			check := func() { _, _ = p.remote.metadata(ctx, metadataTTL) } // the result is recorded in its health
			if first {
				checks.Go(check)
			} else {
				go check() // ends with ctx; the shared fetch that it started goes on
			}
		}
	}
	checks.Wait()
	out := make([]Choice, 0, len(g.list))
	for _, p := range g.list {
		down, misconfigured := p.remote.down()
		out = append(out, Choice{
			Name: p.Name, Label: p.label(), HasIcon: len(p.Icon) > 0, Down: down, Misconfigured: misconfigured,
			LoginHint: p.LoginHint,
		})
	}
	return out
}

// checkDue reports whether the metadata should be fetched: for the first time, or because it is old.
func (r *remote) checkDue() (first, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Before(r.retry) {
		return false, false
	}
	return r.health.checkedAt.IsZero(), r.meta == nil || age(now, r.meta.at) >= metadataTTL
}

// down reports whether the last discovery failed, and whether because of a configuration.
func (r *remote) down() (down, misconfigured bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health.problem != "", r.health.kind == Misconfigured
}

// tokensPurpose is the purpose that sealed tokens are bound to.
const tokensPurpose = "session.tokens"

// tokensRow binds sealed tokens to user and identity, not to the session id, which changes when a session is rotated.
func tokensRow(userID, issuer, subject string) string {
	return fmt.Sprintf("%s %d:%s %s", userID, len(issuer), issuer, subject)
}

// Seal returns tokens sealed, as they are stored with a session.
func (g *Registry) Seal(ctx context.Context, t Tokens, userID, issuer, subject string) (string, error) {
	return g.sealJSON(ctx, t, tokensPurpose, tokensRow(userID, issuer, subject))
}

// Open returns the tokens of a session, or the zero value if it has none.
func (g *Registry) Open(ctx context.Context, s *store.Session) (Tokens, error) {
	var t Tokens
	if s.Sealed == "" {
		return t, nil
	}
	err := g.openJSON(ctx, s.Sealed, tokensPurpose, tokensRow(s.UserID, s.Issuer, s.Subject), &t)
	return t, err
}
