package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// ErrCrossSite means that a browser sent a changing request from another site.
var ErrCrossSite = errors.New("the request came from another site")

var errNoHost = errors.New("there is no Host to compare Origin with")

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// CrossOrigin refuses changing requests that a browser sends for another site (CSRF), by Sec-Fetch-Site and, where
// that is absent, by Origin. Programs that send neither pass: nobody can make a browser do that.
//
// Cookies of ours are SameSite=Lax besides; this check also covers sibling hosts, which are the same site.
type CrossOrigin struct{ std http.CrossOriginProtection }

// Check returns nil or an error that matches [ErrCrossSite].
func (c *CrossOrigin) Check(r *http.Request) error {
	err := c.std.Check(r)
	if err == nil && r.Host == "" && r.Header.Get("Origin") != "" && r.Header.Get("Sec-Fetch-Site") == "" &&
		!safe(r.Method) {
		// An HTTP/1.0 request without Host: the opaque origin "null" has no host either, and nothing equals nothing.
		err = errNoHost
	}
	if err == nil {
		return nil
	}
	// Behind another proxy Host may be an inner name. What the front vouches for as the site's own origin counts,
	// but only where the browser did not say itself that the request is cross-site.
	if r.Header.Get("Sec-Fetch-Site") == "" && ownOrigin(r) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrCrossSite, err)
}

// CheckRead checks a reading request that gets data of the signed-in person: it has to come from the site
// itself, too. What a browser says of another origin, a sibling host included, is refused; programs say nothing.
func (c *CrossOrigin) CheckRead(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return nil
	case "":
		if r.Header.Get("Origin") == "" || ownOrigin(r) {
			return nil
		}
		// Where a proxy ends TLS and does not say so, only the scheme differs.
		u, err := url.Parse(r.Header.Get("Origin"))
		if err != nil {
			break
		}
		from, ok := reqctx.ParseHost(u.Host)
		if asked, named := reqctx.RequestedHost(r); ok && named && from == asked {
			return nil
		}
	}
	return fmt.Errorf("%w: it asks for data of the signed-in person", ErrCrossSite)
}

// ownOrigin reports whether Origin is what the front vouches for as the site's own.
func ownOrigin(r *http.Request) bool {
	q := reqctx.From(r)
	origin, ok := reqctx.ParseOrigin(r.Header.Get("Origin"))
	return ok && q.Host != "" && origin == q.Origin()
}
