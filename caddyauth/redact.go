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

// Caddy copies a request for its logs before it runs any handler, and no handler can change the copy: what is in the
// target or in a header then is in the access log, in the error log, and in whatever a handler logs about the request
// when it debugs. So a request with a secret in it is passed to the server again, without the secret, and that one is
// logged instead of the first. Matchers, rewrites, error routes, other handlers and the app see the address without the
// secret, too; our own pages get it beside the request.

// holdsAddress reports whether a header contains an address that the client, or another proxy, sent.
func holdsAddress(name string) bool {
	switch name {
	case "Referer", "Hx-Current-Url", "Next-Url", "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url", "X-Request-Uri",
		"X-Rewrite-Url":
		return true
	}
	return false
}

// redacted is what a request contained before its secrets were removed.
type redacted struct {
	context.Context
	path    string // escaped, without the query
	uri     *url.URL
	headers http.Header // that are secrets as a whole, which the gate needs
}

type redactedKey struct{}

// Value implements context.Context.
func (c *redacted) Value(key any) any {
	if key == (redactedKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// redactedOf returns what was removed from a request, nil for nothing.
func redactedOf(ctx context.Context) *redacted {
	c, _ := ctx.Value(redactedKey{}).(*redacted)
	return c
}

// redact serves a request that must not be logged as it came, or whose response must not, and reports whether it did.
// Below the prefix any response may lead to an address with a secret, whatever the request was. It has to run before
// all other handlers of a site: what runs before it runs twice, and sees the secret.
func (a *App) redact(w http.ResponseWriter, r *http.Request) bool {
	ctx := r.Context()
	if c := redactedOf(ctx); c != nil {
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
	header, taken := a.redactHeaders(r.Header)
	ours := reqctx.UnderPrefix(orig.RequestURI, prefix)
	if target == orig.RequestURI && header == nil && !ours {
		return false
	}
	c := &redacted{path: pathOf(orig.RequestURI, orig.URL), uri: orig.URL, headers: taken, Context: ctx}
	again := r.WithContext(c)
	again.Method, again.RequestURI, again.URL = orig.Method, target, parsed(target, orig.URL, prefix)
	if header != nil {
		again.Header = header
	}
	caddyhttp.SetVar(ctx, caddyhttp.LogSkipVar, true)
	if !ours {
		srv.ServeHTTP(w, again)
		return true
	}
	rw := &redactingWriter{ResponseWriter: w, prefix: prefix, header: w.Header().Clone()}
	srv.ServeHTTP(rw, again)
	rw.sendHeader()
	return true
}

// redactHeaders returns the headers as they may be logged, nil when nothing changes, and those that are secret.
func (a *App) redactHeaders(h http.Header) (shown, taken http.Header) {
	change := func(name string, values []string) {
		if shown == nil {
			shown = h.Clone()
		}
		shown[name] = values
	}
	for name, values := range h {
		if a.secret.has(name) {
			if taken == nil {
				taken = make(http.Header)
			}
			taken[name] = values
			change(name, []string{reqctx.Redacted})
		} else if holdsAddress(name) {
			if addresses := loggableAddresses(values, a.opt.prefix); addresses != nil {
				change(name, addresses)
			}
		}
	}
	return shown, taken
}

// loggableAddresses returns addresses as they may be logged, nil when nothing changes.
func loggableAddresses(values []string, prefix string) (shown []string) {
	for i, value := range values {
		address := reqctx.Loggable(value, prefix)
		if address != value && shown == nil {
			shown = slices.Clone(values)
		}
		if shown != nil {
			shown[i] = address
		}
	}
	return shown
}

// pathOf returns the escaped path of a request as it came.
func pathOf(requestURI string, uri *url.URL) string {
	path, _, _ := strings.Cut(requestURI, "?")
	if !strings.HasPrefix(path, "/") { // absolute-form, CONNECT, "*"
		return uri.EscapedPath()
	}
	return path
}

// parsed returns a target without secrets as net/http would have parsed it.
func parsed(target string, orig *url.URL, prefix string) *url.URL {
	u, err := url.ParseRequestURI(target)
	if err != nil { // what was cut in the middle of an escape
		return &url.URL{Scheme: orig.Scheme, Host: orig.Host, Path: prefix + "/" + reqctx.Redacted}
	}
	return u
}

// redactingWriter sends a response with its headers, and shows the log others: the target of a redirect may contain the
// address that was requested, or one that a form or a provider has given back.
type redactingWriter struct {
	http.ResponseWriter
	prefix string
	header http.Header
	sent   bool
}

// Header implements http.ResponseWriter.
func (v *redactingWriter) Header() http.Header { return v.header }

// WriteHeader implements http.ResponseWriter.
func (v *redactingWriter) WriteHeader(status int) {
	if v.sent {
		v.ResponseWriter.WriteHeader(status) // logs that it is superfluous
		return
	}
	v.copyHeader()
	v.ResponseWriter.WriteHeader(status)
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // more follows
	}
	v.sent = true
	if locations := slices.Clone(v.header["Location"]); locations != nil { // a copy: the other one is being sent
		for i, address := range locations {
			locations[i] = reqctx.Loggable(address, v.prefix)
		}
		v.header["Location"] = locations
	}
}

// Write implements http.ResponseWriter.
func (v *redactingWriter) Write(b []byte) (int, error) {
	v.sendHeader()
	return v.ResponseWriter.Write(b)
}

// FlushError is called by http.ResponseController.
func (v *redactingWriter) FlushError() error {
	v.sendHeader()
	return http.NewResponseController(v.ResponseWriter).Flush()
}

// Unwrap is called by http.ResponseController.
func (v *redactingWriter) Unwrap() http.ResponseWriter { return v.ResponseWriter }

func (v *redactingWriter) sendHeader() {
	if !v.sent {
		v.WriteHeader(http.StatusOK)
	}
}

func (v *redactingWriter) copyHeader() {
	h := v.ResponseWriter.Header()
	clear(h)
	maps.Copy(h, v.header)
}
