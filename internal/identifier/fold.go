package identifier

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxKey is the maximum length of a folded name in bytes. Some characters fold into many: 254 of them would be too
// long.
const MaxKey = 1024

var caseFold = cases.Fold()

// Fold returns the key under which a username or e-mail address is unique: Unicode's toNFKC_Casefold (The Unicode
// Standard, section 3.13, R5), without outer white space. Two spellings with the same key are the same name, also if
// they differ only in invisible characters.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(strings.Trim(s, " "))
	}
	// Each step can require the others again: dropping a character may join a letter with its accent, and a compatibility
	// form may be a space. NFKC_Casefold is defined as the fixed point.
	for range maxRounds {
		next := strings.Map(dropIgnorable, norm.NFKC.String(foldCase(norm.NFKC.String(s))))
		if next = strings.TrimSpace(next); next == s {
			break
		}
		s = next
	}
	return s
}

// maxRounds is far more than any text needs. It limits the time that a hostile name can take.
const maxRounds = 16

// foldCase is full case folding. x/text swaps the case of Cherokee letters instead of folding them.
func foldCase(s string) string { return strings.Map(foldCherokee, caseFold.String(s)) }

// foldCherokee folds to upper case, as CaseFolding.txt does for this script only.
func foldCherokee(r rune) rune {
	switch {
	case r >= 0xab70 && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case r >= 0x13f8 && r <= 0x13fd:
		return r - 0x13f8 + 0x13f0
	}
	return r
}

// isASCII reports whether s is printable ASCII.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func dropIgnorable(r rune) rune {
	if Ignorable(r) {
		return -1
	}
	return r
}

// Ignorable reports whether a character has the property Default_Ignorable_Code_Point: it is invisible in software that
// does not support it. Package unicode has no table of it, but all of those from which UAX #44 derives it
// (DerivedCoreProperties.txt): Other_Default_Ignorable_Code_Point, Cf and Variation_Selector, less White_Space, the
// interlinear annotation characters, the Egyptian hieroglyph format controls and Prepended_Concatenation_Mark.
func Ignorable(r rune) bool {
	if r < 0xad {
		return false
	}
	switch {
	case r >= 0xfff9 && r <= 0xfffb, r >= 0x13430 && r <= 0x13440:
		return false
	case unicode.In(r, unicode.White_Space, unicode.Prepended_Concatenation_Mark):
		return false
	}
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Cf, unicode.Variation_Selector)
}
