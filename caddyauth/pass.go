package caddyauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// passOn hands the request on with the person's identity. That ends with what comes next: whatever runs after the gate
// has returned, but is no part of it, gets no identity.
func (g *Gate) passOn(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, req *request) error {
	req.first.identity, req.first.gate = g.identityOf(req.live.oidc, req.session), g
	req.setHeaders(r.Header, g.headers)
	defer req.removeHeaders(r.Header)
	if err := g.setAssertion(r.Context(), r.Header, req); err != nil {
		return g.unavailable(w, r, req, err)
	}
	defer g.removeAssertion(r.Header)
	return g.follow(w, r, next, req)
}

// follow binds the request to the session: when the session ends, so does the request.
func (g *Gate) follow(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, req *request) error {
	req.response.ResponseWriter, req.response.CookieName = w, req.cookie.Base
	req.response.Private, req.follower.Stream = req.live.opt.cacheHeaders, &req.response
	if req.session.Session.Provider != "" {
		req.vouched = vouchedStream{live: req.live, session: req.session, text: req.first.token}
		if req.session.Token != nil {
			req.vouched.text = req.first.credential.Text
		}
		req.follower.Refresher = &req.vouched
	}
	req.follower.Level = g.keeps(req)
	req.ctx = req.live.sessions.Follow(req.ctx, req.session, &req.follower)
	defer req.follower.Release() // also when the proxy panics with http.ErrAbortHandler: a stream broke
	followed := r.WithContext(req.ctx)
	followed.Body = req.response.Body(r.Body)
	err := next.ServeHTTP(&req.response, followed)
	if err != nil && sessionEnded(req.ctx) {
		req.follower.Release() // the response below is not to be broken
		return g.respondEnded(w, r, req, err)
	}
	return err
}

// vouchedStream is an open request for whose session a provider vouches. It has what it needs from the request, which
// may decide about itself again meanwhile.
type vouchedStream struct {
	live    *live
	session *session.Live
	text    string // the session's token, or that of the program
}

// RefreshSession implements session.Refresher: a stream that is open does not outlive what the provider has revoked. A
// session that ends by it ends its streams like any other; also where the end cannot be stored, as requests are denied
// then, too. A program's token has nothing to refresh, and no end when the rules deny what its provider says meanwhile.
func (v *vouchedStream) RefreshSession(ctx context.Context) {
	check := v.live.oidc.RefreshStream
	if v.session.Token != nil {
		check = v.live.oidc.CheckToken
	}
	if err := check(ctx, v.text); errors.Is(err, session.ErrNone) {
		v.live.sessions.EndStreams(v.session.Session.ID)
	}
}

// sessionEnded reports whether a context is canceled because its session has ended.
func sessionEnded(ctx context.Context) bool { return errors.Is(context.Cause(ctx), session.ErrEnded) }

// respondEnded responds to a request whose session ended before the app had responded: that is no failure of the app.
// The client gets what anybody gets who asks a moment later. Only a failure of the proxy before it has written anything
// counts.
func (g *Gate) respondEnded(w http.ResponseWriter, r *http.Request, req *request, failed error) error {
	var handlerErr caddyhttp.HandlerError
	if !errors.As(failed, &handlerErr) {
		return failed
	}
	if goOn, err := g.resolveAgain(w, r, req); !goOn {
		return err
	}
	if decision, why := g.decideSignedIn(req, g.optional.Match(req.target)); decision != policy.Allow {
		return g.refuse(w, r, req, decision, why) // the session goes on, and has lost what let the request through
	}
	return failed
}

// serveErrorRoutes runs error routes for somebody whom this gate had let through. They run after the gate has returned,
// and maybe long after it decided: so it decides again, and what they do ends with the session, too.
func (g *Gate) serveErrorRoutes(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, first *request) error {
	req := first.derive()
	req.ctx = r.Context()
	if goOn, err := g.resolveAgain(w, r, req); !goOn {
		return err
	}
	if decision, why := g.decideSignedIn(req, g.optional.Match(req.target)); decision != policy.Allow {
		return g.refuse(w, r, req, decision, why)
	}
	return g.passOn(w, r, next, req)
}
