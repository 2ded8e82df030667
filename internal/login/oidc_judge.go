package login

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// openTimeout is for the key, which is read once for each configuration.
const openTimeout = 2 * time.Second

// cachedCheck is when a session's tokens have to be refreshed, and what else they tell. It is kept beside the session in the
// cache, so that a warm request costs one comparison.
type cachedCheck struct {
	refreshAt  atomic.Int64 // ms; 0 for never
	allowed    atomic.Bool  // by the rules of this configuration
	unreadable bool         // what the provider gave could not be opened
	live       *session.Live
}

// Counts judges whether a session may be used with this configuration and returns it as it may act, or session.ErrNone. A
// provider that is not configured any more, or is another one under the same name, vouches for nobody, but the session
// stays, for another Caddy may know the provider. Where the rules refuse it now, it is over. Other errors are technical. A
// nil o is a configuration without any provider.
func (o *OIDC) Counts(ctx context.Context, l *session.Live) (*session.Live, error) {
	d, err := o.checkSession(ctx, l)
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return o.withEffectiveUser(l), nil
	}
	return d.live, nil
}

// checkSession is Counts; it returns what there is beside the session, nil for one that came through no provider.
func (o *OIDC) checkSession(ctx context.Context, l *session.Live) (*cachedCheck, error) {
	switch {
	case l.Session.Provider == "":
		return nil, nil
	case o == nil:
		return nil, session.ErrNone
	}
	d, err := o.loadCheck(ctx, l)
	switch {
	case err != nil:
		return nil, err
	case d.unreadable: // it could never be refreshed, and so never end as the provider wants it to
		return nil, session.ErrNone
	case d.allowed.Load():
		return d, nil
	}
	if err := o.checkRules(ctx, &l.Session); err != nil {
		return nil, err
	}
	d.allowed.Store(true)
	return d, nil
}

// Fresh returns the session as the provider sees it, if it counts: when its tokens are due, they are refreshed first,
// once, however many requests and processes ask at the same time, and groups, names and roles follow. A provider that
// takes the sign-in back ends the session at this request: session.ErrNone. One that cannot be asked changes nothing for
// as long as its refresh_grace says.
func (o *OIDC) Fresh(ctx context.Context, token string, l *session.Live) (*session.Live, error) {
	d, err := o.checkSession(ctx, l)
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return o.withEffectiveUser(l), nil
	}
	now := o.Service.Clock()
	if at := d.refreshAt.Load(); at == 0 || now.UnixMilli() < at {
		return d.live, nil
	}
	v, _, _ := o.flights.Do(l.Session.ID, func() (any, error) {
		// The request may go away; a refresh token that was sent has to be replaced all the same.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		defer cancel()
		return o.refreshSession(bounded, &l.Session), nil
	})
	switch out, _ := v.(refreshOutcome); out {
	case refreshEnded:
		return nil, session.ErrNone
	case refreshChanged:
		if l, err = o.Service.Sessions.Resolve(ctx, token); err != nil {
			return nil, err
		}
		return o.Counts(ctx, l)
	}
	d.refreshAt.Store(now.Add(refreshBackoff).UnixMilli())
	return d.live, nil
}

// Judged returns a session that goes on without the store if this configuration admitted it before, as Fresh does;
// otherwise it cannot be told whether it may, and the gate stays closed.
func (o *OIDC) Judged(l *session.Live) (*session.Live, error) {
	switch {
	case l.Session.Provider == "":
		return o.withEffectiveUser(l), nil
	case o == nil:
		return nil, session.ErrNone
	}
	known, _ := l.Known(o)
	if d, ok := known.(*cachedCheck); ok && d.allowed.Load() {
		return d.live, nil
	}
	return nil, fmt.Errorf("judging a session by what its provider said: %w", store.ErrUnavailable)
}

// loadCheck returns when a session is due. That the key could not be read says nothing, and nothing is kept of it.
func (o *OIDC) loadCheck(ctx context.Context, l *session.Live) (*cachedCheck, error) {
	if known, ok := l.Known(o); ok {
		if d, ok := known.(*cachedCheck); ok {
			return d, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	d := &cachedCheck{live: o.withEffectiveUser(l)}
	t, err := o.Registry.Open(ctx, &l.Session)
	switch {
	case errors.Is(err, seal.ErrSealed):
		d.unreadable = true
		o.Service.Log.Warn("could not read the tokens of a session: the person has to sign in again",
			zap.String("provider", l.Session.Provider), zap.Error(err))
	case err != nil:
		return nil, fmt.Errorf("reading the tokens of a session: %w", err)
	case t.Refresh != "" && !t.RefreshAt.IsZero():
		d.refreshAt.Store(t.RefreshAt.UnixMilli())
	}
	kept, _ := l.Values(o, func(*session.Live) any { return d }).(*cachedCheck)
	return kept, nil
}

// checkRules judges a session that this configuration sees for the first time by what its provider said last: a rule
// that was made stricter acts on the next request, not at the next sign-in. It returns session.ErrNone when the session
// does not count.
func (o *OIDC) checkRules(ctx context.Context, s *store.Session) error {
	cfg, ok := o.Registry.Config(s.Provider)
	switch {
	case !ok, cfg.Issuer != s.Issuer:
		return session.ErrNone
	case s.Claims == "":
		// Begun by a version that did not keep what the provider said. The person signs in anew, which is more than to be
		// refused for want of a right that nobody can tell of; nothing is ended, for that version may run beside this one.
		return session.ErrNone
	case len(cfg.Allow) == 0:
		return nil
	}
	err := cfg.CheckAllowed(oidc.DecodeStoredClaims(s.Claims).Claims(s.Subject))
	if err == nil {
		return nil
	}
	if err := o.revokeSession(ctx, s, err); err != nil {
		return err
	}
	return session.ErrNone
}
