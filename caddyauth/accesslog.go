package caddyauth

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// unlogged serves a request whose address is a secret (the code of a provider's answer, a one-time link) and keeps it
// out of Caddy's access log, which writes addresses as they came. What remains to be known is logged here.
func (g *Gate) unlogged(w http.ResponseWriter, r *http.Request, v *visit, next http.Handler) {
	if !secretAddress(v.path[len(v.live.opt.prefix):], v.uri.RawQuery) {
		next.ServeHTTP(w, r)
		return
	}
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	rec := caddyhttp.NewResponseRecorder(w, nil, nil)
	start := time.Now()
	next.ServeHTTP(rec, r)
	q := v.site(r)
	path := v.path
	if i := strings.Index(path, "/link/"); i >= 0 {
		path = path[:i+len("/link/")] + "REDACTED"
	}
	g.log.Info("handled request", zap.String("method", r.Method), zap.String("host", q.Host), zap.String("path", path),
		zap.String("client_ip", q.IP()), zap.Int("status", rec.Status()), zap.Duration("duration", time.Since(start)), zap.String("request_id", q.ID))
}

// secretAddress judges a path below the mount prefix.
func secretAddress(path, query string) bool {
	return strings.HasPrefix(path, "/link/") ||
		(strings.HasPrefix(path, "/oidc/") && strings.HasSuffix(path, "/callback") && query != "")
}
