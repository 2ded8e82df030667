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

// openTimeout limits the read of the sealing key, which happens once per configuration.
const openTimeout = 2 * time.Second

// cachedCheck is the result of a check of a session, and when its tokens have to be refreshed. It is cached with the
// session, so that a warm request costs one comparison.
type cachedCheck struct {
	refreshAt  atomic.Int64 // ms; 0 for never
	allowed    atomic.Bool  // by the rules of this configuration
	ended      atomic.Bool  // by a refresh, though that may not have been stored
	unreadable bool         // the sealed tokens could not be opened
	live       *session.Live
}

// Check checks whether a session is valid under this configuration. It returns the session with its effective rights,
// or session.ErrNone. If its provider is not configured any more, or has another issuer now, the session is not valid
// here, but not ended either, for another Caddy may know the provider. If the rules now deny its user, it is ended.
// Other errors are technical. A nil o is a configuration without providers.
func (o *OIDC) Check(ctx context.Context, l *session.Live) (*session.Live, error) {
	d, err := o.checkSession(ctx, l)
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return o.withEffectiveUser(l), nil
	}
	return d.live, nil
}

// checkSession does the check and returns what is cached with the session, or nil for a session without a provider.
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
	case d.ended.Load():
		return nil, session.ErrNone
	case d.unreadable: // it could never be refreshed, so the provider could never revoke it
		return nil, session.ErrNone
	case d.allowed.Load():
		return d, nil
	}
	if err := o.checkRules(ctx, l); err != nil {
		return nil, err
	}
	d.allowed.Store(true)
	return d, nil
}

// CheckCached is the check while the store is unavailable: it returns the session if this configuration has allowed it
// before, as cached by Check or Refresh. Otherwise it returns an error, and the gate denies.
func (o *OIDC) CheckCached(l *session.Live) (*session.Live, error) {
	switch {
	case l.Session.Provider == "":
		return o.withEffectiveUser(l), nil
	case o == nil:
		return nil, session.ErrNone
	}
	known, _ := l.Memoized(o)
	if d, ok := known.(*cachedCheck); ok && d.allowed.Load() && !d.ended.Load() {
		return d.live, nil
	}
	return nil, fmt.Errorf("checking a session against its provider's claims: %w", store.ErrUnavailable)
}

// loadCheck returns the cached check of a session, or creates it. A failure to read the sealing key is not cached.
func (o *OIDC) loadCheck(ctx context.Context, l *session.Live) (*cachedCheck, error) {
	if known, ok := l.Memoized(o); ok {
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
		o.Service.Log.Warn("could not open the sealed tokens of a session: the user has to sign in again",
			zap.String("provider", l.Session.Provider), zap.Error(err))
	case err != nil:
		return nil, fmt.Errorf("opening the tokens of a session: %w", err)
	case t.Refresh != "" && !t.RefreshAt.IsZero() && o.refreshes(l.Session.Provider):
		d.refreshAt.Store(t.RefreshAt.UnixMilli())
	}
	kept, _ := l.Memoize(o, func(*session.Live) any { return d }).(*cachedCheck)
	return kept, nil
}

// refreshes reports whether sessions of a provider are refreshed.
func (o *OIDC) refreshes(provider string) bool {
	cfg, ok := o.Registry.Config(provider)
	return ok && !cfg.NoRefresh
}

// checkRules checks the stored claims of a session against the rules, when this configuration sees it for the first
// time: a stricter rule takes effect on the next request, not at the next sign-in. It returns session.ErrNone if the
// session is not valid.
func (o *OIDC) checkRules(ctx context.Context, l *session.Live) error {
	s := &l.Session
	cfg, ok := o.Registry.Config(s.Provider)
	switch {
	case !ok, cfg.Issuer != s.Issuer:
		return session.ErrNone
	case s.Claims == "":
		// Started by a version that did not store claims. The user has to sign in again instead of getting a session without
		// rights. The session is not ended, for that version may still run beside this one.
		return session.ErrNone
	case len(cfg.Allow) == 0:
		return nil
	}
	claims := oidc.DecodeStoredClaims(s.Claims)
	if l.Token != nil && !claims.Vouched() { // a rule about the subject holds without claims
		return session.ErrNone
	}
	err := cfg.CheckAllowed(claims.Claims(s.Subject))
	switch {
	case err == nil:
		return nil
	case l.Token != nil:
		// There is no session to end. The token is refused as long as its claims are denied; those of the next sign-in or
		// refresh may be allowed again.
		return session.ErrNone
	}
	if err := o.revokeSession(ctx, s, err, keepClaims); err != nil {
		return err
	}
	return session.ErrNone
}
