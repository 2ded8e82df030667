package testenv

import (
	"sync"
	"time"
)

// Clock is a clock that only moves when a test advances it. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock set to t0, in UTC and with the store's millisecond precision.
func NewClock(t0 time.Time) *Clock {
	return &Clock{now: t0.UTC().Truncate(time.Millisecond)}
}

// Now returns the clock's time. Pass the method value clock.Now as a func() time.Time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d and returns the new time. A negative d sets it back.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// Set sets the clock to t.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t.UTC().Truncate(time.Millisecond)
}
