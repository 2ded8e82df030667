package identifier

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of accounts.
const (
	MaxLength         = 254 // characters of a username, display name or group; bytes of an e-mail address
	MaxGroups         = 100 // groups granted to one account here
	MaxProviderGroups = 200 // groups stored for one identity
	MaxClient         = 64  // characters of what a program calls itself
)

// Fault is what is wrong with a value, "" for nothing.
type Fault string

// Faults.
const (
	Missing   Fault = "it is empty"
	Encoding  Fault = "it is not valid Unicode text"
	Space     Fault = "it begins or ends with white space"
	Invisible Fault = "it has control characters, or characters that nobody sees"
	Stacked   Fault = "it has more marks on one letter than any writing needs"
	Long      Fault = "it is too long"
	Form      Fault = "it is not a plain e-mail address"
	Lookalike Fault = "it has characters that are another address when they are folded"
	NotString Fault = "it is not a text"
	NotTime   Fault = "it is not a time"
	TooMany   Fault = "there are too many"
)

// Error implements error.
func (f Fault) Error() string { return string(f) }

// CheckUsername checks a username: 1 to 254 visible characters, without outer white space.
func CheckUsername(s string) Fault {
	fault := checkVisible(s)
	if fault == "" && len(Fold(s)) > MaxKey {
		return Long
	}
	return fault
}

// CheckGroup checks a group name of a provider. A comma is allowed; see [HeaderSafe].
func CheckGroup(s string) Fault { return checkText(s) }

// CheckName checks a display name, which may be empty. It is never compared, so the joiners that Persian and Devanagari
// need, and the variation selectors of emoji, are allowed.
func CheckName(s string) Fault {
	fault := checkCharacters(s, isUnsafe)
	if fault == "" && stacked(s) {
		return Stacked
	}
	return fault
}

// CheckClient checks what a program calls itself: 1 to 64 visible characters, without outer white space. People decide
// by it, and it is compared.
func CheckClient(s string) Fault {
	fault := checkVisible(s)
	switch {
	case fault != "":
		return fault
	case utf8.RuneCountInString(s) > MaxClient:
		return Long
	case stacked(s):
		return Stacked
	}
	return ""
}

// CheckEmail checks an e-mail address; "" is a fault.
func CheckEmail(s string) Fault {
	_, fault := ParseEmail(s)
	return fault
}

// checkVisible is checkText for a text of which something has to be left when it is compared.
func checkVisible(s string) Fault {
	fault := checkText(s)
	if fault == "" && Fold(s) == "" {
		return Missing
	}
	return fault
}

func checkText(s string) Fault {
	if s == "" {
		return Missing
	}
	return checkCharacters(s, isInvisible)
}

// checkCharacters checks encoding, characters and length of a text, which may be empty.
func checkCharacters(s string, forbidden func(rune) bool) Fault {
	switch {
	case isInvalidText(s):
		return Encoding
	case strings.TrimSpace(s) != s:
		return Space
	case strings.ContainsFunc(s, forbidden):
		return Invisible
	case utf8.RuneCountInString(s) > MaxLength:
		return Long
	}
	return ""
}

// isInvalidText reports whether s is invalid, or was before it was decoded: decoders replace invalid text, such as half
// of a surrogate pair in JSON, so that different values become equal.
func isInvalidText(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError)
}

// isInvisible reports whether a character is not allowed in compared text: users could not see the difference of two
// names.
func isInvisible(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	return r == brailleBlank || isJoiner(r) || isUnsafe(r) || Ignorable(r)
}

// brailleBlank is blank, but is a symbol and no white space in Unicode.
const brailleBlank = '\u2800'

// isUnsafe reports whether a character is not allowed in any one-line text: control characters forge log lines and
// headers, format characters such as the right-to-left override make one name look like another, and private-use
// characters look as a font defines them.
func isUnsafe(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) ||
		unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) && !isJoiner(r)
}

func isJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }
