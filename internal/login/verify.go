package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

// stepProof is an attempt to prove a second factor.
type stepProof struct {
	method string // for metrics and the audit log
	// guessable means that the account counts attempts: a code of six digits can be guessed. Recovery codes cannot, and
	// whoever knows the password must not be able to keep the owner from using them.
	guessable bool
	// prove returns the methods that were proved, in the transaction that uses them. [ErrWrongCode] is committed as a
	// failure, so it has to come before any write.
	prove func(ctx context.Context, tx store.Tx, u store.User) (methods []string, err error)
}

// VerifyCode ends the second step of a sign-in with a code of an authenticator app. Errors: [ErrNoHalfLogin],
// *[HalfLoginOverError], [ErrWrongCode], [ErrCodesLocked], *[ThrottledError], *[InactiveError]; any other is technical.
func (s *Service) VerifyCode(ctx context.Context, c Client, token, code string) (SignedIn, error) {
	return s.verifyStep(ctx, c, token, func(ctx context.Context, st HalfLoginState) (stepProof, error) {
		return s.proveCode(ctx, st.User, code)
	})
}

// VerifyRecoveryCode ends the second step of a sign-in with a recovery code. Errors are those of [Service.VerifyCode].
func (s *Service) VerifyRecoveryCode(ctx context.Context, c Client, token, code string) (SignedIn, error) {
	return s.verifyStep(ctx, c, token, func(context.Context, HalfLoginState) (stepProof, error) {
		hash, ok := recovery.Parse(code)
		if !ok {
			return stepProof{}, ErrWrongCode
		}
		return stepProof{
			method: stepRecovery,
			prove: func(ctx context.Context, tx store.Tx, u store.User) ([]string, error) {
				err := tx.UseRecoveryCode(ctx, u.ID, hash, s.Clock().UTC())
				if errors.Is(err, store.ErrNotFound) {
					return nil, ErrWrongCode
				}
				if err != nil {
					return nil, err
				}
				return []string{assurance.RecoveryCode}, s.auditFactor(ctx, tx, c, u, "recovery.use", nil)
			},
		}, nil
	})
}

// proveCode looks up which code of which app it is. That it is used once only, the transaction decides.
func (s *Service) proveCode(ctx context.Context, u store.User, code string) (stepProof, error) {
	code, ok := totp.Normalize(code)
	if !ok {
		return stepProof{}, ErrWrongCode // no guess: nobody has such a code
	}
	apps, err := s.Store.TOTPs(ctx, u.ID)
	if err != nil {
		return stepProof{}, fmt.Errorf("reading authenticator apps: %w", err)
	}
	type match struct {
		id   string
		step int64
	}
	var found []match
	for _, app := range apps {
		if !app.Confirmed() {
			continue
		}
		secret, err := s.OpenTOTP(ctx, app)
		if err != nil {
			return stepProof{}, err
		}
		if step, ok := totp.Match(secret, code, s.Clock()); ok {
			found = append(found, match{app.ID, step})
		}
	}
	return stepProof{
		method: stepTOTP, guessable: true,
		prove: func(ctx context.Context, tx store.Tx, u store.User) ([]string, error) {
			if u.Factors.Locked() {
				return nil, ErrCodesLocked
			}
			for _, m := range found {
				err := tx.UseTOTP(ctx, u.ID, m.id, m.step, s.Clock().UTC())
				switch {
				case err == nil:
					return []string{assurance.TOTP}, nil
				case !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrNotFound):
					return nil, err
				}
			}
			return nil, ErrWrongCode
		},
	}, nil
}

// verifyStep ends the second step of a sign-in.
func (s *Service) verifyStep(ctx context.Context, c Client, token string,
	prepare func(context.Context, HalfLoginState) (stepProof, error),
) (SignedIn, error) {
	st, err := s.HalfLogin(ctx, token)
	if err != nil {
		return SignedIn{}, err
	}
	if st.Purpose != store.HalfLoginVerify {
		return SignedIn{}, &HalfLoginOverError{Username: st.User.Username, Return: st.Return}
	}
	p, err := prepare(ctx, st)
	if err != nil {
		return SignedIn{}, err
	}
	if err := s.countTry(ctx, st); err != nil {
		return SignedIn{}, err
	}
	var out SignedIn
	err = s.tryStep(ctx, c, st.User, p, s.stepKey(st), func(tx store.Tx, methods []string) error {
		return s.finishHalfLogin(ctx, tx, c, st, methods, &out)
	})
	if err != nil {
		return SignedIn{}, err
	}
	s.count(st.Method, outcomeOf(nil))
	s.logSignIn(c, out)
	return out, nil
}

// StepUpCode is [Service.StepUp] with a code of an authenticator app. Errors: [ErrWrongCode], [ErrCodesLocked],
// *[ThrottledError], [ErrInvalidCredentials] and store.ErrNotFound for a session that has ended meanwhile; any other is
// technical.
func (s *Service) StepUpCode(ctx context.Context, c Client, l *session.Live, code string) (SignedIn, error) {
	p, err := s.proveCode(ctx, l.User, code)
	if err != nil {
		return SignedIn{}, err
	}
	return s.stepUpWith(ctx, c, l, p)
}

// stepUpWith rotates a session whose person has just proved a second factor.
func (s *Service) stepUpWith(ctx context.Context, c Client, l *session.Live, p stepProof) (SignedIn, error) {
	var out SignedIn
	key := stepKeyPrefix + sessionName(&l.Session)
	err := s.tryStep(ctx, c, l.User, p, key, func(tx store.Tx, methods []string) (err error) {
		now := s.Clock().UTC()
		proof := Proof{User: l.User}
		out, err = s.rotateIn(ctx, tx, c, proof, l, now, func(_ context.Context, _ store.Tx, old *store.Session) error {
			old.Methods = string(assurance.Methods(old.Methods).With(methods...))
			if assurance.Of(methods...).ProvesFactor() {
				old.MFAAt = now
			}
			return nil
		})
		return err
	})
	if err != nil {
		return SignedIn{}, err
	}
	return out, nil
}

// Attempts at second steps are counted apart from those of passwords: a right password clears nothing here.
const (
	stepKeyPrefix = "m:"
	halfKeyPrefix = "h:"
	maxTries      = 10 // of one half-login
)

// stepKey returns the key under which the guesses of a half-login are counted: those of a browser that is known for the
// account apart, so that strangers who know the password do not make its owner wait.
func (s *Service) stepKey(st HalfLoginState) string {
	if st.Browser != "" {
		return stepKeyPrefix + "d:" + st.Browser[:min(len(st.Browser), 22)] + ":" + st.UserID
	}
	return stepKeyPrefix + st.UserID
}

// sessionName names a session for as long as it lives, whatever token and id it has: both change whenever its person
// authenticates again, which must neither bring new guesses nor end what was begun. It is as exact as the store.
func sessionName(sess *store.Session) string {
	return fmt.Sprintf("s:%d:%s", sess.CreatedAt.UnixMilli(), sess.UserID)
}

// countTry counts a try of a half-login, which ends with the last one.
func (s *Service) countTry(ctx context.Context, st HalfLoginState) error {
	wait, err := s.Store.CountInWindow(ctx, halfKeyPrefix+st.ID, maxTries, enrollTTL, s.Clock())
	if err != nil {
		return fmt.Errorf("counting attempts: %w", err)
	}
	if wait <= 0 {
		return nil
	}
	if err := s.endHalfLogin(ctx, st.Hash); err != nil {
		return err
	}
	return &HalfLoginOverError{Username: st.User.Username, Return: st.Return}
}

// tryStep counts an attempt, judges it, and calls use with what it has proved, in one transaction. The attempt is
// counted before it is judged, so that parallel guesses cannot get around the limit; a right one clears the count.
func (s *Service) tryStep(ctx context.Context, c Client, u store.User, p stepProof, key string,
	use func(tx store.Tx, methods []string) error,
) error {
	err := s.countStepAttempt(ctx, c, u, p, key)
	if err == nil {
		err = s.judgeStep(ctx, c, u, p, key, use)
	}
	s.countStep(p.method, err)
	if err != nil && ctx.Err() == nil {
		s.logRefused(c, "second_step", u.Username, err)
	}
	if err != nil {
		return fmt.Errorf("the second step: %w", err)
	}
	return nil
}

// judgeStep judges an attempt that was counted. A wrong one is recorded in the same transaction.
func (s *Service) judgeStep(ctx context.Context, c Client, u store.User, p stepProof, key string,
	use func(tx store.Tx, methods []string) error,
) error {
	var wrong error
	err := s.Store.Change(ctx, func(tx store.Tx) error {
		wrong = nil
		u, err := tx.User(ctx, u.ID)
		if err != nil {
			return err
		}
		methods, err := p.prove(ctx, tx, u)
		if errors.Is(err, ErrWrongCode) {
			wrong = err
			return s.noteWrongStep(ctx, tx, c, u, p)
		}
		if err != nil {
			return err
		}
		if err := clearSteps(ctx, tx, u, p, key); err != nil {
			return err
		}
		return use(tx, methods)
	})
	if err != nil {
		return err
	}
	return wrong
}

// countStepAttempt counts an attempt for the client's address and, if it may be a guess, for the account.
func (s *Service) countStepAttempt(ctx context.Context, c Client, u store.User, p stepProof, key string) error {
	if err := s.Throttle.checkBlocked(ctx, c, s.Limits); err != nil {
		return err
	}
	first, err := s.Throttle.countClient(ctx, c.IP, s.Limits)
	if first {
		s.auditThrottle(ctx, c, "too many attempts from this address")
	}
	if err != nil || !p.guessable {
		return err
	}
	wait, err := s.Store.BeginAttempt(ctx, key, s.Limits.FreeAttempts, s.Limits.MaxWait, s.Clock())
	if err != nil {
		return fmt.Errorf("counting attempts: %w", err)
	}
	if wait <= 0 {
		return nil
	}
	s.audit(ctx, c, store.Event{
		ActorID: u.ID, Actor: u.Username, Action: "mfa.fail", TargetID: u.ID, Target: u.Username, Outcome: store.Denied,
		Details: map[string]string{"method": p.method, "reason": "throttled"},
	})
	return &ThrottledError{Wait: wait}
}

// noteWrongStep records a wrong code. Guesses in a row add up, whatever is proved in between with a password.
func (s *Service) noteWrongStep(ctx context.Context, tx store.Tx, c Client, u store.User, p stepProof) error {
	if p.guessable {
		u.Factors.Failures++
		if err := tx.SetFactors(ctx, u.ID, u.Factors); err != nil {
			return err
		}
		if u.Factors.Failures == store.MaxMFAFailures {
			if err := s.auditFactor(ctx, tx, c, u, "mfa.locked", nil); err != nil {
				return err
			}
		}
	}
	return tx.AddEvent(ctx, c.stamp(store.Event{
		ActorID: u.ID, Actor: u.Username, Action: "mfa.fail", TargetID: u.ID, Target: u.Username, Outcome: store.Failure,
		Details: map[string]string{"method": p.method},
	}, s.Clock()))
}

// clearSteps clears what wrong codes have added up to: a factor was proved.
func clearSteps(ctx context.Context, tx store.Tx, u store.User, p stepProof, key string) error {
	if u.Factors.Failures > 0 {
		u.Factors.Failures = 0
		if err := tx.SetFactors(ctx, u.ID, u.Factors); err != nil {
			return err
		}
	}
	if !p.guessable {
		return nil
	}
	return tx.ClearAttempts(ctx, key)
}

// auditFactor audits what somebody does with the own second factors.
func (s *Service) auditFactor(ctx context.Context, tx store.Tx, c Client, u store.User, action string,
	details map[string]string,
) error {
	return tx.AddEvent(ctx, c.stamp(store.Event{
		ActorID: u.ID, Actor: u.Username, Action: action, TargetID: u.ID, Target: u.Username, Outcome: store.Success,
		Details: details,
	}, s.Clock()))
}

// RemoveMethods takes methods out of what every session of a user has proved: they were removed, or reset.
func RemoveMethods(ctx context.Context, tx store.Tx, userID string, methods ...string) error {
	return RemoveMethodsElsewhere(ctx, tx, userID, "", methods...)
}

// RemoveMethodsElsewhere is [RemoveMethods] for all sessions but one, that of a person who removes one of several
// factors of a kind. A session does not know which of them it was proved by: it may have been the one that is lost.
func RemoveMethodsElsewhere(ctx context.Context, tx store.Tx, userID, except string, methods ...string) error {
	return tx.SetSessionLevels(ctx, userID, func(old store.Session) store.SessionLevel {
		if old.ID == except {
			return store.SessionLevel{Methods: old.Methods, MFAAt: old.MFAAt}
		}
		left, mfaAt := assurance.Methods(old.Methods).Lose(old.MFAAt, methods...)
		return store.SessionLevel{Methods: string(left), MFAAt: mfaAt}
	})
}
