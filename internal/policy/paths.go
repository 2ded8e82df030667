package policy

import (
	"fmt"
	"net/url"
	stdpath "path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Paths are the path rules of one gate. Each pattern is an exact path, or a prefix ending in "/*".
type Paths struct {
	exact  map[string]struct{}
	prefix []string // with the trailing '/', without the '*'
}

// NewPaths checks patterns and makes rules of them.
func NewPaths(patterns []string) (Paths, error) {
	p := Paths{exact: make(map[string]struct{})}
	for _, pat := range patterns {
		if err := checkPattern(pat); err != nil {
			return Paths{}, err
		}
		if dir, ok := strings.CutSuffix(pat, "*"); ok {
			p.prefix = append(p.prefix, dir)
			continue
		}
		p.exact[pat] = struct{}{}
	}
	return p, nil
}

func checkPattern(pat string) error {
	switch {
	case !strings.HasPrefix(pat, "/"):
		return fmt.Errorf("path %q must begin with '/'", pat)
	case strings.Count(pat, "*") > 1, strings.Contains(pat, "*") && !strings.HasSuffix(pat, "/*"):
		return fmt.Errorf("path %q: '*' may only stand at the end, after a '/': use an exact path or a prefix such as /static/*", pat)
	}
	if plain := strings.TrimSuffix(pat, "*"); Ambiguous(plain) {
		return fmt.Errorf("path %q would never match: paths with //, dot segments, ';', '\\', %%2e %%2f %%5c %%25 %%00 or unescaped non-ASCII letters are always protected", pat)
	}
	return nil
}

// Match reports whether path, the escaped path of the original request without its query, is under one of the rules.
// It is case-sensitive, ends at segment boundaries, and answers false for every ambiguous path.
func (p Paths) Match(path string) bool {
	if len(p.exact) == 0 && len(p.prefix) == 0 {
		return false
	}
	return !Ambiguous(path) && p.holds(path)
}

// Covers reports whether any usual reading of path is under one of the rules. It is for rules that open nothing: what an
// upstream may take for an address of an API has to be answered like one.
func (p Paths) Covers(path string) bool {
	if len(p.exact) == 0 && len(p.prefix) == 0 {
		return false
	}
	if p.holds(path) {
		return true
	}
	if !strings.Contains(path, "%") && !Ambiguous(path) {
		return false // it has no other reading
	}
	plain, _, _ := strings.Cut(strings.ReplaceAll(path, "\\", "/"), ";")
	if text, err := url.PathUnescape(plain); err == nil {
		plain = text
	}
	clean := stdpath.Clean("/" + plain)
	if strings.HasSuffix(plain, "/") {
		clean += "/"
	}
	return p.holds(clean)
}

func (p Paths) holds(path string) bool {
	if _, ok := p.exact[path]; ok {
		return true
	}
	return slices.ContainsFunc(p.prefix, func(dir string) bool { return strings.HasPrefix(path, dir) })
}

// Ambiguous reports whether an upstream that is more lenient than we are could read path as another one: encoded
// separators, dots, percent signs and NUL, backslashes, path parameters, empty and dot segments, fragments, and bytes
// that no URL holds. Such a path never matches a rule that opens something.
func Ambiguous(path string) bool {
	if path == "" || path[0] != '/' {
		return true // "*", absolute-form leftovers
	}
	high := false
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c <= ' ' || c >= 0x7f, c == '\\', c == ';', c == '#', c == '?':
			return true
		case c == '/' && ambiguousSegment(path[i+1:]):
			return true
		case c == '%' && ambiguousEscape(path[i+1:]):
			return true
		case c == '%' && path[i+1] >= '8':
			high = true
		}
	}
	return high && ambiguousText(path)
}

// ambiguousText judges a path that holds encoded non-ASCII bytes: overlong and broken UTF-8 (%c0%af is a '/' to some),
// and letters that compatibility folding turns into structure (a full-width slash or stop).
func ambiguousText(path string) bool {
	text, err := url.PathUnescape(path)
	if err != nil || !utf8.ValidString(text) {
		return true
	}
	const structure = "/\\.;%?#"
	count := func(s string) (n int) {
		for i := range len(s) {
			if strings.IndexByte(structure, s[i]) >= 0 {
				n++
			}
		}
		return n
	}
	return count(norm.NFKC.String(text)) != count(text)
}

// Evasive reports whether path holds what Caddy's path matchers read in one way and some upstreams in another: dot
// segments, also encoded, which matchers resolve and a proxy passes on as they are; ';', '\\', '%5c', a doubly encoded
// byte or NUL, which matchers take for ordinary text; and bytes that some decode to a separator or a dot.
func Evasive(path string) bool {
	if strings.ContainsAny(path, ";\\") {
		return true
	}
	high, hidden := strings.IndexFunc(path, func(r rune) bool { return r >= 0x80 }) >= 0, false
	for rest := path; ; {
		i := strings.IndexByte(rest, '%')
		if i < 0 || i+2 >= len(rest) {
			break
		}
		switch rest[i+1 : i+3] {
		case "5c", "5C", "25", "00", "3b", "3B":
			return true
		case "2e", "2E", "2f", "2F":
			hidden = true
		}
		high = high || rest[i+1] >= '8'
		rest = rest[i+1:]
	}
	if high && ambiguousText(path) {
		return true
	}
	if hidden {
		path = unhide.Replace(path)
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}

var unhide = strings.NewReplacer("%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/")

// ambiguousSegment judges what follows a '/': an empty segment that is not the end, or "." or "..".
func ambiguousSegment(rest string) bool {
	seg, _, more := strings.Cut(rest, "/")
	return (seg == "" && more) || seg == "." || seg == ".."
}

// ambiguousEscape judges what follows a '%': anything but two hex digits, and the escapes that hide structure.
func ambiguousEscape(rest string) bool {
	if len(rest) < 2 || !isHex(rest[0]) || !isHex(rest[1]) {
		return true
	}
	b := unhex(rest[0])<<4 | unhex(rest[1])
	switch b {
	case '/', '\\', '.', '%', ';', '#', '?':
		return true
	}
	return b <= ' ' && b != ' ' || b == 0x7f
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	default:
		return c - 'A' + 10
	}
}
