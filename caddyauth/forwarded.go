package caddyauth

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Which headers of other proxies are trusted: X-Forwarded-Proto and, if configured, X-Forwarded-Host, of proxies in
// Caddy's trusted_proxies. Everything else that proxies send (Forwarded, X-Real-IP, X-Forwarded-Port, -Prefix, -Uri and
// -Method, X-Original-URL, X-Rewrite-URL) is never read. The client's address is Caddy's client_ip, which reads
// X-Forwarded-For as trusted_proxies allows.

// overTLS reports whether the browser uses HTTPS. A trusted proxy may terminate TLS before Caddy, and of several in a
// row the inner ones see HTTP: so one "https" in the list is enough, and no client can keep a cookie from being marked
// Secure by a value in front of it. Unknown values are ignored.
func overTLS(r *http.Request, trusted bool) bool {
	plain := false
	if trusted {
		for _, line := range r.Header["X-Forwarded-Proto"] {
			for word := range strings.SplitSeq(line, ",") {
				switch strings.ToLower(strings.TrimSpace(word)) {
				case "https", "wss":
					return true
				case "http", "ws":
					plain = true
				}
			}
		}
	}
	return r.TLS != nil && !plain
}

// hostOf returns the host as the browser names the site, without the scheme's usual port; "" for one that no browser
// would send. forwarded believes X-Forwarded-Host.
func hostOf(r *http.Request, forwarded, secure bool) string {
	if forwarded {
		if text, ok := commonValue(r.Header["X-Forwarded-Host"]); ok {
			if host := reqctx.Canonical(text, secure); host != "" {
				return host
			}
		}
	}
	return reqctx.Canonical(r.Host, secure)
}

// commonValue returns the value that all elements of a list header have in common. A proxy that appends keeps in front
// what the client sent: elements that differ prove nothing.
func commonValue(lines []string) (value string, ok bool) {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimSpace(part)
			switch {
			case !ok:
				value, ok = part, true
			case !strings.EqualFold(part, value):
				return "", false
			}
		}
	}
	return value, ok && value != ""
}

// warnLenientClientIP warns, once, of a server that lets clients choose their own address: without
// trusted_proxies_strict Caddy takes the first element of X-Forwarded-For, and a proxy that appends keeps in front what
// the client wrote. Limits for each address and the audit log use that address. It is called at the first request of a
// trusted proxy: which proxies a server trusts cannot be seen before.
func (a *App) warnLenientClientIP(ctx context.Context) {
	srv, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if srv == nil || srv.TrustedProxiesStrict > 0 || a.lenientClientIP.Load() {
		return
	}
	forwardedFor := func(name string) bool { return strings.EqualFold(name, "X-Forwarded-For") }
	if len(srv.ClientIPHeaders) > 0 && !slices.ContainsFunc(srv.ClientIPHeaders, forwardedFor) {
		return
	}
	if !a.lenientClientIP.Swap(true) {
		a.log.Warn("clients behind a trusted proxy can choose the address that they are limited and logged by; add "+
			"trusted_proxies_strict beside trusted_proxies",
			zap.Strings("listen", srv.Listen))
	}
}
