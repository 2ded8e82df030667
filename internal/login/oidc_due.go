package login

import (
	"cmp"
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// refreshWait is the default of [OIDC.RefreshWait].
const refreshWait = time.Second

// Refresh is Check after a refresh: if the session's tokens are due, they are refreshed first, once for all concurrent
// requests and processes, and groups, names and roles are updated. If the provider has revoked the sign-in, the session
// ends with this request: session.ErrNone. If the provider is down, the session continues for refresh_grace. If it
// takes longer than RefreshWait, the refresh takes effect when it is done.
func (o *OIDC) Refresh(ctx context.Context, token string, l *session.Live) (*session.Live, error) {
	return o.refreshIfDue(ctx, l, func() (*session.Live, error) { return o.Service.Sessions.Resolve(ctx, token) })
}

// RefreshStream refreshes the session of an open stream if that is due. It is no use of the session.
func (o *OIDC) RefreshStream(ctx context.Context, token string) error {
	peek := func() (*session.Live, error) { return o.Service.Sessions.Peek(ctx, token) }
	l, err := peek()
	if err == nil && l.Session.Provider != "" {
		_, err = o.refreshIfDue(ctx, l, peek)
	}
	return err
}

// CheckToken checks the token of an open stream, as [OIDC.Check] does. It is no use of the token.
func (o *OIDC) CheckToken(ctx context.Context, token string) error {
	l, err := o.Service.Sessions.PeekToken(ctx, token)
	if err == nil {
		_, err = o.Check(ctx, l)
	}
	return err
}

// refreshIfDue refreshes a session if that is due. again resolves it after it was changed.
func (o *OIDC) refreshIfDue(ctx context.Context, l *session.Live,
	again func() (*session.Live, error),
) (*session.Live, error) {
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
	result := o.flights.DoChan(l.Session.ID, func() (any, error) { return o.refreshShared(ctx, l, d), nil })
	patience := time.NewTimer(cmp.Or(o.RefreshWait, refreshWait))
	defer patience.Stop()
	select {
	case r := <-result:
		switch out, _ := r.Val.(refreshOutcome); out {
		case refreshEnded:
			return nil, session.ErrNone
		case refreshChanged:
			changed, err := again()
			if err != nil {
				return nil, err
			}
			return o.Check(ctx, changed)
		}
		return d.live, nil
	case <-patience.C:
		o.Registry.Slow(l.Session.Provider, l.Session.ID)
		d.refreshAt.Store(now.Add(refreshBackoff).UnixMilli()) // no other request waits for this refresh
		return d.live, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refreshShared is a refresh for all requests that wait for it. It is not canceled with them: once a refresh token was
// sent, its replacement has to be stored. A panic ends the session here, and not the process.
func (o *OIDC) refreshShared(ctx context.Context, l *session.Live, d *cachedCheck) (out refreshOutcome) {
	defer func() {
		if p := recover(); p != nil {
			o.Service.Log.Error("a refresh panicked: the session is not valid here any more", zap.Any("panic", p),
				zap.String("provider", l.Session.Provider), zap.Stack("stack"))
			out = refreshEnded
		}
		switch out {
		case refreshEnded:
			d.ended.Store(true)
		case refreshUnchanged:
			d.refreshAt.Store(o.Service.Clock().Add(refreshBackoff).UnixMilli())
		case refreshChanged:
		}
	}()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	return o.refreshSession(bounded, &l.Session)
}

// failingSince returns since when refreshes of the session have failed, or zero.
func (r *tokenRefresh) failingSince() time.Time {
	unsaved, _ := r.unsaved.GetIfPresent(r.session.ID)
	since := r.tokens.FailingSince
	if !unsaved.failingSince.IsZero() && (since.IsZero() || unsaved.failingSince.Before(since)) {
		since = unsaved.failingSince
	}
	return since
}

// overdue reports whether another failure ends the session.
func (r *tokenRefresh) overdue() bool {
	since := r.failingSince()
	return !since.IsZero() && r.Service.Clock().Sub(since) >= r.cfg.RefreshGraceOrDefault()
}
