package caddyauth

import (
	"math"
	"net"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Endpoint is where a gated site of a configuration can be reached on the machine that runs Caddy: its own listener,
// whatever its name means elsewhere.
type Endpoint struct {
	Network string // tcp, tcp4, tcp6 or unix
	Host    string // that the listener has, "" for all addresses of the machine
	Port    uint16
	Socket  string // path of a unix socket, in place of Host and Port

	Site   string // the host of requests, with the port where it is not the usual one
	Secure bool   // HTTPS
}

// Endpoints returns the gated sites of a configuration of Caddy that can be reached by a name: those of all hosts as
// localhost, and none whose name has a wildcard.
func Endpoints(config []byte) []Endpoint {
	var list []Endpoint
	eachGatedSite(config, func(srv *caddyhttp.Server, hosts []string, secure bool) {
		at, ok := firstListener(srv.Listen)
		if !ok {
			return
		}
		at.Secure = secure
		if len(hosts) == 0 {
			hosts = []string{"localhost"}
		}
		for _, host := range hosts {
			host = caddy.NewReplacer().ReplaceAll(host, "")
			if host == "" || strings.Contains(host, "*") {
				continue
			}
			at.Site = siteHost(host, at)
			list = append(list, at)
		}
	})
	return list
}

// siteHost returns the value of the header Host for a site at a listener.
func siteHost(host string, at Endpoint) string {
	usual := at.Secure && at.Port == caddyhttp.DefaultHTTPSPort || !at.Secure && at.Port == caddyhttp.DefaultHTTPPort
	switch {
	case at.Socket == "" && !usual:
		return net.JoinHostPort(host, strconv.Itoa(int(at.Port)))
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// firstListener returns the first listener that another process can connect to.
func firstListener(listen []string) (Endpoint, bool) {
	for _, l := range listen {
		a, err := caddy.ParseNetworkAddress(caddy.NewReplacer().ReplaceAll(l, ""))
		switch {
		case err != nil || a.IsFdNetwork() || a.StartPort > math.MaxUint16:
		case a.Network == "unix":
			path, _, _ := strings.Cut(a.Host, "|") // the mode of the socket
			return Endpoint{Network: a.Network, Socket: path}, true
		case strings.HasPrefix(a.Network, "tcp"):
			return Endpoint{Network: a.Network, Host: strings.Trim(a.Host, "[]"), Port: uint16(a.StartPort)}, true
		}
	}
	return Endpoint{}, false
}

// HealthPath returns the path at which the gates of the configuration tell whether they can do their work.
func (a *App) HealthPath() string {
	if a.Prefix == "" {
		return defaultPrefix + "/healthz"
	}
	return a.Prefix + "/healthz"
}
