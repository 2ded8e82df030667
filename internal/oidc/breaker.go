package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// breaker keeps refreshes from a token endpoint that does not respond: while it is open, one at a time finds out
// whether it responds again. Without it, a provider that hangs would hold a connection and a goroutine for each session
// that is due. Only what says that the endpoint is down counts, and no session can keep the others out: one whose
// attempt failed lets them go first, and none is refused that would end otherwise.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row; 0: closed
	since    time.Time // of the first of them
	retry    time.Time // of the next attempt while it is open
	probing  bool      // that attempt is in progress
	overdue  int       // attempts of sessions that would end without one
	running  map[string]int
	failed   map[string]bool // sessions whose attempts failed since it opened
}

const (
	maxBreak = 30 * time.Second // the longest time between two attempts
	// turnOfOthers is how long a session whose attempt failed lets others go first. Each of them comes back within it.
	turnOfOthers = maxBreak + 5*time.Second
	maxOverdue   = 8
	maxFailed    = 4096
)

// attempt is a refresh that may be tried.
type attempt struct {
	session         string
	probe, isUrgent bool
}

// admit reports whether a session may be refreshed. Every attempt has to be followed by done. urgent is for sessions
// that would end otherwise.
func (b *breaker) admit(now time.Time, session string, urgent bool) (attempt, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := attempt{session: session}
	switch {
	case b.failures == 0:
	case b.turn(now, session):
		a.probe, b.probing = true, true
	case urgent && b.overdue < maxOverdue:
		a.isUrgent = true
		b.overdue++
	default:
		return a, false
	}
	if b.running == nil {
		b.running = make(map[string]int)
	}
	b.running[session]++
	return a, true
}

// turn reports whether the next attempt is due, and this session's.
func (b *breaker) turn(now time.Time, session string) bool {
	wait := b.retry.Sub(now)
	if wait > maxBreak { // the clock was set back
		return !b.probing
	}
	return !b.probing && wait <= 0 && (!b.failed[session] || -wait >= turnOfOthers)
}

// responsiveness is what an attempt says about the token endpoint.
type responsiveness int

const (
	unknownResponse responsiveness = iota
	noResponse
	someResponse
)

// done records the end of an attempt.
func (b *breaker) done(now time.Time, a attempt, r responsiveness) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[a.session]--; b.running[a.session] <= 0 {
		delete(b.running, a.session)
	}
	if a.probe {
		b.probing = false
	}
	if a.isUrgent {
		b.overdue--
	}
	switch r {
	case someResponse:
		b.failures, b.failed = 0, nil
	case noResponse:
		if b.failed == nil || len(b.failed) >= maxFailed {
			b.failed = make(map[string]bool)
		}
		b.failed[a.session] = true
		b.open(now)
	case unknownResponse:
	}
}

// slow records that the attempt of a session, if there is one in progress, takes too long.
func (b *breaker) slow(now time.Time, session string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 && b.running[session] > 0 {
		b.open(now)
	}
}

func (b *breaker) open(now time.Time) {
	if b.failures == 0 {
		b.since = now
	}
	b.retry = now.Add(min(firstBackoff<<min(b.failures, 10), maxBreak))
	b.failures++
}

// openFor returns for how long no attempt got a response.
func (b *breaker) openFor(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return 0
	}
	return now.Sub(b.since)
}

// tokenEndpointResponse returns what the result of a request to the token endpoint says about the endpoint. A request
// that ran out of its caller's time says nothing: something else may have used that up.
func tokenEndpointResponse(ctx context.Context, err error) responsiveness {
	var refused *oauth2.RetrieveError
	var u *url.Error
	switch {
	case errors.As(err, &refused) && refused.Response != nil:
		if refused.Response.StatusCode >= http.StatusInternalServerError {
			return noResponse
		}
		return someResponse
	case err == nil, errors.Is(err, errTooLarge):
		return someResponse
	case ctx.Err() != nil, failedRequest("", err).Kind == Misconfigured:
		return unknownResponse
	case errors.As(err, &u), isTimeout(err):
		return noResponse
	}
	return someResponse // one that cannot be read
}
