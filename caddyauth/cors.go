package caddyauth

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// parseCORS reads `cors <origin>…`.
func (g *Gate) parseCORS(d *caddyfile.Dispenser) error {
	origins, err := someArgs(d)
	if err != nil {
		return err
	}
	g.CORS = append(g.CORS, origins...)
	if err := g.checkCORS(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// checkCORS refuses what no browser sends as an Origin.
func (g *Gate) checkCORS() error {
	_, err := corsOrigins(g.CORS)
	return err
}

// provisionCORS makes a list of origins as browsers spell them.
func (g *Gate) provisionCORS() (err error) {
	g.cors, err = corsOrigins(g.CORS)
	return err
}

func corsOrigins(configured []string) ([]string, error) {
	var list []string
	for _, s := range configured {
		origin, ok := reqctx.ParseOrigin(s)
		if !ok {
			return nil, fmt.Errorf("cors: %q is not an origin; write https://app.example.com, with a port where it is not the "+
				"usual one, and without a path", s)
		}
		list = append(list, origin)
	}
	return list, repeated("cors", list, same)
}

// allowsOrigin reports whether a script of another origin may read what the gate responds.
func (g *Gate) allowsOrigin(r *http.Request) bool {
	origin := r.Header["Origin"]
	return len(origin) == 1 && slices.Contains(g.cors, origin[0])
}

// allowReading lets scripts of configured origins read what the gate responds.
func (g *Gate) allowReading(w http.ResponseWriter, r *http.Request) {
	if !g.allowsOrigin(r) {
		return
	}
	h := w.Header()
	h["Access-Control-Allow-Origin"] = r.Header["Origin"]
	h["Access-Control-Allow-Credentials"] = []string{"true"}
	h["Access-Control-Expose-Headers"] = []string{"WWW-Authenticate, Retry-After"}
}
