package caddyauth

import (
	"encoding/json"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The addresses of gated sites, so that the log and the command line print links that can be opened.

// siteAddresses returns the origins of the sites that have a gate, of the configuration that runs.
func (a *App) siteAddresses() []string {
	hosts := a.gateHosts()
	var list []string
	for _, g := range a.gates {
		if g.server != nil {
			list = append(list, origins(g.server.Listen, hosts[g], len(g.server.TLSConnPolicies) > 0)...)
		}
	}
	return unique(list)
}

// SiteAddresses returns the origins of the sites that have a gate in a configuration of Caddy, as far as they can be
// told from it: none for one that cannot be read.
func SiteAddresses(config []byte) []string {
	var list []string
	eachGatedSite(config, func(srv *caddyhttp.Server, hosts []string, secure bool) {
		list = append(list, origins(srv.Listen, hosts, secure)...)
	})
	return unique(list)
}

// eachGatedSite calls fn for each route of a configuration that has a gate, with its hosts, none for all.
func eachGatedSite(config []byte, fn func(srv *caddyhttp.Server, hosts []string, secure bool)) {
	var c struct {
		Apps struct {
			HTTP caddyhttp.App `json:"http"`
		} `json:"apps"`
	}
	if json.Unmarshal(config, &c) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.Apps.HTTP.Servers)) {
		srv := c.Apps.HTTP.Servers[name]
		secure := usesTLS(srv, c.Apps.HTTP.HTTPPort)
		for i := range srv.Routes {
			r := &srv.Routes[i]
			if slices.ContainsFunc(r.HandlersRaw, func(raw json.RawMessage) bool { return gateHandler.Match(raw) }) {
				fn(srv, rawHosts(r.MatcherSetsRaw), secure)
			}
		}
	}
}

var gateHandler = regexp.MustCompile(`"handler"\s*:\s*"gatehouse"`)

// usesTLS reports whether Caddy will serve HTTPS on a server: by itself where a host asks for it.
func usesTLS(srv *caddyhttp.Server, httpPort int) bool {
	if len(srv.TLSConnPolicies) > 0 {
		return true
	}
	if httpPort == 0 {
		httpPort = caddyhttp.DefaultHTTPPort
	}
	var skip []string
	if srv.AutoHTTPS != nil {
		if srv.AutoHTTPS.Disabled {
			return false
		}
		skip = srv.AutoHTTPS.Skip //nolint:forbidigo // names for which Caddy makes no certificate
	}
	if _, port := listenAddress(srv.Listen); port == strconv.Itoa(httpPort) {
		return false
	}
	for i := range srv.Routes {
		asks := func(host string) bool { return !slices.Contains(skip, host) }
		if slices.ContainsFunc(rawHosts(srv.Routes[i].MatcherSetsRaw), asks) {
			return true
		}
	}
	return false
}

func rawHosts(sets caddyhttp.RawMatcherSets) []string {
	var hosts []string
	for _, set := range sets {
		var names []string
		if json.Unmarshal(set["host"], &names) == nil {
			hosts = append(hosts, names...)
		}
	}
	return hosts
}

// origins returns the origins of hosts on a server. Without a host it is that of the listener, or of this machine.
func origins(listen, hosts []string, secure bool) []string {
	at, port := listenAddress(listen)
	if port == "" {
		return nil // a unix socket: only a proxy before it has an address
	}
	if len(hosts) == 0 {
		if at == "" || at == "0.0.0.0" || at == "::" {
			at = "localhost"
		}
		hosts = []string{at}
	}
	scheme, usual := "http", "80"
	if secure {
		scheme, usual = "https", "443"
	}
	var list []string
	for _, host := range hosts {
		if strings.ContainsAny(host, "*{") {
			continue
		}
		if strings.Contains(host, ":") || port != usual {
			host = net.JoinHostPort(host, port)
		}
		list = append(list, scheme+"://"+strings.TrimSuffix(host, ":"+usual))
	}
	return list
}

// listenAddress returns host and port of a server's first listener on a network; "" for none.
func listenAddress(listen []string) (host, port string) {
	for _, l := range listen {
		a, err := caddy.ParseNetworkAddress(caddy.NewReplacer().ReplaceAll(l, ""))
		if err == nil && !a.IsUnixNetwork() && !a.IsFdNetwork() {
			return a.Host, strconv.FormatUint(uint64(a.StartPort), 10)
		}
	}
	return "", ""
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
