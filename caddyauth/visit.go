package caddyauth

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/runtime"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// visit is one request as the gate sees it: what the client asked for before any rewrite, and what Caddy vouches for.
// The first is made where the request comes in (entrance.go); a second gate on the way has one of its own, and what is
// known of the request is in the first. The arrays in it spare a handful of allocations for every request.
type visit struct {
	context.Context
	first *visit // where the request came in; itself there

	repl     *caddy.Replacer
	path     string   // escaped path as it came, without the query
	pathless bool     // the request's target is no path: absolute, an authority, or "*"
	uri      *url.URL // as it came
	target   policy.Target
	cookie   session.Cookie
	host     string
	live     *live
	site_    *reqctx.Request

	met      bool             // a gate has judged it; of the first visit
	gate     *Gate            // the last gate that let somebody through, nil for none; of the first visit
	token    string           // session token, "" for none; of the first visit
	came     []string         // Cookie header as it came; of the first visit
	identity *identity        // who is signed in, nil for nobody and where nobody was asked for; of the first visit
	sent     []identityHeader // what a gate sends upstream; of the first visit
	follower session.Follower
	out      runtime.Response  // what the app's answer is written to
	values   [numValues]string // backs the headers sent upstream
	cookies  [1]string         // backs the Cookie header sent upstream
}

// visitVar is where the first visit of a request is kept among Caddy's variables. Error routes run with the request as
// it was before any handler, so its context would not lead them there. No client can name or set a variable.
const visitVar = "http.gatehouse.visit"

// String implements fmt.Stringer: a placeholder that names the variable shows nothing of it.
func (*visit) String() string { return "" }

// arrived returns the first visit of a request, or nil where it has not come in yet.
func arrived(ctx context.Context) *visit {
	v, _ := caddyhttp.GetVar(ctx, visitVar).(*visit)
	return v
}

// arrive notes who comes, and takes from the request everything by which its client could speak for the gate.
func arrive(app *App, r *http.Request) *visit {
	v := newVisit(app, r)
	v.came = r.Header["Cookie"]
	v.token = v.cookie.Token(r.Header)
	app.guarded.strip(r)
	session.StripCookies(r.Header, &v.cookies)
	v.provideIdentity()
	caddyhttp.SetVar(r.Context(), visitVar, v)
	return v
}

// visitOf returns the visit that a gate works with, with the path as it was rewritten until here.
func (g *Gate) visitOf(r *http.Request) *visit {
	v := arrived(r.Context())
	if v == nil { // there is no entrance, as in a server that is none of Caddy's
		v = arrive(g.app, r)
	}
	if v.met {
		v = v.again()
	}
	v.met, v.Context = true, r.Context()
	v.target = policy.NewTarget(v.asked(), currentPath(r, v))
	return v
}

// again returns a further visit of the same request.
func (v *visit) again() *visit {
	return &visit{first: v.first, repl: v.repl, path: v.path, pathless: v.pathless, uri: v.uri, target: v.target, cookie: v.cookie, host: v.host, live: v.live, site_: v.site_}
}

// asked returns the path as rules judge it: none where the request's target is no path (RFC 9112, section 3.2.2 to 3.2.4).
// Browsers and proxies send such targets to proxies only, and readers of an absolute one differ in what they take from it.
func (v *visit) asked() string {
	if v.pathless {
		return ""
	}
	return v.path
}

// rewritten reports whether the address is another one than the client's.
func (v *visit) rewritten(r *http.Request) bool {
	return r.URL.Path != v.uri.Path || r.URL.RawPath != v.uri.RawPath
}

// currentPath returns the escaped path that an upstream would be asked for.
func currentPath(r *http.Request, v *visit) string {
	if !v.rewritten(r) {
		return v.path
	}
	return r.URL.EscapedPath()
}

// newVisit reads the request. X-Forwarded-* count only from a proxy that Caddy was told to trust.
func newVisit(app *App, r *http.Request) *visit {
	ctx := r.Context()
	v := &visit{Context: ctx, uri: r.URL}
	v.first = v
	v.repl, _ = ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	requestURI := r.RequestURI
	if orig, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && orig.URL != nil {
		v.uri, requestURI = orig.URL, orig.RequestURI
	}
	v.path = pathOf(requestURI, v.uri)
	v.pathless = requestURI != "" && requestURI[0] != '/'
	if c := concealedOf(ctx); c != nil && under(c.path, app.opt.prefix) {
		v.path, v.uri = c.path, c.uri // our own pages know the secret
	}
	trusted, _ := caddyhttp.GetVar(ctx, caddyhttp.TrustedProxyVarKey).(bool)
	if trusted {
		app.noteClientIP(ctx)
	}
	secure := overTLS(r, trusted)
	v.host = hostOf(r, trusted && app.opt.forwarded, secure)
	v.cookie = session.CookieFor(secure, v.host, app.opt.cookieDomain)
	return v
}

// underPrefix reports whether the request is for our own pages.
func (v *visit) underPrefix(prefix string) bool { return under(v.path, prefix) }

func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// Kinds of visits: who asks decides what an answer looks like.
type visitKind int

const (
	visitAPI  visitKind = iota // a program: problem+json, never a redirect
	visitPage                  // a browser loading a page: can be sent to the sign-in page
	visitForm                  // a browser loading a page by another method: a redirect would lose what was sent
)

// kind tells a browser's page load from everything else: by Fetch Metadata where there is any, else by what the
// client accepts.
func (v *visit) kind(r *http.Request, api policy.Paths) visitKind {
	if api.Covers(v.target) {
		return visitAPI
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	mode, fetched := r.Header["Sec-Fetch-Mode"]
	if !fetched {
		fetched = len(r.Header["Sec-Fetch-Dest"]) > 0 || len(r.Header["Sec-Fetch-Site"]) > 0
	}
	switch {
	case len(r.Header["Upgrade"]) > 0, r.Method == http.MethodConnect:
		return visitAPI // a WebSocket cannot follow a redirect
	case fetched && (len(mode) != 1 || mode[0] != "navigate"):
		return visitAPI
	case fetched && !safe:
		return visitForm
	case fetched, safe && acceptsHTML(r.Header["Accept"]):
		return visitPage
	default:
		return visitAPI
	}
}

func acceptsHTML(accept []string) bool { return slices.ContainsFunc(accept, namesHTML) }

// namesHTML reports whether one Accept header names HTML, and does not rule it out (RFC 9110, section 12.5.1).
func namesHTML(accept string) bool {
	before, after, found := strings.Cut(accept, "text/html")
	if !found {
		if before, after, found = strings.Cut(strings.ToLower(accept), "text/html"); !found {
			return false
		}
	}
	if before != "" && !strings.HasSuffix(strings.TrimRight(before, " \t"), ",") {
		return false // part of another type's parameter
	}
	after, _, _ = strings.Cut(after, ",")
	if after == "" { // the common case
		return true
	}
	for p := range strings.SplitSeq(after, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			return strings.Trim(value, "0.") != ""
		}
	}
	return true
}

// early reports whether r is TLS early data that may be a replay (RFC 8470): only safe methods are judged then.
func (v *visit) early(r *http.Request) bool {
	return r.TLS != nil && !r.TLS.HandshakeComplete && r.Method != http.MethodGet && r.Method != http.MethodHead
}

// site answers what our pages may know of the request; made once, when it is needed.
func (v *visit) site(r *http.Request) *reqctx.Request {
	if v.site_ != nil {
		return v.site_
	}
	q := &reqctx.Request{Secure: v.cookie.Secure, Host: v.host, Prefix: "/_auth"}
	if v.live != nil {
		q.Prefix = v.live.opt.prefix
	}
	if ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ip != "" {
		q.ClientIP, _ = netip.ParseAddr(ip) // the zero address when it is none
	}
	v.site_ = q
	return q
}

// id returns the reference id of the request: Caddy's, so that it stands in the access log, too.
func (v *visit) id() string {
	if v.repl == nil {
		return ""
	}
	id, _ := v.repl.GetString("http.request.uuid")
	return id
}

// with returns the request as our pages see it: the address that the client asked for, whatever was rewritten since,
// and with our own cookies, which the app never sees: they say which language and colors the person chose.
func (v *visit) with(r *http.Request) *http.Request {
	v.site(r).ID = v.id()
	r = reqctx.With(r, v.site(r))
	if v.first.came != nil {
		r.Header = maps.Clone(r.Header)
		r.Header["Cookie"] = v.first.came
	}
	r.URL = &url.URL{Path: v.uri.Path, RawPath: v.uri.RawPath, RawQuery: v.uri.RawQuery}
	return r
}

// pages serves Gatehouse's own pages.
func (g *Gate) pages(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.early(r) {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusTooEarly)
		return nil
	}
	asked := false
	r = portal.WithNotice(v.with(r), func(s *session.Live) {
		asked = true
		if s != nil {
			v.first.identity = identityOf(s)
		}
	})
	v.live.portal.ServeHTTP(w, r)
	if !asked {
		v.identifyVisitor()
	}
	return nil
}

// identifyVisitor finds out for the access log who came to a page of ours that does not ask, such as one that there is
// none of, or was refused before it could.
func (v *visit) identifyVisitor() {
	page := v.path[len(v.live.opt.prefix):]
	if v.first.token == "" || page == "/healthz" || strings.HasPrefix(page, "/assets/") {
		return
	}
	s, err := v.live.sessions.Peek(v.Context, v.first.token)
	if err == nil {
		s, err = v.live.oidc.Counts(v.Context, s)
	}
	if err == nil {
		v.first.identity = identityOf(s)
	}
}

// plainUnavailable answers before there is anything to make pages with.
func plainUnavailable(w http.ResponseWriter, page bool) {
	h := w.Header()
	decisionHeaders(h)
	h.Set("Retry-After", "2")
	h.Set("X-Content-Type-Options", "nosniff")
	if page {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<!doctype html><html lang=en><title>Starting</title><h1>This site is starting</h1><p>Please try again in a moment.</p>")
		return
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"The gate is starting. Try again in a moment."}`)
}
