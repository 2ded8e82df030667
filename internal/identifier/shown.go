package identifier

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shown is a text of somebody else as people, logs and headers get it: cleaned and cut. It is a type of its own so that
// nothing compares it.
type Shown string

// Show returns s for people: without characters that have no place in a name, and cut to what a name may have.
func Show(s string) Shown { return Shown(sanitize(s, isInvisible)) }

// sanitize returns a name without the characters that drop reports, cut to what a name may have.
func sanitize(s string, drop func(rune) bool) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(s) {
		if drop(r) {
			continue
		}
		if n++; n > MaxLength {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// Name returns the display name that somebody from outside gets for the one they have there, "" when nothing of it can be
// seen. What [CheckName] takes stays as it is: words of many scripts, and many emoji, need characters that nobody sees.
func Name(wish string) string {
	name := sanitize(wish, isUnsafe)
	if Fold(name) == "" || CheckName(name) != "" {
		return ""
	}
	return name
}

// Username returns the username that somebody from outside would get for a name they wish for, "" when nothing of the
// wish can be one. A wish proves nothing, so it may be mended; commas go, as apps take names apart at them.
func Username(wish string) string {
	name := string(Show(strings.ReplaceAll(wish, ",", "")))
	if CheckUsername(name) != "" {
		return ""
	}
	return name
}

// Suffixed returns a username with a suffix behind it, cut so that it stays one.
func Suffixed(name, suffix string) string {
	for name != "" && CheckUsername(name+suffix) == Long {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return strings.TrimSpace(name) + suffix
}

// Clean returns text of somebody else for a log line or a page: one line, printable, of at most limit bytes. Cleaning
// it again changes nothing.
func Clean(s string, limit int) string {
	const more = "…"
	var b strings.Builder
	fits := 0 // of what was written, how much leaves room for the mark
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			r = ' '
		case !unicode.IsPrint(r) || r == utf8.RuneError:
			continue
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			return strings.TrimSpace(strings.TrimSpace(b.String()[:fits]) + cutMark(more, limit))
		}
		b.WriteRune(r)
		if b.Len()+len(more) <= limit {
			fits = b.Len()
		}
	}
	return strings.TrimSpace(b.String())
}

func cutMark(mark string, limit int) string {
	if len(mark) > limit {
		return ""
	}
	return mark
}

// Example returns the beginning of a hostile text in a form that harms no log and no terminal.
func Example(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}
