package store

import (
	"slices"
	"time"
)

// MaxPasskeys is the number of passkeys of an account.
const MaxPasskeys = 20

// Passkey is a WebAuthn credential of a user.
type Passkey struct {
	ID     string
	UserID string
	// Handle is the user's handle (Web Authentication Level 3, section 14.6.1), base64url. The store has one per user and
	// makes none of it: see [Tx.SetPasskeyHandleOnce]. It is read only here.
	Handle string

	RPID         string // the domain that it belongs to; it works nowhere else
	CredentialID string // base64url; unique together with RPID
	PublicKey    []byte // COSE key
	AAGUID       string // 32 hexadecimal digits; all zero: the authenticator does not say what it is
	Transports   []string
	Attachment   string // "platform", "cross-platform", or "" if unknown
	Name         string
	CreatedAt    time.Time
	LastUsedAt   time.Time // zero: never

	// Discoverable says whether the authenticator offers it without being told its id: "yes", "no", or "" if unknown.
	Discoverable string

	PasskeyState
}

// PasskeyState is what changes with the use of a passkey.
type PasskeyState struct {
	SignCount uint32
	// UserVerified means that the authenticator verified its user when the passkey was made, or later when another factor
	// was proved as well: only then may it be the only thing in a sign-in.
	UserVerified   bool
	BackupEligible bool
	BackedUp       bool
	CounterBack    bool // the counter of the authenticator has once been behind the stored one: there may be a copy
}

// SignsInAlone reports whether the passkey can be the only thing in a sign-in.
func (p Passkey) SignsInAlone() bool { return p.UserVerified && p.Discoverable != "no" }

// PasskeysOf returns the passkeys that belong to a domain.
func PasskeysOf(list []Passkey, rpID string) []Passkey {
	return slices.DeleteFunc(slices.Clone(list), func(p Passkey) bool { return p.RPID != rpID })
}

// PasskeySite is a domain that passkeys belong to.
type PasskeySite struct {
	RPID  string
	Count int
}
