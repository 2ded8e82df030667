package returnto

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// LoginURL returns the address of the sign-in page that returns to u, what the browser asked for, such as
// "/_auth/login?rt=%2Freports%3Fyear%3D2026". The return is left out where the Guard would refuse it; complete is false
// where the app may have such an address all the same, see [Requested]. Of an absolute-form request target only path
// and query count.
func (g *Guard) LoginURL(q *reqctx.Request, u *url.URL) (address string, complete bool) {
	base := q.Prefix + "/login"
	rt := pathAndQuery(u)
	if !strings.HasPrefix(rt, "/") {
		return base, true // "*", or what is left of an odd request target
	}
	if !obvious(rt) || within(q.Prefix, rt) {
		if _, _, ok := g.Check(q, rt); !ok {
			return base, false
		}
	}
	return base + "?rt=" + url.QueryEscape(rt), true
}

func pathAndQuery(u *url.URL) string {
	if u.RawQuery != "" || u.ForceQuery {
		return u.EscapedPath() + "?" + u.RawQuery
	}
	return u.EscapedPath()
}

// Requested returns the path and query of an address that the gate itself has seen on this host, whatever odd
// characters are in it, for a way back that no stranger can write. It is redirected to behind the site's own origin, so
// that no text of it can name another host. ok is false for our own pages and for what is too long.
func Requested(q *reqctx.Request, u *url.URL) (target string, ok bool) {
	target = pathAndQuery(u)
	path, _, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(target, "/") || len(target) > maxReturn || within(q.Prefix, target) || hasDotSegment(path) {
		return "", false
	}
	var b strings.Builder
	for i := range len(target) { // a header holds visible ASCII, and nothing of a request is a fragment
		if c := target[i]; c > ' ' && c < 0x7f && c != '#' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), true
}

// hasDotSegment reports whether a browser would resolve the path to another one, maybe to one of our pages. No browser
// asks for such a path.
func hasDotSegment(path string) bool {
	plain := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(path)
	for seg := range strings.SplitSeq(plain, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}

// Fragment returns the part after '#' that a script of ours has added to a sealed value, as an address may end with it;
// "" for none, and for what is none.
func Fragment(value string) (sealed, fragment string) {
	sealed, fragment, found := strings.Cut(value, "#")
	if !found || !plainBytes(fragment) || len(fragment) > maxReturn {
		return sealed, ""
	}
	return sealed, "#" + fragment
}

// obvious reports whether a path and query is so plain that the Guard cannot object to it, but for our own pages. It
// runs for every anonymous request, and spares nearly all of them the full check.
func obvious(s string) bool {
	if len(s) > maxReturn || !strings.HasPrefix(s, "/") {
		return false
	}
	query := false
	for i := range len(s) {
		c := s[i]
		switch {
		case alphanumeric(c), c == '_', c == '-', c == '~':
		case c == '/', c == '.':
			if !query && i > 0 && s[i-1] == '/' {
				return false
			}
		case c == '?':
			query = true
		case query && strings.IndexByte("=&+,:;@!$'()*[]", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// OwnLoginURL returns the address of the sign-in page that returns to the page of ours that u asked for. The path of r
// has no mount prefix any more.
func (g *Guard) OwnLoginURL(q *reqctx.Request, u *url.URL) string {
	to := q.Prefix + u.EscapedPath()
	if u.RawQuery != "" {
		to += "?" + u.RawQuery
	}
	if _, ok := g.CheckOwn(q, to); !ok {
		return q.Prefix + "/login"
	}
	return q.Prefix + "/login?to=" + url.QueryEscape(to)
}

// At returns an address of ours with the way back that [Target.Query] has.
func At(address string, back url.Values) string {
	if len(back) == 0 {
		return address
	}
	return address + "?" + back.Encode()
}
