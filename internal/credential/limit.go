package credential

import (
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/internal/login"
)

// AddressLimit counts what comes from a client address (a /64 for IPv6) in a minute. It is in memory, for each process
// by itself: what is limited is noise, such as tokens that are none, and not guesses, which cannot succeed.
type AddressLimit struct {
	now    func() time.Time
	most   int
	counts *otter.Cache[string, *count]
}

// maxBadTokens is how many tokens that are none one address may send in a minute.
const maxBadTokens = 60

const limitWindow = time.Minute

// maxAddresses bounds the memory. An address that is forgotten begins again.
const maxAddresses = 10_000

type count struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

// NewBadTokens returns the limit of tokens that are none, by a clock.
func NewBadTokens(now func() time.Time) *AddressLimit { return NewAddressLimit(now, maxBadTokens) }

// NewAddressLimit returns a limit of so many in a minute, by a clock.
func NewAddressLimit(now func() time.Time, most int) *AddressLimit {
	return &AddressLimit{
		now: now, most: most,
		counts: otter.Must(&otter.Options[string, *count]{MaximumSize: maxAddresses}),
	}
}

// Exceeded counts one more, and reports whether there were too many from that address.
func (b *AddressLimit) Exceeded(ip netip.Addr) bool {
	c, _ := b.counts.SetIfAbsent(login.ClientKey(ip), &count{})
	now := b.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.since); age >= limitWindow || age < 0 {
		c.since, c.n = now, 0
	}
	c.n = min(c.n+1, b.most+1)
	return c.n > b.most
}
