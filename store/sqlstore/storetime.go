package sqlstore

import (
	"context"
	"sync"
	"time"
)

const (
	// clockTolerance is how far the clocks of two processes on one store may differ before a clock is assumed to have
	// been set back.
	clockTolerance = 5 * time.Minute
	// skewTTL is how long a measured clock difference is used.
	skewTTL = 10 * time.Second
	// skewNoise is the tolerated difference between measurements: related times must not shift because of network
	// latency.
	skewNoise = 250 * time.Millisecond
)

// clockSkew caches how far the clock of the database is ahead of this machine's.
type clockSkew struct {
	machine func() time.Time // time.Now except in tests

	mu       sync.Mutex
	measured time.Time
	offset   time.Duration
}

// storeTime converts now to the store's own clock. Attempt counts and marks of ended sessions are shared by all
// processes on a store, so a time that one of them wrote must not be compared with the clock of another: with clocks
// a minute apart, one process would block attempts that the other allows, or miss that a session ended before a
// sign-in began. Processes on SQLite share a machine and its clock. r is the reader to query; in a transaction that
// is its own connection, as waiting for another one could deadlock.
func (d *DB) storeTime(ctx context.Context, r reader, now time.Time) (time.Time, error) {
	if d.dia.clock == "" {
		return now, nil
	}
	if offset, cached := d.skew.cached(); cached {
		return now.Add(offset), nil
	}
	here := d.skew.machine()
	ms, err := one(ctx, r, "read the store's clock", scanInt64, `SELECT `+d.dia.clock)
	if err != nil {
		return now, err
	}
	return now.Add(d.skew.update(here, time.UnixMilli(ms).Sub(d.skew.machine().Round(0)).Round(time.Millisecond))), nil
}

// machineTime is the reverse of storeTime.
func (d *DB) machineTime(ctx context.Context, r reader, at time.Time) (time.Time, error) {
	there, err := d.storeTime(ctx, r, at)
	return at.Add(at.Sub(there)), err
}

// cached returns the difference if it was measured recently.
func (s *clockSkew) cached() (offset time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.machine().Sub(s.measured)
	return s.offset, !s.measured.IsZero() && age >= 0 && age < skewTTL
}

// update stores a measurement and returns the difference to use from now on.
func (s *clockSkew) update(at time.Time, offset time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := offset - s.offset; s.measured.IsZero() || diff > skewNoise || diff < -skewNoise {
		s.offset = offset
	}
	s.measured = at
	return s.offset
}

func scanInt64(s scanner) (n int64, err error) {
	err = s.Scan(&n)
	return n, err
}
