package account

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// UpdateProfile changes the display name of the actor's own account. Only an administrator can change username and
// e-mail.
func (s *Service) UpdateProfile(ctx context.Context, a Actor, userID, name string) (store.User, error) {
	if err := s.limitWrite(a); err != nil {
		return store.User{}, err
	}
	var out store.User
	err := s.change(ctx, a, store.Event{Action: "profile.update", TargetID: userID},
		func(tx store.Tx, e *store.Event) error {
			_, before, err := s.requireSession(ctx, tx, a)
			if err != nil {
				return err
			}
			if before.ID != userID {
				return errRole()
			}
			setTarget(e, before)
			p := Patch{Name: &name}
			if err := p.validate(before, nil); err != nil {
				return err
			}
			after := before
			p.apply(&after)
			if !describeChanges(e, before, after) {
				e.Action, out = "", before
				return nil
			}
			after.UpdatedAt = s.now()
			out, err = tx.UpdateUser(ctx, after)
			return err
		})
	if err != nil {
		return store.User{}, err
	}
	return out, nil
}

// errNoService means that a method that needs sessions was called on the command line's service.
var errNoService = errors.New("changing one's own password needs the server's sessions")

// ChangeOwnPassword changes the password of the user of live, after checking the current one under the sign-in's
// throttle. The browser's session is rotated. With endOthers the session epoch is incremented and every other session
// ends; without it they continue.
//
// Errors: login.ErrInvalidCredentials for the current password, *login.ThrottledError, password.ErrBusy,
// *[InvalidError] for "new_password", *[ForbiddenError] (managed, no-password, signed-out, mfa-required),
// store.ErrStale when the password was changed by someone else at the same time.
func (s *Service) ChangeOwnPassword(ctx context.Context, a Actor, live *session.Live,
	currentPassword, newPassword string, endOthers bool,
) (login.SignedIn, error) {
	if s.Login == nil || s.Sessions == nil {
		return login.SignedIn{}, errNoService
	}
	proof, err := s.prepareChange(ctx, a, live, currentPassword, newPassword)
	if err != nil {
		return login.SignedIn{}, err
	}
	out, err := s.savePassword(ctx, a, proof, newPassword, endOthers)
	if err != nil {
		s.Login.Forgive(ctx, proof)
		return login.SignedIn{}, err
	}
	return out, nil
}

// savePassword changes the password of a user whose current one was verified.
func (s *Service) savePassword(ctx context.Context, a Actor, proof login.Proof, newPassword string,
	endOthers bool,
) (login.SignedIn, error) {
	hash, err := s.hash(ctx, newPassword)
	if err != nil {
		return login.SignedIn{}, err
	}
	var out login.SignedIn
	event := store.Event{Action: "password.change", TargetID: a.UserID, Target: a.auditName()}
	err = s.change(ctx, a, event, func(tx store.Tx, e *store.Event) error {
		sess, u, err := s.requireSession(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := s.checkChangeable(sess, u); err != nil {
			return err
		}
		if u.PasswordHash != proof.User.PasswordHash {
			return store.ErrStale // the password was changed since the proof
		}
		setTarget(e, u)
		if err := s.storePassword(ctx, tx, u, store.PasswordChange{Hash: hash, At: s.now(), KeepTokens: true}); err != nil {
			return err
		}
		if err := proof.ClearAttempts(ctx, tx); err != nil {
			return err
		}
		if err := s.endOthers(ctx, tx, a, e, sess, endOthers); err != nil {
			return err
		}
		out, err = s.renewSession(ctx, tx, sess)
		return err
	})
	if err != nil {
		return login.SignedIn{}, err
	}
	return out, nil
}

// endOthers ends the other sessions if requested, and increments the epoch so that none of them can be revived. Other
// browsers are forgotten. Identities stay: the user, who has just authenticated, linked them.
func (s *core) endOthers(ctx context.Context, tx store.Tx, a Actor, e *store.Event, keep store.Session,
	end bool,
) error {
	e.Details["end_others"] = strconv.FormatBool(end)
	if !end {
		return nil
	}
	_, err := s.recoverAccount(ctx, tx, a, e, store.User{ID: keep.UserID},
		login.Recovery{KeepSession: keep.ID, KeepDevices: a.Client.Devices, KeepTokens: true})
	return err
}

// prepareChange checks the new password against the policy and verifies the current one, outside of any transaction.
func (s *Service) prepareChange(ctx context.Context, a Actor, live *session.Live,
	currentPassword, newPassword string,
) (login.Proof, error) {
	if live == nil || live.User.ID != a.UserID || live.Session.ID != a.SessionID {
		return login.Proof{}, errSignedOut()
	}
	sess, u, err := s.requireSession(ctx, s.Store, a)
	if err != nil {
		return login.Proof{}, err
	}
	if err := s.checkChangeable(sess, u); err != nil {
		var refused *ForbiddenError
		if errors.As(err, &refused) {
			e := store.Event{Action: "password.change", ActorID: u.ID, Actor: u.Username, TargetID: u.ID, Target: u.Username}
			err = s.auditRefusal(ctx, a, e, refused, err)
		}
		return login.Proof{}, err
	}
	var f fields
	if err := f.password(s, "new_password", newPassword, u); err != nil {
		return login.Proof{}, err
	}
	if password.Normalize(currentPassword) == password.Normalize(newPassword) && len(f.list) == 0 {
		f.add("new_password", "fault.password_same")
	}
	if err := f.err(); err != nil {
		return login.Proof{}, err
	}
	proof, err := s.Login.Reverify(ctx, a.Client, u, currentPassword)
	if err != nil {
		return login.Proof{}, fmt.Errorf("checking the current password: %w", err)
	}
	return proof, nil
}

// checkChangeable refuses accounts whose password cannot be changed by their user, and sessions that lack the second
// factor of their user. How fresh they are does not matter: the current password comes along.
func (s *Service) checkChangeable(sess store.Session, u store.User) error {
	switch {
	case u.Managed:
		return s.errManaged("password")
	case !s.Passwords.Of(u):
		return errPasswordsOff()
	case u.PasswordHash == "":
		return refuse(CodeNoPassword, "refused.no_password")
	case s.second().Asks(u) && !s.levelOf(&sess, u).Satisfies(assurance.Two):
		return errMFA()
	}
	return nil
}
