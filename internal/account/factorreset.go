package account

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ResetMFA says what is taken from somebody who has lost it. The zero value takes nothing.
type ResetMFA struct {
	TOTP bool // all authenticator apps
	// Passkeys means all of them, also those that sign in alone.
	Passkeys bool
	Codes    bool // recovery codes; those of whoever has no second factor left end anyway
	Browsers bool // trust in browsers, which ends with all the others, too: this alone takes no factor
	// Sessions ends all sessions; otherwise they lose the level that the removed factors gave them. Sign-ins that wait for
	// their second step end in any case, and browsers are no longer known.
	Sessions   bool
	Tokens     bool          // revokes the tokens of programs
	Identities bool          // unlinks all identities at providers
	Link       bool          // ends the password, and makes a one-time link to set a new one
	Expires    time.Duration // of the link; 0 means DefaultLinkTTL
}

// ResetMethods are the names of what can be taken, in the order of [ResetMFA].
var ResetMethods = []string{factorTOTP, factorPasskeys, factorCodes, factorBrowsers}

// Take makes r take the methods of some names, all of them where there is none. It returns an *[InvalidError] (methods)
// for a name that is not among [ResetMethods].
func (r *ResetMFA) Take(methods ...string) error {
	if len(methods) == 0 {
		methods = ResetMethods
	}
	for _, m := range methods {
		switch m {
		case factorTOTP:
			r.TOTP = true
		case factorPasskeys:
			r.Passkeys = true
		case factorCodes:
			r.Codes = true
		case factorBrowsers:
			r.Browsers = true
		default:
			return invalid("methods", "fault.mfa_methods", "methods", strings.Join(ResetMethods, ", "))
		}
	}
	return nil
}

// MFAReset is what was taken from somebody, and the link in its place. Ways in that are left tells
// [Service.AccessLeft].
type MFAReset struct {
	Apps      []string // names of the authenticator apps
	Passkeys  []string // names of the passkeys
	Codes     int      // that were unused
	Browsers  int      // that were trusted
	Recovered login.Recovered
	Link      *IssuedLink // nil without one
}

// ResetMFA takes second factors from a user, for an administrator or the command line, which is the way back in for the
// last administrator. The present password goes on unless there is a link, and whoever knows it can sign in and add a
// factor of their own. Wrong codes are forgotten. Errors: *[ForbiddenError] (self, managed, service, reauth-required,
// mfa-required, role), *[InvalidError] (methods, active), store.ErrNotFound.
func (s FactorActions) ResetMFA(ctx context.Context, a Actor, userID string, r ResetMFA) (MFAReset, error) {
	var f fields
	if f.expires(r.Expires); f.err() != nil {
		return MFAReset{}, f.err()
	}
	if !r.TOTP && !r.Passkeys && !r.Codes && !r.Browsers {
		return MFAReset{}, invalid("methods", "fault.mfa_methods", "methods", strings.Join(ResetMethods, ", "))
	}
	hash, err := s.unknownPassword(ctx, a, r)
	if err != nil {
		return MFAReset{}, err
	}
	var out MFAReset
	err = s.change(ctx, a, store.Event{Action: "mfa.reset", TargetID: userID}, func(tx store.Tx, e *store.Event) error {
		u, err := s.resettableMFA(ctx, tx, a, userID, e)
		if err != nil {
			return err
		}
		if err := s.takeFactors(ctx, tx, e, u, r, &out); err != nil {
			return err
		}
		out.Recovered, err = s.recoverAccount(ctx, tx, a, e, u, login.Recovery{
			KeepSessions: !r.Sessions, KeepTokens: !r.Tokens, Identities: r.Identities,
		})
		if err != nil {
			return err
		}
		if r.Link {
			out.Link, err = s.linkAfterReset(ctx, tx, a, e, u, hash, r)
		}
		return err
	})
	if err != nil {
		return MFAReset{}, err
	}
	return out, nil
}

// resettableMFA returns the target if the actor may take its second factors.
func (s FactorActions) resettableMFA(ctx context.Context, tx store.Tx, a Actor, userID string,
	e *store.Event,
) (store.User, error) {
	if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
		return store.User{}, err
	}
	u, err := tx.User(ctx, userID)
	if err != nil {
		return store.User{}, err
	}
	setTarget(e, u)
	if err := RequirePerson(u); err != nil {
		return store.User{}, err
	}
	if u.Managed && a.Kind == Person {
		return store.User{}, refuse(CodeManaged, "refused.managed_factors")
	}
	return u, refuseSelf(a, u, "refused.self_factors")
}

// takeFactors deletes what r names.
func (s FactorActions) takeFactors(ctx context.Context, tx store.Tx, e *store.Event, u store.User, r ResetMFA,
	out *MFAReset,
) error {
	have, err := tx.RecoveryCodes(ctx, u.ID)
	if err == nil {
		out.Browsers, err = tx.ForgetTrustedBrowsers(ctx, u.ID) // counted before they end with what they stand on
	}
	if err != nil {
		return err
	}
	if err := out.takeNamed(ctx, tx, u.ID, r); err != nil {
		return err
	}
	if r.Codes {
		if _, err := dropCodes(ctx, tx, u.ID); err != nil {
			return err
		}
	}
	if err := s.forgetWrongCodes(ctx, tx, u.ID); err != nil {
		return err
	}
	after, err := s.settle(ctx, tx, &store.Event{Details: map[string]string{}}, u.ID)
	if err != nil {
		return err
	}
	left, err := tx.RecoveryCodes(ctx, u.ID)
	if err != nil {
		return err
	}
	if out.Codes = have.Left - left.Left; left.Left == 0 && after.Factors.CodesSaved {
		after.Factors.CodesSaved = false
		if err := tx.SetFactors(ctx, u.ID, after.Factors); err != nil {
			return err
		}
	}
	describeCount(e, "totps_removed", len(out.Apps))
	describeCount(e, "passkeys_removed", len(out.Passkeys))
	describeCount(e, "recovery_codes_removed", out.Codes)
	describeCount(e, "browsers_trusted_no_more", out.Browsers)
	return nil
}

// takeNamed deletes the authenticator apps and passkeys that r names, and notes their names.
func (out *MFAReset) takeNamed(ctx context.Context, tx store.Tx, userID string, r ResetMFA) error {
	if r.TOTP {
		apps, err := tx.DeleteTOTPs(ctx, userID, "")
		if err != nil {
			return err
		}
		for _, t := range apps {
			if t.Confirmed() {
				out.Apps = append(out.Apps, t.Name)
			}
		}
	}
	if r.Passkeys {
		keys, err := tx.DeletePasskeys(ctx, userID, "")
		if err != nil {
			return err
		}
		for _, k := range keys {
			out.Passkeys = append(out.Passkeys, k.Name)
		}
	}
	return nil
}

// unknownPassword returns the hash of a password that nobody knows, for the time until a link is used. It is made
// outside of the transaction, which takes too long for one, and for whoever may reset anything.
func (s FactorActions) unknownPassword(ctx context.Context, a Actor, r ResetMFA) (string, error) {
	if !r.Link {
		return "", nil
	}
	if err := s.requireFreshAdmin(ctx, s.Store, a); err != nil {
		return "", nil //nolint:nilerr // the transaction checks again, refuses and audits it
	}
	hash, err := s.Hasher.Hash(ctx, store.NewToken())
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// linkAfterReset makes a one-time link with which the person sets a new password. That of before ends now, in favor of
// one with the hash: whoever knows it could sign in and add a factor, and the link would lead its holder to that
// factor. No password at all would be refused of the last administrator.
func (s FactorActions) linkAfterReset(ctx context.Context, tx store.Tx, a Actor, e *store.Event, u store.User,
	hash string, r ResetMFA,
) (*IssuedLink, error) {
	if u.Managed {
		return nil, s.errManaged("password")
	}
	if err := s.checkLinkable(ctx, tx, a, u); err != nil {
		return nil, err
	}
	if s.Passwords.Has(u) {
		if hash == "" { // the actor was not allowed to a moment ago
			return nil, store.ErrStale
		}
		e.Details["password_ended"] = "true"
		change := store.PasswordChange{Hash: hash, At: s.now(), KeepTokens: true}
		if err := s.storePassword(ctx, tx, u, change); err != nil {
			return nil, err
		}
	}
	e.Details["link"] = "true"
	return s.createLink(ctx, tx, a, store.LinkPassword, u.ID, r.Expires, true)
}

// forgetWrongCodes clears what wrong codes of a user have added up to: the lock, and the wait.
func (s FactorActions) forgetWrongCodes(ctx context.Context, tx store.Tx, userID string) error {
	u, err := tx.User(ctx, userID)
	if err != nil {
		return err
	}
	if err := tx.ClearUserAttempts(ctx, userID); err != nil || u.Factors.Failures == 0 {
		return err
	}
	u.Factors.Failures = 0
	return tx.SetFactors(ctx, userID, u.Factors)
}

// UnlockMFA lets codes of a user's authenticator apps count again after too many wrong ones in a row. Factors stay.
// Errors: *[ForbiddenError] (self, service, reauth-required, mfa-required, role), store.ErrNotFound.
func (s FactorActions) UnlockMFA(ctx context.Context, a Actor, userID string) error {
	return s.change(ctx, a, store.Event{Action: "mfa.unlock", TargetID: userID}, func(tx store.Tx, e *store.Event) error {
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
		if err := refuseSelf(a, u, "refused.self_unlock"); err != nil {
			return err // whoever has stolen a session could go on guessing
		}
		e.Details["failures"] = strconv.Itoa(u.Factors.Failures)
		return s.forgetWrongCodes(ctx, tx, u.ID)
	})
}
