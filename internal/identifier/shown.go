package identifier

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DisplayText is untrusted text for people, logs and headers: cleaned and truncated. It has its own type so that it is
// not compared.
type DisplayText string

// Display returns s for display: without characters that are not allowed in a name, and truncated to MaxLength.
func Display(s string) DisplayText { return DisplayText(sanitize(s, isInvisible)) }

// sanitize returns a name without the characters for which drop is true, truncated to MaxLength.
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

// SanitizeName returns a valid display name for one of a provider, "" if nothing of it is visible. What [CheckName]
// accepts is not changed: many scripts and emoji need invisible characters.
func SanitizeName(wish string) string {
	name := unstacked(sanitize(wish, isUnsafe))
	if Fold(name) == "" || CheckName(name) != "" {
		return ""
	}
	return name
}

// SanitizeUsername returns a valid username for a suggested one, "" if nothing of it is valid. A suggestion decides
// nothing, so it may be changed; commas are removed, because apps split lists of names at them.
func SanitizeUsername(wish string) string {
	name := string(Display(strings.ReplaceAll(wish, ",", "")))
	if CheckUsername(name) != "" {
		return ""
	}
	return name
}

// WithSuffix returns a username with a suffix, truncated so that it stays valid.
func WithSuffix(name, suffix string) string {
	for name != "" && CheckUsername(name+suffix) == Long {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return strings.TrimSpace(name) + suffix
}

// Clean returns untrusted text for a log line or a page: one line, printable, of at most limit bytes. It is idempotent.
func Clean(s string, limit int) string {
	const more = "…"
	var b strings.Builder
	fits := 0 // length of the prefix that leaves room for the ellipsis
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

// Example returns the beginning of a hostile text, escaped for logs and terminals.
func Example(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}
