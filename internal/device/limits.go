package device

import (
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/store"
)

// MaxPending is how many requests may wait for a person at once; MaxPendingOfAddress how many of one client address,
// an IPv6 one with its /48, so that nobody can keep all others out.
const (
	MaxPending          = 1000
	MaxPendingOfAddress = 100
)

// Of one client address, in a minute.
const (
	maxRequests = 60
	maxBadPolls = 60
)

const (
	// slower is what each poll that comes too soon adds to the interval (RFC 8628, section 3.5).
	slower = 5 * time.Second
	// longest is the longest interval: a program that never listens gets nowhere anyway.
	longest = time.Minute
	// early is how much too soon a poll may come: what was sent on time arrives a little sooner or later.
	early = time.Second
)

// Limits bound what programs ask before anybody has approved anything. They are in memory, for each process by itself,
// and outlive a reload: a count in the store would be a write for each request of a stranger.
type Limits struct {
	// Requests are requests for a code, BadPolls polls that are of no use: with a code that is none or is over, or
	// too soon.
	Requests, BadPolls *credential.AddressLimit

	now   func() time.Time
	polls *otter.Cache[store.TokenHash, *poll]
}

// poll is when a program asked last, and how long it has to wait.
type poll struct {
	mu       sync.Mutex
	last     time.Time
	interval time.Duration
}

// NewLimits returns limits by a clock.
func NewLimits(now func() time.Time) *Limits {
	return &Limits{
		Requests: credential.NewAddressLimit(now, maxRequests),
		BadPolls: credential.NewAddressLimit(now, maxBadPolls),
		now:      now,
		polls:    otter.Must(&otter.Options[store.TokenHash, *poll]{MaximumSize: 2 * MaxPending}),
	}
}

// TooSoon notes a poll for a pending request, and reports whether the program has to poll more slowly: from then on by
// five seconds more. The first poll is never too soon.
func (l *Limits) TooSoon(hash store.TokenHash) bool {
	p, _ := l.polls.SetIfAbsent(hash, &poll{interval: Interval})
	now := l.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	age, first := now.Sub(p.last), p.last.IsZero()
	p.last = now
	if first || age < 0 || age >= p.interval-early {
		return false
	}
	p.interval = min(p.interval+slower, longest)
	return true
}
