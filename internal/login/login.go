// Package login authenticates users and signs them in.
//
// local.go checks passwords, throttle.go limits how often, oidc*.go signs users in through providers, and signin.go
// turns a proof into a session in one transaction. Whatever the method (form, API, provider, one-time link), sessions
// are started in signin.go only, so that account state, limits and the audit log apply to all of them.
package login

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrInvalidCredentials means that the name or the password is wrong, or that the account has no password. It is one
// error for all of them so that it does not tell which names exist (user enumeration).
var ErrInvalidCredentials = errors.New("the username or password is incorrect")

// InactiveError means that the password was correct but the account is inactive or pending. Only someone who knew the
// password learns it.
type InactiveError struct{ Pending bool }

func (e *InactiveError) Error() string {
	if e.Pending {
		return "this account waits for an administrator to turn it on"
	}
	return "this account is turned off"
}

// Client is what is known of the browser or program that makes a request.
type Client struct {
	IP        netip.Addr
	UserAgent string
	Host      string // of the request
	RequestID string
	Session   string   // session token of the request, "" for none
	Others    []string // other session tokens that came along; see session.Presented
	Devices   []string // device tokens of the request, see signin.go
	Trusted   []string // tokens of trusted browsers of the request, see trust.go
	// TrustBrowser means that the person asks to trust the browser. Only a proof of a second factor itself grants it.
	TrustBrowser bool
}

func (c Client) ip() string {
	if !c.IP.IsValid() {
		return ""
	}
	return c.IP.String()
}

// Service signs users in. There is one per configuration; what must survive a reload is in the store, the session
// manager and the throttle.
type Service struct {
	Store    store.Store
	Sessions *session.Manager
	Hasher   *password.Hasher
	// Passwords says whose passwords are accepted; zero accepts none.
	Passwords Passwords
	Throttle  *Throttle
	Limits    Limits         // of attempts
	Lifetime  session.Limits // of sessions
	Second    SecondFactors
	Sealer    *seal.Sealer // of secrets of second factors, and of half-logins
	Clock     func() time.Time
	Log       *zap.Logger
	// Count is called for every attempt, for metrics: method "password", "oidc" or "link", outcome "success", "wrong",
	// "throttled", "disabled", "busy" or "error". It may be nil.
	Count func(method, outcome string)
	// CountStep is called for every attempt at a second step, for metrics: method "totp", "recovery" or "passkey", outcome
	// "success", "wrong", "throttled" or "locked". It may be nil.
	CountStep func(method, outcome string)

	// completeLink links the identity of a sign-in whose every step is done; see [OIDC].
	completeLink func(ctx context.Context, tx store.Tx, c Client, u store.User, via SignInOptions) (store.User, error)

	revoke func(ended []store.Session) // the tokens of sign-ins that were given up; nil without providers

	queueFull queueFull
	refused   refusedLog
}

// queueFull rate-limits the log line about a full queue: otherwise a flood would fill the log.
type queueFull struct{ unlogged, loggedAt atomic.Int64 }

// queueFullLogEvery is the time between two such lines.
const queueFullLogEvery = 10 * time.Second

func (s *Service) logQueueFull() {
	n, last, now := s.queueFull.unlogged.Add(1), s.queueFull.loggedAt.Load(), s.Clock().UnixMilli()
	if now-last < queueFullLogEvery.Milliseconds() || !s.queueFull.loggedAt.CompareAndSwap(last, now) {
		return
	}
	s.queueFull.unlogged.Add(-n)
	s.Log.Warn("password hashing queue full: sign-ins rejected", zap.Int64("rejected", n))
}

func (s *Service) count(method, outcome string) {
	if s.Count != nil {
		s.Count(method, outcome)
	}
}

func outcomeOf(err error) string {
	var throttled *ThrottledError
	var disabled *InactiveError
	switch {
	case err == nil:
		return "success"
	case errors.Is(err, ErrInvalidCredentials), errors.Is(err, ErrWrongCode), errors.Is(err, ErrWrongPasskey):
		return "wrong"
	case errors.As(err, &throttled):
		return "throttled"
	case errors.As(err, &disabled):
		return "disabled"
	case errors.Is(err, password.ErrBusy):
		return "busy"
	default:
		return "error"
	}
}
