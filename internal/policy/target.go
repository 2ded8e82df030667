package policy

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Target is the path of a request: escaped as the client wrote it, and as it is after the rewrites before the gate. An
// upstream reads the second, the operator's rules name the first. Both are checked once, here, so that no two rules can
// read one request differently. The zero value is ambiguous.
type Target struct {
	original, current string
	plain             bool // has one reading only, before and after rewrites
}

// NewTarget checks a path as it came and as it is now. Give the same path twice where nothing was rewritten.
func NewTarget(original, current string) Target {
	plain := !Ambiguous(original) && (original == current || !Ambiguous(current))
	return Target{original: original, current: current, plain: plain}
}

// Ambiguous reports whether an upstream that is more lenient than we are could read the target as another one. Nothing
// opens it: it matches no public or optional path, and it is guarded whatever the matchers select.
func (t Target) Ambiguous() bool { return !t.plain }

// Ambiguous reports whether path, escaped and without its query, could be read in two ways:
//   - it does not begin with '/': "*", an absolute form without a path, the authority of CONNECT;
//   - encoded separators, dots and percent signs, path parameters, backslashes, fragments, encoded or not;
//   - empty segments, and segments that end in a dot, "." and ".." among them, which some drop;
//   - blanks at the ends of a segment, which some trim, and control characters, at which some stop;
//   - malformed escapes, and bytes that no URL holds;
//   - overlong and broken UTF-8, and characters that compatibility folding turns into any of these.
func Ambiguous(path string) bool {
	if path == "" || path[0] != '/' {
		return true
	}
	high := false
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f, c == '\\', c == ';', c == '#', c == '?':
			return true
		case c == '/':
			if oddSlash(path, i) {
				return true
			}
		case c == '%':
			b, ok := escaped(path[i+1:])
			if !ok || encodesStructure(b) {
				return true
			}
			high = high || b >= 0x80
		}
	}
	return oddSegmentEnd(path) || high && ambiguousText(path)
}

// oddSlash reports whether some readers drop the slash at i, or what is beside it.
func oddSlash(path string, i int) bool {
	return i > 0 && (path[i-1] == '/' || oddSegmentEnd(path[:i])) || strings.HasPrefix(path[i+1:], "%20")
}

// oddSegmentEnd reports whether some readers drop the end of a segment.
func oddSegmentEnd(path string) bool {
	return strings.HasSuffix(path, ".") || strings.HasSuffix(path, "%20")
}

// escaped returns the byte that two hex digits at the beginning of s stand for.
func escaped(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, lo := hex(s[0]), hex(s[1])
	return hi<<4 | lo, hi < 16 && lo < 16
}

// hex returns the value of a hex digit, or 255.
func hex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	default:
		return 255
	}
}

// encodesStructure reports whether an encoded byte hides structure: to one who decodes once more, or earlier, than the
// next.
func encodesStructure(b byte) bool {
	return strings.IndexByte(structure, b) >= 0 || b < ' ' || b == 0x7f
}

// structure are the characters that separate parts of a path, or end it.
const structure = "/\\.;%?#"

// lookalikes are separators of lines, and slashes that conversions to an older character set make '/' and '\\' of.
const lookalikes = "\u2028\u2029\u2044\u2215\u29f8\u2216\u29f5"

// ambiguousText reports whether a path with encoded non-ASCII bytes is ambiguous: overlong and broken UTF-8 (%c0%af is
// a '/' to some), control characters, blanks at the ends of segments (no-break, ideographic, a byte order mark), and
// what compatibility folding turns into structure (a full-width slash or stop).
func ambiguousText(path string) bool {
	text, err := url.PathUnescape(path)
	if err != nil || !utf8.ValidString(text) {
		return true
	}
	for _, r := range text {
		if unicode.IsControl(r) || strings.ContainsRune(lookalikes, r) {
			return true
		}
	}
	for seg := range strings.SplitSeq(text, "/") {
		if strings.TrimFunc(seg, isSpace) != seg {
			return true
		}
	}
	folded := norm.NFKC.String(text)
	return countStructure(folded) != countStructure(text)
}

// isSpace reports whether some readers trim r from the ends of a text.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' }

func countStructure(s string) (n int) {
	for i := range len(s) {
		if strings.IndexByte(structure, s[i]) >= 0 {
			n++
		}
	}
	return n
}
