package caddyauth

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// Which headers of other proxies are trusted: X-Forwarded-Proto and, if configured, X-Forwarded-Host, of proxies in
// Caddy's trusted_proxies. Everything else that proxies send (Forwarded, X-Real-IP, X-Forwarded-Port, -Prefix, -Uri and
// -Method, X-Original-URL, X-Rewrite-URL) is never read. The client's address is Caddy's client_ip, which reads
// X-Forwarded-For as trusted_proxies allows.

// overTLS reports whether the browser uses HTTPS. A trusted proxy may terminate TLS before Caddy, and of several in a
// row the inner ones see HTTP: so one "https" in the list is enough, and no client can keep a cookie from being marked
// Secure by a value in front of it. Proxies that name the scheme of a WebSocket say "wss" and "ws".
//
// A word that means neither is not taken for "http": it is logged, and then, as where a trusted proxy says nothing, the
// browser's own word counts. It sends cookies named __Host- or __Secure- over HTTPS alone; one that makes them up gets
// no more than cookies of its own that it may not keep.
func (a *App) overTLS(r *http.Request, trusted bool) bool {
	if !trusted {
		return r.TLS != nil
	}
	plain := false
	for _, line := range r.Header["X-Forwarded-Proto"] {
		for word := range strings.SplitSeq(line, ",") {
			switch word = strings.ToLower(strings.TrimSpace(word)); word {
			case "https", "wss":
				return true
			case "http", "ws":
				plain = true
			case "": // as good as no word
			default:
				a.warnForwarded(r.Context(), &a.unknownProto, "X-Forwarded-Proto", word, "is none of https, http, wss and ws, so "+
					"it is not known whether browsers use HTTPS; have the proxy send https or http")
			}
		}
	}
	return !plain && (r.TLS != nil || session.SecureNamesOnly(r.Header, a.opt.cookieName))
}

// warnForwarded warns, once, of a trusted proxy that sends a header which says nothing.
func (a *App) warnForwarded(ctx context.Context, warned *atomic.Bool, header, value, what string) {
	if warned.Swap(true) {
		return
	}
	var listen []string
	if srv, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); srv != nil {
		listen = srv.Listen
	}
	a.log.Warn(header+" of a trusted proxy "+what,
		zap.String("value", value[:min(len(value), maxNameLen)]), zap.Strings("listen", listen))
}

// hostOf returns the host as the browser names the site, without the scheme's usual port; "" for one that no browser
// would send. forwarded believes X-Forwarded-Host, where it says one thing.
func (a *App) hostOf(r *http.Request, forwarded, secure bool) string {
	if lines := r.Header["X-Forwarded-Host"]; forwarded && len(lines) > 0 {
		text, ok := commonValue(lines)
		if host := reqctx.Canonical(text, secure); ok && host != "" {
			return host
		}
		a.warnForwarded(r.Context(), &a.unknownHost, "X-Forwarded-Host", strings.Join(lines, ", "),
			"names no host, or several, so Host counts instead; have the proxy replace what clients send")
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
