package login

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

const sealTOTP = "totp"

// totpSecret is what is sealed of an authenticator app. HalfLogin, or Session, binds one that is not confirmed to where
// it was begun: whoever else knows the password, or has another session, must not see the secret that is about to
// count.
type totpSecret struct {
	Key       []byte `json:"key"`
	HalfLogin string `json:"half_login,omitempty"`
	Session   string `json:"session,omitempty"`
}

// NewTOTP returns an authenticator app for a user, not stored yet, and its secret, 20 bytes.
func (s *Service) NewTOTP(ctx context.Context, u store.User) (store.TOTP, []byte, error) {
	return s.newTOTP(ctx, u, totpSecret{})
}

// NewSetup is [Service.NewTOTP] for an app that only the session that begins it may see until it is confirmed.
func (s *Service) NewSetup(ctx context.Context, u store.User, sess *store.Session) (store.TOTP, []byte, error) {
	return s.newTOTP(ctx, u, totpSecret{Session: sessionName(sess)})
}

// OpenSetup returns the secret of an app that is not confirmed, for the session that has begun it. For others there is
// none: store.ErrNotFound.
func (s *Service) OpenSetup(ctx context.Context, t store.TOTP, sess *store.Session) ([]byte, error) {
	plain, err := s.openTOTP(ctx, t)
	if err == nil && (t.Confirmed() || plain.Session != sessionName(sess)) {
		return nil, store.ErrNotFound
	}
	return plain.Key, err
}

// newTOTP returns an app whose secret is to be sealed with where it was begun.
func (s *Service) newTOTP(ctx context.Context, u store.User, started totpSecret) (store.TOTP, []byte, error) {
	now := s.Clock().UTC()
	t := store.TOTP{ID: store.NewID(now), UserID: u.ID, CreatedAt: now}
	secret := totp.NewSecret()
	started.Key = secret
	plain, err := json.Marshal(started)
	if err == nil {
		t.Secret, err = s.Sealer.Seal(ctx, plain, sealTOTP, t.ID)
	}
	if err != nil {
		return store.TOTP{}, nil, fmt.Errorf("sealing the secret of an authenticator app: %w", err)
	}
	return t, secret, nil
}

// OpenTOTP returns the secret of an authenticator app that is confirmed. Of one that is not, only who has begun it gets
// it.
func (s *Service) OpenTOTP(ctx context.Context, t store.TOTP) ([]byte, error) {
	plain, err := s.openTOTP(ctx, t)
	if err == nil && !t.Confirmed() && (plain.HalfLogin != "" || plain.Session != "") {
		return nil, store.ErrNotFound
	}
	return plain.Key, err
}

func (s *Service) openTOTP(ctx context.Context, t store.TOTP) (totpSecret, error) {
	var out totpSecret
	plain, err := s.Sealer.Open(ctx, t.Secret, sealTOTP, t.ID)
	if err == nil {
		err = json.Unmarshal(plain, &out)
	}
	if err == nil && len(out.Key) < totp.SecretSize {
		err = fmt.Errorf("it has %d bytes", len(out.Key)) // a short one would be guessed
	}
	if err != nil {
		return totpSecret{}, fmt.Errorf("opening the secret of an authenticator app: %w", err)
	}
	return out, nil
}

// AddTOTP confirms an authenticator app of a user by the time step of a code. With the first one come recovery codes,
// which are returned; later ones leave those that there are. now is in UTC.
func AddTOTP(ctx context.Context, tx store.Tx, u store.User, t store.TOTP, name string, step int64,
	now time.Time,
) (codes []string, err error) {
	if err := tx.ConfirmTOTP(ctx, u.ID, t.ID, name, step, now); err != nil {
		return nil, err
	}
	f := u.Factors
	f.Ask, f.Failures = true, 0
	have, err := tx.RecoveryCodes(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	if have.Left == 0 {
		var hashes []store.TokenHash
		codes, hashes = recovery.New()
		if err := tx.ReplaceRecoveryCodes(ctx, u.ID, hashes, now); err != nil {
			return nil, err
		}
		f.CodesSaved = false
	}
	return codes, tx.SetFactors(ctx, u.ID, f)
}

// CheckTOTP returns the time step of a code that confirms an authenticator app. A wrong one is a *[WrongCodeError],
// which says how far the app's clock is off where that is the reason.
func (s *Service) CheckTOTP(secret []byte, code string) (step int64, err error) {
	code, ok := totp.Normalize(code)
	if !ok {
		return 0, &WrongCodeError{}
	}
	if step, ok = totp.Match(secret, code, s.Clock()); ok {
		return step, nil
	}
	off, _ := totp.ClockOffset(secret, code, s.Clock())
	return 0, &WrongCodeError{ClockOff: time.Duration(off) * totp.Period}
}

// Enrolled is a sign-in that ended with a new second factor, and the recovery codes that came with it.
type Enrolled struct {
	SignedIn
	Codes []string
}

// enrollment returns the half-login of a token whose person is to add a second factor.
func (s *Service) enrollment(ctx context.Context, token string) (HalfLoginState, error) {
	st, err := s.HalfLogin(ctx, token)
	switch {
	case err != nil:
		return st, err
	case st.Purpose != store.HalfLoginEnroll && st.Purpose != store.HalfLoginOffer:
		return st, &HalfLoginOverError{Username: st.User.Username, Return: st.Return}
	case s.Second.Has(st.User):
		return st, ErrFactorExists
	}
	return st, nil
}

// BeginEnrollment returns an authenticator app that waits to be confirmed in a sign-in, and its secret: the same one
// each time. Errors: [ErrNoHalfLogin], *[HalfLoginOverError], [ErrFactorExists]; any other is technical.
func (s *Service) BeginEnrollment(ctx context.Context, token string) (store.TOTP, []byte, error) {
	st, err := s.enrollment(ctx, token)
	if err != nil {
		return store.TOTP{}, nil, err
	}
	if s.Second.NoTOTP {
		return store.TOTP{}, nil, store.ErrNotFound
	}
	if t, secret, err := s.enrolling(ctx, st, ""); err != nil || t.ID != "" {
		return t, secret, err
	}
	t, secret, err := s.newTOTP(ctx, st.User, totpSecret{HalfLogin: st.ID})
	if err != nil {
		return store.TOTP{}, nil, err
	}
	err = s.Store.Change(ctx, func(tx store.Tx) error {
		if _, err := s.stillEnrolling(ctx, tx, st); err != nil {
			return err
		}
		return tx.PutTOTP(ctx, t)
	})
	if err != nil {
		return store.TOTP{}, nil, fmt.Errorf("setting an authenticator app up: %w", err)
	}
	return t, secret, nil
}

// enrolling returns the app that waits to be confirmed in a half-login, with that id unless it is "".
func (s *Service) enrolling(ctx context.Context, st HalfLoginState, id string) (store.TOTP, []byte, error) {
	apps, err := s.Store.TOTPs(ctx, st.UserID)
	if err != nil {
		return store.TOTP{}, nil, fmt.Errorf("reading authenticator apps: %w", err)
	}
	for _, t := range apps {
		if t.Confirmed() || id != "" && t.ID != id || s.Clock().Sub(t.CreatedAt) >= store.TOTPSetupTTL {
			continue
		}
		plain, err := s.openTOTP(ctx, t)
		if err != nil {
			return store.TOTP{}, nil, err
		}
		if plain.HalfLogin == st.ID {
			return t, plain.Key, nil
		}
	}
	return store.TOTP{}, nil, nil
}

// Enrollment returns the app that waits to be confirmed in a sign-in, and its secret, for the page that is loaded
// again. Errors are those of [Service.BeginEnrollment], and store.ErrNotFound.
func (s *Service) Enrollment(ctx context.Context, token, id string) (store.TOTP, []byte, error) {
	st, err := s.enrollment(ctx, token)
	if err != nil {
		return store.TOTP{}, nil, err
	}
	t, secret, err := s.enrolling(ctx, st, id)
	if err == nil && t.ID == "" {
		err = store.ErrNotFound
	}
	return t, secret, err
}

// ConfirmEnrollment ends a sign-in with the code of an authenticator app that its person has just set up. Errors are
// those of [Service.Enrollment], a *[WrongCodeError], and *[InactiveError].
func (s *Service) ConfirmEnrollment(ctx context.Context, c Client, token, id, code, name string) (Enrolled, error) {
	st, err := s.enrollment(ctx, token)
	if err != nil {
		return Enrolled{}, err
	}
	t, secret, err := s.Enrollment(ctx, token, id)
	if err != nil {
		return Enrolled{}, err
	}
	step, err := s.CheckTOTP(secret, code)
	if err != nil {
		return Enrolled{}, err
	}
	var out Enrolled
	err = s.Store.Change(ctx, func(tx store.Tx) error {
		out = Enrolled{}
		u, err := s.stillEnrolling(ctx, tx, st)
		if err != nil {
			return err
		}
		if out.Codes, err = AddTOTP(ctx, tx, u, t, name, step, s.Clock().UTC()); err != nil {
			return err
		}
		added := map[string]string{"method": stepTOTP, "name": name}
		if err := s.auditFactor(ctx, tx, c, u, "factor.add", added); err != nil {
			return err
		}
		return s.finishHalfLogin(ctx, tx, c, st, []string{assurance.TOTP}, &out.SignedIn)
	})
	if err != nil {
		return Enrolled{}, fmt.Errorf("adding an authenticator app: %w", err)
	}
	s.count(st.Method, outcomeOf(nil))
	s.logSignIn(c, out.SignedIn)
	return out, nil
}

// SkipEnrollment ends a sign-in without a second factor, which the person may still put off.
func (s *Service) SkipEnrollment(ctx context.Context, c Client, token string) (SignedIn, error) {
	st, err := s.enrollment(ctx, token)
	if err != nil {
		return SignedIn{}, err
	}
	if st.Purpose != store.HalfLoginOffer {
		return SignedIn{}, &HalfLoginOverError{Username: st.User.Username, Return: st.Return}
	}
	var out SignedIn
	err = s.Store.Change(ctx, func(tx store.Tx) error {
		if err := s.stillOffered(ctx, tx, st); err != nil {
			return err
		}
		return s.finishHalfLogin(ctx, tx, c, st, nil, &out)
	})
	if err != nil {
		return SignedIn{}, fmt.Errorf("signing in: %w", err)
	}
	s.count(st.Method, outcomeOf(nil))
	s.logSignIn(c, out)
	return out, nil
}

// stillOffered is stillEnrolling for an offer, which is over where the factor cannot be put off any more: the grace has
// ended, or the person has become somebody who has none.
func (s *Service) stillOffered(ctx context.Context, tx store.Tx, st HalfLoginState) error {
	u, err := s.stillEnrolling(ctx, tx, st)
	if err != nil {
		return err
	}
	via := st.data.Options
	if next, _ := s.Second.next(u, via.Methods, via, s.Clock().UTC()); next == store.HalfLoginEnroll {
		return &HalfLoginOverError{Username: u.Username, Return: st.Return}
	}
	return nil
}

// stillEnrolling returns the user of a half-login, and an error if it is over, or the person has a second factor
// meanwhile: somebody who only knows the password must not add one beside it.
func (s *Service) stillEnrolling(ctx context.Context, tx store.Tx, st HalfLoginState) (store.User, error) {
	h, u, err := tx.HalfLogin(ctx, st.Hash)
	switch {
	case ignoreNotFound(err) != nil:
		return store.User{}, err
	case err != nil || h.ID != st.ID || !s.canGoOn(h, u):
		return store.User{}, &HalfLoginOverError{Username: st.User.Username, Return: st.Return}
	case s.Second.Has(u):
		return store.User{}, ErrFactorExists
	}
	return u, nil
}
