package account

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// FactorOverview is what there is of somebody's second factors. It has no secret.
type FactorOverview struct {
	store.Factors

	Apps  []store.TOTP // confirmed, oldest first, without their secrets
	Codes store.RecoveryCodes
	// PasskeyUsedAt is when a passkey was last used, zero for never.
	PasskeyUsedAt time.Time
	// Browsers is in how many browsers no second factor is asked for. The command line does not know for how long, and
	// counts all that the store has not ended.
	Browsers int
	// Demanded means that the person has to have a second factor.
	Demanded bool
}

// LastUsedAt returns when a second factor or a recovery code was last used, zero for never.
func (o FactorOverview) LastUsedAt() time.Time {
	last := o.Codes.LastUsedAt
	if o.PasskeyUsedAt.After(last) {
		last = o.PasskeyUsedAt
	}
	for _, t := range o.Apps {
		if t.LastUsedAt.After(last) {
			last = t.LastUsedAt
		}
	}
	return last
}

// Overview returns what there is of a user's second factors.
func (s FactorActions) Overview(ctx context.Context, u store.User) (FactorOverview, error) {
	out := FactorOverview{Factors: u.Factors}
	apps, err := s.Store.TOTPs(ctx, u.ID)
	if err != nil {
		return out, err
	}
	for _, t := range apps {
		if t.Confirmed() {
			t.Secret = ""
			out.Apps = append(out.Apps, t)
		}
	}
	if u.Factors.Passkeys > 0 {
		keys, err := s.Store.Passkeys(ctx, u.ID)
		if err != nil {
			return out, err
		}
		for _, k := range keys {
			if k.LastUsedAt.After(out.PasskeyUsedAt) {
				out.PasskeyUsedAt = k.LastUsedAt
			}
		}
	}
	if out.Browsers, err = s.countTrusted(ctx, u); err != nil {
		return out, err
	}
	out.Demanded = s.second().Demands(u)
	out.Codes, err = s.Store.RecoveryCodes(ctx, u.ID)
	return out, err
}

// CodesNeedPassword reports whether new recovery codes need the password: a session whose second step was a recovery
// code, or trust in the browser, has proved no factor since. Whoever found the sheet with the codes, or the browser,
// must not get a new one.
func CodesNeedPassword(sess *store.Session) bool {
	m := assurance.Methods(sess.Methods)
	stoodIn := m.Has(assurance.RecoveryCode) || m.Has(assurance.Trusted)
	return stoodIn && !m.Has(assurance.TOTP) && !m.Has(assurance.Passkey)
}

// MakeRecoveryCodes replaces the recovery codes of the actor by new ones and returns them: this once, as only their
// hashes are kept. password is that of the account; it is only looked at after a sign-in with a recovery code, see
// [CodesNeedPassword]. Errors: login.ErrInvalidCredentials for the password, *[InvalidError] (password) where it is
// missing, *[login.ThrottledError], *[ForbiddenError] (reauth-required, mfa-required, no-factor).
func (s FactorActions) MakeRecoveryCodes(ctx context.Context, a Actor, password string) ([]string, error) {
	proof, err := s.proveForCodes(ctx, a, password)
	if err != nil {
		return nil, err
	}
	var codes []string
	err = s.own(ctx, a, "recovery.make", true, func(tx store.Tx, _ *store.Event, sess store.Session, u store.User) error {
		if err := checkCodesProof(sess, u, proof); err != nil {
			return err
		}
		if !u.Factors.Any() {
			return refuse(CodeNoFactor, "refused.no_factor")
		}
		if proof != nil {
			if err := proof.ClearAttempts(ctx, tx); err != nil {
				return err
			}
		}
		codes, err = s.makeCodes(ctx, tx, u.ID, u.Factors)
		return err
	})
	if err != nil {
		if proof != nil {
			s.Login.Forgive(ctx, *proof)
		}
		return nil, err
	}
	return codes, nil
}

// proveForCodes checks the password where new recovery codes need it. Whether the actor may have any, the transaction
// decides, which audits a refusal.
func (s FactorActions) proveForCodes(ctx context.Context, a Actor, password string) (*login.Proof, error) {
	if err := s.on(); err != nil {
		return nil, err
	}
	sess, u, err := s.requireFreshSession(ctx, s.Store, a)
	var refused *ForbiddenError
	switch {
	case errors.As(err, &refused):
		return nil, nil //nolint:nilnil // no proof, and refused by the transaction
	case err != nil:
		return nil, err
	case !CodesNeedPassword(&sess):
		return nil, nil //nolint:nilnil // no proof is needed
	case password == "":
		return nil, invalid("password", "fault.codes_password")
	}
	proof, err := s.Login.Reverify(ctx, a.Client, u, password)
	if err != nil {
		return nil, err
	}
	return &proof, nil
}

// checkCodesProof returns an error if a session may not make recovery codes on the strength of a proof.
func checkCodesProof(sess store.Session, u store.User, proof *login.Proof) error {
	switch {
	case !CodesNeedPassword(&sess):
		return nil
	case proof == nil:
		return invalid("password", "fault.codes_password")
	case proof.User.PasswordHash != u.PasswordHash:
		return store.ErrStale // changed since the proof
	}
	return nil
}

// SetAsk switches on or off that a passkey is asked for after the password, too. With it come recovery codes where
// there are none, which are returned. With an authenticator app it is always on, and so it is for whoever has to have a
// second factor: *[ForbiddenError] (ask-locked). Others: reauth-required, mfa-required, no-factor; *[InvalidError]
// (password), after a sign-in with a recovery code.
func (s FactorActions) SetAsk(ctx context.Context, a Actor, on bool) ([]string, error) {
	var codes []string
	err := s.own(ctx, a, "factor.ask", true, func(tx store.Tx, e *store.Event, sess store.Session, u store.User) error {
		f := u.Factors
		switch {
		case !f.Any():
			return refuse(CodeNoFactor, "refused.no_factor")
		case !on && (f.TOTPs > 0 || s.second().Demands(u)):
			return refuse(CodeAskLocked, "refused.ask_locked")
		case f.Ask == on:
			return nil
		}
		e.Details["ask"] = map[bool]string{true: "on", false: "off"}[on]
		f.Ask = on
		have, err := tx.RecoveryCodes(ctx, u.ID)
		if err != nil {
			return err
		}
		if !on || have.Left > 0 {
			return tx.SetFactors(ctx, u.ID, f)
		}
		if err := checkCodesProof(sess, u, nil); err != nil {
			return err
		}
		codes, err = s.makeCodes(ctx, tx, u.ID, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// MarkCodesSaved records that the actor says to have kept the recovery codes.
func (s FactorActions) MarkCodesSaved(ctx context.Context, a Actor) error {
	return s.own(ctx, a, notAudited, false, func(tx store.Tx, _ *store.Event, _ store.Session, u store.User) error {
		if u.Factors.CodesSaved {
			return nil
		}
		u.Factors.CodesSaved = true
		return tx.SetFactors(ctx, u.ID, u.Factors)
	})
}

// maxNotices is how many notices are shown at once.
const maxNotices = 20

// noticed are the groups of events that somebody is told of: changes of the own factors, and wrong codes, which only
// somebody who knows the password can have tried.
var noticed = []string{"factor.", "passkey.", "recovery.", "mfa."}

// Notices returns what has happened to a user's second factors since they last said to have seen it, newest first, at
// most 20. Refusals are none: nothing has happened.
func (s FactorActions) Notices(ctx context.Context, u store.User) ([]store.Event, error) {
	q := store.EventQuery{TargetID: u.ID, Limit: maxNotices}
	if at := u.Factors.NoticesSeenAt; !at.IsZero() {
		q.From = at.Add(time.Millisecond) // as exact as the store keeps times
	}
	var out []store.Event
	for _, q.Action = range noticed {
		page, err := s.Store.Events(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
	}
	out = slices.DeleteFunc(out, func(e store.Event) bool { return e.Outcome == store.Denied })
	slices.SortFunc(out, func(a, b store.Event) int { return b.Time.Compare(a.Time) })
	return out[:min(len(out), maxNotices)], nil
}

// SeenNotices records that the actor has seen the notices until a moment, which is that of the newest one shown: what
// has happened since is told the next time.
func (s FactorActions) SeenNotices(ctx context.Context, a Actor, until time.Time) error {
	return s.own(ctx, a, notAudited, false, func(tx store.Tx, _ *store.Event, _ store.Session, u store.User) error {
		if now := s.now(); until.After(now) {
			until = now
		}
		if !until.After(u.Factors.NoticesSeenAt) {
			return nil
		}
		u.Factors.NoticesSeenAt = until
		return tx.SetFactors(ctx, u.ID, u.Factors)
	})
}
