package account

import (
	"context"
	"errors"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// SessionActions groups the methods of [Service] that end sessions: one's own, and those of others by an administrator.
type SessionActions struct{ *core }

// SignOut ends the actor's session. It succeeds if the session has ended already.
func (s SessionActions) SignOut(ctx context.Context, a Actor) error {
	if a.SessionID == "" {
		return nil
	}
	return s.change(ctx, a, store.Event{Action: "session.sign_out"}, func(tx store.Tx, e *store.Event) error {
		_, u, err := tx.Session(ctx, a.SessionID)
		if errors.Is(err, store.ErrNotFound) || (err == nil && u.ID != a.UserID) {
			e.Action = ""
			return nil
		}
		if err != nil {
			return err
		}
		setTarget(e, u)
		e.Details["session"] = a.SessionID
		_, err = tx.EndSessions(ctx, store.SessionSelector{ID: a.SessionID})
		return err
	})
}

// SignOutOthers ends the sessions of the other cookies of the name that came along: who signs out does not want to be
// signed in by one of them.
func (s SessionActions) SignOutOthers(ctx context.Context, c login.Client) error {
	for _, token := range c.Others {
		found, u, err := s.Store.SessionByToken(ctx, store.HashToken(token))
		if err == nil {
			err = s.SignOut(ctx, Actor{UserID: u.ID, Name: u.Username, SessionID: found.ID, AuthAt: found.AuthAt, Client: c})
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// EndOwnSession ends one of the actor's own sessions. Another user's is store.ErrNotFound.
func (s SessionActions) EndOwnSession(ctx context.Context, a Actor, sessionID string) error {
	if err := s.limitWrite(a); err != nil {
		return err
	}
	return s.change(ctx, a, store.Event{Action: "session.end"}, func(tx store.Tx, e *store.Event) error {
		_, u, err := s.requireSession(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		_, owner, err := tx.Session(ctx, sessionID)
		if err != nil {
			return err
		}
		if owner.ID != u.ID {
			return store.ErrNotFound
		}
		e.Details["session"] = sessionID
		_, err = tx.EndSessions(ctx, store.SessionSelector{ID: sessionID})
		return err
	})
}

// EndOtherSessions ends all sessions of the actor except the present one, and returns how many.
func (s SessionActions) EndOtherSessions(ctx context.Context, a Actor) (int, error) {
	if err := s.limitWrite(a); err != nil {
		return 0, err
	}
	n := 0
	err := s.change(ctx, a, store.Event{Action: "session.end_others"}, func(tx store.Tx, e *store.Event) error {
		_, u, err := s.requireSession(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		ended, err := tx.EndSessions(ctx, store.SessionSelector{UserID: u.ID, Except: a.SessionID})
		if err != nil {
			return err
		}
		n = len(ended)
		out, err := s.recoverAccount(ctx, tx, a, e, u, login.Recovery{
			KeepSessions: true, KeepLinks: true, KeepTokens: true,
			KeepDevices: a.Client.Devices, KeepTrusted: a.Client.Trusted,
		})
		out.Sessions = n
		out.Describe(e.Details)
		return err
	})
	return n, err
}

// EndAllOwnSessions ends all sessions of the actor, including the present one.
func (s SessionActions) EndAllOwnSessions(ctx context.Context, a Actor) error {
	return s.change(ctx, a, store.Event{Action: "session.end_all"}, func(tx store.Tx, e *store.Event) error {
		_, u, err := s.requireSession(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		_, err = s.recoverAccount(ctx, tx, a, e, u, login.Recovery{
			KeepLinks: true, KeepTokens: true, KeepDevices: a.Client.Devices, KeepTrusted: a.Client.Trusted,
		})
		return err
	})
}

// EndSessions is RevokeAccess without identities.
func (s SessionActions) EndSessions(ctx context.Context, a Actor, userID string) (int, error) {
	return s.RevokeAccess(ctx, a, userID, false)
}

// RevokeAccess ends every session of a user, forgets known browsers and drops flows in progress; with identities it
// unlinks all identities and revokes all tokens, too. One-time links stay valid. It returns how many sessions ended.
// Callers report what is left, see [Service.AccessLeft].
func (s SessionActions) RevokeAccess(ctx context.Context, a Actor, userID string, identities bool) (int, error) {
	var out login.Recovered
	err := s.change(ctx, a, store.Event{Action: "session.end_all", TargetID: userID},
		func(tx store.Tx, e *store.Event) error {
			if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
				return err
			}
			u, err := tx.User(ctx, userID)
			if err != nil {
				return err
			}
			setTarget(e, u)
			if err := RequirePerson(u); err != nil {
				return err
			}
			out, err = s.recoverAccount(ctx, tx, a, e, u, login.Recovery{
				KeepLinks: true, KeepTokens: !identities, Identities: identities,
			})
			return err
		})
	return out.Sessions, err
}

// EndSession ends one session of any user.
func (s SessionActions) EndSession(ctx context.Context, a Actor, sessionID string) error {
	return s.change(ctx, a, store.Event{Action: "session.end"}, func(tx store.Tx, e *store.Event) error {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return err
		}
		_, u, err := tx.Session(ctx, sessionID)
		if err != nil {
			return err
		}
		setTarget(e, u)
		e.Details["session"] = sessionID
		_, err = tx.EndSessions(ctx, store.SessionSelector{ID: sessionID})
		return err
	})
}

// EndAllSessions ends all sessions of all users, the actor's included, and returns how many.
func (s SessionActions) EndAllSessions(ctx context.Context, a Actor) (int, error) {
	n := 0
	err := s.change(ctx, a, store.Event{Action: "session.end_everyone"}, func(tx store.Tx, e *store.Event) error {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return err
		}
		ended, err := tx.EndSessions(ctx, store.SessionSelector{All: true})
		if err != nil {
			return err
		}
		_, err = tx.ForgetDevices(ctx, store.AllUsers)
		if err == nil {
			_, err = tx.ForgetTrustedBrowsers(ctx, store.AllUsers)
		}
		n = len(ended)
		e.Details["sessions_ended"] = strconv.Itoa(n)
		return err
	})
	return n, err
}

// renewSession gives a session a new token, and the time of now as that of its proof: its person has just proved more,
// which whoever else has the token of before has not.
func (s *core) renewSession(ctx context.Context, tx store.Tx, sess store.Session) (login.SignedIn, error) {
	u, err := tx.User(ctx, sess.UserID) // as it is after what has been changed
	if err != nil {
		return login.SignedIn{}, err
	}
	token, renewed, err := s.Sessions.Rotate(ctx, tx, sess, u.Epoch, s.now())
	if err != nil {
		return login.SignedIn{}, err
	}
	return login.SignedIn{Token: token, Session: renewed, User: u}, nil
}
