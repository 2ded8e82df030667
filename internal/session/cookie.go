package session

import (
	"net/http"
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
	Secure bool
	Domain string // "" for a host-only cookie
}

// CookieFor returns the cookie's scope for a site. A configured domain applies only to itself and hosts below it: on
// others a browser would reject the cookie, and each sign-in would lead back to the sign-in page. host may have a port.
func CookieFor(secure bool, host, domain string) Cookie {
	c := Cookie{Secure: secure}
	if domain == "" {
		return c
	}
	if h, ok := reqctx.ParseHost(host); ok && (h.Name == domain || strings.HasSuffix(h.Name, "."+domain)) {
		c.Domain = domain
	}
	return c
}

const (
	baseName   = "gatehouse"
	hostName   = "__Host-gatehouse"
	secureName = "__Secure-gatehouse"
)

// Name returns the name of the session cookie.
func (c Cookie) Name() string {
	switch {
	case !c.Secure:
		return baseName
	case c.Domain != "":
		return secureName
	default:
		return hostName
	}
}

// Token returns the session token of the request, or "" for none. Malformed values are skipped. With two different
// well-formed tokens, one was planted (cookie tossing): the request is anonymous then.
func (c Cookie) Token(h http.Header) string {
	name, token := c.Name(), ""
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			k, v, ok := strings.Cut(strings.TrimLeft(part, " \t"), "=")
			if !ok || k != name || !store.ValidToken(v) {
				continue
			}
			if token != "" && token != v {
				return ""
			}
			token = v
		}
	}
	return token
}

// Set sets the session cookie. A remembered session's cookie lasts as long as the session, any other one until the
// browser is closed.
func (c Cookie) Set(w http.ResponseWriter, token string, s store.Session, now time.Time) {
	ck := c.cookie(c.Name(), token) //nolint:gosec // cookie sets the attributes
	if s.Remember {
		ck.MaxAge = max(1, int(s.ExpiresAt.Sub(now).Seconds()))
	}
	http.SetCookie(w, ck)
}

// Clear deletes the session cookie.
func (c Cookie) Clear(w http.ResponseWriter) {
	ck := c.cookie(c.Name(), "") //nolint:gosec // cookie sets the attributes
	ck.MaxAge = -1
	http.SetCookie(w, ck)
}

// Prefixed returns a cookie with Gatehouse's prefix and a name such as "device": host-only, HttpOnly, SameSite=Lax,
// Path=/. A negative maxAge deletes it; 0 makes it last until the browser is closed.
func (c Cookie) Prefixed(name, value string, maxAge time.Duration) *http.Cookie {
	ck := Cookie{Secure: c.Secure}.cookie(c.PrefixedName(name), value) //nolint:gosec // cookie sets the attributes
	switch {
	case maxAge < 0:
		ck.MaxAge = -1
	case maxAge > 0:
		ck.MaxAge = max(1, int(maxAge.Seconds()))
	}
	return ck
}

// PrefixedName returns the full name of a cookie with Gatehouse's prefix.
func (c Cookie) PrefixedName(name string) string { return Cookie{Secure: c.Secure}.Name() + "-" + name }

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

// isGatehouseCookie reports whether a cookie is one of Gatehouse's, which are never passed to the upstream.
func isGatehouseCookie(name string) bool {
	rest, ok := strings.CutPrefix(name, hostName)
	if !ok {
		if rest, ok = strings.CutPrefix(name, secureName); !ok {
			rest, ok = strings.CutPrefix(name, baseName)
		}
	}
	return ok && (rest == "" || rest[0] == '-')
}

// StripCookies removes Gatehouse's cookies from a request's header, for any scheme, and leaves the others byte for
// byte. The header's new value is stored in backing, which saves an allocation per request.
func StripCookies(h http.Header, backing *[1]string) {
	lines := h["Cookie"]
	kept := backing[:0:1]
	for _, line := range lines {
		if line = stripLine(line); line != "" {
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

// stripLine returns one Cookie line without our cookies.
func stripLine(line string) string {
	if !strings.Contains(line, baseName) {
		return line
	}
	var b strings.Builder
	b.Grow(len(line))
	for part := range strings.SplitSeq(line, ";") {
		name, _, _ := strings.Cut(part, "=")
		if isGatehouseCookie(strings.Trim(name, " \t")) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(part)
	}
	return strings.Trim(b.String(), " \t")
}
