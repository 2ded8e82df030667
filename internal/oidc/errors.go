package oidc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// Kind is the kind of failure of a sign-in through a provider. It chooses the page that the user sees.
type Kind string

// Kinds of failures. Their values are in the audit log.
const (
	Invalid            Kind = "invalid"       // the response, a token or a claim fails verification
	Expired            Kind = "expired"       // no such flow: too old, used before, or begun in another browser
	Canceled           Kind = "canceled"      // the user, or the provider, declined
	Refused            Kind = "refused"       // the provider returned another error
	Unavailable        Kind = "down"          // the provider cannot be reached, or its response cannot be used
	Misconfigured      Kind = "misconfigured" // the configuration here or at the provider is wrong: trying again is no use
	Unverified         Kind = "unverified"    // an allow rule needs the e-mail address, which is not verified
	NotAllowed         Kind = "not_allowed"   // no allow rule matches
	Unknown            Kind = "unknown"       // first sign-in, and accounts are not created automatically
	Pending            Kind = "pending"       // the account waits for an administrator
	Inactive           Kind = "disabled"      // the account is inactive
	LinkTaken          Kind = "link_taken"    // the identity is linked to another account
	DifferentUser      Kind = "other"         // step-up: a different user signed in at the provider
	NotReauthenticated Kind = "unproved"      // step-up: the ID token does not show that the user was asked again
	TooMany            Kind = "too_many"      // too many flows from this address
)

// Technical reports whether a failure says nothing about the user: the provider is down, or the configuration is wrong.
func (k Kind) Technical() bool { return k == Unavailable || k == Misconfigured }

// Error is a failed sign-in. Kind chooses the page; the text is for logs and the status page, and holds no secret.
type Error struct {
	Kind   Kind
	Reason string // in words, for the operator
	Err    error  // cause, or nil

	fromBrowser bool // reported by the browser, which can make it up: says nothing about the provider
	aboutTime   bool // a time is not right: a clock may be wrong
	aboutClient bool // the provider does not accept the client's credentials
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an *[Error], or "" for any other error, which is a technical one on our side.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func fail(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Reason: fmt.Sprintf(format, args...)}
}

func aboutTime(err *Error) *Error {
	err.aboutTime = true
	return err
}

// ErrNoProvider means that the configuration has no provider of that name.
var ErrNoProvider = errors.New("there is no such provider")

// errTooLarge means that a response has more than maxBody bytes.
var errTooLarge = errors.New("the response is too large")

// errPrivateAddress means that the provider's host name resolves to an address of this machine or its networks.
var errPrivateAddress = errors.New("the address is private; add insecure_http to the provider if that is meant")

// failedRequest is the failure of a request that got no response. A certificate that is not trusted, a private address
// and a server that speaks no TLS stay as they are until somebody changes a configuration.
func failedRequest(what string, err error) *Error {
	kind := Unavailable
	var certificate *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	if errors.Is(err, errPrivateAddress) || errors.Is(err, errScheme) || errors.As(err, &certificate) ||
		errors.As(err, &noTLS) {
		kind = Misconfigured
	}
	return fail(kind, "%s: %s", what, describe(err))
}

// failedStatus is the failure of a request with another status than 200. Only some are more than a matter of time.
func failedStatus(what string, status int) *Error {
	if status >= 300 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		return fail(Misconfigured, "%s: status %d; is the address right?", what, status)
	}
	return fail(Unavailable, "%s: status %d", what, status)
}

// errScheme means that a request was not over TLS.
var errScheme = errors.New("the address is not https; add insecure_http to the provider if that is meant")

// describe returns the cause of a failed request to a provider as text for the operator. It never includes a response
// body, which may hold tokens.
func describe(err error) string {
	var refused *oauth2.RetrieveError
	var dns *net.DNSError
	var op *net.OpError
	var u *url.Error
	var certificate *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &certificate):
		return Clean(certificate.Err.Error(), 160) + "; with a CA of your own, name its certificate with ca_file"
	case errors.As(err, &noTLS):
		return "the server does not speak TLS on this port; is the scheme right?"
	case errors.Is(err, errTooLarge), errors.Is(err, errPrivateAddress), errors.Is(err, errScheme):
		return knownCause(err).Error()
	case errors.As(err, &refused):
		if refused.ErrorCode != "" {
			return "the token endpoint returned the error " + Clean(refused.ErrorCode, 64)
		}
		return fmt.Sprintf("the token endpoint returned status %d", refused.Response.StatusCode)
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "timeout: no response in time"
	case errors.As(err, &dns):
		return "the host name cannot be resolved"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection: " + Clean(op.Err.Error(), 120)
	case errors.As(err, &op):
		return "the connection failed: " + Clean(op.Err.Error(), 120)
	case errors.As(err, &u):
		return Clean(u.Err.Error(), 160)
	default:
		return Clean(err.Error(), 200)
	}
}

func knownCause(err error) error {
	for _, known := range []error{errTooLarge, errPrivateAddress, errScheme} {
		if errors.Is(err, known) {
			return known
		}
	}
	return err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// Clean is [identifier.Clean].
func Clean(s string, limit int) string { return identifier.Clean(s, limit) }
