package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	refreshTimeout = 15 * time.Second
	refreshBackoff = 30 * time.Second // after a failed refresh
	leaseLife      = refreshTimeout + 5*time.Second
	leasePoll      = 50 * time.Millisecond
	saveRetryDelay = 100 * time.Millisecond // between attempts to store rotated tokens
	maxUnsaved     = 10_000                 // sessions with state that could not be stored
)

// refreshOutcome is the effect of a refresh on the session.
type refreshOutcome int

const (
	refreshUnchanged refreshOutcome = iota // it continues as it is, for now
	refreshChanged                         // its row was changed, by this process or another one
	refreshEnded
)

// unsavedTokens is state of a session that could not be stored.
type unsavedTokens struct {
	failingSince time.Time // since when refreshes have failed
	replaces     string    // sealed tokens in the store
	sealed       string    // sealed tokens to store in their place; "" for none
}

// tokenRefresh is a refresh in progress. session is the row as this process last read or wrote it.
type tokenRefresh struct {
	*OIDC
	cfg     *oidc.Config
	session store.Session
	tokens  oidc.Tokens
	before  store.Identity // as it was before the provider was asked
	said    string         // what tokens get if the session ends: noClaims, or keepClaims
}

// refreshSession refreshes one session.
func (o *OIDC) refreshSession(ctx context.Context, s *store.Session) refreshOutcome {
	cfg, known := o.Registry.Config(s.Provider)
	if !known {
		return refreshUnchanged
	}
	r := &tokenRefresh{OIDC: o, cfg: cfg, session: *s, said: noClaims}
	out, err := r.run(ctx)
	if err == nil {
		o.unsaved.Invalidate(s.ID)
		return out
	}
	switch kind := oidc.KindOf(err); {
	case kind.Technical(), kind == "" && isTransient(err):
		return r.handleFailure(ctx, err)
	case kind == "":
		// The new claims cannot be stored. To continue with the old ones would keep rights that the provider has revoked.
		err = &oidc.Error{Kind: oidc.Invalid, Reason: "the provider's claims cannot be applied", Err: err}
		r.said = noClaims
	}
	return r.endSession(ctx, err)
}

// isTransient reports whether a technical error may be gone at the next attempt.
func isTransient(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled)
}

// endSession ends the session. If that cannot be stored, this request is denied all the same.
func (r *tokenRefresh) endSession(ctx context.Context, why error) refreshOutcome {
	if err := r.revokeSession(ctx, &r.session, why, r.said); err != nil {
		r.Service.Log.Error("could not end a session", zap.String("provider", r.cfg.Name), zap.Error(err))
	}
	return refreshEnded
}

// run does the refresh; its errors are handled by the caller.
func (r *tokenRefresh) run(ctx context.Context) (refreshOutcome, error) {
	switch err := r.retryUnsaved(ctx); {
	case errors.Is(err, store.ErrStale), errors.Is(err, store.ErrNotFound): // changed concurrently, or ended
		return refreshChanged, nil
	case err != nil:
		return refreshUnchanged, err
	}
	t, err := r.Registry.Open(ctx, &r.session)
	if err != nil {
		return refreshUnchanged, fmt.Errorf("opening the tokens of a session: %w", errors.Join(store.ErrUnavailable, err))
	}
	r.tokens = t
	leased, err := r.lease(ctx, &r.session)
	if err != nil {
		return refreshUnchanged, err
	}
	if !leased {
		return r.awaitOther(ctx, &r.session)
	}
	r.before, err = r.Service.Store.Identity(ctx, r.session.Issuer, r.session.Subject)
	if err := ignoreNotFound(err); err != nil {
		return refreshUnchanged, err
	}
	p, ok, err := r.Registry.Refresh(ctx, &r.session, t, r.overdue(), r.saveRotated)
	switch {
	case errors.Is(err, store.ErrStale): // changed concurrently
		return refreshChanged, nil
	case err != nil || !ok:
		return refreshUnchanged, err
	}
	r.Service.warnIgnored(r.cfg.Name, p)
	if err := r.cfg.CheckAllowed(p); err != nil {
		r.said = keepClaims
		return refreshUnchanged, errors.Join(err, r.Service.Store.Change(ctx, func(tx store.Tx) error {
			return noteDenial(ctx, tx, p)
		}))
	}
	err = r.apply(ctx, p)
	if errors.Is(err, store.ErrStale) {
		err = nil
	}
	return refreshChanged, err
}

// handleFailure records a failed refresh, and ends the session if refreshes have failed for refresh_grace: while they
// fail, the provider has no way to revoke the sign-in.
func (r *tokenRefresh) handleFailure(ctx context.Context, why error) refreshOutcome {
	now := r.Service.Clock().UTC()
	unsaved, _ := r.unsaved.GetIfPresent(r.session.ID)
	since := r.failingSince()
	log, level := r.Service.Log.With(zap.String("provider", r.cfg.Name), zap.Error(why)), zap.WarnLevel
	if oidc.KindOf(why) == oidc.Misconfigured {
		level = zap.ErrorLevel
	}
	switch {
	case since.IsZero():
		unsaved.failingSince = now
	case r.overdue() && !errors.Is(why, oidc.ErrNotAsked):
		log.Log(level, "session refreshes have failed for longer than refresh_grace: session ended")
		r.said = keepClaims // a provider that is down says nothing about anybody's tokens
		return r.endSession(ctx, &oidc.Error{
			Kind: oidc.Unavailable, Reason: "refreshes have failed for longer than refresh_grace",
			Err: why,
		})
	default:
		log.Log(level, "could not refresh a session; it continues")
		return refreshUnchanged
	}
	log.Log(level, "could not refresh a session; it continues for refresh_grace")
	r.unsaved.Set(r.session.ID, unsaved)
	if r.tokens.Refresh == "" || unsaved.sealed != "" {
		return refreshUnchanged
	}
	t := r.tokens
	t.FailingSince, t.RefreshAt = now, now.Add(refreshBackoff)
	if err := r.replaceTokens(ctx, t, keepClaims, nil); err != nil {
		return refreshUnchanged // it is kept in memory
	}
	return refreshChanged
}

// saveRotated stores tokens that have just replaced the session's, which are used up. Without the new ones the session
// would be lost, so it retries until the deadline, and then keeps them in memory.
func (r *tokenRefresh) saveRotated(ctx context.Context, t oidc.Tokens) error {
	// Other processes do not refresh the session meanwhile.
	t.RefreshAt, t.FailingSince = r.Service.Clock().UTC().Add(refreshBackoff), r.tokens.FailingSince
	replaced := r.session.Sealed
	err := r.replaceTokens(ctx, t, keepClaims, nil)
	for err != nil && isTransient(err) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(saveRetryDelay):
			err = r.replaceTokens(ctx, t, keepClaims, nil)
		}
	}
	switch {
	case err == nil:
		r.tokens = t
		return nil
	case errors.Is(err, errSessionGone):
		r.revokeReceived(ctx, t)
		return err
	}
	if sealed, serr := r.Registry.Seal(context.WithoutCancel(ctx), t, r.session.UserID, r.session.Issuer,
		r.session.Subject); serr == nil && isTransient(err) {
		unsaved, _ := r.unsaved.GetIfPresent(r.session.ID)
		unsaved.replaces, unsaved.sealed = replaced, sealed
		r.unsaved.Set(r.session.ID, unsaved)
	}
	return err
}

// retryUnsaved stores tokens that could not be stored before.
func (r *tokenRefresh) retryUnsaved(ctx context.Context) error {
	unsaved, ok := r.unsaved.GetIfPresent(r.session.ID)
	if !ok || unsaved.sealed == "" || unsaved.replaces != r.session.Sealed {
		return nil
	}
	err := r.Service.Store.Change(ctx, func(tx store.Tx) error {
		return tx.SetSessionTokens(ctx, r.session.ID, unsaved.replaces,
			store.SessionTokens{Sealed: unsaved.sealed, Claims: keepClaims})
	})
	if err != nil {
		return fmt.Errorf("storing rotated tokens of an earlier refresh: %w", err)
	}
	r.session.Sealed, unsaved.replaces, unsaved.sealed = unsaved.sealed, "", ""
	r.unsaved.Set(r.session.ID, unsaved)
	return nil
}

// replaceTokens replaces the tokens that this refresh last read or wrote, and the claims, unless they are keepClaims.
// It returns store.ErrStale if the tokens have been changed concurrently. apply, which may be nil, runs in the same
// transaction.
func (r *tokenRefresh) replaceTokens(ctx context.Context, t oidc.Tokens, claims string,
	apply func(tx store.Tx) error,
) error {
	s := r.session
	sealed, err := r.Registry.Seal(ctx, t, s.UserID, s.Issuer, s.Subject)
	if err != nil {
		return err
	}
	err = r.Service.Store.Change(ctx, func(tx store.Tx) error {
		s.ID = r.session.ID
		next := store.SessionTokens{Sealed: sealed, Claims: claims}
		err := tx.SetSessionTokens(ctx, s.ID, s.Sealed, next)
		if errors.Is(err, store.ErrNotFound) {
			// The session was rotated, by a step-up with a password, and its tokens moved to the new row.
			if s.ID, err = successor(ctx, tx, &s, r.Service.Clock()); err == nil {
				err = tx.SetSessionTokens(ctx, s.ID, s.Sealed, next)
			}
		}
		if err != nil || apply == nil {
			return err
		}
		return apply(tx)
	})
	if errors.Is(err, store.ErrNotFound) {
		return errors.Join(store.ErrStale, errSessionGone)
	}
	if err != nil {
		return fmt.Errorf("storing tokens of a session: %w", err)
	}
	r.session.ID, r.session.Sealed = s.ID, sealed
	return nil
}

// successor returns the id of the session that has the tokens of a rotated one.
func successor(ctx context.Context, tx store.Tx, s *store.Session, now time.Time) (string, error) {
	page, err := tx.Sessions(ctx, store.SessionQuery{UserID: s.UserID, Now: now, Limit: 1000})
	if err != nil {
		return "", err
	}
	for i := range page.Items {
		if page.Items[i].Sealed == s.Sealed {
			return page.Items[i].ID, nil
		}
	}
	return "", store.ErrNotFound
}

// apply stores new tokens and updates the account, unless the tokens were changed concurrently.
func (r *tokenRefresh) apply(ctx context.Context, p *oidc.Claims) error {
	return r.replaceTokens(ctx, p.Tokens, p.Stored().Encode(), func(tx store.Tx) error {
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != r.session.UserID) {
			return &oidc.Error{Kind: oidc.Refused, Reason: "the identity was unlinked"}
		}
		if err != nil {
			return err
		}
		if !sameWord(id, r.before) {
			return nil // the provider was asked again meanwhile: that may be newer than this, which is about this session only
		}
		_, err = r.updateKnownUser(ctx, tx, Client{}, r.cfg, p, id)
		return err
	})
}

// lease lets only one process use a refresh token: providers that rotate them take a second use for theft and revoke
// everything.
func (o *OIDC) lease(ctx context.Context, s *store.Session) (leased bool, err error) {
	sum := sha256.Sum256([]byte(s.Sealed))
	err = o.Service.Store.Change(ctx, func(tx store.Tx) (err error) {
		now := o.Service.Clock().UTC()
		leased, err = tx.UseOnce(ctx, "oidc.refresh", hex.EncodeToString(sum[:]), now, now.Add(leaseLife))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("leasing a refresh: %w", err)
	}
	return leased, nil
}

// awaitOther waits up to three seconds for another process that refreshes the session.
func (o *OIDC) awaitOther(ctx context.Context, s *store.Session) (refreshOutcome, error) {
	tick := time.NewTicker(leasePoll)
	defer tick.Stop()
	for range int(3 * time.Second / leasePoll) {
		current, _, err := o.Service.Store.Session(ctx, s.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refreshChanged, nil
		case err != nil:
			return refreshUnchanged, err
		case current.Sealed != s.Sealed:
			return refreshChanged, nil
		}
		select {
		case <-ctx.Done():
			return refreshUnchanged, ctx.Err()
		case <-tick.C:
		}
	}
	return refreshUnchanged, nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// revokeSession ends a session that the provider has revoked or the rules deny. said are the claims that the provider
// gives the session's identity now, as they are stored, or keepClaims.
func (o *OIDC) revokeSession(ctx context.Context, s *store.Session, why error, said string) error {
	o.Service.Log.Info("session revoked by its provider or denied by the rules", zap.String("provider", s.Provider),
		zap.Error(why))
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		if said != keepClaims && s.Subject != "" {
			id := store.Identity{Issuer: s.Issuer, Subject: s.Subject, UserID: s.UserID, Provider: s.Provider}
			if err := tx.RenewTokenClaims(ctx, id, said); err != nil {
				return err
			}
		}
		ended, err := tx.EndSessions(ctx, store.SessionSelector{ID: s.ID})
		if err != nil {
			return err
		}
		reason := "no longer vouched for or allowed: " + string(oidc.KindOf(why))
		return o.Service.auditEnded(ctx, tx, Client{}, s.Provider, reason, ended)
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// sameWord reports whether a provider has said nothing else about an identity since it was looked up.
func sameWord(id, before store.Identity) bool {
	return id.LastLoginAt.Equal(before.LastLoginAt) && id.Provider == before.Provider && id.Email == before.Email &&
		slices.Equal(id.Groups, before.Groups)
}
