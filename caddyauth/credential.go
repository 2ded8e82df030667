package caddyauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Programs send a token in place of a cookie. Where one of ours comes along, it alone counts: the cookie is not looked
// at, and a token that is not good is refused on every path, public ones too, for a program that sends it means to be
// somebody. Anything else in Authorization is the app's.

// serveToken decides about a request with a credential of ours.
func (g *Gate) serveToken(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, req *request) error {
	if isEarlyData(r) {
		return g.tooEarly(w, r)
	}
	if goOn, err := g.admitToken(w, r, req, g.inScope); !goOn {
		return err
	}
	if g.PassToken {
		defer req.passToken(r.Header)()
	}
	if g.public.Match(req.target) {
		return g.passAny(w, r, next, req)
	}
	return g.enforce(w, r, next, req)
}

// admitToken sets the session of the request to what acts with its token, and reports whether the request may go on. It
// responds itself where the token does not count, or inScope says that it does not reach this.
func (g *Gate) admitToken(w http.ResponseWriter, r *http.Request, req *request,
	inScope func(*http.Request, *request) bool,
) (goOn bool, err error) {
	refusal, err := g.resolveToken(r.Context(), r, req)
	switch {
	case err != nil:
		req.countToken("unavailable")
		return false, g.unavailable(w, r, req, err)
	case refusal == web.TokenAccepted && !inScope(r, req):
		refusal = web.TokenOutOfScope
	}
	req.countToken(refusal.String())
	if refusal != web.TokenAccepted {
		g.refuseToken(w, r, req, refusal)
		return false, nil
	}
	return true, nil
}

// countToken counts a request with a token: once, however many gates and error routes it meets.
func (req *request) countToken(result string) {
	if req == req.first {
		req.live.rt.Metrics.Token(result)
	}
}

// resolveToken sets the session of the request to what acts with its token, or says why it does not count. An error
// means that it could not be found out.
func (g *Gate) resolveToken(ctx context.Context, r *http.Request, req *request) (web.TokenRefusal, error) {
	req.session = nil
	c := req.first.credential
	switch {
	case c.Several:
		return web.TokenRepeated, nil
	case c.JWT:
	case req.live.opt.tokens == nil, !credential.Valid(c.Text), c.Carrier == credential.Basic && !g.takesBasic(r, req):
		return req.badToken(r), nil
	}
	s, err := evenWhenEnded(ctx, func(ctx context.Context) (*session.Live, error) { return req.lookupToken(ctx, r) })
	switch {
	case errors.Is(err, session.ErrNone):
		return req.badToken(r), nil
	case err != nil:
		return web.TokenInvalid, err
	}
	req.session = req.live.second.Acting(s)
	return web.TokenAccepted, nil
}

// resolveAgain is what decides anew about a request that was let through: by the credential that it came with, whatever
// other one there is. It responds itself where that is over, and reports whether the request may go on.
func (g *Gate) resolveAgain(w http.ResponseWriter, r *http.Request, req *request) (goOn bool, err error) {
	if !req.first.credential.Ours() {
		switch err := g.resolve(r.Context(), req); {
		case err != nil:
			return false, g.unavailable(w, r, req, err)
		case req.session == nil:
			return false, g.anonymous(w, r, req) // on an optional path, too: the app has had the identity
		}
		return true, nil
	}
	return g.admitToken(w, r, req, g.inScope)
}

// lookupToken returns what acts with the request's token. It returns session.ErrNone where nothing does.
func (req *request) lookupToken(ctx context.Context, r *http.Request) (*session.Live, error) {
	l := req.live
	s, graced, err := req.resolveProgram(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case graced:
		return l.oidc.CheckCached(s)
	}
	return l.oidc.Check(ctx, s)
}

// resolveProgram returns what acts with a token of the store, or with a machine JWT.
func (req *request) resolveProgram(ctx context.Context, r *http.Request) (l *session.Live, graced bool, err error) {
	c, live := req.first.credential, req.live
	if c.JWT {
		return req.resolveJWT(ctx)
	}
	return live.sessions.ResolveToken(ctx, c.Text, req.pageContext(r).ClientIP, live.opt.storeGrace)
}

// badToken counts a token that is none. Whoever sends many gets another response, which costs less; good tokens from
// there go on.
func (req *request) badToken(r *http.Request) web.TokenRefusal {
	if req.live.rt.BadTokens.Exceeded(req.pageContext(r).ClientIP) {
		return web.TokensThrottled
	}
	return web.TokenInvalid
}

// inScope reports whether the request is within the token's scope, and this gate takes tokens for it.
func (g *Gate) inScope(r *http.Request, req *request) bool {
	return g.takesTokens(req.target) && scopeOf(req.session).Allows(req.host, r.Method, req.target)
}

type scopeKey struct{}

// scopeOf returns the scope of a token, made once.
func scopeOf(l *session.Live) policy.Scope {
	scope, _ := l.Memoize(scopeKey{}, func(l *session.Live) any { return policy.NewScope(l.Token) }).(policy.Scope)
	return scope
}

// refuseToken responds to a credential that does not let its request through.
func (g *Gate) refuseToken(w http.ResponseWriter, r *http.Request, req *request, why web.TokenRefusal) {
	if req.session != nil {
		req.first.identity = identityOf(req.live.oidc, req.session) // for the access log
		req.live.rt.Metrics.Forbidden.Inc()
	} else {
		req.live.rt.Metrics.Anonymous.Inc()
	}
	g.refusing(w, r)
	req.live.site.Responses.RefuseToken(w, req.forPages(r), why, g.offersBasic(r, req))
}

// passToken gives the app the headers with the credential, until the returned function is called.
func (req *request) passToken(h http.Header) (remove func()) {
	for name, values := range req.first.credentialHeaders {
		h[name] = values
	}
	return func() {
		for name := range req.first.credentialHeaders {
			delete(h, name)
		}
	}
}
