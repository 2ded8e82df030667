package policy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Scope is where and how a token may be used. It only narrows what its owner may do. The zero value allows nothing.
type Scope struct {
	hosts    []string
	anyPath  bool
	paths    Paths
	readOnly bool
	valid    bool
}

// NewScope returns the scope of a token. A stored one that is malformed allows nothing.
func NewScope(t *store.Token) Scope {
	paths, err := NewPaths(t.Paths)
	return Scope{
		hosts: t.Hosts, anyPath: len(t.Paths) == 0, paths: paths, readOnly: t.Methods == store.TokenRead,
		valid: err == nil && len(t.Hosts) > 0 && (t.Methods == store.TokenRead || t.Methods == store.TokenAll),
	}
}

// Allows reports whether a token may be used for a request to a host, which may have a port. A path that could be read
// in two ways is in no scope that names paths.
func (s Scope) Allows(host, method string, target Target) bool {
	return s.AllowsHost(host, method) && (s.anyPath || s.paths.Match(target))
}

// AllowsHost is Allows for addresses that no scope names: the few of Gatehouse's own that take tokens.
func (s Scope) AllowsHost(host, method string) bool {
	if !s.valid || s.readOnly && !slices.Contains(readMethods, method) {
		return false
	}
	h, ok := reqctx.ParseHost(host)
	return ok && slices.ContainsFunc(s.hosts, func(pattern string) bool { return hostMatches(pattern, h.Name) })
}

// readMethods are those of [store.TokenRead]: methods that are safe (RFC 9110, section 9.2.1, RFC 4918, RFC 3253).
var readMethods = []string{http.MethodGet, http.MethodHead, http.MethodOptions, "PROPFIND", "REPORT"}

// hostMatches reports whether a host of a scope means name: exactly, "*.x" with one label before x, or any.
func hostMatches(pattern, name string) bool {
	if pattern == store.AllHosts || pattern == name {
		return true
	}
	domain, wildcard := strings.CutPrefix(pattern, "*.")
	label, rest, ok := strings.Cut(name, ".")
	return wildcard && ok && label != "" && rest == domain
}

// ParseScopeHost checks a host of a scope and returns it as it is compared. ok is false for what names no host.
func ParseScopeHost(s string) (host string, ok bool) {
	if s == store.AllHosts {
		return s, true
	}
	if ip, ok := reqctx.PlainIPv6(s); ok {
		return ip, true // without brackets, as it is returned
	}
	name, wildcard := strings.CutPrefix(s, "*.")
	h, ok := reqctx.ParseHost(name)
	if !ok || h.Port != "" || wildcard && strings.Contains(h.Name, ":") {
		return "", false
	}
	if wildcard {
		return "*." + h.Name, true
	}
	return h.Name, true
}
