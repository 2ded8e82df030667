package sqlstore

import (
	"context"
	"sync"
	"time"
)

const (
	// clockTolerance is how far the clocks of two processes on one store may be apart without a sign that one was set
	// back.
	clockTolerance = 5 * time.Minute
	// skewKept is how long a difference between clocks is taken for what it was.
	skewKept = 10 * time.Second
	// skewNoise is by how much measurements of one difference may differ: times that belong together must not be
	// moved by what one answer took on its way.
	skewNoise = 250 * time.Millisecond
)

// clockSkew is how far the clock of the database is ahead of this machine's.
type clockSkew struct {
	machine func() time.Time // time.Now, but in tests

	mu       sync.Mutex
	measured time.Time
	by       time.Duration
}

// storeTime returns what the store's own clock says at now. Counts of attempts are shared by all processes on a store, and
// a time that one of them wrote must not be compared with the clock of another: with clocks a minute apart, one would
// lock out whom the other lets try; nor a sign-in at a provider that began on one with what was ended on the other. SQLite's
// processes share a machine, and so a clock. r is where to ask: in a transaction its own connection, for to wait for another
// one there is to wait for transactions that may be waiting for this one.
func (d *DB) storeTime(ctx context.Context, r reader, now time.Time) (time.Time, error) {
	if d.dia.clock == "" {
		return now, nil
	}
	if by, known := d.skew.known(); known {
		return now.Add(by), nil
	}
	here := d.skew.machine()
	ms, err := one(ctx, r, "read the store's clock", scanInt64, `SELECT `+d.dia.clock)
	if err != nil {
		return now, err
	}
	return now.Add(d.skew.keep(here, time.UnixMilli(ms).Sub(d.skew.machine().Round(0)).Round(time.Millisecond))), nil
}

// machineTime is the reverse of storeTime.
func (d *DB) machineTime(ctx context.Context, r reader, at time.Time) (time.Time, error) {
	there, err := d.storeTime(ctx, r, at)
	return at.Add(at.Sub(there)), err
}

// known returns the difference while it need not be measured again.
func (s *clockSkew) known() (by time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.machine().Sub(s.measured)
	return s.by, !s.measured.IsZero() && age >= 0 && age < skewKept
}

// keep takes a measurement and returns the difference that counts from now on.
func (s *clockSkew) keep(at time.Time, by time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := by - s.by; s.measured.IsZero() || diff > skewNoise || diff < -skewNoise {
		s.by = by
	}
	s.measured = at
	return s.by
}

func scanInt64(s scanner) (n int64, err error) {
	err = s.Scan(&n)
	return n, err
}
