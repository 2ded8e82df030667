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
	keepPause      = 100 * time.Millisecond // between tries to keep tokens that nobody else has
	maxTroubles    = 10_000                 // sessions of which is remembered what the store did not take
)

// outcomeOfRefresh is what became of a session.
type outcomeOfRefresh int

const (
	refreshNothing outcomeOfRefresh = iota // it goes on as it is, for now
	refreshChanged                         // its row is another one, whoever did it
	refreshEnded
)

// trouble is what the store could not be told of a session.
type trouble struct {
	failing time.Time // since when refreshes come to nothing
	over    string    // the sealed tokens that
	sealed  string    // these replace; "" for none
}

// refreshing is a refresh under way. session is what the store holds, as far as this process has written it.
type refreshing struct {
	*OIDC
	cfg     *oidc.Config
	session store.Session
	tokens  oidc.Tokens
}

// refresh refreshes one session.
func (o *OIDC) refresh(ctx context.Context, s *store.Session) outcomeOfRefresh {
	cfg, known := o.Registry.Config(s.Provider)
	if !known {
		return refreshNothing
	}
	r := &refreshing{OIDC: o, cfg: cfg, session: *s}
	out, err := r.run(ctx)
	if err == nil {
		o.troubles.Invalidate(s.ID)
		return out
	}
	switch kind := oidc.KindOf(err); {
	case kind == oidc.Down, kind == "" && passing(err):
		return r.failed(ctx, err)
	case kind == "":
		// What the provider says now cannot be kept: to go on with what it said before would be to keep what it took away.
		err = &oidc.Error{Kind: oidc.Invalid, Reason: "what the provider says cannot be applied", Err: err}
	}
	return r.end(ctx, err)
}

// passing reports whether a technical error may be gone at the next try.
func passing(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// end ends the session. When the store does not take that, nobody comes in with it here all the same.
func (r *refreshing) end(ctx context.Context, why error) outcomeOfRefresh {
	if err := r.takenBack(ctx, &r.session, why); err != nil {
		r.Service.Log.Error("could not end a session", zap.String("provider", r.cfg.Name), zap.Error(err))
	}
	return refreshEnded
}

// run is the way of a refresh when all goes well.
func (r *refreshing) run(ctx context.Context) (outcomeOfRefresh, error) {
	switch err := r.recall(ctx); {
	case errors.Is(err, store.ErrStale), errors.Is(err, store.ErrNotFound): // something newer is there, or it has ended
		return refreshChanged, nil
	case err != nil:
		return refreshNothing, err
	}
	t, err := r.Registry.Open(ctx, &r.session)
	if err != nil {
		return refreshNothing, fmt.Errorf("reading the tokens of a session: %w", errors.Join(store.ErrUnavailable, err))
	}
	r.tokens = t
	mine, err := r.lease(ctx, &r.session)
	if err != nil {
		return refreshNothing, err
	}
	if !mine {
		return r.awaitOther(ctx, &r.session)
	}
	p, ok, err := r.Registry.Refresh(ctx, &r.session, t, r.rotated)
	switch {
	case errors.Is(err, store.ErrStale): // something newer is there
		return refreshChanged, nil
	case err != nil || !ok:
		return refreshNothing, err
	}
	r.warnIgnored(r.cfg.Name, p)
	if err := r.cfg.Admit(p); err != nil {
		return refreshNothing, err
	}
	err = r.renewed(ctx, p)
	if errors.Is(err, store.ErrStale) {
		err = nil
	}
	return refreshChanged, err
}

// failed notes that a refresh came to nothing, and ends the session when that goes on for too long: a provider that cannot
// be asked could not take the sign-in back either.
func (r *refreshing) failed(ctx context.Context, why error) outcomeOfRefresh {
	now := r.Service.Clock().UTC()
	kept, _ := r.troubles.GetIfPresent(r.session.ID)
	since := r.tokens.Failing
	if !kept.failing.IsZero() && (since.IsZero() || kept.failing.Before(since)) {
		since = kept.failing
	}
	log := r.Service.Log.With(zap.String("provider", r.cfg.Name), zap.Error(why))
	switch {
	case since.IsZero():
		kept.failing = now
	case now.Sub(since) >= r.cfg.RefreshGraceOr():
		log.Warn("could not refresh a session for longer than refresh_grace: the person has to sign in again")
		return r.end(ctx, &oidc.Error{Kind: oidc.Down, Reason: "the provider could not be asked for longer than refresh_grace", Err: why})
	default:
		log.Warn("could not refresh a session; it goes on for now")
		return refreshNothing
	}
	log.Warn("could not refresh a session; it goes on for as long as refresh_grace says")
	r.troubles.Set(r.session.ID, kept)
	if r.tokens.Refresh == "" || kept.sealed != "" {
		return refreshNothing
	}
	t := r.tokens
	t.Failing, t.Due = now, now.Add(refreshBackoff)
	if err := r.swap(ctx, t, r.session.Claims, nil); err != nil {
		return refreshNothing // it is remembered here
	}
	return refreshChanged
}

// rotated keeps tokens that the provider has just given for those that were sent, which are spent. Nobody else has them, so
// it is tried for as long as there is time, and then they are remembered.
func (r *refreshing) rotated(ctx context.Context, t oidc.Tokens) error {
	// Others leave the session alone while this goes on.
	t.Due, t.Failing = r.Service.Clock().UTC().Add(refreshBackoff), r.tokens.Failing
	over := r.session.Sealed
	err := r.swap(ctx, t, r.session.Claims, nil)
	for err != nil && passing(err) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(keepPause):
			err = r.swap(ctx, t, r.session.Claims, nil)
		}
	}
	if err == nil {
		r.tokens = t
		return nil
	}
	if sealed, serr := r.Registry.Seal(context.WithoutCancel(ctx), t, r.session.UserID, r.session.Issuer, r.session.Subject); serr == nil && passing(err) {
		kept, _ := r.troubles.GetIfPresent(r.session.ID)
		kept.over, kept.sealed = over, sealed
		r.troubles.Set(r.session.ID, kept)
	}
	return err
}

// recall writes what the store did not take before.
func (r *refreshing) recall(ctx context.Context) error {
	kept, ok := r.troubles.GetIfPresent(r.session.ID)
	if !ok || kept.sealed == "" || kept.over != r.session.Sealed {
		return nil
	}
	err := r.Service.Store.Change(ctx, func(tx store.Tx) error {
		return tx.SetSessionTokens(ctx, r.session.ID, kept.over, store.SessionTokens{Sealed: kept.sealed, Claims: r.session.Claims})
	})
	if err != nil {
		return fmt.Errorf("keeping tokens that the provider gave before: %w", err)
	}
	r.session.Sealed, kept.over, kept.sealed = kept.sealed, "", ""
	r.troubles.Set(r.session.ID, kept)
	return nil
}

// swap replaces the tokens that the session had when this refresh wrote it last. With others in their place, which are
// newer, it is store.ErrStale. also is done in the same transaction.
func (r *refreshing) swap(ctx context.Context, t oidc.Tokens, claims string, also func(tx store.Tx) error) error {
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
		if err != nil || also == nil {
			return err
		}
		return also(tx)
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

// renewed keeps new tokens and brings the account up to date, if nothing newer has come in between.
func (r *refreshing) renewed(ctx context.Context, p *oidc.Person) error {
	return r.swap(ctx, p.Tokens, p.Proved().Text(), func(tx store.Tx) error {
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != r.session.UserID) {
			return &oidc.Error{Kind: oidc.Refused, Reason: "the identity was unlinked"}
		}
		if err != nil {
			return err
		}
		_, err = r.returning(ctx, tx, Client{}, r.cfg, p, id)
		return err
	})
}

// lease makes this process the one that uses a refresh token: providers that rotate them take a second use for theft
// and end everything.
func (o *OIDC) lease(ctx context.Context, s *store.Session) (mine bool, err error) {
	sum := sha256.Sum256([]byte(s.Sealed))
	err = o.Service.Store.Change(ctx, func(tx store.Tx) (err error) {
		now := o.Service.Clock().UTC()
		mine, err = tx.Once(ctx, "oidc.refresh", hex.EncodeToString(sum[:]), now, now.Add(leaseLife))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("taking turns at a refresh: %w", err)
	}
	return mine, nil
}

// awaitOther waits for another process that refreshes the session, for a moment.
func (o *OIDC) awaitOther(ctx context.Context, s *store.Session) (outcomeOfRefresh, error) {
	tick := time.NewTicker(leasePoll)
	defer tick.Stop()
	for range int(3 * time.Second / leasePoll) {
		now, _, err := o.Service.Store.Session(ctx, s.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refreshChanged, nil
		case err != nil:
			return refreshNothing, err
		case now.Sealed != s.Sealed:
			return refreshChanged, nil
		}
		select {
		case <-ctx.Done():
			return refreshNothing, ctx.Err()
		case <-tick.C:
		}
	}
	return refreshNothing, nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// takenBack ends a session whose sign-in the provider takes back.
func (o *OIDC) takenBack(ctx context.Context, s *store.Session, why error) error {
	o.Service.Log.Info("a sign-in through a provider does not count any more", zap.String("provider", s.Provider), zap.Error(why))
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		ended, err := tx.EndSessions(ctx, store.SessionSelector{ID: s.ID})
		if err != nil {
			return err
		}
		return o.noteEnded(ctx, tx, Client{}, s.Provider, "no longer vouched for or allowed: "+string(oidc.KindOf(why)), ended)
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}
