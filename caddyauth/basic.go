package caddyauth

import (
	"net/http"
	"strings"
)

// Of several gates on the way of a request it is enough that one has its path among those for Basic: one in the site
// and one in a handle block, say. The outer one decides first, so it has to know what the inner one has.

// takesBasic reports whether a token may come as Basic: on the paths for it, and only from programs. A browser that has
// once been told a token sends it by itself, with requests that other sites make it send, too.
func (g *Gate) takesBasic(r *http.Request, req *request) bool {
	switch {
	case fromBrowser(r.Header):
		return false
	case g.basic.Match(req.target):
		req.first.tookBasic = true // for gates after this one
	}
	return req.first.tookBasic || g.leadsToBasic(r, req)
}

// offersBasic reports whether a program that is refused is asked for Basic. A browser would open a window of its own.
func (g *Gate) offersBasic(r *http.Request, req *request) bool {
	h := r.Header
	return !fromBrowser(h) && len(h["Referer"]) == 0 && !holdsFold(h["Accept"], "text/html") &&
		!holdsFold(h["User-Agent"], "mozilla/") && (g.basic.Match(req.target) || g.leadsToBasic(r, req))
}

// leadsToBasic reports whether another gate of the server, which guards the request by its matchers and those of the
// routes around it, has the path among those for Basic. Where a handler between the two leads elsewhere, that one never
// decides: then the token has come as Basic to a path for which some gate of the site has said so.
func (g *Gate) leadsToBasic(r *http.Request, req *request) bool {
	if g.server == nil {
		return false
	}
	for _, p := range g.app.placedGates(g.server) {
		if p.gate != g && len(p.gate.Basic) > 0 && p.gate.basic.Match(req.target) && p.guards(r, req) {
			return true
		}
	}
	return false
}

// fromBrowser reports whether only a browser sends such headers.
func fromBrowser(h http.Header) bool {
	for name := range h {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}

// holdsFold reports whether a value has a text in it, in upper or lower case.
func holdsFold(values []string, text string) bool {
	for _, v := range values {
		if strings.Contains(strings.ToLower(v), text) {
			return true
		}
	}
	return false
}
