package session

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Cookie names and scopes the cookies of one site.
//
// Over HTTPS the session cookie is __Host-gatehouse, which a browser accepts only with Secure, Path=/ and no Domain,
// so that a sibling host cannot plant one (RFC 6265bis, section 4.1.3.2); with a configured domain it has to be
// __Secure-gatehouse; over plain HTTP neither prefix would be accepted.
type Cookie struct {
	Base   string // the name without such a prefix; "" for [DefaultName]
	Secure bool
	Domain string // "" for a host-only cookie
}

// DefaultName is the name of the session cookie, without a prefix, where the configuration has none.
const DefaultName = "gatehouse"

// CookieFor returns the cookie of a site, with the configured name and domain. A domain applies only to itself and
// hosts below it: on others a browser would reject the cookie, and each sign-in would lead back to the sign-in page.
func CookieFor(q *reqctx.Request, domain string) Cookie {
	c := HostCookie(q)
	if domain == "" {
		return c
	}
	if h, ok := reqctx.ParseHost(q.Host); ok && (h.Name == domain || strings.HasSuffix(h.Name, "."+domain)) {
		c.Domain = domain
	}
	return c
}

// HostCookie returns the cookie of a site without a domain, for the cookies of one host besides the session's.
func HostCookie(q *reqctx.Request) Cookie { return Cookie{Base: q.CookieName, Secure: q.Secure} }

// Prefixes by which browsers hold a cookie to its attributes.
const (
	hostPrefix   = "__Host-"
	securePrefix = "__Secure-"
)

// base returns the name without a prefix.
func (c Cookie) base() string {
	if c.Base == "" {
		return DefaultName
	}
	return c.Base
}

// prefix returns the prefix of the name.
func (c Cookie) prefix() string {
	switch {
	case !c.Secure:
		return ""
	case c.Domain != "":
		return securePrefix
	default:
		return hostPrefix
	}
}

// Name returns the name of the session cookie.
func (c Cookie) Name() string { return c.prefix() + c.base() }

// set sets the session cookie. A remembered session's cookie lasts as long as the session, any other one until the
// browser is closed.
func (c Cookie) set(w http.ResponseWriter, value string, s store.Session, now time.Time) {
	ck := c.cookie(c.Name(), value) //nolint:gosec // cookie sets the attributes
	if s.Remember {
		ck.MaxAge = max(1, int(s.ExpiresAt.Sub(now).Seconds()))
	}
	http.SetCookie(w, ck)
}

// Prefixed returns a cookie with Gatehouse's prefix and a name such as "device": host-only, HttpOnly, SameSite=Lax,
// Path=/. A negative maxAge deletes it; 0 makes it last until the browser is closed.
func (c Cookie) Prefixed(name, value string, maxAge time.Duration) *http.Cookie {
	c.Domain = ""
	ck := c.cookie(c.PrefixedName(name), value) //nolint:gosec // cookie sets the attributes
	switch {
	case maxAge < 0:
		ck.MaxAge = -1
	case maxAge > 0:
		ck.MaxAge = max(1, int(maxAge.Seconds()))
	}
	return ck
}

// PrefixedName returns the full name of a cookie with Gatehouse's prefix.
func (c Cookie) PrefixedName(name string) string {
	return Cookie{Base: c.Base, Secure: c.Secure}.Name() + "-" + name
}

// PrefixedValue returns the value of such a cookie, or "" if the request has none or several.
func (c Cookie) PrefixedValue(r *http.Request, name string) string {
	cks := r.CookiesNamed(c.PrefixedName(name))
	if len(cks) != 1 {
		return ""
	}
	return cks[0].Value
}

func (c Cookie) cookie(name, value string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure is off for a gate on http only
		Name: name, Value: value, Path: "/", Domain: c.Domain,
		Secure: c.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// isOurs reports whether a cookie is one of Gatehouse's, which are never passed to the upstream, nor taken from it.
// Those of the default name are nobody's but another Gatehouse's, or our own from before the name was changed.
func isOurs(name, base string) bool {
	rest, ok := strings.CutPrefix(name, hostPrefix)
	if !ok {
		rest, _ = strings.CutPrefix(name, securePrefix)
	}
	return hasBase(rest, base) || hasBase(rest, DefaultName)
}

// ourSuffixes are the names that [Cookie.Prefixed] puts after the base; what ends in "-" goes on.
var ourSuffixes = []string{
	"ceremony", "ceremony-", "device", "first", "flash", "flow-", "form", "handover", "language", "link", "probe", "step",
	"theme", "trusted",
}

// hasBase reports whether a name without a prefix is a base, or one of ours that begins with it. A configured base may
// be a word with which names of the app begin, too: "session-id".
func hasBase(name, base string) bool {
	rest, ok := strings.CutPrefix(name, base)
	switch {
	case !ok || rest == "":
		return ok
	case rest[0] != '-':
		return false
	case base == DefaultName:
		return true
	}
	return slices.ContainsFunc(ourSuffixes, func(s string) bool {
		return rest[1:] == s || strings.HasSuffix(s, "-") && strings.HasPrefix(rest[1:], s)
	})
}

// DropSetCookies removes what would set or delete a cookie of Gatehouse's from the header of an app's response. A
// sibling host below cookie_domain, or an app that lets its users set headers, could sign people in as somebody else by
// it. base is the configured name, "" for the default one.
func DropSetCookies(h http.Header, base string) {
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		dropSetCookies(h, lines, Cookie{Base: base}.base())
	}
}

func dropSetCookies(h http.Header, lines []string, base string) {
	ours := func(line string) bool {
		pair, _, _ := strings.Cut(line, ";")
		// A browser sends the value of a cookie without a name as it is: "=gatehouse=x" is one of ours as well.
		name, _, _ := strings.Cut(strings.TrimLeft(pair, "= \t"), "=")
		return isOurs(strings.Trim(name, " \t"), base)
	}
	if !slices.ContainsFunc(lines, ours) {
		return
	}
	if lines = slices.DeleteFunc(slices.Clone(lines), ours); len(lines) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = lines
}

// SecureNamesOnly reports whether a request has cookies of ours that a browser sends over HTTPS alone, and no session
// cookie that it would send over plain HTTP. base is the configured name.
func SecureNamesOnly(h http.Header, base string) bool {
	base = Cookie{Base: base}.base()
	found := false
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			if name == base {
				return false
			}
			rest, ok := strings.CutPrefix(name, hostPrefix)
			if !ok {
				rest, ok = strings.CutPrefix(name, securePrefix)
			}
			found = found || ok && hasBase(rest, base)
		}
	}
	return found
}

// StripCookies removes Gatehouse's cookies from a request's header, for any scheme, and leaves the others byte for
// byte. base is the configured name, "" for the default one. The header's new value is stored in backing, which saves
// an allocation per request.
func StripCookies(h http.Header, base string, backing *[1]string) {
	base = Cookie{Base: base}.base()
	lines := h["Cookie"]
	kept := backing[:0:1]
	for _, line := range lines {
		if line = stripLine(line, base); line != "" {
			kept = append(kept, line)
		}
	}
	switch {
	case len(lines) == 0:
	case len(kept) == 0:
		delete(h, "Cookie")
	default:
		h["Cookie"] = kept
	}
}

// stripLine returns one Cookie line without our cookies. What is left is mostly in one piece, which takes no copy.
func stripLine(line, base string) string {
	if !strings.Contains(line, base) && !strings.Contains(line, DefaultName) {
		return line
	}
	start, end := -1, 0 // of the piece
	for at := 0; at <= len(line); {
		part, _, _ := strings.Cut(line[at:], ";")
		after := at + len(part)
		switch {
		case isOursPart(part, base), start < 0 && part == "":
		case start < 0:
			start, end = at, after
		case end == at-len(";"):
			end = after
		default:
			return joinOthers(line, base)
		}
		at = after + len(";")
	}
	if start < 0 {
		return ""
	}
	return strings.Trim(line[start:end], " \t")
}

// isOursPart reports whether a part of a Cookie line is a cookie of ours.
func isOursPart(part, base string) bool {
	name, _, _ := strings.Cut(part, "=")
	return isOurs(strings.Trim(name, " \t"), base)
}

// joinOthers is stripLine where one of ours is between others.
func joinOthers(line, base string) string {
	var b strings.Builder
	b.Grow(len(line))
	for part := range strings.SplitSeq(line, ";") {
		if isOursPart(part, base) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(part)
	}
	return strings.Trim(b.String(), " \t")
}
