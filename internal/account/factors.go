package account

import (
	"context"
	"errors"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/store"
)

// FactorActions keep second factors: one's own, and, for administrators and the command line, their removal. Nobody
// else adds one for a person, and no secret leaves it but that of an app which its person is setting up, and new
// recovery codes.
//
// Where second factors are off, nobody has any: store.ErrNotFound. Only administrators still remove them.
type FactorActions struct{ *core }

// MaxFactorName is the length of the name of an authenticator app or a passkey, in characters.
const MaxFactorName = 64

// Methods of second factors in the audit log.
const (
	factorTOTP     = "totp"
	factorPasskeys = "passkeys"
	factorCodes    = "codes"
	factorBrowsers = "browsers" // that are trusted
)

// on returns an error where nobody has second factors.
func (s FactorActions) on() error {
	switch {
	case s.Login == nil:
		return errNoService
	case s.second().Mode == login.MFAOff:
		return store.ErrNotFound
	}
	return nil
}

// notAudited is the action of a change that gives and takes nothing.
const notAudited = ""

// own is [core.change] for what people do with their own factors. fn gets the actor's session and account; with fresh
// they have to have proved lately who they are, with a second factor where there is one.
func (s FactorActions) own(ctx context.Context, a Actor, action string, fresh bool,
	fn func(tx store.Tx, e *store.Event, sess store.Session, u store.User) error,
) error {
	if err := s.on(); err != nil {
		return err
	}
	if err := s.limitWrite(a); err != nil {
		return err
	}
	e := store.Event{Action: action, TargetID: a.UserID, Target: a.Name}
	return s.change(ctx, a, e, func(tx store.Tx, e *store.Event) error {
		require := s.requireSession
		if fresh {
			require = s.requireFreshSession
		}
		sess, u, err := require(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		return fn(tx, e, sess, u)
	})
}

// BeginTOTP returns an authenticator app that waits to be confirmed, and its secret, 20 bytes: the one that the actor's
// session has begun already, or a new one, in place of that of another session. Errors: *[ForbiddenError]
// (reauth-required, mfa-required, factor-limit).
func (s FactorActions) BeginTOTP(ctx context.Context, a Actor) (store.TOTP, []byte, error) {
	if s.Login != nil && s.Login.Second.NoTOTP {
		return store.TOTP{}, nil, store.ErrNotFound
	}
	var app, fresh store.TOTP
	var secret, freshSecret []byte
	sess, u, err := s.requireSession(ctx, s.Store, a)
	if err == nil && s.on() == nil { // else it is refused below, and audited
		if app, secret, err = s.waiting(ctx, sess, ""); err != nil {
			return store.TOTP{}, nil, err
		}
		if fresh, freshSecret, err = s.Login.NewSetup(ctx, u, &sess); err != nil {
			return store.TOTP{}, nil, err
		}
	}
	err = s.own(ctx, a, "factor.add", true, func(tx store.Tx, e *store.Event, _ store.Session, u store.User) error {
		if u.Factors.TOTPs >= store.MaxTOTPs {
			return errFactorLimit()
		}
		e.Action = "" // audited when it is confirmed: nothing has changed before
		apps, err := tx.TOTPs(ctx, u.ID)
		if err != nil {
			return err
		}
		for _, t := range apps {
			if t.ID == app.ID && !t.Confirmed() {
				return nil
			}
		}
		app, secret = fresh, freshSecret
		return tx.PutTOTP(ctx, app)
	})
	if err != nil {
		return store.TOTP{}, nil, err
	}
	return app, secret, nil
}

// waiting returns the authenticator app that a session has begun to set up, with that id unless it is "", and its
// secret. The zero app means that there is none, or that it has waited for too long.
func (s FactorActions) waiting(ctx context.Context, sess store.Session, id string) (store.TOTP, []byte, error) {
	apps, err := s.Store.TOTPs(ctx, sess.UserID)
	if err != nil {
		return store.TOTP{}, nil, err
	}
	for _, t := range apps {
		if t.Confirmed() || id != "" && t.ID != id || s.now().Sub(t.CreatedAt) >= store.TOTPSetupTTL {
			continue
		}
		secret, err := s.Login.OpenSetup(ctx, t, &sess)
		if !errors.Is(err, store.ErrNotFound) {
			return t, secret, err
		}
	}
	return store.TOTP{}, nil, nil
}

// TOTPSetup returns an authenticator app that waits to be confirmed, and its secret, to the session that has begun it.
// Of others, and of confirmed ones, nobody gets the secret: store.ErrNotFound.
func (s FactorActions) TOTPSetup(ctx context.Context, a Actor, id string) (store.TOTP, []byte, error) {
	if err := s.on(); err != nil {
		return store.TOTP{}, nil, err
	}
	sess, _, err := s.requireFreshSession(ctx, s.Store, a)
	if err != nil {
		return store.TOTP{}, nil, err
	}
	t, secret, err := s.waiting(ctx, sess, id)
	if err == nil && t.ID == "" {
		err = store.ErrNotFound
	}
	return t, secret, err
}

// Confirmed is an authenticator app that counts from now on: the session, which has been renewed because a code was
// proof, and the recovery codes that came with a first factor.
type Confirmed struct {
	SignedIn login.SignedIn
	Codes    []string
}

// ConfirmTOTP confirms an authenticator app that the actor's session has begun by one of its codes, and names it. The
// session is rotated, with the level that the code is proof of; that of other sessions stays, and with endOthers they
// end. Errors: a *[login.WrongCodeError]; store.ErrNotFound for an app that is not there, was confirmed, or has waited
// for too long; *[InvalidError] (name); *[ForbiddenError] (reauth-required, mfa-required, factor-limit).
func (s FactorActions) ConfirmTOTP(ctx context.Context, a Actor, id, code, name string, endOthers bool,
) (Confirmed, error) {
	var f fields
	if name = f.factorName(name); f.err() != nil {
		return Confirmed{}, f.err()
	}
	step, wrong, err := s.checkSetup(ctx, a, id, code)
	if err != nil {
		return Confirmed{}, err
	}
	var out Confirmed
	err = s.own(ctx, a, "factor.add", true, func(tx store.Tx, e *store.Event, sess store.Session, u store.User) error {
		if wrong != nil {
			return wrong
		}
		e.Details["method"], e.Details["name"] = factorTOTP, name
		now := s.now()
		var err error
		if out.Codes, err = login.AddTOTP(ctx, tx, u, store.TOTP{ID: id, UserID: u.ID}, name, step, now); err != nil {
			return factorError(err)
		}
		if err := s.endOthers(ctx, tx, a, e, sess, endOthers); err != nil {
			return err
		}
		sess.Methods, sess.MFAAt = string(assurance.Methods(sess.Methods).With(assurance.TOTP)), now
		out.SignedIn, err = s.renewSession(ctx, tx, sess)
		return err
	})
	if err != nil {
		return Confirmed{}, err
	}
	return out, nil
}

// checkSetup returns the time step of the code for an app that the actor's session has begun, or what is wrong with it,
// which only counts if the actor may confirm it.
func (s FactorActions) checkSetup(ctx context.Context, a Actor, id, code string) (step int64, wrong, err error) {
	if err := s.on(); err != nil {
		return 0, nil, err
	}
	sess, _, err := s.requireSession(ctx, s.Store, a)
	if err != nil {
		return 0, err, nil
	}
	t, secret, err := s.waiting(ctx, sess, id)
	switch {
	case err != nil:
		return 0, nil, err
	case t.ID == "":
		return 0, store.ErrNotFound, nil
	}
	step, wrong = s.Login.CheckTOTP(secret, code)
	return step, wrong, nil
}

// RenameTOTP names a confirmed authenticator app of the actor. Errors: store.ErrNotFound, *[InvalidError] (name).
func (s FactorActions) RenameTOTP(ctx context.Context, a Actor, id, name string) error {
	return s.own(ctx, a, "factor.rename", false, func(tx store.Tx, e *store.Event, _ store.Session, u store.User) error {
		var f fields
		if name = f.factorName(name); f.err() != nil {
			return f.err()
		}
		t, err := confirmedTOTP(ctx, tx, u.ID, id)
		if err != nil {
			return err
		}
		if t.Name == name {
			e.Action = ""
			return nil
		}
		e.Details["method"], e.Details["before.name"], e.Details["after.name"] = factorTOTP, t.Name, name
		return tx.RenameTOTP(ctx, u.ID, id, name)
	})
}

// confirmedTOTP returns a confirmed authenticator app of a user, store.ErrNotFound if there is none.
func confirmedTOTP(ctx context.Context, r store.Reader, userID, id string) (store.TOTP, error) {
	apps, err := r.TOTPs(ctx, userID)
	if err != nil {
		return store.TOTP{}, err
	}
	for _, t := range apps {
		if t.ID == id && t.Confirmed() {
			return t, nil
		}
	}
	return store.TOTP{}, store.ErrNotFound
}

// RemoveTOTP removes an authenticator app of the actor, or gives up one that is being set up. Other sessions lose the
// level that codes gave them, and with the last app this one does; with the last second factor the recovery codes end.
// Whoever has to have a second factor keeps the last one: *[ForbiddenError] (last-factor). Others: reauth-required,
// mfa-required; store.ErrNotFound.
func (s FactorActions) RemoveTOTP(ctx context.Context, a Actor, id string) error {
	if id == "" {
		return store.ErrNotFound // the store takes it for all of them
	}
	return s.own(ctx, a, "factor.remove", true, func(tx store.Tx, e *store.Event, sess store.Session, u store.User) error {
		removed, err := tx.DeleteTOTPs(ctx, u.ID, id)
		switch {
		case err != nil:
			return err
		case len(removed) == 0:
			return store.ErrNotFound
		case !removed[0].Confirmed():
			e.Action = ""
			return nil
		}
		e.Details["method"], e.Details["name"] = factorTOTP, removed[0].Name
		err = login.RemoveMethodsElsewhere(ctx, tx, u.ID, sess.ID, assurance.TOTP)
		if err != nil {
			return err
		}
		after, err := s.settle(ctx, tx, e, u.ID)
		if second := s.second(); err == nil && !second.Has(after) && second.Demands(after) {
			return refuse(CodeLastFactor, "refused.last_factor")
		}
		return err
	})
}

// settle makes everything follow from the factors that a user has left, after one was removed, and returns the user:
// levels of sessions, and, without a factor, the switch and the recovery codes.
func (s FactorActions) settle(ctx context.Context, tx store.Tx, e *store.Event, userID string) (store.User, error) {
	u, err := tx.User(ctx, userID)
	if err != nil {
		return u, err
	}
	var gone []string
	if u.Factors.TOTPs == 0 {
		gone = append(gone, assurance.TOTP)
	}
	if u.Factors.Passkeys == 0 {
		gone = append(gone, assurance.Passkey)
	}
	if !u.Factors.Any() {
		gone = append(gone, assurance.RecoveryCode)
		n, err := dropCodes(ctx, tx, u.ID)
		if err != nil {
			return u, err
		}
		describeCount(e, "recovery_codes_removed", n)
		u.Factors.Ask, u.Factors.CodesSaved = false, false
		if err := tx.SetFactors(ctx, u.ID, u.Factors); err != nil {
			return u, err
		}
	}
	if len(gone) > 0 {
		err = login.RemoveMethods(ctx, tx, u.ID, gone...)
	}
	return u, err
}

// dropCodes deletes the recovery codes of a user, and returns how many were left.
func dropCodes(ctx context.Context, tx store.Tx, userID string) (int, error) {
	have, err := tx.RecoveryCodes(ctx, userID)
	if err != nil || have.MadeAt.IsZero() {
		return 0, err
	}
	return have.Left, tx.ReplaceRecoveryCodes(ctx, userID, nil, have.MadeAt)
}

// describeCount adds a number to an event, unless it is 0.
func describeCount(e *store.Event, name string, n int) {
	if n > 0 {
		e.Details[name] = strconv.Itoa(n)
	}
}

// makeCodes replaces the recovery codes of a user, whose factors are f, and audits it.
func (s *core) makeCodes(ctx context.Context, tx store.Tx, userID string, f store.Factors) ([]string, error) {
	codes, hashes := recovery.New()
	if err := tx.ReplaceRecoveryCodes(ctx, userID, hashes, s.now()); err != nil {
		return nil, err
	}
	f.CodesSaved = false
	return codes, tx.SetFactors(ctx, userID, f)
}

// factorError turns the store's error about a limit into a refusal.
func factorError(err error) error {
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		return errFactorLimit()
	}
	return err
}

func errFactorLimit() *ForbiddenError {
	return refuse(CodeFactorLimit, "refused.factor_limit", "most", store.MaxTOTPs)
}
