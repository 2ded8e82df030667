package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Proof is a person's proof of who they are, to be turned into a session by [Service.SignIn].
type Proof struct {
	User    store.User
	counted attempt // the zero attempt for a proof that is no password
	rehash  string  // the password in the present format, when the stored one is outdated
}

// Forget forgets the attempts that were counted together with this one: for callers that turn a proof into something
// else than a session, in the same transaction.
func (p Proof) Forget(ctx context.Context, tx store.Tx) error {
	if p.counted.shown == "" {
		return nil
	}
	return forget(ctx, tx, p.counted.keys())
}

// Password checks a name and a password. It costs the same whether or not the name exists.
// Errors: [ErrWrong], *[ThrottledError], *[DisabledError], password.ErrBusy; any other is technical.
func (s *Service) Password(ctx context.Context, c Client, name, pass string) (Proof, error) {
	p, err := s.password(ctx, c, name, pass)
	if err != nil && ctx.Err() == nil { // a client that left found nothing out
		s.count("password", outcome(err)) // a success is counted when the session exists
	}
	if errors.Is(err, password.ErrBusy) {
		s.noteBusy()
	}
	return p, err
}

func (s *Service) password(ctx context.Context, c Client, name, pass string) (Proof, error) {
	return s.inTurn(ctx, c, func(ctx context.Context) (Proof, error) {
		u, err := s.Store.UserByLogin(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Proof{}, fmt.Errorf("looking up a user: %w", err)
		}
		return s.verify(ctx, c, u, name, pass, false)
	})
}

// Reverify checks the password of a person who is signed in already, for re-authentication and before a password
// change. The same throttle counts, so that a stolen session is no way to guess. c.Session is that person's. Errors as of [Service.Password].
func (s *Service) Reverify(ctx context.Context, c Client, u store.User, pass string) (Proof, error) {
	return s.inTurn(ctx, c, func(ctx context.Context) (Proof, error) {
		return s.verify(ctx, c, u, u.Username, pass, true)
	})
}

// inTurn calls check with a place where passwords are checked and one of the address's attempts taken. Where there is no
// place nothing is counted, and the store is not asked.
func (s *Service) inTurn(ctx context.Context, c Client, check func(context.Context) (Proof, error)) (Proof, error) {
	if err := s.Throttle.told(ctx, c.IP, s.Limits); err != nil {
		return Proof{}, err
	}
	ctx, leave, err := s.Hasher.Enter(ctx)
	if err != nil {
		return Proof{}, err
	}
	defer leave()
	first, err := s.Throttle.client(ctx, c.IP, s.Limits)
	if first {
		s.audit(ctx, c, store.Event{Actor: store.NameAnonymous, Action: "session.throttle", Outcome: store.Denied,
			Details: map[string]string{"reason": "too many attempts from this address"}})
	}
	if err != nil {
		return Proof{}, err
	}
	return check(ctx)
}

// verify counts the attempt and checks the password of u, which is the zero User for an unknown name. again is true for
// a person who is signed in.
func (s *Service) verify(ctx context.Context, c Client, u store.User, name, pass string, again bool) (Proof, error) {
	a, err := s.attempt(ctx, c, u, name, again)
	if err != nil {
		return Proof{}, err
	}
	hidden, err := s.Throttle.begin(ctx, a, s.Limits)
	if err != nil {
		if errors.As(err, new(*ThrottledError)) {
			s.auditAttempt(ctx, c, u, again, store.Denied, "throttled")
		}
		return Proof{}, err
	}
	if hidden {
		err := s.Hasher.Dummy(ctx, password.Normalize(pass))
		if err != nil {
			s.forgive(ctx, a.shown)
			return Proof{}, err
		}
		s.auditAttempt(ctx, c, u, again, store.Denied, "throttled")
		return Proof{}, ErrWrong
	}
	p := Proof{User: u, counted: a}
	ok, outdated, err := s.check(ctx, u, pass)
	if err != nil {
		s.Forgive(ctx, p)
		return Proof{}, err
	}
	switch {
	case !ok:
		s.auditAttempt(ctx, c, u, again, store.Failure, "wrong password")
		return Proof{}, ErrWrong
	case !u.Active || u.Pending:
		s.Forgive(ctx, p) // the password was right: this was no guess
		s.auditAttempt(ctx, c, u, again, store.Denied, "account is not active")
		return Proof{}, &DisabledError{Pending: u.Pending}
	}
	// A managed root is never re-hashed: its stored hash is compared with the deployment's at every start.
	if outdated && !u.Managed {
		if p.rehash, err = s.Hasher.Hash(ctx, pass); err != nil {
			s.Log.Info("kept an old password format for now", zap.Error(err))
		}
	}
	return p, nil
}

// Forgive takes back the attempt of a proof that did not come to anything: the password was right.
func (s *Service) Forgive(ctx context.Context, p Proof) {
	if p.counted.shown != "" { // of a password
		s.forgive(ctx, p.counted.keys()...)
	}
}

// forgive takes back an attempt that was no wrong guess. Whoever has left meanwhile is forgiven, too.
func (s *Service) forgive(ctx context.Context, keys ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgiveTime)
	defer cancel()
	for _, key := range keys {
		if err := s.Store.ForgiveAttempt(ctx, key, s.Clock()); err != nil {
			s.Log.Warn("could not take back a counted attempt", zap.Error(err))
		}
	}
}

const forgiveTime = 2 * time.Second

// attempt chooses the keys: those of strangers, of a browser that is known for the account, or of the session in which
// somebody is asked again, so that nobody who guesses elsewhere keeps them from proving it.
func (s *Service) attempt(ctx context.Context, c Client, u store.User, name string, again bool) (attempt, error) {
	secret, err := s.Throttle.secret(ctx)
	if err != nil {
		return attempt{}, err
	}
	id := u.ID
	a := attempt{shown: shownKey(secret, name), behind: AccountKey(id), open: again}
	if id == "" {
		a.behind, id = nameKey(secret, nobodyPrefix, store.FoldName(name)), "unknown"
	}
	// Asked for unknown names too, so that both ways cost the same.
	for _, token := range c.Devices {
		hash := store.HashToken(token)
		known, err := s.Store.KnownDevice(ctx, hash, id)
		if err != nil {
			return attempt{}, fmt.Errorf("looking up a browser: %w", err)
		}
		if known && u.ID != "" {
			return attempt{shown: deviceKey(hash, id), behind: knownKey(id), device: token, own: true, open: true}, nil
		}
	}
	if again && store.ValidToken(c.Session) {
		return attempt{shown: sessionKey(store.HashToken(c.Session), id), behind: sessionsKey(id), own: true, open: true}, nil
	}
	return a, nil
}

// check compares the password, at one cost for everybody.
func (s *Service) check(ctx context.Context, u store.User, pass string) (ok, outdated bool, err error) {
	if u.ID == "" || u.PasswordHash == "" {
		return false, false, s.Hasher.Dummy(ctx, password.Normalize(pass))
	}
	return s.Hasher.Verify(ctx, u.PasswordHash, password.Normalize(pass))
}

// auditAttempt notes a sign-in that was refused, or that somebody who is signed in did not prove who they are.
func (s *Service) auditAttempt(ctx context.Context, c Client, u store.User, again bool, o store.Outcome, reason string) {
	e := store.Event{Actor: store.NameAnonymous, Action: "session.sign_in", Outcome: o, Details: map[string]string{"reason": reason}}
	if u.ID != "" {
		e.TargetID, e.Target = u.ID, u.Username
	} else {
		e.Target = "unknown user" // never what was typed: people type passwords there
	}
	if again {
		e.Action, e.ActorID, e.Actor = "session.confirm", u.ID, u.Username
	}
	s.audit(ctx, c, e)
}

// audit writes an event of its own. A failure is logged and breaks nothing: the answer is a refusal anyway.
func (s *Service) audit(ctx context.Context, c Client, e store.Event) {
	e = c.stamp(e, s.Clock())
	if err := s.Store.AddEvents(ctx, e); err != nil {
		s.Log.Error("could not write the audit log", zap.String("action", e.Action), zap.Error(err))
	}
}
