// Package assurance says how surely a session belongs to its person: which methods of authentication were used (amr of
// OpenID Connect, with the values of RFC 8176 where it has one), and what level they amount to (acr). It is pure.
package assurance

import (
	"slices"
	"strings"
	"time"
)

// Methods of authentication.
const (
	Password     = "pwd"     // a password, or a one-time link in its place
	External     = "ext"     // a provider
	TOTP         = "otp"     // a code of an authenticator app
	Passkey      = "pop"     // a WebAuthn credential
	UserVerified = "user"    // with Passkey: the authenticator has verified its user by PIN or biometrics
	RecoveryCode = "rc"      // a recovery code
	Trusted      = "trusted" // a browser in which a second factor was proved before
	Multiple     = "mfa"     // two kinds of factor; see [Methods.With]
)

// What a provider vouches for is stored with the methods and is none of them.
const (
	vouched       = "+mfa" // two factors were proved to the provider
	vouchedStrong = "+phr" // so that phishing could not have succeeded
	said          = "+by:" // what the provider said, and which one, as a fingerprint
)

// maxSaid bounds what is kept of what providers said: the last is kept.
const maxSaid = 32

// Level is an authentication context class. The zero value is no level and satisfies nothing.
type Level string

// Levels, each of which includes those before it.
const (
	One               Level = "aal1" // one factor
	Two               Level = "aal2" // two factors
	PhishingResistant Level = "phr"  // two factors, one of which phishing cannot get at
)

// Satisfies reports whether l is at least the level that is wanted.
func (l Level) Satisfies(wanted Level) bool {
	rank := func(l Level) int { return slices.Index([]Level{One, Two, PhishingResistant}, l) }
	return rank(wanted) >= 0 && rank(l) >= rank(wanted)
}

// order is that in which methods are listed.
var order = []string{
	Password, External, TOTP, Passkey, UserVerified, RecoveryCode, Trusted, vouched, vouchedStrong, Multiple,
}

// Methods are the methods that were used in a session, separated by blanks, as the store keeps them. The zero value is
// none: level [One], as of sessions of before there were levels.
type Methods string

// Of returns methods; unknown ones are left out. [Multiple] follows from the others.
func Of(methods ...string) Methods {
	var list []string
	for _, m := range order {
		if m != Multiple && slices.Contains(methods, m) {
			list = append(list, m)
		}
	}
	if slices.Contains(list, vouched) {
		list = append(list, wordsOf(methods)...)
	}
	if isMultiple(func(m string) bool { return slices.Contains(list, m) }) {
		list = append(list, Multiple)
	}
	return Methods(strings.Join(list, " "))
}

// wordsOf returns what providers said, once each, the last of it.
func wordsOf(methods []string) []string {
	var words []string
	for _, m := range methods {
		if strings.HasPrefix(m, said) && !slices.Contains(words, m) {
			words = append(words, m)
		}
	}
	return words[max(0, len(words)-maxSaid):]
}

// isMultiple reports whether methods are of two kinds: something known, or a provider's word, with something had; or a
// passkey that has verified its user, which is both.
func isMultiple(has func(method string) bool) bool {
	return has(vouched) ||
		(has(Password) || has(External)) && (has(TOTP) || has(Passkey) || has(RecoveryCode) || has(Trusted)) ||
		has(Passkey) && has(UserVerified)
}

// Vouched returns m of a sign-in that a provider vouches for: for two factors, and if strong is set, for one that
// phishing cannot get at. words are fingerprints of what it said, see [Methods.Said]: a verdict alone would outlive the
// rule that it followed from.
func (m Methods) Vouched(strong bool, words ...string) Methods {
	add := []string{vouched}
	if strong {
		add = append(add, vouchedStrong)
	}
	for _, w := range words {
		add = append(add, said+w)
	}
	return m.With(add...)
}

// Said reports whether a provider said, when it vouched, what has this fingerprint.
func (m Methods) Said(word string) bool { return m.Has(said + word) }

// IsVouched reports whether a provider has vouched for two factors.
func (m Methods) IsVouched() bool { return strings.Contains(string(m), vouched) }

// Believed returns m without what a provider has vouched for, as far as it is not believed: of two factors, and of one
// that phishing cannot get at.
func (m Methods) Believed(factors, strong bool) Methods {
	switch {
	case !factors:
		return m.Without(vouched, vouchedStrong) // and what it said
	case !strong:
		return m.Without(vouchedStrong)
	}
	return m
}

// With returns m and further methods.
func (m Methods) With(methods ...string) Methods { return Of(append(m.all(), methods...)...) }

// Without returns m without some methods. What followed from them goes with them.
func (m Methods) Without(methods ...string) Methods {
	return Of(slices.DeleteFunc(m.all(), func(s string) bool {
		return slices.Contains(methods, s) || s == UserVerified && slices.Contains(methods, Passkey)
	})...)
}

// Lose returns m without methods that count no more, and when a second factor was proved in a session that has what is
// left, if mfaAt was that before: zero where what is left is not two factors, or none of it is a second factor itself.
func (m Methods) Lose(mfaAt time.Time, methods ...string) (Methods, time.Time) {
	left := m.Without(methods...)
	if !left.Level().Satisfies(Two) || !left.ProvesFactor() {
		mfaAt = time.Time{}
	}
	return left, mfaAt
}

// ProvesFactor reports whether a second factor itself was proved, here or to a provider: neither a recovery code nor
// trust in the browser is one, so that they say nothing of when that was.
func (m Methods) ProvesFactor() bool { return m.Has(TOTP) || m.Has(Passkey) || m.IsVouched() }

// Has reports whether a method was used. Each request asks for it, so it allocates nothing.
func (m Methods) Has(method string) bool {
	for s := range strings.FieldsSeq(string(m)) {
		if s == method {
			return true
		}
	}
	return false
}

func (m Methods) all() []string { return strings.Fields(string(m)) }

// List returns the methods for people and programs, never nil.
func (m Methods) List() []string {
	return slices.DeleteFunc(append([]string{}, Of(m.all()...).all()...), func(s string) bool {
		return strings.HasPrefix(s, "+")
	})
}

// Shown returns the methods for people and programs, separated by blanks.
func (m Methods) Shown() string { return strings.Join(m.List(), " ") }

// Level returns the level that the methods amount to.
func (m Methods) Level() Level {
	switch {
	case !strings.Contains(string(m), Multiple), !isMultiple(m.Has): // the first is what most sessions are told by
		return One
	case m.Has(Passkey), m.Has(vouchedStrong):
		return PhishingResistant
	default:
		return Two
	}
}
