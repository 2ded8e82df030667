package caddyauth

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// namedHost reads a host of an option. An IPv6 address may do without brackets where no port follows, and an
// international name stands for its punycode, which is what browsers send.
func namedHost(s string) (reqctx.Host, bool) {
	if ip, ok := reqctx.PlainIPv6(s); ok {
		return reqctx.Host{Name: ip}, true
	}
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		name, port, more := strings.Cut(s, ":")
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return reqctx.Host{}, false
		}
		if s = ascii; more {
			s += ":" + port
		}
	}
	h, ok := reqctx.ParseHost(s)
	return h, ok && !strings.HasSuffix(h.Name, ".")
}

// joinHosts returns hosts as a line of the configuration has them.
func joinHosts(list []reqctx.Host) string {
	var names []string
	for _, h := range list {
		names = append(names, h.String())
	}
	return strings.Join(names, " ")
}

// resolveHosts checks the options that name hosts.
func (a *App) resolveHosts(o *options) (err error) {
	if o.adminHosts, err = hosts("admin_host", a.AdminHosts); err != nil {
		return err
	}
	if err := repeated("admin_host", o.adminHosts, reqctx.Host.String); err != nil {
		return err
	}
	trusted, err := hosts("trust_return", a.TrustReturn)
	if err != nil {
		return err
	}
	// To return to a host is to return to its usual port.
	usual := func(h reqctx.Host) string { return h.Short(true).String() }
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

func hosts(option string, values []string) ([]reqctx.Host, error) {
	var list []reqctx.Host
	for _, v := range values {
		h, ok := namedHost(v)
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a host; write example.com or example.com:8443, without scheme or path", option, v)
		}
		list = append(list, h)
	}
	return list, nil
}
