package reqctx

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Host is a host with an optional port. It is parsed by [ParseHost] alone, wherever a host comes from: a request,
// another proxy, an address, the configuration. Two parsers that differ are a way past one of them.
type Host struct {
	Name string // lower case; an IPv6 address in its shortest form, without brackets
	Port string // "" where none is given
}

// maxName is the longest name in the DNS, as text with a final dot.
const maxName = 254

// ParseHost reads a host with an optional port. Names are letters, digits, '-' and, because browsers take them, '_' in
// labels that are not empty; international ones come as browsers send them, in punycode. A final dot stays: to browsers
// "example.com." is another origin, with cookies of its own. Userinfo, escapes, zones of addresses, IPv6 without
// brackets, and ports that are spelled oddly are refused.
func ParseHost(s string) (Host, bool) {
	name, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, port = s[:i], s[i+1:]
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || port[0] == '0' { // it takes digits and nothing else
			return Host{}, false
		}
	}
	if inner, bracketed := strings.CutPrefix(name, "["); bracketed {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, ok := PlainIPv6(inner)
		return Host{ip, port}, closed && ok
	}
	if !validName(name) {
		return Host{}, false
	}
	return Host{strings.ToLower(name), port}, true
}

func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	label := 0
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			label++
		case c == '.' && label > 0 && label <= 63:
			label = 0
		default:
			return false
		}
		if i == len(s)-1 && label > 63 {
			return false
		}
	}
	return true
}

// PlainIPv6 returns an address in its shortest form. Zones are no part of addresses on the web, and an IPv4 address in
// disguise has a name of its own.
func PlainIPv6(s string) (string, bool) {
	ip, err := netip.ParseAddr(s)
	if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
		return "", false
	}
	return ip.String(), true
}

// String returns the host as addresses spell it.
func (h Host) String() string {
	name := h.Name
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if h.Port == "" {
		return name
	}
	return name + ":" + h.Port
}

// usualPort is the default port of a scheme.
func usualPort(secure bool) string {
	if secure {
		return "443"
	}
	return "80"
}

// WithoutDefaultPort returns the host without the scheme's usual port, as browsers spell origins.
func (h Host) WithoutDefaultPort(secure bool) Host {
	if h.Port == usualPort(secure) {
		h.Port = ""
	}
	return h
}

// Canonical returns raw as browsers spell it in an origin, "" when it is no host that a browser would name.
func Canonical(raw string, secure bool) string {
	h, ok := ParseHost(raw)
	if !ok {
		return ""
	}
	if short := h.WithoutDefaultPort(secure); short != h || h.Port == "" || !strings.HasPrefix(raw, h.Name) {
		return short.String()
	}
	return raw // the common case, without a copy for each request
}

// Matches reports whether an option that names h means the host that was requested. Without a port it means any port
// of it.
func (h Host) Matches(asked Host, secure bool) bool {
	if asked.Port == "" {
		asked.Port = usualPort(secure)
	}
	return h.Name != "" && h.Name == asked.Name && (h.Port == "" || h.Port == asked.Port)
}

// ParseOrigin reads an origin (RFC 6454): an http or https scheme and a host, and nothing else. It returns the origin
// as browsers spell it.
func ParseOrigin(s string) (string, bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	if !ok || (scheme != "https" && scheme != "http") {
		return "", false
	}
	h, ok := ParseHost(rest)
	if !ok {
		return "", false
	}
	return scheme + "://" + h.WithoutDefaultPort(scheme == "https").String(), true
}

// OriginOf returns the origin of an http or https address. ok is false for addresses whose host no browser would spell
// so: what is written into a policy or compared with an origin must not carry anything else.
func OriginOf(u *url.URL) (origin string, ok bool) { return ParseOrigin(u.Scheme + "://" + u.Host) }

// RequestedHost returns the host that the request was made to, by its Host header (":authority") alone.
func RequestedHost(r *http.Request) (Host, bool) { return ParseHost(r.Host) }
