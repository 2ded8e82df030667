package returnto

import (
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// maxReturn bounds a return-to value: it travels in addresses and forms.
const maxReturn = 8 << 10

// Guard decides where a browser may be sent after a sign-in, and nothing else does: a value is checked when it is shown
// in a form, when it is carried, and again when it is used.
//
// A value is a path on the site itself, or an absolute address on the site or on a trusted host. Everything that two
// readers (browsers by the WHATWG URL standard, net/url, a proxy that decodes once more, an app that cleans paths)
// could take for different places is refused, and the caller goes to the default page: to be sent home is harmless.
type Guard struct{ trusted map[reqctx.Host]bool } // without the usual port of https

// New returns a Guard that trusts the given hosts, each "host" or "host:port", besides the site itself. Trusted are
// https addresses of exactly that host and port; http ones only for sites that are http themselves.
func New(hosts []string) (*Guard, error) {
	g := &Guard{trusted: make(map[reqctx.Host]bool)}
	for _, h := range hosts {
		host, ok := reqctx.ParseHost(h)
		if !ok || strings.HasSuffix(host.Name, ".") {
			return nil, fmt.Errorf("trust_return %q: give a host such as app.example.com, "+
				"with a port where it is not the usual one", h)
		}
		g.trusted[host.WithoutDefaultPort(true)] = true
	}
	return g, nil
}

// Check returns where raw leads: to a path with query and fragment on this site, or, with external, to an absolute
// address on a trusted host. ok is false for everything else, and for addresses of our own pages: returning to the
// sign-in or the sign-out would go round in circles.
func (g *Guard) Check(q *reqctx.Request, raw string) (target string, external, ok bool) {
	if len(raw) > maxReturn || !plainBytes(raw) {
		return "", false, false
	}
	rest, origin := raw, ""
	if !strings.HasPrefix(raw, "/") {
		if origin, rest, ok = g.split(q, raw); !ok {
			return "", false, false
		}
	}
	if !safePath(rest) || within(q.Prefix, rest) {
		return "", false, false
	}
	u, err := url.Parse(rest)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "", false, false
	}
	return origin + rest, origin != "", true
}

// CheckOwn checks a return to one of our own pages, for our own redirects: a plain path under account or admin, or
// device, whose pages change nothing when they are opened and never send a signed-in person away.
func (g *Guard) CheckOwn(q *reqctx.Request, raw string) (target string, ok bool) {
	if len(raw) > maxReturn || !plainBytes(raw) || !safePath(raw) {
		return "", false
	}
	path, _, _ := strings.Cut(raw, "?")
	rest, ok := strings.CutPrefix(path, q.Prefix)
	if !ok || strings.ContainsAny(path, "%#;") {
		return "", false
	}
	if rest == "/device" {
		return raw, true
	}
	for _, area := range [...]string{"/account", "/admin"} {
		if rest == area || strings.HasPrefix(rest, area+"/") {
			return raw, true
		}
	}
	return "", false
}

// split parts an absolute address into a trusted origin ("" for the site's own) and what follows it, beginning with a
// slash.
func (g *Guard) split(q *reqctx.Request, raw string) (origin, rest string, ok bool) {
	scheme, after, found := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !found || (scheme != "https" && scheme != "http") {
		return "", "", false
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		end = len(after)
	}
	host, ok := reqctx.ParseHost(after[:end])
	if !ok {
		return "", "", false
	}
	rest = after[end:]
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	host = host.WithoutDefaultPort(scheme == "https")
	switch {
	case scheme == q.Scheme() && host.String() == q.Host:
		return "", rest, true
	case g.trusted[host] && (scheme == "https" || !q.Secure):
		return scheme + "://" + host.String(), rest, true
	}
	return "", "", false
}

// within reports whether a path leads to our own pages, in any spelling that somebody might read as that.
func within(prefix, s string) bool {
	if prefix == "" {
		return false
	}
	path := s
	if end := strings.IndexAny(s, "?#"); end >= 0 {
		path = s[:end]
	}
	prefix = strings.ToLower(prefix)
	for range decodings + 1 {
		rest, ok := strings.CutPrefix(strings.ToLower(norm.NFKC.String(path)), prefix)
		if ok && (rest == "" || strings.ContainsRune("/;?#% ", rune(rest[0]))) {
			return true
		}
		next := unescape(path)
		if next == path {
			break
		}
		path = next
	}
	return false
}
