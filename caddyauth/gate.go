package caddyauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Gate lets a request through only with a live session of an active user who satisfies every rule, or on a path that
// was opened on purpose. It also serves Gatehouse's own pages on its site, whatever its matchers.
type Gate struct {
	// MatcherSetsRaw are the requests that this gate guards; default all. They are not the matchers of the route:
	// the handler has to see every request of the site, to serve the pages and to remove forged identity headers.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`
	// Public paths need no sign-in and get no identity: exact, or a prefix ending in /*.
	Public []string `json:"public,omitempty"`
	// Optional paths are open to all, but a signed-in user's identity is passed on.
	Optional []string `json:"optional,omitempty"`
	// API paths are never redirected: 401 problem+json instead.
	API []string `json:"api,omitempty"`
	// Require lists rules, all of which have to be satisfied.
	Require []Rule `json:"require,omitempty"`
	// Headers replace the default identity headers.
	Headers []HeaderConfig `json:"headers,omitempty"`
	// SendGroups are the groups that the app is told of; default all that a header can hold.
	SendGroups []string `json:"send_groups,omitempty"`
	// SendGroupsPrefix is what groups begin with that the app is told of, beside SendGroups.
	SendGroupsPrefix string `json:"send_groups_prefix,omitempty"`
	// Assertion sends the app a signed identity beside the headers; default none.
	Assertion *AssertionConfig `json:"assertion,omitempty"`
	// AllowPreflight lets CORS preflight requests through without a sign-in.
	AllowPreflight bool `json:"allow_preflight,omitempty"`
	// CORS are origins whose scripts may read what this gate responds in place of the app: Access-Control-* headers, and
	// an absolute login_url. The app's own responses stay as they are.
	CORS []string `json:"cors,omitempty"`
	// Upgrade are protocols that a connection may be upgraded to besides websocket, as the client names them, such as
	// SPDY/3.1. Such connections end with the session, and on public paths they have none.
	Upgrade []string `json:"upgrade,omitempty"`
	// Tokens are paths on which tokens of programs are taken, or `off`; default everywhere.
	Tokens []string `json:"tokens,omitempty"`
	// Basic are paths on which a token may also come as Basic, and programs are told so.
	Basic []string `json:"basic,omitempty"`
	// PassToken leaves the header with the token to the app.
	PassToken bool `json:"pass_token,omitempty"`
	// At is where the directive is in a Caddyfile, as file:line; for messages.
	At string `json:"at,omitempty"`

	app          *App
	log          *zap.Logger
	matchers     caddyhttp.MatcherSets
	matchesFiles bool // a matcher looks at files
	public       policy.Paths
	optional     policy.Paths
	api          policy.Paths
	headers      []identityHeader
	signed       *signedHeader // nil for none
	cors         []string      // as browsers spell them
	tokens       policy.Paths
	basic        policy.Paths
	global       *App // the global option, for require; nil where it is not known
	need         assurance.Need
	guards       []string // which requests it guards, in words; none: all. Caddy drops MatcherSetsRaw
	server       *caddyhttp.Server
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
	app, ok := appModule.(*App)
	if !ok {
		return fmt.Errorf("the gatehouse app is a %T", appModule)
	}
	g.app = app
	g.guards = matcherText(g.MatcherSetsRaw)
	if g.MatcherSetsRaw != nil {
		sets, err := ctx.LoadModule(g, "MatcherSetsRaw")
		if err != nil {
			return fmt.Errorf("loading matchers: %w", err)
		}
		if err := g.matchers.FromInterface(sets); err != nil {
			return err
		}
		g.matchesFiles = unfoldFileMatchers(g.matchers)
	}
	for _, provision := range []func() error{
		g.provisionPaths, g.provisionRequire, g.provisionHeaders, g.provisionAssertion, g.provisionCORS,
		g.checkProgramsGetIn, g.warnBasic,
	} {
		if err := provision(); err != nil {
			return err
		}
	}
	g.app.gates = append(g.app.gates, g)
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || srv == nil {
		return nil // without a server there are no routes that bypass the gate
	}
	g.server = srv
	return g.app.installPreHandlers(ctx, srv)
}

// Validate implements caddy.Validator: what the Caddyfile refuses with file and line is refused in JSON, too.
func (g *Gate) Validate() error {
	for _, check := range []func() error{
		g.checkPaths, g.checkRequire, g.checkHeaders, g.checkAssertion, g.checkSendGroups, g.checkCORS, g.checkUpgrade,
		g.checkTokens,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. Whatever is not clearly allowed ends here, with a response that is
// written, never with an error: error routes are outside of the gate.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req := g.request(r)
	w = req.underGate(w)
	l, err := g.app.await(r.Context())
	if err != nil {
		return g.unavailable(w, r, req, err)
	}
	req.live = l
	if hasPrefix(req.path, l.opt.prefix) {
		return g.servePages(w, r, req)
	}

	// Check: what does not depend on the session.
	switch selected, err := g.selects(r, req); {
	case err != nil:
		return g.unavailable(w, r, req, fmt.Errorf("matching: %w", err))
	case !selected:
		g.restoreUpgrade(r, req)
		return next.ServeHTTP(req.withoutOurCookies(w), r)
	}
	req.dropForeignIdentity()
	if req.first.credential.Ours() {
		return g.serveToken(w, r, next, req)
	}
	if g.public.Match(req.target) || g.AllowPreflight && isPreflight(r) && req.rulePath() != "" {
		return g.passAny(w, r, next, req)
	}
	if isEarlyData(r) {
		return g.tooEarly(w, r)
	}

	// Resolve: the session.
	if err := g.resolve(r.Context(), req); err != nil {
		return g.unavailable(w, r, req, err)
	}
	return g.enforce(w, r, next, req)
}

// enforce decides, and passes the request on or responds.
func (g *Gate) enforce(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, req *request) error {
	l := req.live
	switch decision, why := g.decide(req); decision {
	case policy.Allow:
		if !g.mayUpgrade(r, req) {
			return g.refuseUpgrade(w, r, req)
		}
		l.rt.Metrics.Allowed.Inc()
		return g.passOn(w, r, next, req)
	case policy.AllowAny:
		return g.passAny(w, r, next, req)
	case policy.SignIn:
		if l.sessions.StoreUnavailable() {
			return g.unavailable(w, r, req, fmt.Errorf("nobody can sign in: %w", store.ErrUnavailable))
		}
		l.rt.Metrics.Anonymous.Inc()
		return g.anonymous(w, r, req)
	default:
		return g.refuse(w, r, req, decision, why)
	}
}

// refuse responds to somebody whom a decision does not let through.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, req *request, decision policy.Decision,
	why denial,
) error {
	if req.session == nil { // a decision that nobody has made
		return g.anonymous(w, r, req)
	}
	req.live.rt.Metrics.Forbidden.Inc()
	if decision == policy.StepUp {
		if req.live.sessions.StoreUnavailable() {
			return g.unavailable(w, r, req, fmt.Errorf("nobody can prove more: %w", store.ErrUnavailable))
		}
		return g.stepUp(w, r, req, why.need)
	}
	return g.forbidden(w, r, req, why)
}

// passAny hands on a request that anybody may make, without an identity.
func (g *Gate) passAny(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, req *request) error {
	if !g.mayUpgrade(r, req) {
		return g.refuseUpgrade(w, r, req)
	}
	req.live.rt.Metrics.Public.Inc()
	return next.ServeHTTP(req.withoutOurCookies(w), r)
}

// withoutOurCookies returns what an app's response without a session is written to.
func (req *request) withoutOurCookies(w http.ResponseWriter) http.ResponseWriter {
	req.response.ResponseWriter, req.response.CookieName = w, req.cookie.Base
	return &req.response
}

// resolve sets the session of the request, nil for none. An error means that it could not be found out. Where the
// session ended during the request, the context of an earlier gate is canceled, but the client is still there and has
// to get a response.
func (g *Gate) resolve(ctx context.Context, req *request) error {
	req.session = nil
	if err := req.chooseToken(ctx); err != nil {
		return err
	}
	if req.first.token == "" {
		return nil
	}
	s, err := evenWhenEnded(ctx, req.lookup)
	switch {
	case errors.Is(err, session.ErrNone):
		return nil
	case err != nil:
		return err
	}
	req.session = req.live.second.Acting(s)
	return nil
}

// evenWhenEnded looks a session up, also where the context is canceled because it has ended.
func evenWhenEnded(ctx context.Context,
	lookup func(context.Context) (*session.Live, error),
) (*session.Live, error) {
	s, err := lookup(ctx)
	if errors.Is(err, context.Canceled) && sessionEnded(ctx) {
		return lookup(context.WithoutCancel(ctx))
	}
	return s, err
}

// lookup returns the session of the request's token, refreshed at its provider where that is due. It returns
// session.ErrNone when there is none.
func (req *request) lookup(ctx context.Context) (*session.Live, error) {
	s, graced, err := req.live.sessions.ResolveWithGrace(ctx, req.first.token, req.live.opt.storeGrace)
	switch {
	case err != nil:
		return nil, err
	case graced: // nothing can be refreshed without the store
		return req.live.oidc.CheckCached(s)
	}
	return req.live.oidc.Refresh(ctx, req.first.token, s)
}

// denial is why a signed-in person is not let through.
type denial struct {
	rule       *Rule          // that is not satisfied
	mustChange bool           // a new password has to be set first
	need       assurance.Need // that the session does not meet
}

// decide decides about a request for the app, and returns why it is denied.
func (g *Gate) decide(req *request) (policy.Decision, denial) {
	optional := g.optional.Match(req.target)
	switch {
	case optional && (req.session == nil || req.session.User.MustChange): // open to all
		return policy.AllowAny, denial{}
	case req.session == nil:
		return policy.SignIn, denial{}
	}
	return g.decideSignedIn(req, optional)
}

// decideSignedIn decides about a signed-in person.
func (g *Gate) decideSignedIn(req *request, optional bool) (policy.Decision, denial) {
	s := req.session
	switch {
	case s.User.MustChange:
		return policy.Deny, denial{mustChange: true}
	case optional:
		return policy.Allow, denial{}
	}
	need, rule := g.asks(s)
	switch {
	case rule != nil:
		return policy.Deny, denial{rule: rule}
	case need.IsZero() || need.Lacks(s.Proof(), time.Now()) == assurance.LacksNothing:
		return policy.Allow, denial{}
	}
	return policy.StepUp, denial{need: need}
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddy.Validator             = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
)
