package passkey

import (
	"net/netip"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Site is where a ceremony takes place.
type Site struct {
	RPID   string // the domain that passkeys belong to
	Origin string // of the request, exactly: scheme, host and port
	Name   string // what people call the site
}

// Reason is why there are no passkeys at an address.
type Reason string

// Reasons.
const (
	ReasonIP   Reason = "ip"   // the host is an address, and no domain
	ReasonHTTP Reason = "http" // browsers offer none over plain HTTP, but for localhost
	ReasonHost Reason = "host" // the host is unknown, or no domain that a passkey can belong to
)

// UnavailableError means that there are no passkeys at the address of a request.
type UnavailableError struct{ Reason Reason }

func (e *UnavailableError) Error() string {
	switch e.Reason {
	case ReasonIP:
		return "passkeys do not work at an IP address: open the site by its name"
	case ReasonHTTP:
		return "passkeys do not work over plain HTTP: open the site with https"
	default:
		return "passkeys do not work at this host: they need a domain of at least two labels, or localhost"
	}
}

// SiteOf returns where a ceremony of a request takes place. domain is what passkeys belong to on the hosts that are it
// or lie below it; "" for none. On other hosts they belong to the host. The error is an *[UnavailableError].
func SiteOf(q *reqctx.Request, domain, name string) (Site, error) {
	h, ok := reqctx.ParseHost(q.Host)
	if !ok {
		return Site{}, &UnavailableError{ReasonHost}
	}
	if _, err := netip.ParseAddr(h.Name); err == nil {
		return Site{}, &UnavailableError{ReasonIP}
	}
	if !q.Secure && !isLocal(h.Name) {
		return Site{}, &UnavailableError{ReasonHTTP}
	}
	rpID := h.Name
	if domain != "" && strings.HasSuffix(h.Name, "."+domain) {
		rpID = domain
	}
	if protocol.ValidateRPID(rpID) != nil || protocol.ValidateRPID(h.Name) != nil {
		return Site{}, &UnavailableError{ReasonHost}
	}
	return Site{RPID: rpID, Origin: q.Origin(), Name: name}, nil
}

// isLocal reports whether browsers take a host for this machine, and so for a secure context (Secure Contexts, section
// 3.1).
func isLocal(host string) bool { return host == "localhost" || strings.HasSuffix(host, ".localhost") }
