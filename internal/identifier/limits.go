package identifier

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of accounts.
const (
	MaxLength         = 254 // characters of a username, display name or group; bytes of an e-mail address
	MaxGroups         = 100 // groups that are given to one account here
	MaxProviderGroups = 200 // groups that one identity of a provider keeps
)

// Fault is what is wrong with a value; "" is nothing.
type Fault string

// Faults.
const (
	Missing   Fault = "it is empty"
	Encoding  Fault = "it is not valid Unicode text"
	Space     Fault = "it begins or ends with white space"
	Invisible Fault = "it has control characters, or characters that nobody sees"
	Long      Fault = "it is too long"
	Form      Fault = "it is not a plain e-mail address"
	Lookalike Fault = "it has characters that are another address when they are folded"
	NotString Fault = "it is not a text"
	TooMany   Fault = "there are too many"
)

// Error implements error.
func (f Fault) Error() string { return string(f) }

// CheckUsername judges a username: 1 to 254 characters that can be seen, without outer white space.
func CheckUsername(s string) Fault {
	fault := checkText(s)
	switch {
	case fault != "":
		return fault
	case Fold(s) == "":
		return Missing
	case len(Fold(s)) > MaxKey:
		return Long
	}
	return ""
}

// CheckGroup judges the name of a group as providers sign them: a comma is no fault, see [InHeader].
func CheckGroup(s string) Fault { return checkText(s) }

// CheckName judges a display name, which may be empty. It is compared with nothing, so the joiners that Persian and
// Devanagari need, and the variation selectors of emoji, are fine.
func CheckName(s string) Fault {
	switch {
	case isInvalidText(s):
		return Encoding
	case strings.TrimSpace(s) != s:
		return Space
	case strings.ContainsFunc(s, isUnsafe):
		return Invisible
	case utf8.RuneCountInString(s) > MaxLength:
		return Long
	}
	return ""
}

// CheckEmail judges an address as it was typed here; "" is a fault.
func CheckEmail(s string) Fault {
	_, fault := ParseEmail(s)
	return fault
}

func checkText(s string) Fault {
	switch {
	case s == "":
		return Missing
	case isInvalidText(s):
		return Encoding
	case strings.TrimSpace(s) != s:
		return Space
	case strings.ContainsFunc(s, isInvisible):
		return Invisible
	case utf8.RuneCountInString(s) > MaxLength:
		return Long
	}
	return ""
}

// isInvalidText reports whether something of s was lost before it came here: decoders replace what is no Unicode text, such as
// half of a surrogate pair in JSON, and so make one of different values.
func isInvalidText(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError)
}

// isInvisible reports whether a character has no place in what is compared: nobody would see that two names differ.
func isInvisible(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	return r == brailleBlank || isJoiner(r) || isUnsafe(r) || Ignorable(r)
}

// brailleBlank is a symbol without any dot, so that it is no white space to Unicode.
const brailleBlank = '\u2800'

// isUnsafe reports whether a character has no place in any text of one line: control characters forge log lines and
// headers, format characters such as the right-to-left override make one name look like another, and private-use
// characters look like whatever a font says.
func isUnsafe(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) ||
		unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) && !isJoiner(r)
}

func isJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }
