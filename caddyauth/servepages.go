package caddyauth

import (
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/runtime"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// servePages serves Gatehouse's own pages.
func (g *Gate) servePages(w http.ResponseWriter, r *http.Request, req *request) error {
	if isEarlyData(r) {
		return g.tooEarly(w, r)
	}
	runtime.GateWrites(w)
	if req.first.credential.Ours() {
		return g.servePagesToProgram(w, r, req)
	}
	_ = req.chooseToken(r.Context()) // with an error there is a token, whose lookup fails as well
	req.pageContext(r).NoTokens = slices.Contains(g.Tokens, tokensOff)
	asked := false
	r = web.WithSessionObserver(req.forPages(r), func(s *session.Live) {
		asked = true
		if s != nil {
			req.first.identity = identityOf(req.live.oidc, s)
		}
	})
	req.live.site.Router.ServeHTTP(w, r)
	if !asked {
		req.identifyForLog()
	}
	return nil
}

// servePagesToProgram serves what of our own addresses a token opens: little. Its paths are no part of a scope.
func (g *Gate) servePagesToProgram(w http.ResponseWriter, r *http.Request, req *request) error {
	ours := func(r *http.Request, req *request) bool { return scopeOf(req.session).AllowsHost(req.host, r.Method) }
	if goOn, err := g.admitToken(w, r, req, ours); !goOn {
		return err
	}
	req.first.identity = identityOf(req.live.oidc, req.session)
	req.live.site.Router.ServeHTTP(w, web.WithProgram(req.forPages(r), req.session))
	return nil
}

// identifyForLog finds out for the access log who requested a page of ours that does not ask, such as one that does not
// exist, or a request that was refused before the page could ask.
func (req *request) identifyForLog() {
	page := req.path[len(req.live.opt.prefix):]
	if req.first.token == "" || page == "/healthz" || strings.HasPrefix(page, "/assets/") {
		return
	}
	s, err := req.live.sessions.Peek(req.ctx, req.first.token)
	if err == nil {
		s, err = req.live.oidc.Check(req.ctx, s)
	}
	if err == nil {
		req.first.identity = identityOf(req.live.oidc, req.live.second.Acting(s))
	}
}

// pageContext returns what our pages may know of the request; made once, when it is needed.
func (req *request) pageContext(r *http.Request) *reqctx.Request {
	if req.pageCtx != nil {
		return req.pageCtx
	}
	q := &reqctx.Request{
		Secure: req.cookie.Secure, Host: req.host, Prefix: "/_auth", CookieName: req.cookie.Base,
		Token: req.first.token, TokenRead: true,
	}
	if req.live != nil {
		q.Prefix = req.live.opt.prefix
	}
	if ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ip != "" {
		q.ClientIP, _ = netip.ParseAddr(ip) // the zero address when it is none
	}
	req.pageCtx = q
	return q
}

// forPages returns the request as our pages see it: the address that the client asked for, whatever was rewritten
// since, and with our own cookies, which the app never sees: they hold the language and the colors that the person
// chose.
func (req *request) forPages(r *http.Request) *http.Request {
	q := req.pageContext(r)
	q.ID = req.id()
	r = reqctx.With(r, q)
	if req.first.cookieHeader != nil {
		r.Header = maps.Clone(r.Header)
		r.Header["Cookie"] = req.first.cookieHeader
	}
	r.URL = &url.URL{Path: req.uri.Path, RawPath: req.uri.RawPath, RawQuery: req.uri.RawQuery}
	return r
}
