package returnto

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// plainBytes reports whether s holds only visible ASCII without the characters that browsers take for a slash, or that
// could end an attribute.
func plainBytes(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x21 || c > 0x7e || c == '\\' || c == '<' || c == '>' || c == '"' {
			return false
		}
	}
	return s != ""
}

// decodings is how many times a proxy or an app might decode an address once more than it should.
const decodings = 3

// safePath reports whether a path is safe, with query and fragment, at every level of decoding.
func safePath(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	end := strings.IndexAny(s, "?#")
	if end < 0 {
		end = len(s)
	}
	path, rest := s[:end], s[end:]
	for range decodings {
		if !safeStructure(path) || !safeText(path) || !safeText(rest) {
			return false
		}
		path, rest = unescape(path), unescape(rest)
	}
	// A path that is escaped even then is escaped four times over: nobody does that to be understood.
	return safeStructure(path) && safeText(path) && safeText(rest) && unescape(path) == path
}

// safeStructure refuses what some reader takes for the start of a host, or collapses into one.
func safeStructure(path string) bool {
	if !utf8.ValidString(path) || strings.Contains(path, "//") || strings.ContainsAny(path, "\\<>\"") {
		return false
	}
	for seg := range strings.SplitSeq(path, "/") {
		seg, _, _ = strings.Cut(seg, ";") // some servers drop path parameters before they look
		if seg == "." || seg == ".." {
			return false
		}
	}
	for _, r := range path {
		if r >= 0x80 && strings.ContainsAny(norm.NFKC.String(string(r)), `/\.%`) {
			return false // a full-width slash is a slash after compatibility folding
		}
	}
	return true
}

// safeText refuses control characters, line separators, and pairs that turn into a line break where a server keeps
// only the low byte of a character.
func safeText(s string) bool {
	var last rune
	for _, r := range s {
		switch {
		case r < 0x20, r >= 0x7f && r <= 0x9f, r == '\u2028', r == '\u2029':
			return false
		case r > 0xff && last > 0xff && r&0xff == '\n' && last&0xff == '\r':
			return false
		}
		last = r
	}
	return true
}

// unescape decodes every well-formed escape once and leaves the rest, as browsers do.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, hiOK := unhex(s[i+1])
			lo, loOK := unhex(s[i+2])
			if hiOK && loOK {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) (digit byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
