package store

import "time"

// MaxTOTPs is the number of authenticator apps of an account.
const MaxTOTPs = 3

// TOTPSetupTTL is how long an authenticator app may wait to be confirmed.
const TOTPSetupTTL = 10 * time.Minute

// MaxMFAFailures is the number of wrong codes in a row after which no code of an authenticator app is accepted for an
// account any more (NIST SP 800-63B-4, section 3.2.2), until [Factors.Failures] is cleared.
const MaxMFAFailures = 100

// Factors is the state of a user's second factors. TOTPs and Passkeys are kept by the store; the rest is written with
// [Tx.SetFactors] only.
type Factors struct {
	TOTPs    int // confirmed authenticator apps
	Passkeys int
	// Ask means that a passkey is asked for after the password, too. With an authenticator app there is always a second
	// step.
	Ask           bool
	DueAt         time.Time // when the grace to add one ends; zero: it has not begun
	Failures      int       // wrong codes in a row, see [MaxMFAFailures]
	CodesSaved    bool      // the person has confirmed that the recovery codes are kept
	NoticesSeenAt time.Time // changes of factors until then have been shown to the person
}

// Any reports whether there is a second factor, whether or not it is asked for.
func (f Factors) Any() bool { return f.TOTPs > 0 || f.Passkeys > 0 }

// Asked reports whether a sign-in with a password has a second step.
func (f Factors) Asked() bool { return f.TOTPs > 0 || f.Passkeys > 0 && f.Ask }

// Locked reports whether codes of authenticator apps are no longer accepted.
func (f Factors) Locked() bool { return f.Failures >= MaxMFAFailures }

// TOTP is an authenticator app of a user (RFC 6238). One that is not confirmed is never asked for; a user has one of
// these at most.
type TOTP struct {
	ID          string
	UserID      string
	Name        string
	Secret      string // encrypted, see internal/seal
	CreatedAt   time.Time
	ConfirmedAt time.Time // zero: not confirmed
	LastUsedAt  time.Time // zero: never
	LastStep    int64     // time step of the last code that was accepted: none of it or an earlier one is accepted again
}

// Confirmed reports whether the person has shown a code of it.
func (t TOTP) Confirmed() bool { return !t.ConfirmedAt.IsZero() }

// HalfLoginPurpose is what a [HalfLogin] waits for.
type HalfLoginPurpose string

// Purposes of half-logins.
const (
	HalfLoginVerify HalfLoginPurpose = "verify" // a second factor
	HalfLoginEnroll HalfLoginPurpose = "enroll" // that the person adds one
	HalfLoginOffer  HalfLoginPurpose = "offer"  // the same, but it may be put off
)

// HalfLogin is a sign-in whose first step is done, and no session: it opens the pages of the second step and nothing
// else. It can be taken once.
type HalfLogin struct {
	ID       string
	Hash     TokenHash // of the cookie that binds it to the browser
	UserID   string
	Purpose  HalfLoginPurpose
	Browser  string // hash of the known browser that it was begun in, "" for one that is not known
	Epoch    int64  // the user's when it began
	Password string // fingerprint of the password's hash when it began
	Host     string // the site signed in to
	Data     string // encrypted: how the first step was done, and where the browser goes afterwards

	CreatedAt time.Time
	ExpiresAt time.Time
}

// MaxHalfLogins is the number of half-logins of a user from browsers that are not known for the account.
const MaxHalfLogins = 5

// RecoveryCodes says how many recovery codes a user has.
type RecoveryCodes struct {
	Left, Used int
	MadeAt     time.Time // zero: none were made
	LastUsedAt time.Time // zero: none was used
}

// SessionLevel is what was proved in a session: see [Session.Methods].
type SessionLevel struct {
	Methods string
	MFAAt   time.Time
}
