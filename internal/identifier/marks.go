package identifier

import "unicode"

// How many nonspacing marks may follow each other. Shared ones, which can be put on any letter and grow over other
// lines (U+0300 and others of the script Inherited, and enclosing ones): Vietnamese has two when decomposed, Arabic
// three. With those of a script of its own: Burmese has four (medial, two vowels, tone), and Tibetan as many in stacks
// of Sanskrit.
const (
	maxSharedMarks = 3
	maxMarks       = 5
)

// stacked reports whether a text has so many marks in a row that it covers what is above and below it, or the same mark
// twice in a row, which no writing has.
func stacked(s string) bool {
	var run []rune
	shared := 0
	for _, r := range s {
		if !unicode.In(r, unicode.Mn, unicode.Me) || unicode.Is(unicode.Variation_Selector, r) {
			run, shared = run[:0], 0
			continue
		}
		for _, before := range run {
			if before == r {
				return true
			}
		}
		run = append(run, r)
		if unicode.In(r, unicode.Inherited, unicode.Me) {
			shared++
		}
		if len(run) > maxMarks || shared > maxSharedMarks {
			return true
		}
	}
	return false
}

// unstacked returns a text without the marks that are too many.
func unstacked(s string) string {
	if !stacked(s) {
		return s
	}
	out := make([]rune, 0, len(s))
	for _, r := range s {
		out = append(out, r)
		if stacked(string(out)) {
			out = out[:len(out)-1]
		}
	}
	return string(out)
}
