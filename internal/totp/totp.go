// Package totp computes and checks the codes of authenticator apps (RFC 6238): HMAC-SHA-1, six digits, steps of 30
// seconds, which are the only parameters that all apps honor. It is pure; that a step counts once only is the caller's
// part, see store.Tx.UseTOTP.
package totp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the only hash that all apps honor; HMAC does not rest on what is broken of it
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	// SecretSize is the size of a secret in bytes: the 160 bits that RFC 4226, section 4, recommends.
	SecretSize = 20
	// Period is the length of a time step.
	Period = 30 * time.Second

	digits = 6
	// window is how many steps before and after the present one are accepted: one, for delay (RFC 6238, section 5.2).
	window = 1
	// searched is how many steps [ClockOffset] looks in each direction.
	searched = 10
	// maxInput bounds what is read of a typed code, in bytes.
	maxInput = 100
)

// NewSecret returns a random secret.
func NewSecret() []byte {
	b := make([]byte, SecretSize)
	_, _ = rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return b
}

// Encode returns a secret as apps take it: base32 without padding (RFC 4648, section 6), 32 characters.
func Encode(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// Step returns the time step of a moment (RFC 6238, section 4.2).
func Step(t time.Time) int64 { return t.Unix() / int64(Period/time.Second) }

// Code returns the code of a time step (RFC 4226, section 5.3): six digits.
func Code(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) //nolint:gosec // steps are positive; RFC 4226 counts in 64 bits
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%0*d", digits, binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1_000_000)
}

// Normalize returns the code that somebody typed: without the blanks and dashes that apps show it with, and with digits
// of other widths as ASCII. ok is false for everything but six digits, which is no guess.
func Normalize(input string) (code string, ok bool) {
	if len(input) > maxInput {
		return "", false
	}
	code = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) {
			return -1
		}
		return r
	}, norm.NFKC.String(input))
	if len(code) != digits || strings.Trim(code, "0123456789") != "" {
		return "", false
	}
	return code, true
}

// Match returns the time step that a code belongs to, of the present one and its neighbors. All are compared, in
// constant time. Of two steps with the same code, it is the later: the earlier would leave the code usable once more.
func Match(secret []byte, code string, now time.Time) (step int64, ok bool) {
	for d := int64(-window); d <= window; d++ {
		s := Step(now) + d
		if subtle.ConstantTimeCompare([]byte(Code(secret, s)), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok
}

// ClockOffset returns how far the clock of the app is from ours, in steps of [Period], if the code is one of the steps
// around the present one: for the person who sets an app up. At a sign-in it would widen what is accepted.
func ClockOffset(secret []byte, code string, now time.Time) (steps int, ok bool) {
	for d := -searched; d <= searched; d++ {
		if subtle.ConstantTimeCompare([]byte(Code(secret, Step(now)+int64(d))), []byte(code)) == 1 {
			steps, ok = d, true
		}
	}
	return steps, ok
}

// URI returns the address that authenticator apps read from a QR code: the issuer and the account, both without the
// colon that separates them, and the secret. Parameters with default values are left out: many apps ignore them.
func URI(issuer, account string, secret []byte) string {
	clean := strings.NewReplacer(":", "")
	issuer, account = clean.Replace(issuer), clean.Replace(account)
	// A "+" is a blank to some apps, and itself to others: it is in neither part.
	query := strings.ReplaceAll(url.Values{"issuer": {issuer}, "secret": {Encode(secret)}}.Encode(), "+", "%20")
	label := strings.ReplaceAll(url.PathEscape(issuer)+":"+url.PathEscape(account), "+", "%2B")
	return "otpauth://totp/" + label + "?" + query
}
