package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/store"
)

// NewPasskey is a passkey that a browser has made, and that is not stored yet.
type NewPasskey struct {
	store.Passkey
	once passkey.Once
}

// BeginPasskey returns what a browser makes a passkey of a user with. store.ErrNotFound: passkeys are off.
func (s *Service) BeginPasskey(ctx context.Context, u store.User, kind passkey.Kind, at PasskeyAt) (
	passkey.Options, error,
) {
	if !s.PasskeysOn() {
		return passkey.Options{}, store.ErrNotFound
	}
	list, handle, err := s.passkeyHandle(ctx, u)
	if err != nil {
		return passkey.Options{}, err
	}
	return s.Ceremonies().BeginRegistration(ctx, at.ceremony(kind, u.ID), u, handle, list)
}

// passkeyHandle returns the passkeys and the handle of a user, who gets one with the first passkey.
func (s *Service) passkeyHandle(ctx context.Context, u store.User) (list []store.Passkey, handle string, err error) {
	if list, err = s.Store.Passkeys(ctx, u.ID); err != nil {
		return nil, "", fmt.Errorf("reading passkeys: %w", err)
	}
	if len(list) > 0 {
		return list, list[0].Handle, nil
	}
	err = s.Store.Change(ctx, func(tx store.Tx) error {
		handle, err = tx.SetPasskeyHandleOnce(ctx, u.ID, passkey.NewHandle())
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("making a handle for passkeys: %w", err)
	}
	return nil, handle, nil
}

// ReadPasskey returns the passkey that a browser has made. [ErrWrongPasskey]: the response is none of this ceremony.
func (s *Service) ReadPasskey(ctx context.Context, u store.User, kind passkey.Kind, r PasskeyResponse) (
	NewPasskey, error,
) {
	if !s.PasskeysOn() {
		return NewPasskey{}, ErrWrongPasskey
	}
	_, handle, err := s.passkeyHandle(ctx, u)
	if err != nil {
		return NewPasskey{}, err
	}
	k, once, err := s.Ceremonies().FinishRegistration(ctx, r.ceremony(kind, u.ID), r.State, r.Response, u, handle)
	if err != nil {
		return NewPasskey{}, passkeyError(err)
	}
	return NewPasskey{k, once}, nil
}

// Add stores the passkey, spends its ceremony, and returns it as it is stored. now is in UTC. Errors are
// [ErrWrongPasskey], and those of [store.Tx.CreatePasskey].
func (n NewPasskey) Add(ctx context.Context, tx store.Tx, name string, now time.Time) (store.Passkey, error) {
	if err := n.once.Use(ctx, tx, now); err != nil {
		return store.Passkey{}, passkeyError(err)
	}
	k := n.Passkey
	k.ID, k.Name, k.CreatedAt = store.NewID(now), name, now
	return k, tx.CreatePasskey(ctx, k)
}

// Methods returns what making it has proved.
func (n NewPasskey) Methods() []string {
	if n.UserVerified {
		return []string{assurance.Passkey, assurance.UserVerified}
	}
	return []string{assurance.Passkey}
}

// BeginEnrollPasskey returns what a browser makes a passkey with in a sign-in. Errors are those of
// [Service.BeginEnrollment] and [Service.BeginPasskey].
func (s *Service) BeginEnrollPasskey(ctx context.Context, token string, at PasskeyAt) (passkey.Options, error) {
	st, err := s.enrollment(ctx, token)
	if err != nil {
		return passkey.Options{}, err
	}
	return s.BeginPasskey(ctx, st.User, passkey.Enroll, at)
}

// EnrollPasskey ends a sign-in with a passkey that its person has just made. name gives it one. With it come recovery
// codes, for the day on which the passkey is lost. Errors are those of [Service.BeginEnrollment], [ErrWrongPasskey],
// *store.ConflictError ("credential") and *[InactiveError].
func (s *Service) EnrollPasskey(ctx context.Context, c Client, token string, r PasskeyResponse,
	name func(store.Passkey) string,
) (Enrolled, error) {
	st, err := s.enrollment(ctx, token)
	if err != nil {
		return Enrolled{}, err
	}
	made, err := s.ReadPasskey(ctx, st.User, passkey.Enroll, r)
	if err != nil {
		if errors.Is(err, ErrWrongPasskey) {
			if limited := s.countPasskey(ctx, c); limited != nil {
				err = limited
			}
		}
		return Enrolled{}, err
	}
	var out Enrolled
	err = s.Store.Change(ctx, func(tx store.Tx) error {
		out = Enrolled{}
		if _, err := s.stillEnrolling(ctx, tx, st); err != nil {
			return err
		}
		k, err := made.Add(ctx, tx, name(made.Passkey), s.Clock().UTC())
		if err != nil {
			return err
		}
		if out.Codes, err = s.firstCodes(ctx, tx, st.UserID); err != nil {
			return err
		}
		err = s.auditFactor(ctx, tx, c, st.User, "passkey.add", map[string]string{
			"passkey": k.ID, "name": k.Name, "rp_id": k.RPID,
		})
		if err != nil {
			return err
		}
		return s.finishHalfLogin(ctx, tx, c, st, made.Methods(), &out.SignedIn)
	})
	if err != nil {
		return Enrolled{}, fmt.Errorf("adding a passkey: %w", err)
	}
	s.count(st.Method, outcomeOf(nil))
	s.logSignIn(c, out.SignedIn)
	return out, nil
}

// firstCodes makes recovery codes for somebody who has none.
func (s *Service) firstCodes(ctx context.Context, tx store.Tx, userID string) ([]string, error) {
	have, err := tx.RecoveryCodes(ctx, userID)
	if err != nil || have.Left > 0 {
		return nil, err
	}
	u, err := tx.User(ctx, userID)
	if err != nil {
		return nil, err
	}
	codes, hashes := recovery.New()
	if err := tx.ReplaceRecoveryCodes(ctx, userID, hashes, s.Clock().UTC()); err != nil {
		return nil, err
	}
	u.Factors.CodesSaved = false
	return codes, tx.SetFactors(ctx, userID, u.Factors)
}
