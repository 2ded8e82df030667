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

// Proof is the result of a successful authentication, to be turned into a session by [Service.SignIn].
type Proof struct {
	User    store.User
	attempt attempt // zero unless a password was checked
	rehash  string  // hash in the current format, if the stored one is outdated
}

// ofPassword reports whether a password was checked.
func (p Proof) ofPassword() bool { return p.attempt.visibleKey != "" }

// ClearAttempts clears the failed attempts that this one was counted with. It is for callers that use a proof for
// something other than a session, in the same transaction.
func (p Proof) ClearAttempts(ctx context.Context, tx store.Tx) error {
	if !p.ofPassword() {
		return nil
	}
	return clearKeys(ctx, tx, p.attempt.keys())
}

// CheckPassword checks a username (or e-mail) and a password. It takes the same time whether or not the name exists
// (user enumeration). Errors: [ErrInvalidCredentials], *[ThrottledError], *[InactiveError], password.ErrBusy; any other
// is technical.
func (s *Service) CheckPassword(ctx context.Context, c Client, name, pass string) (Proof, error) {
	var user string // as far as it is known
	p, err := s.verifyByName(ctx, c, name, pass, &user)
	if err != nil && ctx.Err() == nil { // a client that disconnected learned nothing
		s.count("password", outcomeOf(err)) // a success is counted when the session exists
		s.logRefused(c, "password", user, err)
	}
	if errors.Is(err, password.ErrBusy) {
		s.logQueueFull()
	}
	return p, err
}

func (s *Service) verifyByName(ctx context.Context, c Client, name, pass string, user *string) (Proof, error) {
	return s.withHashSlot(ctx, c, func(ctx context.Context) (Proof, error) {
		u, err := s.Store.UserByLogin(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Proof{}, fmt.Errorf("looking up a user: %w", err)
		}
		*user = u.Username
		return s.verify(ctx, c, u, name, pass, false)
	})
}

// Reverify checks the password of a user who is signed in, for step-up and before a password change. It is throttled
// like a sign-in, so that a stolen session cannot be used to guess. c.Session is that user's session. Errors are those
// of [Service.CheckPassword].
func (s *Service) Reverify(ctx context.Context, c Client, u store.User, pass string) (Proof, error) {
	p, err := s.withHashSlot(ctx, c, func(ctx context.Context) (Proof, error) {
		return s.verify(ctx, c, u, u.Username, pass, true)
	})
	if err != nil && ctx.Err() == nil {
		s.logRefused(c, "confirm", u.Username, err)
	}
	return p, err
}

// withHashSlot calls check after admission to the hashing slots and after counting the attempt for the client address.
// Without admission nothing is counted and the store is not queried, so that a flood costs next to nothing.
func (s *Service) withHashSlot(ctx context.Context, c Client,
	check func(context.Context) (Proof, error),
) (Proof, error) {
	if err := s.Throttle.checkBlocked(ctx, c, s.Limits); err != nil {
		return Proof{}, err
	}
	ctx, release, err := s.Hasher.Admit(ctx)
	if err != nil {
		return Proof{}, err
	}
	defer release()
	first, err := s.Throttle.countClient(ctx, c.IP, s.Limits)
	if first {
		s.auditThrottle(ctx, c, "too many attempts from this address")
	}
	if err != nil {
		return Proof{}, err
	}
	return check(ctx)
}

// auditThrottle audits that a count was used up, once.
func (s *Service) auditThrottle(ctx context.Context, c Client, reason string) {
	s.audit(ctx, c, store.Event{
		Actor: store.NameAnonymous, Action: "session.throttle", Outcome: store.Denied,
		Details: map[string]string{"reason": reason},
	})
}

// wrong returns the error for a wrong password, which it counts where there was no address to count the attempt under.
func (s *Service) wrong(ctx context.Context, c Client, a attempt) error {
	first, err := s.Throttle.countWrongWithoutAddress(ctx, c, a, s.Limits)
	if first {
		s.auditThrottle(ctx, c, "too many wrong passwords of clients without an address")
	}
	if err != nil {
		return err
	}
	return ErrInvalidCredentials
}

// verify counts the attempt and checks the password of u, which is the zero User for an unknown name. reauth is true
// for a user who is signed in.
func (s *Service) verify(ctx context.Context, c Client, u store.User, name, pass string, reauth bool) (Proof, error) {
	a, err := s.newAttempt(ctx, c, u, name, reauth)
	if err != nil {
		return Proof{}, err
	}
	if err := s.Throttle.checkWithoutAddress(c, a, s.Limits); err != nil {
		return Proof{}, err
	}
	hidden, err := s.Throttle.count(ctx, a, s.Limits)
	if err != nil {
		if errors.As(err, new(*ThrottledError)) {
			s.auditAttempt(ctx, c, u, reauth, store.Denied, "throttled")
		}
		return Proof{}, err
	}
	if hidden {
		err := s.Hasher.DummyVerify(ctx, password.Normalize(pass))
		if err != nil {
			s.forgive(ctx, a.visibleKey)
			return Proof{}, err
		}
		s.auditAttempt(ctx, c, u, reauth, store.Denied, "throttled")
		return Proof{}, s.wrong(ctx, c, a)
	}
	p := Proof{User: u, attempt: a}
	ok, outdated, err := s.comparePassword(ctx, u, pass)
	if err != nil {
		s.Forgive(ctx, p)
		return Proof{}, err
	}
	switch {
	case !ok:
		s.auditAttempt(ctx, c, u, reauth, store.Failure, "wrong password")
		return Proof{}, s.wrong(ctx, c, a)
	case !u.Active || u.Pending:
		s.Forgive(ctx, p) // the password was correct: this was no guess
		s.auditAttempt(ctx, c, u, reauth, store.Denied, "account is not active")
		return Proof{}, &InactiveError{Pending: u.Pending}
	}
	// A managed root is never rehashed: its stored hash is compared with the deployment's at every start.
	if outdated && !u.Managed {
		if p.rehash, err = s.Hasher.Hash(ctx, pass); err != nil {
			s.Log.Info("could not rehash an outdated password hash; will try at the next sign-in", zap.Error(err))
		}
	}
	return p, nil
}

// Forgive uncounts the attempt of a proof that could not be used: the password was correct.
func (s *Service) Forgive(ctx context.Context, p Proof) {
	if p.ofPassword() {
		s.forgive(ctx, p.attempt.keys()...)
	}
}

// forgive uncounts an attempt that was no wrong guess, also for a client that has disconnected meanwhile.
func (s *Service) forgive(ctx context.Context, keys ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgiveTimeout)
	defer cancel()
	for _, key := range keys {
		if err := s.Store.ForgiveAttempt(ctx, key, s.Clock()); err != nil {
			s.Log.Warn("could not uncount a sign-in attempt", zap.Error(err))
		}
	}
}

const forgiveTimeout = 2 * time.Second

// newAttempt chooses the keys to count an attempt under: those of strangers, those of a browser that is known for the
// account, or, for step-up, those of the session, so that guesses made elsewhere do not lock its user out.
func (s *Service) newAttempt(ctx context.Context, c Client, u store.User, name string, reauth bool) (attempt, error) {
	secret, err := s.Throttle.hashKey(ctx)
	if err != nil {
		return attempt{}, err
	}
	id := u.ID
	a := attempt{visibleKey: typedNameKey(secret, name), hiddenKey: AccountKey(id), showsWait: reauth}
	if id == "" {
		a.hiddenKey, id = nameKey(secret, unknownPrefix, store.FoldName(name)), "unknown"
	}
	// Queried for unknown names, too, so that the time does not tell whether a name exists (user enumeration).
	for _, token := range c.Devices {
		hash := store.HashToken(token)
		known, err := s.Store.KnownDevice(ctx, hash, id)
		if err != nil {
			return attempt{}, fmt.Errorf("looking up a browser: %w", err)
		}
		if known && u.ID != "" {
			return attempt{
				visibleKey: deviceKey(hash, id), hiddenKey: knownBrowsersKey(id), device: token, ownCount: true,
				showsWait: true,
			}, nil
		}
	}
	if reauth && store.ValidToken(c.Session) {
		return attempt{
			visibleKey: sessionKey(store.HashToken(c.Session), id), hiddenKey: sessionsKey(id), ownCount: true,
			showsWait: true,
		}, nil
	}
	return a, nil
}

// comparePassword compares the password, at the same cost whether or not there is one that is accepted (user
// enumeration).
func (s *Service) comparePassword(ctx context.Context, u store.User, pass string) (ok, outdated bool, err error) {
	if u.ID == "" || !s.Passwords.Has(u) {
		return false, false, s.Hasher.DummyVerify(ctx, password.Normalize(pass))
	}
	return s.Hasher.Verify(ctx, u.PasswordHash, password.Normalize(pass))
}

// auditAttempt audits a failed or denied sign-in or step-up.
func (s *Service) auditAttempt(ctx context.Context, c Client, u store.User, reauth bool, o store.Outcome,
	reason string,
) {
	e := store.Event{
		Actor: store.NameAnonymous, Action: "session.sign_in", Outcome: o,
		Details: map[string]string{"reason": reason},
	}
	if u.ID != "" {
		e.TargetID, e.Target = u.ID, u.Username
	} else {
		e.Target = "unknown user" // never the typed name: users type passwords there by mistake
	}
	if reauth {
		e.Action, e.ActorID, e.Actor = "session.confirm", u.ID, u.Username
	}
	s.audit(ctx, c, e)
}

// audit writes an event outside of a transaction. A failure is only logged: the request is denied anyway.
func (s *Service) audit(ctx context.Context, c Client, e store.Event) {
	e = c.stamp(e, s.Clock())
	if err := s.Store.AddEvents(ctx, e); err != nil {
		s.Log.Error("could not write the audit log", zap.String("action", e.Action), zap.Error(err))
	}
}
