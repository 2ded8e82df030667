package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	refreshTimeout = 15 * time.Second
	refreshBackoff = 30 * time.Second // after a provider that could not be asked
	leaseLife      = refreshTimeout + 5*time.Second
	leasePoll      = 50 * time.Millisecond
	saveRetryDelay = 100 * time.Millisecond // between tries to keep tokens that nobody else has
	maxUnsaved     = 10_000                 // sessions of which is remembered what the store did not take
)

// refreshOutcome is what became of a session.
type refreshOutcome int

const (
	refreshUnchanged refreshOutcome = iota // it goes on as it is, for now
	refreshChanged                         // its row is another one, whoever did it
	refreshEnded
)

// unsavedTokens is what the store could not be told of a session.
type unsavedTokens struct {
	failingSince time.Time // since when refreshes come to nothing
	replaces     string    // the sealed tokens that
	sealed       string    // these replace; "" for none
}

// tokenRefresh is a refresh under way. session is what the store holds, as far as this process has written it.
type tokenRefresh struct {
	*OIDC
	cfg     *oidc.Config
	session store.Session
	tokens  oidc.Tokens
}

// refreshSession refreshes one session.
func (o *OIDC) refreshSession(ctx context.Context, s *store.Session) refreshOutcome {
	cfg, known := o.Registry.Config(s.Provider)
	if !known {
		return refreshUnchanged
	}
	r := &tokenRefresh{OIDC: o, cfg: cfg, session: *s}
	out, err := r.run(ctx)
	if err == nil {
		o.unsaved.Invalidate(s.ID)
		return out
	}
	switch kind := oidc.KindOf(err); {
	case kind == oidc.Down, kind == "" && isTransient(err):
		return r.handleFailure(ctx, err)
	case kind == "":
		// What the provider says now cannot be kept: to go on with what it said before would be to keep what it took away.
		err = &oidc.Error{Kind: oidc.Invalid, Reason: "what the provider says cannot be applied", Err: err}
	}
	return r.endSession(ctx, err)
}

// isTransient reports whether a technical error may be gone at the next try.
func isTransient(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// revoke ends the session. When the store does not take that, nobody comes in with it here all the same.
func (r *tokenRefresh) endSession(ctx context.Context, why error) refreshOutcome {
	if err := r.revokeSession(ctx, &r.session, why); err != nil {
		r.Service.Log.Error("could not end a session", zap.String("provider", r.cfg.Name), zap.Error(err))
	}
	return refreshEnded
}

// run is the way of a refresh when all goes well.
func (r *tokenRefresh) run(ctx context.Context) (refreshOutcome, error) {
	switch err := r.retryUnsaved(ctx); {
	case errors.Is(err, store.ErrStale), errors.Is(err, store.ErrNotFound): // something newer is there, or it has ended
		return refreshChanged, nil
	case err != nil:
		return refreshUnchanged, err
	}
	t, err := r.Registry.Open(ctx, &r.session)
	if err != nil {
		return refreshUnchanged, fmt.Errorf("reading the tokens of a session: %w", errors.Join(store.ErrUnavailable, err))
	}
	r.tokens = t
	leased, err := r.lease(ctx, &r.session)
	if err != nil {
		return refreshUnchanged, err
	}
	if !leased {
		return r.awaitOther(ctx, &r.session)
	}
	p, ok, err := r.Registry.Refresh(ctx, &r.session, t, r.saveRotated)
	switch {
	case errors.Is(err, store.ErrStale): // something newer is there
		return refreshChanged, nil
	case err != nil || !ok:
		return refreshUnchanged, err
	}
	r.warnIgnored(r.cfg.Name, p)
	if err := r.cfg.CheckAllowed(p); err != nil {
		return refreshUnchanged, err
	}
	err = r.apply(ctx, p)
	if errors.Is(err, store.ErrStale) {
		err = nil
	}
	return refreshChanged, err
}

// handleFailure notes that a refresh came to nothing, and ends the session when that goes on for too long: a provider that cannot
// be asked could not take the sign-in back either.
func (r *tokenRefresh) handleFailure(ctx context.Context, why error) refreshOutcome {
	now := r.Service.Clock().UTC()
	unsaved, _ := r.unsaved.GetIfPresent(r.session.ID)
	since := r.tokens.FailingSince
	if !unsaved.failingSince.IsZero() && (since.IsZero() || unsaved.failingSince.Before(since)) {
		since = unsaved.failingSince
	}
	log := r.Service.Log.With(zap.String("provider", r.cfg.Name), zap.Error(why))
	switch {
	case since.IsZero():
		unsaved.failingSince = now
	case now.Sub(since) >= r.cfg.RefreshGraceOrDefault():
		log.Warn("could not refresh a session for longer than refresh_grace: the person has to sign in again")
		return r.endSession(ctx, &oidc.Error{Kind: oidc.Down, Reason: "the provider could not be asked for longer than refresh_grace", Err: why})
	default:
		log.Warn("could not refresh a session; it goes on for now")
		return refreshUnchanged
	}
	log.Warn("could not refresh a session; it goes on for as long as refresh_grace says")
	r.unsaved.Set(r.session.ID, unsaved)
	if r.tokens.Refresh == "" || unsaved.sealed != "" {
		return refreshUnchanged
	}
	t := r.tokens
	t.FailingSince, t.RefreshAt = now, now.Add(refreshBackoff)
	if err := r.replaceTokens(ctx, t, r.session.Claims, nil); err != nil {
		return refreshUnchanged // it is remembered here
	}
	return refreshChanged
}

// saveRotated keeps tokens that the provider has just given for those that were sent, which are spent. Nobody else has them, so
// it is tried for as long as there is time, and then they are remembered.
func (r *tokenRefresh) saveRotated(ctx context.Context, t oidc.Tokens) error {
	// Others leave the session alone while this goes on.
	t.RefreshAt, t.FailingSince = r.Service.Clock().UTC().Add(refreshBackoff), r.tokens.FailingSince
	replaced := r.session.Sealed
	err := r.replaceTokens(ctx, t, r.session.Claims, nil)
	for err != nil && isTransient(err) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(saveRetryDelay):
			err = r.replaceTokens(ctx, t, r.session.Claims, nil)
		}
	}
	if err == nil {
		r.tokens = t
		return nil
	}
	if sealed, serr := r.Registry.Seal(context.WithoutCancel(ctx), t, r.session.UserID, r.session.Issuer, r.session.Subject); serr == nil && isTransient(err) {
		unsaved, _ := r.unsaved.GetIfPresent(r.session.ID)
		unsaved.replaces, unsaved.sealed = replaced, sealed
		r.unsaved.Set(r.session.ID, unsaved)
	}
	return err
}

// retryUnsaved writes what the store did not take before.
func (r *tokenRefresh) retryUnsaved(ctx context.Context) error {
	unsaved, ok := r.unsaved.GetIfPresent(r.session.ID)
	if !ok || unsaved.sealed == "" || unsaved.replaces != r.session.Sealed {
		return nil
	}
	err := r.Service.Store.Change(ctx, func(tx store.Tx) error {
		return tx.SetSessionTokens(ctx, r.session.ID, unsaved.replaces, store.SessionTokens{Sealed: unsaved.sealed, Claims: r.session.Claims})
	})
	if err != nil {
		return fmt.Errorf("keeping tokens that the provider gave before: %w", err)
	}
	r.session.Sealed, unsaved.replaces, unsaved.sealed = unsaved.sealed, "", ""
	r.unsaved.Set(r.session.ID, unsaved)
	return nil
}

// replaceTokens replaces the tokens that the session had when this refresh wrote it last. With others in their place, which are
// newer, it is store.ErrStale. also is done in the same transaction.
func (r *tokenRefresh) replaceTokens(ctx context.Context, t oidc.Tokens, claims string, apply func(tx store.Tx) error) error {
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
			// A renewal with a password takes the tokens along: to lose the new ones would end that session.
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
		return store.ErrStale // it has ended
	}
	if err != nil {
		return fmt.Errorf("keeping tokens of a session: %w", err)
	}
	r.session.ID, r.session.Sealed, r.session.Claims = s.ID, sealed, claims
	return nil
}

// successor returns the session that goes on with the tokens of one that is there no more.
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

// apply keeps new tokens and brings the account up to date, if nothing newer has come in between.
func (r *tokenRefresh) apply(ctx context.Context, p *oidc.Person) error {
	return r.replaceTokens(ctx, p.Tokens, p.Stored().Encode(), func(tx store.Tx) error {
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != r.session.UserID) {
			return &oidc.Error{Kind: oidc.Refused, Reason: "the identity was unlinked"}
		}
		if err != nil {
			return err
		}
		_, err = r.updateKnownUser(ctx, tx, Client{}, r.cfg, p, id)
		return err
	})
}

// lease makes this process the one that uses a refresh token: providers that rotate them take a second use for theft
// and end everything.
func (o *OIDC) lease(ctx context.Context, s *store.Session) (leased bool, err error) {
	sum := sha256.Sum256([]byte(s.Sealed))
	err = o.Service.Store.Change(ctx, func(tx store.Tx) (err error) {
		now := o.Service.Clock().UTC()
		leased, err = tx.Once(ctx, "oidc.refresh", hex.EncodeToString(sum[:]), now, now.Add(leaseLife))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("taking turns at a refresh: %w", err)
	}
	return leased, nil
}

// awaitOther waits for another process that refreshes the session, for a moment.
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

// revokeSession ends a session whose sign-in the provider takes back.
func (o *OIDC) revokeSession(ctx context.Context, s *store.Session, why error) error {
	o.Service.Log.Info("a sign-in through a provider does not count any more", zap.String("provider", s.Provider), zap.Error(why))
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		ended, err := tx.EndSessions(ctx, store.SessionSelector{ID: s.ID})
		if err != nil {
			return err
		}
		return o.auditEnded(ctx, tx, Client{}, s.Provider, "no longer vouched for or allowed: "+string(oidc.KindOf(why)), ended)
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}
