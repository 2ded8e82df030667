package oidc

import (
	"sync"
	"time"
)

// breaker keeps refreshes from a provider that does not respond to them: while it is open, one at a time finds out
// whether the provider responds again. Without it, a provider that hangs would hold a connection and a goroutine for
// each session that is due.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row; 0: closed
	retry    time.Time // of the next attempt while it is open
	probing  bool      // that attempt is in progress
}

// maxBreak is the longest time between two attempts.
const maxBreak = 30 * time.Second

// admit reports whether a refresh may be tried. Every one that is has to be followed by done.
func (b *breaker) admit(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return true
	}
	if wait := b.retry.Sub(now); b.probing || wait > 0 && wait <= maxBreak { // a longer one: the clock was set back
		return false
	}
	b.probing = true
	return true
}

// done records the end of an attempt.
func (b *breaker) done(now time.Time, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if !failed {
		b.failures = 0
		return
	}
	b.open(now)
}

// slow records that an attempt in progress takes too long.
func (b *breaker) slow(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		b.open(now)
	}
}

func (b *breaker) open(now time.Time) {
	b.retry = now.Add(min(firstBackoff<<min(b.failures, 10), maxBreak))
	b.failures++
}
