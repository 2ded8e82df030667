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

// Registry are the providers of one configuration. It is safe for concurrent use, and holds nothing that a reload
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
	remote   *remote
	now      func() time.Time
	required func() []string // groups that the gates ask for; may be nil
}

// Options of a [Registry]. The zero value is the default of each.
type Options struct {
	Clock func() time.Time // default time.Now
	Log   *zap.Logger      // default none
	// Groups returns the groups that gates ask for: of a person in more groups than are kept, these are kept first.
	Groups func() []string
}

// NewRegistry checks configurations. It asks no provider for anything.
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
			return nil, fmt.Errorf("oidc %s: is given twice", c.Name)
		}
		p := &provider{Config: c, remote: pool.remote(&c), now: o.Clock, required: o.Groups}
		g.list, g.names[c.Name] = append(g.list, p), p
	}
	return g, nil
}

// Config returns the configuration of a provider. It is shared: read only.
func (g *Registry) Config(name string) (*Config, bool) {
	p := g.names[name]
	if p == nil {
		return nil, false
	}
	return &p.Config, true
}

// HasIssuer reports whether people of an issuer can sign in.
func (g *Registry) HasIssuer(issuer string) bool {
	return slices.ContainsFunc(g.list, func(p *provider) bool { return p.Issuer == issuer })
}

// Label returns what people call a provider.
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
	Down    bool // could not be reached at the last try
}

// firstLook is how long the sign-in page waits for providers of which nothing is known yet.
const firstLook = 400 * time.Millisecond

// Choices returns the providers in the order of the configuration. Those of which nothing is known, or nothing recent,
// are looked at on the way, in parallel and only for a moment: the page says which is down before somebody tries it.
func (g *Registry) Choices(ctx context.Context) []Choice {
	ctx, cancel := context.WithTimeout(ctx, firstLook)
	defer cancel()
	var looks sync.WaitGroup
	for _, p := range g.list {
		if first, due := p.remote.due(); due {
			look := func() { _, _ = p.remote.metadata(ctx, metadataLife) } // noted in its health
			if first {
				looks.Go(look)
			} else {
				go look() // does not outlast ctx; what it set off does
			}
		}
	}
	looks.Wait()
	out := make([]Choice, 0, len(g.list))
	for _, p := range g.list {
		out = append(out, Choice{Name: p.Name, Label: p.label(), HasIcon: len(p.Icon) > 0, Down: p.remote.down()})
	}
	return out
}

// due reports whether the metadata should be looked at: for the first time, or because they are old.
func (r *remote) due() (first, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Before(r.retry) {
		return false, false
	}
	return r.health.checkedAt.IsZero(), r.meta == nil || age(now, r.meta.at) >= metadataLife
}

// down reports whether the last look at the provider failed.
func (r *remote) down() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health.problem != ""
}

// tokensPurpose is what sealed tokens are sealed for.
const tokensPurpose = "session.tokens"

// tokensRow binds tokens to a person, not to the id of a session: that changes when a session is renewed.
func tokensRow(userID, issuer, subject string) string {
	return fmt.Sprintf("%s %d:%s %s", userID, len(issuer), issuer, subject)
}

// Seal returns tokens as they are kept beside a session.
func (g *Registry) Seal(ctx context.Context, t Tokens, userID, issuer, subject string) (string, error) {
	return g.sealJSON(ctx, t, tokensPurpose, tokensRow(userID, issuer, subject))
}

// Open returns the tokens of a session, the zero value when it has none.
func (g *Registry) Open(ctx context.Context, s *store.Session) (Tokens, error) {
	var t Tokens
	if s.Sealed == "" {
		return t, nil
	}
	err := g.openJSON(ctx, s.Sealed, tokensPurpose, tokensRow(s.UserID, s.Issuer, s.Subject), &t)
	return t, err
}
