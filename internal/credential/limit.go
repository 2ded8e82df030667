package credential

import (
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/internal/login"
)

// BadTokens counts tokens that are none, by client address. It is in memory, for each process by itself: a token
// cannot be guessed, and what is limited is the noise.
type BadTokens struct {
	now    func() time.Time
	counts *otter.Cache[string, *count]
}

// Of one address (a /64 for IPv6), in a minute.
const (
	maxBadTokens = 60
	badWindow    = time.Minute
)

// maxAddresses bounds the memory. An address that is forgotten begins again.
const maxAddresses = 10_000

type count struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

// NewBadTokens returns counts by a clock.
func NewBadTokens(now func() time.Time) *BadTokens {
	return &BadTokens{
		now:    now,
		counts: otter.Must(&otter.Options[string, *count]{MaximumSize: maxAddresses}),
	}
}

// Exceeded counts a bad token, and reports whether there were too many from that address.
func (b *BadTokens) Exceeded(ip netip.Addr) bool {
	c, _ := b.counts.SetIfAbsent(login.ClientKey(ip), &count{})
	now := b.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.since); age >= badWindow || age < 0 {
		c.since, c.n = now, 0
	}
	c.n = min(c.n+1, maxBadTokens+1)
	return c.n > maxBadTokens
}
