package session

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Tokens of programs are resolved like sessions: from the same cache, by the same rules of staleness, and with the same
// end of open streams. [Live.Session] is made from the token.

// ResolveToken returns what acts with a token of a program, and records a use of it from an address. It returns
// [ErrNone] where there is no such token, it has expired, or its owner is not active. grace is as for
// [Manager.ResolveWithGrace]. The caller has checked the form of the token; any other error means that the lookup
// failed, and the gate has to deny.
func (m *Manager) ResolveToken(ctx context.Context, token string, ip netip.Addr,
	grace time.Duration,
) (l *Live, graced bool, err error) {
	return m.findWithGrace(ctx, credential{
		cacheKey: cacheKey{hash: store.HashToken(token), program: true}, ip: ip,
	}, grace)
}

// PeekToken is ResolveToken without recording a use, and without a grace period.
func (m *Manager) PeekToken(ctx context.Context, token string) (*Live, error) {
	return m.find(ctx, credential{cacheKey: cacheKey{hash: store.HashToken(token), program: true}}, false)
}

// tokenUseInterval is how often the use of a token is written.
const tokenUseInterval = time.Minute

// tokenUses collects uses of tokens until the janitor writes them.
type tokenUses struct {
	mu   sync.Mutex
	last map[string]store.TokenUse
}

func newTokenUses() *tokenUses { return &tokenUses{last: make(map[string]store.TokenUse)} }

// add records a use. While the store is unavailable, those beyond maxPending are forgotten.
func (t *tokenUses) add(u store.TokenUse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.last[u.TokenID]
	if !known && len(t.last) >= maxPending || before.At.After(u.At) {
		return
	}
	t.last[u.TokenID] = u
}

// due is that of touches.
func (t *tokenUses) due(since time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.last) > 0 && since >= janitorEvery
}

func (t *tokenUses) drain() []store.TokenUse {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch := make([]store.TokenUse, 0, len(t.last))
	for _, u := range t.last {
		batch = append(batch, u)
	}
	clear(t.last)
	return batch
}

// flushTokenUses writes what was collected.
func (m *Manager) flushTokenUses(ctx context.Context) {
	batch := m.uses.drain()
	if len(batch) == 0 {
		return
	}
	if err := m.store.RecordTokenUses(ctx, batch); err != nil {
		for _, u := range batch {
			m.uses.add(u)
		}
		m.log.Warn("could not write the last use of tokens; will retry", zap.Int("tokens", len(batch)), zap.Error(err))
	}
}

// addressText returns an address as it is stored, "" for none.
func addressText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.WithZone("").String()
}
