package oidc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// Kind says why a sign-in through a provider came to nothing, as far as a person can use it.
type Kind string

// Kinds of failures. The zero value is "invalid": a page that says that something went wrong.
const (
	Invalid     Kind = "invalid"     // the provider's answer cannot be believed
	Expired     Kind = "expired"     // no such sign-in under way: too old, used before, or begun in another browser
	Canceled   Kind = "canceled"   // the person, or the provider, said no
	Refused     Kind = "refused"     // the provider answered with another error
	Down        Kind = "down"        // the provider cannot be reached, or gives no usable answer
	Unverified  Kind = "unverified"  // the rules here go by e-mail, and the provider does not vouch for it
	NotAllowed  Kind = "not_allowed" // the rules here do not let this person in
	Unknown     Kind = "unknown"     // first sign-in, and accounts are not made by themselves
	Pending     Kind = "pending"     // the account waits for an administrator
	Disabled    Kind = "disabled"    // the account is turned off
	LinkTaken   Kind = "link_taken"  // the identity belongs to another account here
	OtherPerson Kind = "other"       // re-authentication: somebody else signed in at the provider
	Unproved    Kind = "unproved"    // re-authentication: the provider does not say that it asked the person again
	TooMany     Kind = "too_many"    // too many sign-ins under way from this address
)

// Error is a failed sign-in. Kind chooses the page; the text is for logs and the status page, and holds no secret.
type Error struct {
	Kind   Kind
	Reason string // in words, for the operator
	Err    error  // cause, or nil

	told bool // by the browser
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error, "" for one that is no *[Error]: a technical one, on our side.
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

// ErrNoProvider: the configuration has no provider of that name.
var ErrNoProvider = errors.New("there is no such provider")

// errTooLarge: an answer of the provider has more than maxBody bytes.
var errTooLarge = errors.New("the answer is too large")

// errAddress: the provider's name leads to an address of this machine or its network.
var errAddress = errors.New("the address is private; add insecure_http to the provider if that is meant")

// words returns what went wrong between us and a provider, in words, without anything the provider or a proxy wrote:
// bodies may hold tokens, and people read this.
func words(err error) string {
	var refused *oauth2.RetrieveError
	var dns *net.DNSError
	var op *net.OpError
	var u *url.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errTooLarge), errors.Is(err, errAddress):
		return rootOf(err).Error()
	case errors.As(err, &refused):
		if refused.ErrorCode != "" {
			return "the token endpoint answered " + Clean(refused.ErrorCode, 64)
		}
		return fmt.Sprintf("the token endpoint answered with status %d", refused.Response.StatusCode)
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time"
	case errors.As(err, &dns):
		return "the host name cannot be resolved"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection: " + Clean(op.Err.Error(), 120)
	case errors.As(err, &op):
		return "the connection broke: " + Clean(op.Err.Error(), 120)
	case errors.As(err, &u):
		return Clean(u.Err.Error(), 160)
	default:
		return Clean(err.Error(), 200)
	}
}

func rootOf(err error) error {
	for _, known := range []error{errTooLarge, errAddress} {
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
