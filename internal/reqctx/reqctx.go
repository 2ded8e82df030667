// Package reqctx passes what the gate knows of a request to the pages, so that they need nothing of Caddy: the verified
// client address, whether the browser uses HTTPS, the site's origin, and the mount prefix.
//
// Nothing here comes from X-Forwarded-* as a client sent it: the gate decides which proxies are trusted.
package reqctx

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

// Request is what our own pages may know of the request that they serve.
type Request struct {
	ID       string     // reference id, shown to people and written to logs and audit
	ClientIP netip.Addr // the zero Addr when it is unknown (unix sockets)
	Secure   bool       // the browser uses HTTPS
	Host     string     // of the site for the browser, in [Host]'s spelling without the default port; "" when unknown
	Prefix   string     // mount point of our pages, such as "/_auth": begins with '/', does not end in one

	NoTokens bool // the site takes no tokens of programs

	CookieName string // the name of our cookies without a prefix; "" for the default one

	Token     string // the session token that came along, "" for none
	TokenRead bool   // the front has looked for it: nobody has to read the cookies again
}

// Scheme returns "https" or "http".
func (r *Request) Scheme() string {
	if r.Secure {
		return "https"
	}
	return "http"
}

// Origin returns the site's origin, such as "https://app.example.com".
func (r *Request) Origin() string { return r.Scheme() + "://" + r.Host }

// Absolute returns the absolute address of a path on the site. Where the host is not known it stays a path, and one
// that no browser takes for a host.
func (r *Request) Absolute(path string) string {
	if r.Host != "" {
		return r.Origin() + path
	}
	return "/" + strings.TrimLeft(path, `/\`)
}

// IP returns the client address as text, "" when unknown.
func (r *Request) IP() string {
	if !r.ClientIP.IsValid() {
		return ""
	}
	return r.ClientIP.String()
}

type key struct{}

// With returns a copy of r that carries q.
func With(r *http.Request, q *Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), key{}, q))
}

// From returns what the gate knows of this request. It is never nil: without a gate (a unit test of a page) it is a
// plain-HTTP request from an unknown address.
func From(r *http.Request) *Request {
	if q, ok := r.Context().Value(key{}).(*Request); ok {
		return q
	}
	return &Request{Host: r.Host}
}
