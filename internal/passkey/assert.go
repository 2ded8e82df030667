package passkey

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/gatehouse-auth/gatehouse/store"
)

// BeginAssertion returns what a browser proves a passkey with. allowed are the user's passkeys; for [SignIn] there are
// none, and any authenticator may offer what it has: the bytes are the same for everybody but for the challenge.
func (s *Service) BeginAssertion(ctx context.Context, c Ceremony, allowed []store.Passkey) (Options, error) {
	w, err := party(c.Site)
	if err != nil {
		return Options{}, err
	}
	if !c.valid() {
		return Options{}, ErrRefused
	}
	p := &person{}
	for _, k := range store.PasskeysOf(allowed, c.Site.RPID) {
		if k.UserID != c.UserID {
			continue
		}
		if p.handle, err = decode(k.Handle); err != nil {
			return Options{}, fmt.Errorf("the user handle of %s in the store is damaged", k.UserID)
		}
		p.credentials = append(p.credentials, credential(k))
	}
	var assertion *protocol.CredentialAssertion
	var session *webauthn.SessionData
	switch {
	case c.Kind == SignIn:
		assertion, session, err = w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	case len(p.credentials) == 0:
		return Options{}, store.ErrNotFound
	case c.Kind == Second: // after a password a PIN is not asked for
		assertion, session, err = w.BeginLogin(p, webauthn.WithUserVerification(protocol.VerificationDiscouraged))
	default:
		assertion, session, err = w.BeginLogin(p, webauthn.WithUserVerification(protocol.VerificationPreferred))
	}
	if err != nil {
		return Options{}, fmt.Errorf("beginning to prove a passkey: %w", err)
	}
	// Whose passkey it is decides who looks it up. Twenty ids would not fit into the state.
	session.AllowedCredentialIDs = nil
	sealed, err := s.seal(ctx, c, session)
	if err != nil {
		return Options{}, err
	}
	return Options{PublicKey: assertion.Response, State: sealed}, nil
}

// Assertion is the response of an authenticator, which proves nothing before [Assertion.Verify].
type Assertion struct {
	Once
	ceremony Ceremony
	session  webauthn.SessionData
	parsed   *protocol.ParsedCredentialAssertionData
}

// ReadAssertion reads the response of an authenticator for a ceremony. [ErrRefused] means that it is none of it; any
// other error is technical.
func (s *Service) ReadAssertion(ctx context.Context, c Ceremony, sealed, assertion string) (*Assertion, error) {
	session, once, err := s.open(ctx, c, sealed)
	if err != nil {
		return nil, err
	}
	parsed, err := parseAssertion(assertion)
	if err != nil || parsed.Response.CollectedClientData.Origin != c.Site.Origin {
		return nil, ErrRefused
	}
	return &Assertion{once, c, session, parsed}, nil
}

// RPID and CredentialID say which passkey the authenticator claims to have used.
func (a *Assertion) RPID() string { return a.ceremony.Site.RPID }

// CredentialID is the id of that passkey, base64url.
func (a *Assertion) CredentialID() string { return encode(a.parsed.RawID) }

// UserVerified reports whether the authenticator has verified its user in this ceremony. It counts only after
// [Assertion.Verify].
func (a *Assertion) UserVerified() bool {
	return a.parsed.Response.AuthenticatorData.Flags.HasUserVerified()
}

// Verify returns [ErrRefused] unless the response was made with this passkey, for its owner, in this ceremony.
func (a *Assertion) Verify(k store.Passkey) error {
	if k.RPID != a.ceremony.Site.RPID || a.ceremony.UserID != "" && a.ceremony.UserID != k.UserID {
		return ErrRefused
	}
	w, err := party(a.ceremony.Site)
	if err != nil {
		return err
	}
	handle, err := decode(k.Handle)
	if err != nil || len(handle) != handleSize {
		return fmt.Errorf("the user handle of %s in the store is damaged", k.UserID)
	}
	// The library takes a flag that turns on for an inconsistency, which it is not: passkeys begin to be synced.
	if _, err := a.Next(k.PasskeyState); err != nil {
		return err
	}
	k.BackupEligible = a.flags().HasBackupEligible()
	p := &person{handle: handle, credentials: []webauthn.Credential{credential(k)}}
	if a.ceremony.Kind == SignIn {
		_, _, err = w.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return p, nil }, a.session, a.parsed)
	} else {
		_, err = w.ValidateLogin(p, a.session, a.parsed)
	}
	if err != nil {
		return ErrRefused
	}
	return nil
}

func (a *Assertion) flags() protocol.AuthenticatorFlags {
	return a.parsed.Response.AuthenticatorData.Flags
}

// errBackup is why [Assertion.Next] refuses; for whoever debugs an authenticator.
var errBackup = errors.New("the backup flags of the authenticator contradict what they were")

// Next returns the state of a passkey after this use of it. It changes from use to use, and so is worked out from what
// the store has in the transaction that keeps the result. User verification stays as it was: see [store.PasskeyState].
//
// A passkey that is eligible for backup stays so (Web Authentication Level 3, section 6.1.3). The counter of one that
// is not, and counts at all, has to grow (section 6.1.1). That it has not is no reason to refuse, as sign-ins that
// overtake each other look like it, but [store.PasskeyState.CounterBack] says so from then on. The stored counter
// follows, so that it is said once.
func (a *Assertion) Next(old store.PasskeyState) (store.PasskeyState, error) {
	next, flags, count := old, a.flags(), a.parsed.Response.AuthenticatorData.Counter
	eligible, backedUp := flags.HasBackupEligible(), flags.HasBackupState()
	if old.BackupEligible && !eligible || backedUp && !eligible {
		return old, fmt.Errorf("%w: %w", ErrRefused, errBackup)
	}
	next.BackupEligible, next.BackedUp, next.SignCount = eligible, backedUp, count
	if !eligible && CountsBack(old.SignCount, count) {
		next.CounterBack = true
	}
	return next, nil
}

// CountsBack reports whether a counter has not grown although one of the two counts at all.
func CountsBack(old, count uint32) bool { return count <= old && (count != 0 || old != 0) }
