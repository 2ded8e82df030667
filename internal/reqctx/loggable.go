package reqctx

import (
	"net/url"
	"path"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Redacted is in logs in place of a secret.
const Redacted = "REDACTED"

// Loggable returns a request target, or an address in a header, as it may be written to a log: without one-time tokens,
// and without the parameters of a provider's redirect. Where there is nothing to redact it returns the same text.
//
// It does not look for secrets, which can be spelled in any way, but allows what is surely none: below the prefix, in
// any reading of the path, only plain short segments remain, nothing after "link", and of a query the short plain
// values under names of parameters that are never secret.
func Loggable(target, prefix string) string {
	start, end := pathOf(target)
	if start < 0 || !underPrefix(target[start:end], prefix) {
		return target
	}
	shown, callback := loggablePath(target[start:end])
	rest := target[end:]
	switch {
	case rest == "" || rest == "?":
	case shown != target[start:end], callback, rest[0] == '#':
		rest = rest[:1] + Redacted
	default:
		rest = "?" + loggableQuery(rest[1:])
	}
	if shown == target[start:end] && rest == target[end:] {
		return target
	}
	return target[:start] + shown + rest
}

// UnderPrefix reports whether any reader may take a request target, or an address, for one of our pages.
func UnderPrefix(target, prefix string) bool {
	start, end := pathOf(target)
	return start >= 0 && underPrefix(target[start:end], prefix)
}

// pathOf returns where the path of a target begins and ends; start is -1 for a target without one.
func pathOf(target string) (start, end int) {
	start = pathStart(target)
	if start < 0 {
		return -1, -1
	}
	if n := strings.IndexAny(target[start:], "?#"); n >= 0 {
		return start, start + n
	}
	return start, len(target)
}

// pathStart returns where the path of a target begins that is a path or an absolute address; -1 for others.
func pathStart(target string) int {
	if strings.HasPrefix(target, "/") || strings.HasPrefix(target, `\`) {
		return 0
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return -1
	}
	i := strings.IndexAny(rest, `/\?#`)
	if i < 0 {
		return -1
	}
	return len(target) - len(rest) + i
}

// plainSegments reports whether a path has one reading: nothing escaped, and no dots, blanks or separators that some
// readers drop.
func plainSegments(p string) bool {
	for i := range len(p) {
		switch c := p[i]; {
		case c <= ' ', c >= 0x7f, c == '%', c == '\\', c == ';':
			return false
		case c == '/' && i+1 < len(p) && (p[i+1] == '/' || p[i+1] == '.'), c == '.' && (i+1 == len(p) || p[i+1] == '/'):
			return false
		}
	}
	return true
}

// underPrefix reports whether any reader may take a path for one of our pages.
func underPrefix(p, prefix string) bool {
	if plainSegments(p) {
		n := len(prefix)
		return len(p) >= n && strings.EqualFold(p[:n], prefix) && (len(p) == n || p[n] == '/')
	}
	prefix = strings.ToLower(prefix) + "/"
	for range 4 { // some decode once more than they should, and so may a proxy before them
		for _, reading := range readings(p) {
			if strings.Contains(reading+"/", prefix) {
				return true
			}
		}
		next := unescaped(p)
		if next == p {
			break
		}
		p = next
	}
	return false
}

// readings returns how a path may be read when nothing in it is escaped: with and without its dot segments.
func readings(p string) []string {
	var b strings.Builder
	slash := func(r rune) bool { return r == '/' || r == '\\' }
	for _, seg := range strings.FieldsFunc(strings.ToLower(norm.NFKC.String(p)), slash) {
		seg, _, _ = strings.Cut(seg, ";")
		if dots := strings.Trim(seg, "\x00\t\n\v\f\r "); dots == "." || dots == ".." {
			b.WriteString("/" + dots)
			continue
		}
		if seg = strings.TrimRight(strings.Trim(seg, "\x00\t\n\v\f\r "), ". "); seg != "" {
			b.WriteString("/" + seg)
		}
	}
	flat := b.String()
	return []string{path.Clean("/" + flat), strings.NewReplacer("/../", "/", "/./", "/").Replace(flat)}
}

// maxPlain is how long a segment or a value may be and still be shown. Tokens have 43 characters, what is no secret
// (ids, names of files) is shorter.
const maxPlain = 40

func isPlain(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~", c) < 0 {
			return false
		}
	}
	return len(s) <= maxPlain
}

// loggablePath returns the part of a path that may be shown, and whether it is where a provider sends browsers to.
func loggablePath(p string) (shown string, callback bool) {
	for i := 0; i < len(p); {
		rest := p[i+1:]
		seg := rest
		if j := strings.IndexByte(rest, '/'); j >= 0 {
			seg = rest[:j]
		}
		if !isPlain(seg) {
			return p[:i+1] + Redacted, callback
		}
		callback = callback || strings.EqualFold(seg, "callback")
		i += 1 + len(seg)
		if strings.EqualFold(seg, "link") && i+1 < len(p) {
			return p[:i+1] + Redacted, callback
		}
	}
	return p, callback
}

// secretNames are parameters with secrets (OAuth 2.0, OpenID Connect).
var secretNames = []string{
	"code", "user_code", "device_code", "state", "nonce", "sid", "session_state", "token", "id_token", "id_token_hint",
	"logout_token",
	"logout_hint", "login_hint", "access_token", "refresh_token", "code_verifier", "code_challenge", "client_secret",
	"client_assertion", "assertion", "password", "request", "response",
}

// loggableQuery returns a query without the values that may be secret.
func loggableQuery(query string) string {
	var b strings.Builder
	for i, pair := range strings.Split(query, "&") {
		if i > 0 {
			b.WriteByte('&')
		}
		name, value, given := strings.Cut(pair, "=")
		switch {
		case !isPlain(name):
			b.WriteString(Redacted)
		case !given:
			b.WriteString(name)
		case secretName(name) || value != "" && !loggableValue(value):
			b.WriteString(name + "=" + Redacted)
		default:
			b.WriteString(pair)
		}
	}
	return b.String()
}

func secretName(name string) bool {
	for _, s := range secretNames {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

// loggableValue reports whether the value of a parameter may be logged; it may be an address with a secret in it.
func loggableValue(value string) bool {
	for range 4 {
		run := 0
		for _, c := range []byte(value) {
			if c != '_' && c != '.' && c != '~' && !isPlain(string(c)) {
				run = -1
			}
			if run++; run > maxPlain {
				return false
			}
		}
		low := strings.ToLower(value)
		for _, s := range secretNames {
			if strings.Contains(low, s+"=") {
				return false
			}
		}
		next := unescaped(value)
		if next == value {
			break
		}
		value = next
	}
	return true
}

// unescaped decodes every well-formed escape once and leaves the rest.
func unescaped(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
