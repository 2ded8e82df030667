package caddyauth

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/site"
)

// namedHost is a host that an option or a request names.
type namedHost struct {
	name string // lower case; an IPv6 address in its shortest form, without brackets
	port string // "" where none is given
}

var hostname = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// parseHost reads a host with an optional port. An IPv6 address may do without brackets where no port follows.
func parseHost(s string) (namedHost, bool) {
	s = strings.ToLower(s)
	if ip, ok := plainIPv6(s); ok {
		return namedHost{name: ip}, true
	}
	h := namedHost{name: s}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		h = namedHost{s[:i], s[i+1:]}
		n, err := strconv.ParseUint(h.port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != h.port {
			return namedHost{}, false
		}
	}
	if !strings.HasPrefix(h.name, "[") {
		return h, hostname.MatchString(h.name)
	}
	inner, closed := strings.CutSuffix(h.name[1:], "]")
	ip, ok := plainIPv6(inner)
	h.name = ip
	return h, closed && ok
}

// plainIPv6 answers an address in its shortest form. Zones are no part of addresses on the web, and an IPv4 address in
// disguise has a name of its own.
func plainIPv6(s string) (string, bool) {
	ip, err := netip.ParseAddr(s)
	if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
		return "", false
	}
	return ip.String(), true
}

// String answers the host as addresses spell it.
func (h namedHost) String() string {
	switch {
	case h.port != "":
		return net.JoinHostPort(h.name, h.port)
	case strings.Contains(h.name, ":"):
		return "[" + h.name + "]"
	}
	return h.name
}

// joinHosts answers hosts as a line of the configuration has them.
func joinHosts(list []namedHost) string {
	var names []string
	for _, h := range list {
		names = append(names, h.String())
	}
	return strings.Join(names, " ")
}

// serves reports whether h is the host of a request. A host without a port stands for any of its ports; the usual port
// of the scheme is not in the request's, so that it has to be filled in.
func (h namedHost) serves(q *site.Request) bool {
	asked, ok := parseHost(q.Host)
	if !ok || asked.name != h.name {
		return false
	}
	if asked.port == "" {
		asked.port = "80"
		if q.Secure {
			asked.port = "443"
		}
	}
	return h.port == "" || h.port == asked.port
}

// resolveHosts checks the options that name hosts.
func (a *App) resolveHosts(o *options) (err error) {
	if o.adminHosts, err = hosts("admin_host", a.AdminHosts); err != nil {
		return err
	}
	if err := repeated("admin_host", o.adminHosts, namedHost.String); err != nil {
		return err
	}
	trusted, err := hosts("trust_return", a.TrustReturn)
	if err != nil {
		return err
	}
	// To return to a host is to return to its usual port.
	usual := func(h namedHost) string { return strings.TrimSuffix(h.String(), ":443") }
	if err := repeated("trust_return", trusted, usual); err != nil {
		return err
	}
	for _, h := range trusted {
		o.trustReturn = append(o.trustReturn, h.String())
	}
	// What the pages would refuse when they are made is refused now: a configuration that is valid has to start.
	_, err = portal.NewGuard(o.trustReturn)
	return err
}

func hosts(option string, values []string) ([]namedHost, error) {
	var list []namedHost
	for _, v := range values {
		h, ok := parseHost(v)
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a host; write example.com or example.com:8443, without scheme or path", option, v)
		}
		list = append(list, h)
	}
	return list, nil
}
