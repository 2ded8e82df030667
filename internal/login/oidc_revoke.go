package login

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// revokeAtOnce is how many tokens are revoked at once: ending everybody's sessions must not flood a provider.
const revokeAtOnce = 4

// revokeTimeout limits each revocation.
const revokeTimeout = 5 * time.Second

// EndingStore tells which sessions end by the changes of a configuration's services, whichever of them it is.
type EndingStore struct {
	store.Store
	// Ended is called with sessions that have ended and hold tokens of a provider. It must not block. It may be nil.
	Ended func([]store.Session)
}

// Change implements [store.Store].
func (s *EndingStore) Change(ctx context.Context, fn func(tx store.Tx) error) error {
	var ended []store.Session
	err := s.Store.Change(ctx, func(tx store.Tx) error {
		ended = nil // the transaction may be tried again
		return fn(&endingTx{Tx: tx, ended: &ended})
	})
	if err == nil && len(ended) > 0 && s.Ended != nil {
		s.Ended(ended)
	}
	return err
}

// endingTx collects the sessions that end in a transaction.
type endingTx struct {
	store.Tx
	ended *[]store.Session
}

// EndSessions implements [store.Tx]. A session that another one takes the place of has not ended for its provider: at
// many, both are one session there, and to revoke the old token would end the new one.
func (t *endingTx) EndSessions(ctx context.Context, sel store.SessionSelector) ([]store.Session, error) {
	ended, err := t.Tx.EndSessions(ctx, sel)
	if err != nil || sel.Replaced {
		return ended, err
	}
	return ended, t.collect(ctx, ended, sel.All)
}

// UpdateUser implements [store.Tx]: an account that is turned off loses its sessions.
func (t *endingTx) UpdateUser(ctx context.Context, u store.User) (store.User, error) {
	var ending []store.Session
	if !u.Active {
		var err error
		if ending, err = t.sessions(ctx, u.ID); err != nil {
			return u, err
		}
	}
	after, err := t.Tx.UpdateUser(ctx, u)
	if err != nil {
		return after, err
	}
	return after, t.collect(ctx, ending, true)
}

// DeleteUser implements [store.Tx].
func (t *endingTx) DeleteUser(ctx context.Context, id string) error {
	ending, err := t.sessions(ctx, id)
	if err != nil {
		return err
	}
	if err := t.Tx.DeleteUser(ctx, id); err != nil {
		return err
	}
	return t.collect(ctx, ending, true)
}

// sessions returns the sessions of a user that hold tokens.
func (t *endingTx) sessions(ctx context.Context, userID string) ([]store.Session, error) {
	var out []store.Session
	q := store.SessionQuery{UserID: userID, Limit: 1000}
	for {
		page, err := t.Tx.Sessions(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if page.Items[i].Sealed != "" {
				out = append(out, page.Items[i].Session)
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out, nil
		}
	}
}

// collect keeps the sessions that hold tokens, except those that are the same session at the provider as one that
// continues: it may be signed in to at several sites. all means that none of the user's continues.
func (t *endingTx) collect(ctx context.Context, ended []store.Session, all bool) error {
	others := make(map[string][]store.Session)
	for _, s := range ended {
		if s.Sealed == "" {
			continue
		}
		if s.SID != "" && !all { // without one there is nothing to look for
			if _, known := others[s.UserID]; !known {
				list, err := t.sessions(ctx, s.UserID)
				if err != nil {
					return err
				}
				others[s.UserID] = list
			}
			if slices.ContainsFunc(others[s.UserID], func(o store.Session) bool { return sameAtProvider(&o, &s) }) {
				continue
			}
		}
		*t.ended = append(*t.ended, s)
	}
	return nil
}

// RevokeEnded revokes the tokens of ended sessions at their providers, in the background: nobody waits for a provider
// to sign out. It is tried once; what fails is logged.
func (o *OIDC) RevokeEnded(ended []store.Session) {
	o.background(func(ctx context.Context) {
		var work errgroup.Group
		work.SetLimit(revokeAtOnce)
		for i := range ended {
			work.Go(func() error {
				o.revokeTokens(ctx, &ended[i])
				return nil
			})
		}
		_ = work.Wait() // no error
	})
}

func (o *OIDC) revokeTokens(ctx context.Context, s *store.Session) {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	asked, err := o.Registry.Revoke(ctx, s)
	log := o.Service.Log.With(zap.String("provider", s.Provider), zap.String("session", s.ID))
	switch {
	case err != nil:
		log.Warn("could not revoke the refresh token of an ended session", zap.Error(err))
	case asked:
		log.Debug("revoked the refresh token of an ended session")
	}
}

// errSessionGone means that a session has ended while it was refreshed.
var errSessionGone = errors.New("the session has ended")

// sameAtProvider reports whether two sessions are known to be one at their provider. Of those without a sid that is
// never known.
func sameAtProvider(a, b *store.Session) bool {
	return a.SID != "" && a.SID == b.SID && a.Issuer == b.Issuer
}

// anySameAtProvider reports whether any of live sessions is known to be one with s at its provider, so that the tokens
// of s have to stay.
func anySameAtProvider(live []store.SessionRow, s *store.Session) bool {
	return slices.ContainsFunc(live, func(o store.SessionRow) bool { return sameAtProvider(&o.Session, s) })
}

// revokeReceived revokes tokens that came for a session that has ended meanwhile: what was revoked then was the token
// that they replace. At a provider where the user goes on with the same session, it is left alone.
func (r *tokenRefresh) revokeReceived(ctx context.Context, t oidc.Tokens) {
	s := r.session
	goesOn, err := r.goesOn(ctx)
	if err == nil && goesOn {
		return
	}
	if err == nil {
		s.Sealed, err = r.Registry.Seal(ctx, t, s.UserID, s.Issuer, s.Subject)
	}
	if err != nil {
		r.Service.Log.Warn("could not revoke the refresh token of an ended session", zap.Error(err))
		return
	}
	r.RevokeEnded([]store.Session{s})
}

// goesOn reports whether the session at the provider of one that is gone goes on with another one here: one that is
// known to be the same there, or that of the sign-in that took its place, see [endingTx.EndSessions].
func (r *tokenRefresh) goesOn(ctx context.Context) (on bool, err error) {
	s, now := &r.session, r.Service.Clock().UTC()
	err = r.Service.Store.Change(ctx, func(tx store.Tx) error {
		on = false
		page, err := tx.Sessions(ctx, store.SessionQuery{UserID: s.UserID, Now: now, Limit: 1000})
		if err != nil {
			return err
		}
		if on = anySameAtProvider(page.Items, s); on {
			return nil
		}
		for _, key := range []string{s.ID, s.UserID, store.EndedAll} { // what is replaced is not marked as ended
			if ended, err := tx.Marked(ctx, store.MarkEnded, key, now); err != nil || ended {
				return err
			}
		}
		on = slices.ContainsFunc(page.Items, func(o store.SessionRow) bool {
			return o.Provider == s.Provider && o.Issuer == s.Issuer && o.Subject == s.Subject
		})
		return nil
	})
	return on, err
}

func (o *OIDC) background(work func(context.Context)) {
	if o.Background != nil {
		o.Background(work)
		return
	}
	go work(context.Background())
}
