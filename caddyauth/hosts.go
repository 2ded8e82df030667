package caddyauth

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

func parseHosts(option string, values []string) ([]reqctx.Host, error) {
	var list []reqctx.Host
	for _, v := range values {
		h, ok := parseHost(v)
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a host; write example.com or example.com:8443, without scheme or "+
				"path", option, v)
		}
		list = append(list, h)
	}
	return list, nil
}

// parseHost reads a host of an option. An IPv6 address may do without brackets where no port follows, and an
// international name stands for its punycode, which is what browsers send.
func parseHost(s string) (reqctx.Host, bool) {
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
