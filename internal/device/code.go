// Package device knows the codes of the device sign-in (RFC 8628), and bounds what programs ask of it.
package device

import (
	"crypto/rand"
	"strings"
	"time"
)

// What programs hear (RFC 8628, section 3.2).
const (
	Lifetime = 10 * time.Minute // of both codes
	Interval = 5 * time.Second  // between two polls, at first
)

// CodeLength is the number of letters of a user code.
const CodeLength = 8

// letters are those of user codes (RFC 8628, section 6.1): no vowels, so that they make no words, and no Y. Eight of
// them are 34.5 bits; see account.DeviceActions for how often one may be tried.
const letters = "BCDFGHJKLMNPQRSTVWXZ"

// NewCode returns a random user code, without a dash.
func NewCode() string {
	const most = 256 - 256%len(letters) // beyond it some letters would be likelier
	code := make([]byte, 0, CodeLength)
	for len(code) < CodeLength {
		var b [2 * CodeLength]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
		for _, v := range b {
			if int(v) < most && len(code) < CodeLength {
				code = append(code, letters[int(v)%len(letters)])
			}
		}
	}
	return string(code)
}

// FormatCode returns a user code as people see it: with a dash in the middle.
func FormatCode(code string) string { return code[:CodeLength/2] + "-" + code[CodeLength/2:] }

// maxTyped bounds what is read of what somebody typed.
const maxTyped = 64

// ParseCode reads a user code as somebody typed it: in any case, with dashes and blanks anywhere. ok is false for what
// is no code; other characters are not guessed at.
func ParseCode(typed string) (code string, ok bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	var b strings.Builder
	for _, r := range typed {
		switch {
		case r == '-', r == ' ', r == '\t', r == '\r', r == '\n', r == '\u00a0', r == '\u2010', r == '\u2011', r == '\u2013':
			continue // keyboards and clipboards make other dashes and blanks of them
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		}
		if r > 'Z' || !strings.ContainsRune(letters, r) || b.Len() == CodeLength {
			return "", false
		}
		b.WriteRune(r)
	}
	return b.String(), b.Len() == CodeLength
}
