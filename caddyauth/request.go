package caddyauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/runtime"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// request is one request as the gate sees it: what the client asked for before any rewrite, and what Caddy vouches for.
// The first is made before all routes (prehandler.go). A second gate on the same request derives another one; what is
// known of the client is in the first. The arrays in it save a handful of allocations for every request.
type request struct {
	ctx   context.Context
	first *request // made before all routes; itself there

	replacer *caddy.Replacer
	path     string   // escaped path as it came, without the query
	uri      *url.URL // as it came
	target   policy.Target
	cookie   session.Cookie
	host     string
	live     *live
	session  *session.Live // set by resolve; nil for none
	pageCtx  *reqctx.Request

	// Of the first request, but for pathless. The flags are together, as alone each takes as much as eight.
	pathless     bool   // its target is no path: absolute, an authority, or "*"
	seen         bool   // by a gate before
	several      bool   // it has several session tokens, and which one counts is not known yet
	tookBasic    bool   // a gate before took it as Basic
	gate         *Gate  // the last gate that let the request through, nil for none
	token        string // session token, "" for none; see chooseToken
	presented    session.Presented
	credential   credential.Presented
	upgrade      string   // to what but a WebSocket the client wants to upgrade, "" for nothing
	cookieHeader []string // as it came, with our cookies
	// credentialHeaders are those that the credential came in, as they came.
	credentialHeaders http.Header
	identity          *identity        // of the session; nil for none and where none was looked up
	sentHeaders       []identityHeader // what a gate sends upstream
	beside            runtime.Response // what responses are written to that no gate sees

	follower session.Follower
	vouched  vouchedStream     // what the follower asks
	response runtime.Response  // what the app's response is written to
	values   [numValues]string // backs the headers sent upstream
	cookies  [1]string         // backs the Cookie header sent upstream

	assertion [1]string // backs the signed identity sent upstream
}

// requestVar is where the first request is kept among Caddy's variables. Error routes run with the request as it was
// before any handler, so its context would not lead them there. No client can name or set a variable.
const requestVar = "http.gatehouse.request"

// String implements fmt.Stringer: a placeholder that names the variable shows nothing of it.
func (*request) String() string { return "" }

// firstRequest returns the first request of a context, nil where no preHandler or gate has seen it yet.
func firstRequest(ctx context.Context) *request {
	req, _ := caddyhttp.GetVar(ctx, requestVar).(*request)
	return req
}

// receive reads a request where it comes in, and removes everything by which its client could speak for the gate.
func receive(app *App, r *http.Request) *request {
	req := newRequest(app, r)
	req.cookieHeader = r.Header["Cookie"]
	req.presented.Read(req.cookie, r.Header)
	token, single := req.presented.Single()
	req.token, req.several = token, !single
	req.credential, req.credentialHeaders = credential.Take(r.Header, app.machines.set.Recognizes)
	req.upgrade = app.guarded.strip(r)
	session.StripCookies(r.Header, app.opt.cookieName, &req.cookies)
	req.providePlaceholders()
	caddyhttp.SetVar(r.Context(), requestVar, req)
	return req
}

// newRequest reads a request. X-Forwarded-* count only from a proxy that Caddy was set to trust.
func newRequest(app *App, r *http.Request) *request {
	ctx := r.Context()
	req := &request{ctx: ctx, uri: r.URL}
	req.first = req
	req.replacer, _ = ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	requestURI := r.RequestURI
	if orig, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && orig.URL != nil {
		req.uri, requestURI = orig.URL, orig.RequestURI
	}
	req.path = pathOf(requestURI, req.uri)
	req.pathless = requestURI != "" && requestURI[0] != '/'
	if c := redactedOf(ctx); c != nil && hasPrefix(c.path, app.opt.prefix) {
		req.path, req.uri = c.path, c.uri // our own pages know the secret
	}
	trusted, _ := caddyhttp.GetVar(ctx, caddyhttp.TrustedProxyVarKey).(bool)
	if trusted {
		app.warnLenientClientIP(ctx)
	} else {
		app.warnUntrustedProxy(r)
	}
	secure := app.overTLS(r, trusted)
	req.host = app.hostOf(r, trusted && app.opt.forwardedHost, secure)
	req.cookie = session.CookieFor(&reqctx.Request{Secure: secure, Host: req.host, CookieName: app.opt.cookieName},
		app.opt.cookieDomain)
	return req
}

// chooseToken finds out which of several session tokens counts.
func (req *request) chooseToken(ctx context.Context) error {
	first := req.first
	if !first.several {
		return nil
	}
	token, err := req.live.sessions.Choose(ctx, &first.presented, first.cookie, first.host)
	first.token, first.several = token, err != nil
	return err
}

// request returns the request for this gate, with the path as it was rewritten until here.
func (g *Gate) request(r *http.Request) *request {
	req := firstRequest(r.Context())
	if req == nil { // there is no preHandler, as in a server that is none of Caddy's
		req = receive(g.app, r)
	}
	if req.seen {
		req = req.derive()
	}
	req.seen, req.ctx = true, r.Context()
	req.target = policy.NewTarget(req.rulePath(), req.currentPath(r))
	return req
}

// underGate returns what a gate's response is written to, and what it passes on, without the guard against those that
// no gate sees, if nothing is between.
func (req *request) underGate(w http.ResponseWriter) http.ResponseWriter {
	if w == http.ResponseWriter(&req.first.beside) {
		return req.first.beside.ResponseWriter
	}
	return w
}

// derive returns a further request, for another gate or for error routes.
func (req *request) derive() *request {
	return &request{
		first: req.first, replacer: req.replacer, path: req.path, pathless: req.pathless, uri: req.uri, target: req.target,
		cookie: req.cookie, host: req.host, live: req.live, pageCtx: req.pageCtx,
	}
}

// rulePath returns the path as rules see it: none where the request's target is no path (RFC 9112, section 3.2.2 to
// 3.2.4). Browsers and proxies send such targets to proxies only, and readers of an absolute one differ in what they
// take from it.
func (req *request) rulePath() string {
	if req.pathless {
		return ""
	}
	return req.path
}

// rewritten reports whether the address is another one than the client's.
func (req *request) rewritten(r *http.Request) bool {
	return r.URL.Path != req.uri.Path || r.URL.RawPath != req.uri.RawPath
}

// currentPath returns the escaped path that an upstream would be asked for.
func (req *request) currentPath(r *http.Request) string {
	if !req.rewritten(r) {
		return req.path
	}
	return r.URL.EscapedPath()
}

// isEarlyData reports whether r is TLS early data that may be a replay of a method that changes something. A proxy in
// front says so in a header, which counts whatever its value and whoever sent it (RFC 8470, section 5.1).
func isEarlyData(r *http.Request) bool {
	early := r.TLS != nil && !r.TLS.HandshakeComplete || len(r.Header["Early-Data"]) > 0
	return early && r.Method != http.MethodGet && r.Method != http.MethodHead
}

// hasPrefix reports whether a path is our prefix or below it.
func hasPrefix(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// id returns the reference id of the request: Caddy's, so that it stands in the access log, too.
func (req *request) id() string {
	if req.replacer == nil {
		return ""
	}
	id, _ := req.replacer.GetString("http.request.uuid")
	return id
}
