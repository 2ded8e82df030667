package web

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// maxLogged bounds what of a header is logged.
const maxLogged = 200

// crossSiteCause returns what a request that was taken for another site's may be instead, and what to do about it: a
// proxy between the browser and Caddy has changed what the browser said. It is "" where the browser itself says that
// the request is another site's.
func crossSiteCause(r *http.Request) string {
	origin := r.Header.Get("Origin")
	if r.Header.Get("Sec-Fetch-Site") != "" || origin == "" {
		return ""
	}
	if origin == "null" {
		return "; if it is none: the browser hides where it comes from, as it does over plain HTTP where a proxy or an " +
			"extension sets Referrer-Policy: no-referrer; leave the header of the gate's pages as it is, or use HTTPS"
	}
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	from, ok := reqctx.ParseHost(u.Host)
	asked, named := reqctx.RequestedHost(r)
	switch {
	case !ok || !named:
		return ""
	case from.Name == asked.Name && from.Port != asked.Port:
		return "; Host and Origin differ in the port alone: have the proxy in front pass on Host as the browser sends it " +
			"(nginx: proxy_set_header Host $http_host)"
	}
	return "; if the site has the name in Origin for browsers: have the proxy in front pass on Host as the browser " +
		"sends it, or send X-Forwarded-Host and set forwarded_host"
}
