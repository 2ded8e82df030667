package caddyauth

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
)

// untrustedProxy is where a proxy is that ends TLS and is not trusted, as far as was seen: without trusted_proxies
// everything seems to work until a provider refuses the http address, or one person's wrong passwords hold everybody.
// Any client can send the header, so one from a network of the operator's own says more than one from elsewhere.
type untrustedProxy struct {
	near, far atomic.Pointer[string] // the address, "" for a unix socket
}

// warnUntrustedProxy warns, once, of a request that says that it came to a proxy over HTTPS, where nobody may say so.
func (a *App) warnUntrustedProxy(r *http.Request) {
	lines := r.Header["X-Forwarded-Proto"]
	if lines == nil || r.TLS != nil {
		return
	}
	https := func(line string) bool {
		line = strings.ToLower(line)
		return strings.Contains(line, "https") || strings.Contains(line, "wss")
	}
	seen := &a.untrusted.near
	address := ""
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		ip := peer.Addr().Unmap().WithZone("")
		if address = ip.String(); !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			seen = &a.untrusted.far
		}
	}
	if seen.Load() != nil || !slices.ContainsFunc(lines, https) || !seen.CompareAndSwap(nil, &address) {
		return
	}
	if address == "" {
		a.log.Warn("a proxy on a unix socket says that browsers use HTTPS, and is not believed: redirect addresses begin "+
			"with http, cookies are not marked Secure, and nobody's address is known",
			zap.String("add", "servers { trusted_proxies_unix }"), zap.String("to", "the global options"))
		return
	}
	a.log.Warn("a proxy says that browsers use HTTPS, and is not believed: redirect addresses begin with http, cookies "+
		"are not marked Secure, and everybody shares one limit of sign-in attempts; if it is yours, trust it",
		zap.String("proxy", address), zap.String("to", "the global options"),
		zap.String("add", "servers { trusted_proxies static "+address+"; trusted_proxies_strict }"))
}

// warning returns what the settings page says of it, if anything was seen.
func (u *untrustedProxy) warning() (text i18n.Text, found bool) {
	for _, seen := range []*atomic.Pointer[string]{&u.near, &u.far} {
		switch address := seen.Load(); {
		case address == nil:
		case *address == "":
			return i18n.New("warning.untrusted_socket"), true
		default:
			return i18n.New("warning.untrusted_proxy", "address", *address), true
		}
	}
	return i18n.Text{}, false
}
