package oidc

import (
	"context"
	"errors"
	"time"
)

// Status is what an administrator may know of a provider. It holds no secret.
type Status struct {
	Name, Label, Issuer, ClientID string

	Scopes []string

	CheckedAt    time.Time // last look at the provider, zero before the first
	DiscoveredAt time.Time // when its metadata were read last
	Problem      string    // of that look, in words; "" when it went well
	Algs         []string  // signatures that are accepted
	Method       string    // of client authentication
	Keys         int       // usable ones
	KeysRead     time.Time
	KeyNote      string // what is wrong with the keys, "" for nothing

	Skew      time.Duration // the provider's clock less ours
	SkewKnown bool
	SkewBad   bool // more than tokens may be off

	LastSuccess time.Time // of a sign-in or refresh
	LastFailure time.Time
	LastError   string // of LastFailure, in words
	// A logout token that was refused last. Anybody can send one, so this is no failure of the provider by itself.
	LogoutRefused time.Time
	LogoutError   string

	EndSession   bool // the provider can be signed out of
	Backchannel  bool // it says that it can tell us of sign-outs
	Frontchannel bool
}

// record is how the sign-ins of one configured provider went.
type record struct {
	success, failure time.Time
	problem          string
	logoutRefused    time.Time
	logoutProblem    string
}

// record notes how a sign-in or refresh went. What people did (they canceled, came too late, or are not allowed) says
// nothing about the provider, and neither does what only the browser tells.
func (r *remote) record(name string, now time.Time, err error) {
	switch KindOf(err) {
	case Canceled, Expired, NotAllowed, Unverified:
		return
	}
	var e *Error
	if errors.As(err, &e) && e.told {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.recordOf(name)
	if err == nil {
		rec.success = now
		return
	}
	rec.failure, rec.problem = now, Clean(err.Error(), 300)
}

// recordOf returns the record of a configured provider. r.mu is held.
func (r *remote) recordOf(name string) *record {
	if r.records == nil {
		r.records = make(map[string]*record)
	}
	if r.records[name] == nil {
		r.records[name] = &record{}
	}
	return r.records[name]
}

// LogoutRefused notes that a logout token was refused. It reports whether there is such a provider.
func (g *Registry) LogoutRefused(name string, err error) bool {
	p := g.names[name]
	if p == nil {
		return false
	}
	p.remote.mu.Lock()
	defer p.remote.mu.Unlock()
	rec := p.remote.recordOf(name)
	rec.logoutRefused, rec.logoutProblem = g.now(), Clean(err.Error(), 200)
	return true
}

// Status returns how the providers do, in the order of the configuration, without asking them.
func (g *Registry) Status() []Status {
	out := make([]Status, 0, len(g.list))
	for _, p := range g.list {
		out = append(out, p.status())
	}
	return out
}

func (p *provider) status() Status {
	r := p.remote
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		Name: p.Name, Label: p.label(), Issuer: p.Issuer, ClientID: p.ClientID,
		CheckedAt: r.health.checkedAt, Problem: r.health.problem,
		Keys: len(r.keys.keys), KeysRead: r.keys.at, KeyNote: r.health.keyProblem,
		Skew: r.health.skew, SkewKnown: r.health.skewKnown, SkewBad: r.health.skewKnown && r.health.skew.Abs() > leeway,
	}
	if s.KeyNote == "" && r.keys.ignored > 0 {
		s.KeyNote = "some keys are weak, of an unknown kind or not for signatures, and are not used"
	}
	s.Scopes = p.scopes()
	if m := r.meta; m != nil {
		s.DiscoveredAt = m.at
		for _, a := range m.pinned(&p.Config) {
			s.Algs = append(s.Algs, string(a))
		}
		s.Method = string(m.method(&p.Config))
		s.EndSession, s.Backchannel, s.Frontchannel = m.EndURL != "", m.Backchannel, m.Frontchannel
		if len(s.Algs) == 0 && s.Problem == "" {
			s.Problem = "it signs in no way that is accepted here; see sign_alg"
		}
	}
	if rec := r.records[p.Name]; rec != nil {
		s.LastSuccess, s.LastFailure, s.LastError = rec.success, rec.failure, rec.problem
		s.LogoutRefused, s.LogoutError = rec.logoutRefused, rec.logoutProblem
	}
	return s
}

// Check looks at a provider now: metadata and keys, whatever is known and whatever back-off there is.
func (g *Registry) Check(ctx context.Context, name string) (Status, error) {
	p := g.names[name]
	if p == nil {
		return Status{}, ErrNoProvider
	}
	r := p.remote
	_, err := r.share(ctx, "metadata", func(ctx context.Context) (any, error) { return r.discover(ctx) })
	if err == nil {
		_, _ = r.share(ctx, "keys", func(ctx context.Context) (any, error) { return r.readKeys(ctx, metadataLife) }) // noted in its health
	}
	return p.status(), nil
}

// Icon returns the picture on a provider's button.
func (g *Registry) Icon(name string) (content []byte, mediaType string, ok bool) {
	p := g.names[name]
	if p == nil || len(p.Icon) == 0 {
		return nil, "", false
	}
	return p.Icon, p.IconType, true
}
