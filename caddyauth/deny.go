package caddyauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/runtime"
)

// What a client gets whom the gate does not let through. It is written here and never returned to Caddy as an error:
// error routes are outside of the gate, and `handle_errors { reverse_proxy … }` would let anybody through.

// anonymous responds to a request without a session.
func (g *Gate) anonymous(w http.ResponseWriter, r *http.Request, req *request) error {
	kind := req.kind(r, g.api)
	g.refusing(w, r)
	if req.live.site.Responses.Waiting(r) { // nobody could sign in
		req.live.site.Responses.SetupNeeded(w, req.forPages(r), shape(kind))
		return nil
	}
	switch kind {
	case kindPage:
		h := w.Header()
		decisionHeaders(h)
		h["X-Content-Type-Options"], h["Referrer-Policy"], h["X-Robots-Tag"] = nosniff, sameOrigin, noIndex
		req.forgetCache(h)
		h["Location"] = []string{g.loginURL(w, r, req, req.uri, true)}
		w.WriteHeader(http.StatusFound)
	case kindForm:
		req.live.site.Responses.SessionEnded(w, req.forPages(r))
	case kindFrame:
		address := g.loginURL(w, r, req, req.pageOf(r), true)
		req.live.site.Responses.FrameEnded(w, req.forPages(r), address)
	case kindWorker:
		req.live.site.Responses.Worker(w, req.forPages(r))
	default:
		address := g.loginURL(w, r, req, req.pageOf(r), isFetched(r.Header))
		if g.allowsOrigin(r) { // a path would be one of the script's own site
			address = req.pageContext(r).Absolute(address)
		}
		req.live.site.Responses.Unauthorized(w, req.forPages(r), address, kind == kindAPI && g.offersBasic(r, req))
	}
	return nil
}

// loginURL returns the address of the sign-in page that returns to u. What a parameter cannot carry goes sealed, to
// clients that keep cookies.
func (g *Gate) loginURL(w http.ResponseWriter, r *http.Request, req *request, u *url.URL, cookies bool) string {
	address, complete := req.live.site.Responses.LoginURL(req.pageContext(r), u)
	if complete || !cookies {
		return address
	}
	return req.live.site.Responses.SealedLoginURL(w, req.forPages(r), u)
}

// pageOf returns the page that a request of a script, or for a frame, belongs to: the one in Referer, if it is of this
// site. Somebody who signs in wants to see that, and no data. Without one it is the address that was asked for.
func (req *request) pageOf(r *http.Request) *url.URL {
	if len(r.Header["Referer"]) != 1 {
		return req.uri
	}
	q := req.pageContext(r)
	u, err := url.Parse(r.Header["Referer"][0])
	if err != nil || u.User != nil {
		return req.uri
	}
	if origin, ok := reqctx.OriginOf(u); !ok || origin != q.Origin() || hasPrefix(u.EscapedPath(), q.Prefix) {
		return req.uri
	}
	return u
}

// refusing prepares a response with which the gate refuses a request.
func (g *Gate) refusing(w http.ResponseWriter, r *http.Request) {
	runtime.GateWrites(w)
	g.allowReading(w, r)
	leaveBody(w, r)
}

// What is read of the body of a refused request: as much as a form has, if it is there or nearly so.
const (
	maxLeft  = 64 << 10
	leftWait = 250 * time.Millisecond
)

// leaveBody has net/http read no more of a body than is on its way already, and end the connection. By itself it would
// read on, up to 256 KiB, before it sends the response and again after it; and to a client that waits for "100
// Continue" it would say that, and have it send all of the body for nothing. (Caddy wraps the body, so that net/http
// does not know that the client waits.) HTTP/2 ends the stream by itself.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return
	}
	deadline := time.Unix(1, 0)
	if r.ContentLength > 0 && r.ContentLength <= maxLeft && len(r.Header["Expect"]) == 0 {
		deadline = time.Now().Add(leftWait) // a form: once it is read, the connection can go on
	} else {
		w.Header()["Connection"] = []string{"close"}
	}
	_ = http.NewResponseController(w).SetReadDeadline(deadline) // where there is none, net/http reads on
}

// Header values that never change, made once.
var (
	nosniff    = []string{"nosniff"}
	sameOrigin = []string{"same-origin"}
	noIndex    = []string{"noindex, nofollow"}
)

// decisionHeaders keep responses that depend on who asks out of every cache.
func decisionHeaders(h http.Header) {
	h["Cache-Control"] = []string{"no-store"}
	h["Vary"] = []string{"Cookie, Accept, Sec-Fetch-Mode, Authorization"}
}

// forbidden responds to a signed-in person who is not allowed.
func (g *Gate) forbidden(w http.ResponseWriter, r *http.Request, req *request, why denial) error {
	s := req.session
	req.first.identity = identityOf(req.live.oidc, s)
	kind := req.kind(r, g.api)
	g.refusing(w, r)
	q := req.forPages(r)
	if why.mustChange {
		if kind == kindPage {
			if location, due := req.live.site.Responses.PasswordChange(w, q, s.User); due {
				decisionHeaders(w.Header())
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusFound)
				return nil
			}
		}
		req.live.site.Responses.Forbidden(w, q, s, i18n.New("gate.must_change"), shape(kind))
		return nil
	}
	if c := g.log.Check(zapcore.InfoLevel, "request denied by a rule"); c != nil && why.rule != nil {
		c.Write(zap.String("user", s.User.Username), zap.String("rule", string(why.rule.Field)),
			zap.String("path", req.path), zap.String("request_id", req.id()))
	}
	req.live.site.Responses.Forbidden(w, q, s, ruleText(why.rule), shape(kind))
	return nil
}

// unavailable responds when it cannot be found out who asks.
func (g *Gate) unavailable(w http.ResponseWriter, r *http.Request, req *request, err error) error {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil && !sessionEnded(r.Context()) {
		return nil // the client has gone
	}
	if c := g.log.Check(zapcore.WarnLevel, "request denied: cannot tell who is signed in"); c != nil {
		c.Write(zap.Error(err), zap.String("request_id", req.id()))
	}
	l := req.live
	g.refusing(w, r)
	if l == nil { // nothing has started yet
		writeStarting(w, req.kind(r, g.api).page())
		return nil
	}
	l.rt.Metrics.Unavailable.Inc()
	l.site.Responses.Unavailable(w, req.forPages(r), shape(req.kind(r, g.api)), 5)
	return nil
}

// tooEarly refuses early data, which may be a replay; the client sends it again (RFC 8470, section 5.2).
func (g *Gate) tooEarly(w http.ResponseWriter, r *http.Request) error {
	g.refusing(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusTooEarly)
	return nil
}

// writeStarting responds before there is anything to render pages with.
func writeStarting(w http.ResponseWriter, page bool) {
	h := w.Header()
	decisionHeaders(h)
	h.Set("Retry-After", "2")
	h.Set("X-Content-Type-Options", "nosniff")
	if page {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<!doctype html><html lang=en><title>Starting</title><h1>This site is "+
			"starting</h1><p>Please try again in a moment.</p>")
		return
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"type":"about:blank","title":"Service Unavailable","status":503,`+
		`"detail":"The gate is starting. Try again in a moment."}`)
}
