package caddyauth

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// The option cache_headers: what browsers may keep of the app's responses to signed-in people.

// cacheOptions say what is done about caches.
type cacheOptions struct {
	cacheHeaders bool // keep from browsers' caches what the app says nothing about
}

func parseCacheHeaders(a *App, d *caddyfile.Dispenser) error {
	word, err := oneArg(d)
	if err != nil {
		return err
	}
	if word != "on" && word != "off" {
		return d.Errf("cache_headers: %q; use on or off", word)
	}
	a.CacheHeaders = new(word == "on")
	return nil
}

func resolveCacheHeaders(a *App, o *options) error {
	o.cacheHeaders = a.CacheHeaders == nil || *a.CacheHeaders
	return nil
}

func cacheHeadersSettings(a *App, s *settings) {
	word := "on"
	if !a.opt.cacheHeaders {
		word = "off"
	}
	s.add("pages", "cache_headers", word, a.CacheHeaders == nil)
}

// clearCache is the value of Clear-Site-Data that leaves cookies and storage alone: those are the app's.
var clearCache = []string{`"cache"`}

// forgetCache has a browser that comes with a session that is over delete what it keeps of this host. `no-cache` is not
// enough: going back, a browser shows what it kept without asking (RFC 9111, section 6). Sign-out does the same; this
// is for sessions that end elsewhere. Browsers obey over HTTPS only.
func (req *request) forgetCache(h http.Header) {
	if req.cookie.Secure && req.first.token != "" && req.live.opt.cacheHeaders {
		h["Clear-Site-Data"] = clearCache
	}
}
