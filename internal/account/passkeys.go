package account

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/store"
)

// PasskeyActions are what people do with their own passkeys. A program cannot, nor can somebody who has found an open
// browser: all of it needs a session that meets what the other changes of ways in need.
type PasskeyActions struct{ *core }

// passkeyUser returns the actor with the session, if it may change passkeys.
func (s PasskeyActions) passkeyUser(ctx context.Context, r store.Reader, a Actor) (store.Session, store.User, error) {
	if s.Login == nil || !s.Login.PasskeysOn() {
		return store.Session{}, store.User{}, store.ErrNotFound
	}
	sess, u, err := s.requireFreshSession(ctx, r, a)
	if err == nil {
		err = RequirePerson(u)
	}
	return sess, u, err
}

// Begin returns what a browser makes a passkey of the actor with. Errors: *[ForbiddenError] (reauth-required and others
// of an actor), *[InvalidError] (attestation) if there are as many as there may be, store.ErrNotFound if passkeys are
// off.
func (s PasskeyActions) Begin(ctx context.Context, a Actor, at login.PasskeyAt) (passkey.Options, error) {
	_, u, err := s.passkeyUser(ctx, s.Store, a)
	if err != nil {
		return passkey.Options{}, err
	}
	if u.Factors.Passkeys >= store.MaxPasskeys {
		return passkey.Options{}, tooManyPasskeys()
	}
	if err := s.limitWrite(a); err != nil {
		return passkey.Options{}, err
	}
	return s.Login.BeginPasskey(ctx, u, passkey.Register, at)
}

func tooManyPasskeys() *InvalidError {
	return &InvalidError{Fields: []FieldError{
		newFieldError("attestation", "fault.passkey_limit", "most", store.MaxPasskeys),
	}}
}

// AddedPasskey is a new passkey, and the session, which has been renewed because making it was proof.
type AddedPasskey struct {
	store.Passkey
	SignedIn login.SignedIn
}

// Add stores the passkey that a browser of the actor has made, under a name, or under the one that otherwise gives. The
// session is rotated, as it has proved it from now on: whoever else has its cookie has not. No other session of the
// actor has either. Errors are those of Begin, and *[InvalidError] (attestation, name).
func (s PasskeyActions) Add(ctx context.Context, a Actor, r login.PasskeyResponse, name string,
	otherwise func(store.Passkey) string,
) (AddedPasskey, error) {
	_, u, err := s.passkeyUser(ctx, s.Store, a)
	if err != nil {
		return AddedPasskey{}, err
	}
	if name, err = FactorName(name); err != nil {
		return AddedPasskey{}, err
	}
	made, err := s.Login.ReadPasskey(ctx, u, passkey.Register, r)
	if err != nil {
		return AddedPasskey{}, passkeyFault(err)
	}
	if name == "" {
		name = otherwise(made.Passkey)
	}
	var out AddedPasskey
	err = s.change(ctx, a, store.Event{Action: "passkey.add"}, func(tx store.Tx, e *store.Event) error {
		sess, u, err := s.passkeyUser(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		now := s.now()
		if out.Passkey, err = made.Add(ctx, tx, name, now); err != nil {
			return passkeyFault(err)
		}
		describePasskey(e, out.Passkey)
		sess.Methods, sess.MFAAt = string(assurance.Methods(sess.Methods).With(made.Methods()...)), now
		out.SignedIn, err = s.renewSession(ctx, tx, sess)
		return err
	})
	if err != nil {
		return AddedPasskey{}, err
	}
	return out, nil
}

func describePasskey(e *store.Event, k store.Passkey) {
	e.Details["passkey"], e.Details["name"], e.Details["rp_id"] = k.ID, k.Name, k.RPID
}

// Enroll ends a sign-in with a passkey that its person has just made. Errors are those of
// [login.Service.EnrollPasskey], and *[InvalidError] (attestation, name).
func (s PasskeyActions) Enroll(ctx context.Context, c login.Client, token string, r login.PasskeyResponse, name string,
	otherwise func(store.Passkey) string,
) (login.Enrolled, error) {
	name, err := FactorName(name)
	if err != nil {
		return login.Enrolled{}, err
	}
	in, err := s.Login.EnrollPasskey(ctx, c, token, r, func(k store.Passkey) string {
		if name == "" {
			return otherwise(k)
		}
		return name
	})
	return in, passkeyFault(err)
}

// passkeyFault turns what is wrong with a new passkey into an error of its field.
func passkeyFault(err error) error {
	var taken *store.ConflictError
	switch {
	case errors.Is(err, login.ErrWrongPasskey):
		return invalid("attestation", "fault.passkey_refused")
	case errors.As(err, &taken) && taken.Field == "credential":
		return invalid("attestation", "fault.passkey_taken")
	case errors.As(err, &taken):
		return tooManyPasskeys()
	}
	return err
}

// Find returns a passkey of the actor. Somebody else's is not found.
func (s PasskeyActions) Find(ctx context.Context, r store.Reader, userID, id string) (store.Passkey, error) {
	list, err := r.Passkeys(ctx, userID)
	if err != nil {
		return store.Passkey{}, err
	}
	for i := range list {
		if list[i].ID == id {
			return list[i], nil
		}
	}
	return store.Passkey{}, store.ErrNotFound
}

// Rename names a passkey of the actor. Errors: *[InvalidError] (name), *[ForbiddenError], store.ErrNotFound.
func (s PasskeyActions) Rename(ctx context.Context, a Actor, id, name string) (store.Passkey, error) {
	name, err := FactorName(name)
	if err == nil && name == "" {
		err = invalid("name", "fault.passkey_name")
	}
	if err != nil {
		return store.Passkey{}, err
	}
	var out store.Passkey
	err = s.change(ctx, a, store.Event{Action: "passkey.rename"}, func(tx store.Tx, e *store.Event) error {
		_, u, err := s.passkeyUser(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		if out, err = s.Find(ctx, tx, u.ID, id); err != nil {
			return err
		}
		e.Details["before"] = out.Name
		if out.Name == name {
			e.Action = ""
			return nil
		}
		out.Name = name
		describePasskey(e, out)
		return tx.RenamePasskey(ctx, u.ID, id, name)
	})
	return out, err
}

// Remove deletes a passkey of the actor, and returns it: a browser may tell the password manager that exactly this one
// is gone. Other sessions lose the level that passkeys gave them, and with the last one this one does. Errors:
// *[ForbiddenError] (last-factor where policy demands one, last-way-in without any other way to sign in, and those of
// an actor), store.ErrNotFound.
func (s PasskeyActions) Remove(ctx context.Context, a Actor, id string) (store.Passkey, error) {
	var out store.Passkey
	err := s.change(ctx, a, store.Event{Action: "passkey.remove"}, func(tx store.Tx, e *store.Event) error {
		sess, u, err := s.passkeyUser(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		if out, err = s.Find(ctx, tx, u.ID, id); err != nil {
			return err
		}
		describePasskey(e, out)
		if err := s.checkRemovable(ctx, tx, u); err != nil {
			return err
		}
		if _, err := tx.DeletePasskeys(ctx, u.ID, id); err != nil {
			return err
		}
		if err := login.RemoveMethodsElsewhere(ctx, tx, u.ID, sess.ID, assurance.Passkey); err != nil {
			return err
		}
		_, err = FactorActions(s).settle(ctx, tx, e, u.ID)
		return err
	})
	return out, err
}

// checkRemovable refuses to remove the last second factor of somebody who has to have one, and the last way in.
func (s PasskeyActions) checkRemovable(ctx context.Context, tx store.Tx, u store.User) error {
	if u.Factors.Passkeys > 1 {
		return nil
	}
	if u.Factors.TOTPs == 0 && s.Login.Second.Demands(u) {
		return refuse(CodeLastFactor, "refused.last_factor")
	}
	if s.Passwords.Has(u) {
		return nil
	}
	ids, err := tx.Identities(ctx, u.ID)
	if err == nil && len(ids) == 0 {
		err = refuse(CodeLastWayIn, "refused.last_way_in")
	}
	return err
}
