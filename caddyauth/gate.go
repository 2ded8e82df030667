package caddyauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Gate lets a request through only with a live session of an active user who satisfies every rule, or on a path that
// was opened on purpose. It also serves Gatehouse's own pages on its site, whatever its matchers.
type Gate struct {
	// MatcherSetsRaw are the requests that this gate guards; default all. They are not the matchers of the route:
	// the handler has to see every request of the site, to answer the pages and to remove forged identity headers.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`
	// Public paths need no sign-in and get no identity: exact, or a prefix ending in /*.
	Public []string `json:"public,omitempty"`
	// Optional paths are open to all, but a signed-in user's identity is passed on.
	Optional []string `json:"optional,omitempty"`
	// API paths are never redirected: 401 problem+json instead.
	API []string `json:"api,omitempty"`
	// Require lists rules that all must hold.
	Require []Rule `json:"require,omitempty"`
	// Headers replace the default identity headers.
	Headers []HeaderConfig `json:"headers,omitempty"`
	// AllowPreflight lets CORS preflight requests through without a sign-in.
	AllowPreflight bool `json:"allow_preflight,omitempty"`
	// At is where the directive stands in a Caddyfile, as file:line; for messages.
	At string `json:"at,omitempty"`

	app       *App
	log       *zap.Logger
	matchers  caddyhttp.MatcherSets
	files     bool // some matcher looks at files
	public    policy.Paths
	optional  policy.Paths
	api       policy.Paths
	headers   []identityHeader
	providers []string // that people can sign in through; nil where that is not known
}

// CaddyModule implements caddy.Module.
func (*Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse", New: func() caddy.Module { return new(Gate) }}
}

// Provision checks the rules and finds the app, which exists even when it is not configured.
func (g *Gate) Provision(ctx caddy.Context) error {
	g.log = ctx.Logger()
	appModule, err := ctx.App("gatehouse")
	if err != nil {
		return err
	}
	g.app = appModule.(*App)
	if g.MatcherSetsRaw != nil {
		sets, err := ctx.LoadModule(g, "MatcherSetsRaw")
		if err != nil {
			return fmt.Errorf("loading matchers: %w", err)
		}
		if err := g.matchers.FromInterface(sets); err != nil {
			return err
		}
		g.files = filesAsWritten(g.matchers)
	}
	for _, provision := range []func() error{g.provisionPaths, g.provisionRequire, g.provisionHeaders} {
		if err := provision(); err != nil {
			return err
		}
	}
	g.app.gates = append(g.app.gates, g)
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || srv == nil {
		return nil // what has no server has no routes that another way could lead to
	}
	return g.app.enter(ctx, srv)
}

// Validate implements caddy.Validator: what the Caddyfile refuses with file and line is refused in JSON, too.
func (g *Gate) Validate() error {
	for _, check := range []func() error{g.checkPaths, g.checkRequire, g.checkHeaders} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. Whatever is not clearly allowed ends here, with an answer that is
// written, never with an error: error routes are outside of the gate.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v := g.visitOf(r)
	l, err := g.app.await(r.Context())
	if err != nil {
		return g.unavailable(w, r, v, err)
	}
	v.live = l
	if v.underPrefix(l.opt.prefix) {
		return g.pages(w, r, v)
	}
	guards, err := g.guards(r, v)
	if err != nil {
		return g.unavailable(w, r, v, fmt.Errorf("matching: %w", err))
	}
	if !guards {
		return next.ServeHTTP(w, r)
	}
	v.forgetOthers()
	return g.judge(w, r, next, v)
}

// judge decides about a request for the upstream.
func (g *Gate) judge(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, v *visit) error {
	m := v.live.rt.Metrics
	if g.public.Match(v.target) || g.AllowPreflight && isPreflight(r) && v.asked() != "" {
		m.Public.Inc()
		return next.ServeHTTP(w, r)
	}
	if v.early(r) {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusTooEarly) // RFC 8470, section 5.2: replayable, and the client retries it
		return nil
	}
	optional := g.optional.Match(v.target)
	s, err := g.resolve(r.Context(), v)
	switch {
	case optional && (errors.Is(err, session.ErrNone) || err == nil && s.User.MustChange): // open to all
		m.Public.Inc()
		return next.ServeHTTP(w, r)
	case errors.Is(err, session.ErrNone) && v.live.sessions.Away():
		return g.unavailable(w, r, v, fmt.Errorf("nobody can sign in: %w", store.ErrUnavailable))
	case errors.Is(err, session.ErrNone):
		m.Anonymous.Inc()
		return g.anonymous(w, r, v)
	case err != nil:
		return g.unavailable(w, r, v, err)
	}
	if refused := g.refused(s, optional); refused != nil {
		m.Forbidden.Inc()
		return g.forbidden(w, r, v, s, refused)
	}
	m.Allowed.Inc()
	return g.let(w, r, next, v, s)
}

// resolve returns the session that the request came with. Where the session ended under way the context of an earlier
// gate is over, but the client is still there, and has to be told.
func (g *Gate) resolve(ctx context.Context, v *visit) (*session.Live, error) {
	if v.first.token == "" {
		return nil, session.ErrNone
	}
	s, err := g.find(ctx, v)
	if errors.Is(err, context.Canceled) && overtaken(ctx) {
		return g.find(context.WithoutCancel(ctx), v)
	}
	return s, err
}

// overtaken reports whether a context is over because its session is.
func overtaken(ctx context.Context) bool { return errors.Is(context.Cause(ctx), session.ErrEnded) }

func (g *Gate) find(ctx context.Context, v *visit) (*session.Live, error) {
	s, graced, err := v.live.sessions.ResolveWithin(ctx, v.first.token, v.live.opt.storeGrace)
	switch {
	case err != nil:
		return nil, err
	case graced: // nothing can be refreshed without the store
		return v.live.oidc.Judged(s)
	}
	return v.live.oidc.Fresh(ctx, v.first.token, s)
}

// refusal is why a signed-in person is not let through.
type refusal struct {
	rule *Rule
	hold bool // has to set a new password first
}

func (g *Gate) refused(s *session.Live, optional bool) *refusal {
	if s.User.MustChange {
		return &refusal{hold: true}
	}
	if optional {
		return nil
	}
	if rule := policy.Failed(g.Require, policy.Subject{User: &s.User, Provider: s.Session.Provider}); rule != nil {
		return &refusal{rule: rule}
	}
	return nil
}

// let passes the request on with the person's identity. That ends with what comes next: whatever runs after the gate
// has returned, but is no part of it, is told of nobody.
func (g *Gate) let(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, v *visit, s *session.Live) error {
	v.first.identity, v.first.gate = identityOf(s), g
	v.setHeaders(r.Header, g.headers)
	defer v.takeHeaders(r.Header)
	return g.follow(w, r, next, v, s)
}

// follow binds the request to the session: when that ends, so does the request.
func (g *Gate) follow(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, v *visit, s *session.Live) error {
	v.out.ResponseWriter = w
	v.follower.Breaker = &v.out
	v.Context = v.live.sessions.Follow(v.Context, s, &v.follower)
	defer v.follower.Release() // also when the proxy panics with http.ErrAbortHandler: a stream broke
	err := next.ServeHTTP(&v.out, r.WithContext(v.Context))
	if err != nil && overtaken(v.Context) {
		v.follower.Release() // the answer below is not to be broken
		return g.tellEnded(w, r, v, err)
	}
	return err
}

// afterError runs error routes for somebody whom this gate had let through. They come after the gate has returned, and
// maybe long after it judged: so it judges again, and what they do ends with the session, too.
func (g *Gate) afterError(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, first *visit) error {
	v := first.again()
	v.Context = r.Context()
	s, err := g.resolve(v.Context, v)
	switch {
	case errors.Is(err, session.ErrNone):
		return g.anonymous(w, r, v)
	case err != nil:
		return g.unavailable(w, r, v, err)
	}
	if refused := g.refused(s, g.optional.Match(v.target)); refused != nil {
		return g.forbidden(w, r, v, s, refused)
	}
	return g.let(w, r, next, v, s)
}

// tellEnded responds to a request whose session ended before the app had answered: that is no failure of the app, and what
// anybody is told who asks a moment later. Only what the proxy says before it has written anything counts.
func (g *Gate) tellEnded(w http.ResponseWriter, r *http.Request, v *visit, failed error) error {
	var unanswered caddyhttp.HandlerError
	if !errors.As(failed, &unanswered) {
		return failed
	}
	switch _, err := g.resolve(r.Context(), v); {
	case errors.Is(err, session.ErrNone):
		return g.anonymous(w, r, v)
	case err != nil:
		return g.unavailable(w, r, v, err)
	}
	return failed
}

// anonymous responds to a request that nobody is signed in for.
func (g *Gate) anonymous(w http.ResponseWriter, r *http.Request, v *visit) error {
	kind := v.kind(r, g.api)
	if v.live.portal.Waiting(r) { // nobody could sign in
		v.live.portal.SetupNeeded(w, v.with(r), kind != visitAPI)
		return nil
	}
	switch kind {
	case visitPage:
		h := w.Header()
		decisionHeaders(h)
		h["X-Content-Type-Options"], h["Referrer-Policy"], h["X-Robots-Tag"] = nosniff, sameOrigin, noIndex
		h["Location"] = []string{v.live.portal.LoginURL(v.site(r), v.uri)}
		w.WriteHeader(http.StatusFound)
	case visitForm:
		v.live.portal.SessionEnded(w, v.with(r))
	default:
		q := v.with(r)
		v.live.portal.Unauthorized(w, q, v.live.portal.LoginURL(v.site(r), v.uri))
	}
	return nil
}

// Header values that never change, made once.
var (
	nosniff    = []string{"nosniff"}
	sameOrigin = []string{"same-origin"}
	noIndex    = []string{"noindex, nofollow"}
)

// decisionHeaders keep answers that depend on who asks out of every cache.
func decisionHeaders(h http.Header) {
	h["Cache-Control"] = []string{"no-store"}
	h["Vary"] = []string{"Cookie, Accept, Sec-Fetch-Mode, Authorization"}
}

// forbidden responds to a signed-in person who is not allowed.
func (g *Gate) forbidden(w http.ResponseWriter, r *http.Request, v *visit, s *session.Live, why *refusal) error {
	v.first.identity = identityOf(s)
	page := v.kind(r, g.api) != visitAPI
	q := v.with(r)
	if why.hold {
		if location, held := v.live.portal.Hold(q, s.User); held && v.kind(r, g.api) == visitPage {
			decisionHeaders(w.Header())
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
			return nil
		}
		v.live.portal.Forbidden(w, q, s, i18n.New("gate.must_change"), page)
		return nil
	}
	if c := g.log.Check(zapcore.InfoLevel, "refused"); c != nil {
		c.Write(zap.String("user", s.User.Username), zap.String("rule", string(why.rule.Field)),
			zap.String("path", v.path), zap.String("request_id", v.id()))
	}
	v.live.portal.Forbidden(w, q, s, describe(why.rule), page)
	return nil
}

// unavailable responds when it cannot be found out who asks.
func (g *Gate) unavailable(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil && !overtaken(r.Context()) {
		return nil // the client has gone; there is nobody to answer
	}
	if c := g.log.Check(zapcore.WarnLevel, "closed: cannot tell who asks"); c != nil {
		c.Write(zap.Error(err), zap.String("request_id", v.id()))
	}
	l := v.live
	if l == nil { // nothing has started yet
		plainUnavailable(w, v.kind(r, g.api) != visitAPI)
		return nil
	}
	l.rt.Metrics.Unavailable.Inc()
	l.portal.Unavailable(w, v.with(r), v.kind(r, g.api) != visitAPI, 5)
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddy.Validator             = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
)
