package returnto

import (
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// LoginURL returns the address of the sign-in page that returns to u, what the browser asked for, such as
// "/_auth/login?rt=%2Freports%3Fyear%3D2026". The return is left out where the Guard would refuse it. Of an
// absolute-form request target only path and query count.
func (g *Guard) LoginURL(q *reqctx.Request, u *url.URL) string {
	base := q.Prefix + "/login"
	rt := u.EscapedPath()
	if u.RawQuery != "" || u.ForceQuery {
		rt += "?" + u.RawQuery
	}
	if !strings.HasPrefix(rt, "/") {
		return base // "*", or what is left of an odd request target
	}
	if !obvious(rt) || within(q.Prefix, rt) {
		if _, _, ok := g.Check(q, rt); !ok {
			return base
		}
	}
	return base + "?rt=" + url.QueryEscape(rt)
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

// LoginURLTo returns the address of the sign-in page that returns to a page of ours or of the app's, which was checked
// already; "" for neither.
func (g *Guard) LoginURLTo(q *reqctx.Request, location string) string {
	name := "rt"
	if _, ok := g.CheckOwn(q, location); ok {
		name = "to"
	}
	if location == "" {
		return q.Prefix + "/login"
	}
	return q.Prefix + "/login?" + name + "=" + url.QueryEscape(location)
}
