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
	Domain string // "" keeps the cookie to this host
}

// CookieFor returns the cookie's scope for a site. A configured domain counts only on hosts below it: on others a
// browser would refuse the cookie, and signing in would never end. host may have a port.
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

// Token returns the session token that the request carries, or "" for none. Values that do not have a token's shape
// are skipped. Two different well-formed tokens mean that someone planted one: the request is anonymous then.
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

// Set makes the browser keep token. A remembered session's cookie lasts until the session does, any other one ends
// with the browser.
func (c Cookie) Set(w http.ResponseWriter, token string, s store.Session, now time.Time) {
	ck := c.cookie(c.Name(), token)
	if s.Remember {
		ck.MaxAge = max(1, int(s.ExpiresAt.Sub(now).Seconds()))
	}
	http.SetCookie(w, ck)
}

// Clear makes the browser forget the session cookie.
func (c Cookie) Clear(w http.ResponseWriter) {
	ck := c.cookie(c.Name(), "")
	ck.MaxAge = -1
	http.SetCookie(w, ck)
}

// Own makes a cookie of ours with the site's scope under name, such as "device": HttpOnly, SameSite=Lax, Path=/.
// It is always kept to this host. A negative maxAge makes the browser forget it; 0 lasts as long as the browser.
func (c Cookie) Own(name, value string, maxAge time.Duration) *http.Cookie {
	ck := Cookie{Secure: c.Secure}.cookie(c.OwnName(name), value)
	switch {
	case maxAge < 0:
		ck.MaxAge = -1
	case maxAge > 0:
		ck.MaxAge = max(1, int(maxAge.Seconds()))
	}
	return ck
}

// OwnName returns the full name of such a cookie.
func (c Cookie) OwnName(name string) string { return Cookie{Secure: c.Secure}.Name() + "-" + name }

// OwnValue returns the value of such a cookie, "" when the request has none or several.
func (c Cookie) OwnValue(r *http.Request, name string) string {
	cks := r.CookiesNamed(c.OwnName(name))
	if len(cks) != 1 {
		return ""
	}
	return cks[0].Value
}

func (c Cookie) cookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", Domain: c.Domain,
		Secure: c.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// isGatehouseCookie reports whether a cookie name is one of Gatehouse's: what the upstream never sees.
func isGatehouseCookie(name string) bool {
	rest, ok := strings.CutPrefix(name, hostName)
	if !ok {
		if rest, ok = strings.CutPrefix(name, secureName); !ok {
			rest, ok = strings.CutPrefix(name, baseName)
		}
	}
	return ok && (rest == "" || rest[0] == '-')
}

// StripCookies removes Gatehouse's cookies from a request's header, whatever scheme they were set for, and leaves the
// others byte for byte. The header's new value is kept in backing, which spares an allocation per request.
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
