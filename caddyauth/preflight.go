package caddyauth

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func (g *Gate) parsePreflight(d *caddyfile.Dispenser) error {
	g.AllowPreflight = true
	return noArgs(d)
}

// isPreflight reports whether r is a CORS preflight (Fetch, section 3.3.2), which browsers send without cookies.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}
