package caddyauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/text/unicode/norm"
)

// selects reports whether the gate's matchers select the request.
//
// A matcher may read a path in one way and an upstream in another, so spelling must not decide. An ambiguous path is
// guarded whatever the matchers select, or `/x/..;/admin` would bypass `gatehouse /admin/*`. Everything else is guarded
// when the matchers select any of its plain spellings: before rewrites and after, as it is and folded, because regular
// expressions and placeholders distinguish what a case-insensitive upstream, or one that decodes, does not.
func (g *Gate) selects(r *http.Request, req *request) (bool, error) {
	if len(g.matchers) == 0 || req.target.Ambiguous() {
		return true, nil
	}
	if ok, err := g.matchers.AnyMatchWithError(r); ok || err != nil {
		return ok, err
	}
	now, method := *r.URL, r.Method
	came := method
	if orig, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		came = orig.Method
	}
	rewritten := req.rewritten(r) || now.RawQuery != req.uri.RawQuery || method != came
	defer func() { *r.URL = now }()
	if ok, err := g.matchesFolded(r, now, method); ok || err != nil || !rewritten {
		return ok, err
	}
	if ok, err := g.matchesAs(r, *req.uri, came); ok || err != nil {
		return ok, err
	}
	return g.matchesFolded(r, *req.uri, came)
}

// matchesAs matches the request as if it had come with this address. The address is changed in place, because the
// placeholders of expressions read it there.
func (g *Gate) matchesAs(r *http.Request, address url.URL, method string) (bool, error) {
	*r.URL = address
	as := *r
	as.Method, as.RequestURI = method, address.RequestURI()
	return g.matchers.AnyMatchWithError(&as)
}

// matchesFolded is matchesAs for the folded spelling of an address, if there is another one.
func (g *Gate) matchesFolded(r *http.Request, address url.URL, method string) (bool, error) {
	folded, differs := foldURL(address)
	if !differs {
		return false, nil
	}
	if g.matchesFiles {
		r = r.WithContext(context.WithValue(r.Context(), unfoldedKey{}, address))
	}
	return g.matchesAs(r, folded, method)
}

// unfolded is a matcher that looks at files. It gets their names as written: whether there is a Logo.png says nothing
// about logo.png, and `not file` has to keep it open.
type unfolded struct {
	caddyhttp.RequestMatcherWithError
}

type unfoldedKey struct{}

// MatchWithError implements caddyhttp.RequestMatcherWithError.
func (m unfolded) MatchWithError(r *http.Request) (bool, error) {
	if address, ok := r.Context().Value(unfoldedKey{}).(url.URL); ok {
		folded := *r.URL
		defer func() { *r.URL = folded }()
		*r.URL = address
	}
	return m.RequestMatcherWithError.MatchWithError(r)
}

// unfoldFileMatchers wraps the matchers of files, also those that are negated, in [unfolded]. It reports whether there
// are any.
func unfoldFileMatchers(sets []caddyhttp.MatcherSet) (found bool) {
	for _, set := range sets {
		for i, m := range set {
			switch file, ok := m.(caddyhttp.RequestMatcherWithError); {
			case ok && caddy.GetModuleName(m) == "file":
				set[i], found = unfolded{file}, true
			case ok && caddy.GetModuleName(m) == "not":
				if not, ok := m.(*caddyhttp.MatchNot); ok {
					found = unfoldFileMatchers(not.MatcherSets) || found
				}
			}
		}
	}
	return found
}

// foldURL returns an address whose path is folded: in lower case, full-width and other compatibility forms as the usual
// ones, nothing encoded that need not be. It reports whether that is another spelling.
func foldURL(u url.URL) (url.URL, bool) {
	plain := u.RawPath == ""
	for i := 0; i < len(u.Path) && plain; i++ {
		c := u.Path[i]
		plain = c < 0x80 && (c < 'A' || c > 'Z')
	}
	if plain {
		return u, false
	}
	u.Path, u.RawPath = strings.ToLower(norm.NFKC.String(u.Path)), ""
	return u, true
}
