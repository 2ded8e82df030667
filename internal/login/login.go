// Package login proves who a person is and signs them in.
//
// local.go checks passwords, throttle.go bounds how often, signin.go turns a proof into a session in one
// transaction. Whatever way a person comes (form, API, provider, one-time link), signin.go is the one place where a
// session begins, so that account state, limits and the audit log hold for every way.
package login

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrWrong: the name or the password is wrong, or the account has none. One error for all, on purpose.
var ErrWrong = errors.New("the username or password is incorrect")

// DisabledError: the password was right, but the account is turned off or waits for an administrator. Only someone
// who knew the password learns it.
type DisabledError struct{ Pending bool }

func (e *DisabledError) Error() string {
	if e.Pending {
		return "this account waits for an administrator to turn it on"
	}
	return "this account is turned off"
}

// Client is what is known of the browser or program that asks.
type Client struct {
	IP        netip.Addr
	UserAgent string
	Host      string // the site signed in to
	RequestID string
	Session   string   // the session token presented with the request, "" for none
	Devices   []string // the device tokens presented, see signin.go
}

func (c Client) ip() string {
	if !c.IP.IsValid() {
		return ""
	}
	return c.IP.String()
}

// Service signs people in. One per configuration; what must survive a reload is in the store, the session manager
// and the throttle.
type Service struct {
	Store    store.Store
	Sessions *session.Manager
	Hasher   *password.Hasher
	Throttle *Throttle
	Limits   Limits         // of attempts
	Lifetime session.Limits // of sessions
	Clock    func() time.Time
	Log      *zap.Logger
	// Count is told of every attempt: method "password", "oidc" or "link", outcome "success", "wrong", "throttled",
	// "disabled", "busy" or "error". It may be nil.
	Count func(method, outcome string)

	turnedAway turnedAway
}

// turnedAway makes one line of log out of a flood that finds the queue full: a stranger decides how many there are.
type turnedAway struct{ since, noted atomic.Int64 }

// turnedAwayEvery is the time between two such lines.
const turnedAwayEvery = 10 * time.Second

func (s *Service) noteBusy() {
	n, last, now := s.turnedAway.since.Add(1), s.turnedAway.noted.Load(), s.Clock().UnixMilli()
	if now-last < turnedAwayEvery.Milliseconds() || !s.turnedAway.noted.CompareAndSwap(last, now) {
		return
	}
	s.turnedAway.since.Add(-n)
	s.Log.Warn("passwords are checked as fast as they can be; the queue is full, and sign-ins were turned away", zap.Int64("turned_away", n))
}

func (s *Service) count(method, outcome string) {
	if s.Count != nil {
		s.Count(method, outcome)
	}
}

func outcome(err error) string {
	var throttled *ThrottledError
	var disabled *DisabledError
	switch {
	case err == nil:
		return "success"
	case errors.Is(err, ErrWrong):
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
