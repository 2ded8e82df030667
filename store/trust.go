package store

import "time"

// MaxTrustedBrowsers is the number of trusted browsers of an account.
const MaxTrustedBrowsers = 20

// TrustedBrowser is a browser in which a person has proved a second factor and need not do so again at the next
// sign-ins. It proves nothing without the first step. It is not a known browser, which a password alone makes one.
//
// The store ends the trust in all browsers of a user whenever the password changes, a second factor is added or
// removed, the user becomes an administrator or is turned off, and takes it out of what sessions have proved.
type TrustedBrowser struct {
	ID     string
	Hash   TokenHash // of the token in its cookie
	UserID string

	MFAAt     time.Time // when the second factor was proved
	CreatedAt time.Time
	ExpiresAt time.Time
	SeenAt    time.Time // the last sign-in that it stood in for a second step, or CreatedAt

	IP        string // of the last sign-in
	UserAgent string // of the last sign-in, at most 512 bytes
}
