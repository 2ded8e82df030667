package password

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths in characters (code points).
const (
	DefaultMinLength = 12 // of the zero [Policy]
	LeastMinLength   = 8  // minimum for a configuration
)

// Reasons of a [PolicyError].
const (
	ReasonEmpty    = "empty"    // empty, or nothing but white space
	ReasonShort    = "short"    // fewer characters than the policy asks for
	ReasonLong     = "long"     // more than MaxBytes
	ReasonEncoding = "encoding" // not UTF-8
	ReasonControl  = "control"  // control characters
	ReasonCommon   = "common"   // among those that attackers try first
	ReasonSample   = "sample"   // copied from an example
	ReasonContext  = "context"  // the name, the address or the site's title
)

// PolicyError says why a password is refused. Its text is for people, says what to do, and never repeats the password.
type PolicyError struct {
	Reason string // one of the Reason constants
	Text   string // a sentence
}

func (e *PolicyError) Error() string { return e.Text }

// Policy says which passwords users may choose (NIST SP 800-63B-4 section 3.1.1.2): a minimum length, no composition
// rules, and nothing that attackers try first. It applies to new passwords only, never at a sign-in.
type Policy struct {
	MinLength int // in code points; 0 means DefaultMinLength; it is at least LeastMinLength
}

// Min returns the length in force.
func (p Policy) Min() int {
	if p.MinLength == 0 {
		return DefaultMinLength
	}
	return max(p.MinLength, LeastMinLength)
}

// Check returns nil or a *[PolicyError]. context holds what an attacker knows about the user and the site: username,
// e-mail, site title. A password that is one of them, or one of them with some digits, symbols, look-alikes or
// repeated, is refused. Of an e-mail, the part before the @ is a word by itself as well.
func (p Policy) Check(password string, context ...string) error {
	password = Normalize(password)
	if err := checkBytes(password); err != nil {
		return err
	}
	for _, r := range password {
		if unicode.IsControl(r) {
			return &PolicyError{ReasonControl, "Leave out line breaks, tabs and other control characters."}
		}
	}
	if strings.TrimSpace(password) == "" {
		return &PolicyError{ReasonEmpty, "Use more than just spaces."}
	}
	if utf8.RuneCountInString(password) < p.Min() {
		return &PolicyError{ReasonShort, fmt.Sprintf("Use at least %d characters.", p.Min())}
	}
	return checkGuessable(password, context)
}

// checkBytes refuses what cannot be a password under any policy.
func checkBytes(password string) error {
	switch {
	case password == "":
		return &PolicyError{ReasonEmpty, "Enter a password."}
	case len(password) > MaxBytes:
		return &PolicyError{
			ReasonLong,
			fmt.Sprintf("This password is too long: use at most %d bytes (as many letters, or half as many with accents).",
				MaxBytes),
		}
	case !utf8.ValidString(password):
		return &PolicyError{ReasonEncoding, "The password is not valid UTF-8 text."}
	}
	return nil
}
