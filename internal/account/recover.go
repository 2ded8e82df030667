package account

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// AccessLeft is who else still gets in to an account after it was taken back. Its owner may not know of them, so
// whoever takes it back has to be told.
type AccessLeft struct {
	Identities []store.Identity // with which somebody can still sign in
	Tokens     int              // of programs, which go on
	Passkeys   int              // each of which may sign in alone
}

// None reports whether nobody does.
func (l AccessLeft) None() bool { return len(l.Identities) == 0 && l.Tokens == 0 && l.Passkeys == 0 }

// AccessLeft returns who still gets in to an account by other ways than its password. Where the configuration has no
// tokens, none count.
func (s *Service) AccessLeft(ctx context.Context, userID string) (l AccessLeft, err error) {
	if l.Identities, err = s.Store.Identities(ctx, userID); err != nil {
		return l, err
	}
	if s.Login == nil || s.Login.PasskeysOn() {
		keys, err := s.Store.Passkeys(ctx, userID)
		if err != nil {
			return l, err
		}
		l.Passkeys = len(keys)
	}
	if s.Tokens != nil {
		l.Tokens, err = s.goingOn(ctx, userID)
	}
	return l, err
}

// goingOn returns how many tokens get in: also those that were replaced, and are kept for a while. Those count for no
// limit, see [store.Reader.CountTokens].
func (s *Service) goingOn(ctx context.Context, userID string) (n int, err error) {
	q := store.TokenQuery{UserID: userID, Limit: 1000}
	for {
		page, err := s.Store.Tokens(ctx, q)
		if err != nil {
			return 0, err
		}
		for i := range page.Items {
			if !page.Items[i].Expired(s.now()) {
				n++
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return n, nil
		}
	}
}

// recoverAccount revokes access to an account, see [login.Recover], and records in e what was revoked.
func (s *core) recoverAccount(ctx context.Context, tx store.Tx, a Actor, e *store.Event, u store.User,
	r login.Recovery,
) (login.Recovered, error) {
	r.Audit = s.auditAs(a)
	out, err := login.Recover(ctx, tx, u, r)
	if err == nil {
		out.Describe(e.Details)
	}
	return out, err
}

// auditAs returns a function that writes further events of an actor.
func (s *core) auditAs(a Actor) func(context.Context, store.Tx, store.Event) error {
	return func(ctx context.Context, tx store.Tx, e store.Event) error {
		e.ActorID, e.Actor = a.UserID, a.auditName()
		return tx.AddEvent(ctx, a.Client.Stamp(e, s.now()))
	}
}

// unlinkAll unlinks all identities of a user.
func (s *core) unlinkAll(ctx context.Context, tx store.Tx, a Actor, e *store.Event, u store.User) error {
	ids, err := tx.Identities(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := login.UnlinkIdentity(ctx, tx, id, s.auditAs(a)); err != nil {
			return err
		}
	}
	login.Recovered{Unlinked: ids}.Describe(e.Details)
	return tx.EndFlows(ctx, u.ID)
}
