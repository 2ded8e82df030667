package caddyauth

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Caddy copies a request for its logs before it runs any handler, and the copy is out of a handler's reach: what stands
// in the target or in a header then is in the access log, in the log of errors, and in whatever a handler writes about
// the request when it debugs. So a request with a secret in it is handed to the server once more, without the secret,
// and the copy that counts is made of that one. The first is not logged. Matchers, rewrites, error routes, other
// handlers and the app see the address without the secret, too; our own pages find it beside the request.

// addressHeaders hold an address that the client, or another proxy, came with.
var addressHeaders = []string{
	"Referer", "Hx-Current-Url", "Next-Url", "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url", "X-Request-Uri", "X-Rewrite-Url",
}

// secretHeaders are secrets as a whole, of which handlers have to know. They are put back behind the copy.
var secretHeaders = []string{"Gatehouse-Token"}

// concealed is what a request carried before its secrets were taken out.
type concealed struct {
	context.Context
	path    string // escaped, without the query
	uri     *url.URL
	headers http.Header // of secretHeaders
}

type concealedKey struct{}

// Value implements context.Context.
func (c *concealed) Value(key any) any {
	if key == (concealedKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// concealedOf returns what was taken out of a request, nil for nothing.
func concealedOf(ctx context.Context) *concealed {
	c, _ := ctx.Value(concealedKey{}).(*concealed)
	return c
}

// conceal responds to a request that must not be logged as it came, and reports whether it did. It belongs before all other
// handlers of a site: what runs before it runs twice, and sees the secret.
func (a *App) conceal(w http.ResponseWriter, r *http.Request) bool {
	ctx := r.Context()
	if c := concealedOf(ctx); c != nil {
		maps.Copy(r.Header, c.headers)
		return false
	}
	srv, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	orig, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if srv == nil || !ok || orig.URL == nil {
		return false
	}
	prefix := a.opt.prefix
	target := reqctx.Loggable(orig.RequestURI, prefix)
	header, taken := a.concealHeaders(r.Header)
	if target == orig.RequestURI && header == nil {
		return false
	}
	c := &concealed{path: pathOf(orig.RequestURI, orig.URL), uri: orig.URL, headers: taken, Context: ctx}
	again := r.WithContext(c)
	again.Method, again.RequestURI, again.URL = orig.Method, target, parsed(target, orig.URL, prefix)
	if header != nil {
		again.Header = header
	}
	caddyhttp.SetVar(ctx, caddyhttp.LogSkipVar, true)
	if target == orig.RequestURI {
		srv.ServeHTTP(w, again)
		return true
	}
	veil := &veil{ResponseWriter: w, prefix: prefix, header: w.Header().Clone()}
	srv.ServeHTTP(veil, again)
	veil.send()
	return true
}

// concealHeaders returns the headers as they may be logged, nil when that is how they are, and those that are secret.
func (a *App) concealHeaders(h http.Header) (shown, taken http.Header) {
	change := func(name string, values []string) {
		if shown == nil {
			shown = h.Clone()
		}
		shown[name] = values
	}
	for _, name := range addressHeaders {
		var values []string
		for i, value := range h[name] {
			address := reqctx.Loggable(value, a.opt.prefix)
			if address != value && values == nil {
				values = slices.Clone(h[name])
			}
			if values != nil {
				values[i] = address
			}
		}
		if values != nil {
			change(name, values)
		}
	}
	for _, name := range secretHeaders {
		if values := h[name]; len(values) > 0 {
			if taken == nil {
				taken = make(http.Header)
			}
			taken[name] = values
			change(name, []string{reqctx.Redacted})
		}
	}
	return shown, taken
}

// pathOf returns the escaped path of a request as it came.
func pathOf(requestURI string, uri *url.URL) string {
	path, _, _ := strings.Cut(requestURI, "?")
	if !strings.HasPrefix(path, "/") { // absolute-form, CONNECT, "*"
		return uri.EscapedPath()
	}
	return path
}

// parsed returns a target without secrets as net/http would have read it.
func parsed(target string, orig *url.URL, prefix string) *url.URL {
	u, err := url.ParseRequestURI(target)
	if err != nil { // what was cut in the middle of an escape
		return &url.URL{Scheme: orig.Scheme, Host: orig.Host, Path: prefix + "/" + reqctx.Redacted}
	}
	return u
}

// veil sends an answer with the headers that it has, and shows the log others: where an answer leads to may hold the
// address that was asked for.
type veil struct {
	http.ResponseWriter
	prefix string
	header http.Header
	sent   bool
}

// Header implements http.ResponseWriter.
func (v *veil) Header() http.Header { return v.header }

// WriteHeader implements http.ResponseWriter.
func (v *veil) WriteHeader(status int) {
	if v.sent {
		v.ResponseWriter.WriteHeader(status) // which says that it is superfluous
		return
	}
	v.copy()
	v.ResponseWriter.WriteHeader(status)
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // more follows
	}
	v.sent = true
	if locations := slices.Clone(v.header["Location"]); locations != nil { // a copy: the other one is on its way
		for i, address := range locations {
			locations[i] = reqctx.Loggable(address, v.prefix)
		}
		v.header["Location"] = locations
	}
}

// Write implements http.ResponseWriter.
func (v *veil) Write(b []byte) (int, error) {
	v.send()
	return v.ResponseWriter.Write(b)
}

// FlushError is found by http.ResponseController.
func (v *veil) FlushError() error {
	v.send()
	return http.NewResponseController(v.ResponseWriter).Flush()
}

// Unwrap is found by http.ResponseController.
func (v *veil) Unwrap() http.ResponseWriter { return v.ResponseWriter }

func (v *veil) send() {
	if !v.sent {
		v.WriteHeader(http.StatusOK)
	}
}

func (v *veil) copy() {
	h := v.ResponseWriter.Header()
	clear(h)
	maps.Copy(h, v.header)
}
