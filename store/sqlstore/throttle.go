package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// forgetAttempts is how long after the last attempt a count is reset.
const forgetAttempts = 24 * time.Hour

// CountInWindow implements [store.Throttle]. One statement decides; if the limit is reached the row is only read, so
// that a flood of requests causes no writes.
func (d *DB) CountInWindow(ctx context.Context, key string, limit int, window time.Duration,
	now time.Time,
) (time.Duration, error) {
	if err := checkKeys(key); err != nil {
		return 0, err
	}
	if limit < 1 || window < time.Microsecond {
		return 0, fmt.Errorf("%w: a period needs a length, and attempts that it allows", errArgument)
	}
	now, err := d.storeTime(ctx, d.reader, now)
	if err != nil {
		return 0, err
	}
	at, long := now.UnixMicro(), window.Microseconds()
	p, err := d.period(ctx, key)
	if err != nil {
		return 0, err
	}
	if wait := p.wait(at, long, limit); wait > 0 {
		return wait, nil
	}
	var taken int64
	err = d.exec(ctx, "count an attempt of a client", func(ctx context.Context, q queryer) error {
		var err error
		taken, err = affected(ctx, q, `INSERT INTO throttle_buckets (bucket, tat, used) VALUES ($1, $2, 1)
			ON CONFLICT (bucket) DO UPDATE SET
			used = CASE WHEN throttle_buckets.tat <= $3 OR throttle_buckets.tat > $5
				THEN 1 ELSE throttle_buckets.used + 1 END,
			tat = CASE WHEN throttle_buckets.tat <= $3 OR throttle_buckets.tat > $5
				THEN excluded.tat ELSE throttle_buckets.tat END
			WHERE throttle_buckets.tat <= $3 OR throttle_buckets.tat > $5 OR throttle_buckets.used < $4`,
			key, at+long, at, int64(limit), at+long+clockTolerance.Microseconds())
		return err
	})
	if err != nil || taken > 0 {
		return 0, err
	}
	if p, err = d.period(ctx, key); err != nil {
		return 0, err
	}
	return max(p.wait(at, long, limit), time.Microsecond), nil
}

// UncountInWindow implements [store.Throttle].
func (d *DB) UncountInWindow(ctx context.Context, key string, now time.Time) error {
	if err := checkKeys(key); err != nil {
		return err
	}
	now, err := d.storeTime(ctx, d.reader, now)
	if err != nil {
		return err
	}
	return d.exec(ctx, "take an attempt of a client back", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `UPDATE throttle_buckets SET used = used - 1
			WHERE bucket = $1 AND used > 0 AND tat > $2`, key, now.UnixMicro())
		return err
	})
}

// period is a window in which a client's attempts are counted.
type period struct {
	end  int64 // microseconds
	used int64
}

// wait returns how long the client is blocked: at most a whole window. A window that ends much later than one that
// begins now stems from a clock that was set back since, and counts as over.
func (p period) wait(at, long int64, limit int) time.Duration {
	if p.end <= at || p.end > at+long+clockTolerance.Microseconds() || p.used < int64(limit) {
		return 0
	}
	return time.Duration(min(p.end-at, long)) * time.Microsecond
}

// period returns the current window of key, or the zero period.
func (d *DB) period(ctx context.Context, key string) (period, error) {
	p, err := one(ctx, d.reader, "read a count of a client", func(s scanner) (p period, err error) {
		err = s.Scan(&p.end, &p.used)
		return p, err
	}, `SELECT tat, used FROM throttle_buckets WHERE bucket = $1`, key)
	if errors.Is(err, store.ErrNotFound) {
		return period{}, nil
	}
	return p, err
}

// BeginAttempt implements [store.Throttle]. The statement counts only if there is no wait or it is over, so that of
// concurrent guesses no more are allowed than the rule permits.
//
// A row stores the wait as wait_until - last_at, 0 for none. So allowed attempts are counted in whatever order they
// arrive, and by whichever clock.
func (d *DB) BeginAttempt(ctx context.Context, key string, free int, longest time.Duration,
	now time.Time,
) (time.Duration, error) {
	if err := checkKeys(key); err != nil {
		return 0, err
	}
	if longest < 0 || free < 0 {
		return 0, fmt.Errorf("%w: a wait cannot be negative", errArgument)
	}
	now, err := d.storeTime(ctx, d.reader, now)
	if err != nil {
		return 0, err
	}
	at := now.UnixMilli()
	if wait, err := d.remaining(ctx, key, at); err != nil || wait > 0 {
		return wait, err
	}
	// The same numbers as store.Wait: FirstWait doubled for each attempt after the free ones, longest at most.
	const first = int64(store.FirstWait / time.Millisecond)
	most := longest.Milliseconds()
	doublings := int64(0)
	for w := first; w < most && doublings < 40; w *= 2 {
		doublings++
	}
	const next = `(CASE WHEN throttle_attempts.last_at <= $6 THEN 1 ELSE throttle_attempts.failures + 1 END)`
	var counted int64
	err = d.exec(ctx, "count an attempt", func(ctx context.Context, q queryer) error {
		var err error
		counted, err = affected(ctx, q, `INSERT INTO throttle_attempts (account, failures, wait_until, last_at)
			VALUES ($1, 1, $7, $2)
			ON CONFLICT (account) DO UPDATE SET failures = `+next+`, last_at = $2,
			wait_until = $2 + CASE WHEN `+next+` < $3 THEN 0 WHEN `+next+` - $3 >= $4 THEN $5
				ELSE `+firstWaitSQL+` << CAST(`+next+` - $3 AS INTEGER) END
			WHERE throttle_attempts.wait_until <= $2 OR throttle_attempts.wait_until <= throttle_attempts.last_at`,
			key, at, int64(free), doublings, most, at-forgetAttempts.Milliseconds(),
			at+store.Wait(1, free, longest).Milliseconds())
		return err
	})
	if err != nil || counted > 0 {
		return 0, err
	}
	wait, err := d.remaining(ctx, key, at)
	return max(wait, time.Millisecond), err
}

// remaining returns how long key still has to wait, 0 for not at all: at most the stored wait, whatever the clocks
// say. A wait that began in the future stems from before the clock was set back: it is restarted.
func (d *DB) remaining(ctx context.Context, key string, at int64) (time.Duration, error) {
	type attempts struct{ until, last int64 }
	a, err := one(ctx, d.reader, "read a count of attempts", func(s scanner) (a attempts, err error) {
		err = s.Scan(&a.until, &a.last)
		return a, err
	}, `SELECT wait_until, last_at FROM throttle_attempts WHERE account = $1`, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case a.until <= a.last, a.until <= at:
		return 0, nil
	}
	if a.last-at > clockTolerance.Milliseconds() {
		err = d.exec(ctx, "restart a wait", func(ctx context.Context, q queryer) error {
			_, err := q.ExecContext(ctx, `UPDATE throttle_attempts SET wait_until = $2 + wait_until - last_at, last_at = $2
				WHERE account = $1 AND last_at = $3`, key, at, a.last)
			return err
		})
	}
	return time.Duration(min(a.until-at, a.until-a.last)) * time.Millisecond, err
}

// firstWaitSQL is store.FirstWait in milliseconds, as a number of 64 bits; a test compares the two.
const firstWaitSQL = `CAST(2000 AS BIGINT)`

// ForgiveAttempt implements [store.Throttle]. The wait that began with the attempt ends, but the count still
// determines the next wait, so that this grants no additional guess.
func (d *DB) ForgiveAttempt(ctx context.Context, key string, _ time.Time) error {
	if err := checkKeys(key); err != nil {
		return err
	}
	return d.exec(ctx, "undo an attempt", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `UPDATE throttle_attempts SET failures = failures - 1,
			wait_until = last_at WHERE account = $1 AND failures > 0`, key)
		return err
	})
}

// ClearAttempts implements [store.Tx].
func (t *tx) ClearAttempts(ctx context.Context, key string) error {
	if err := checkKeys(key); err != nil {
		return err
	}
	return t.run(ctx, "forget attempts", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `DELETE FROM throttle_attempts WHERE account = $1`, key)
		return err
	})
}

// ClearUserAttempts implements [store.Tx]. It reads all counts, of which there is a bounded number.
func (t *tx) ClearUserAttempts(ctx context.Context, userID string) error {
	if !store.ValidID(userID) { // nothing but letters and digits: no wildcards of LIKE
		return nil
	}
	return t.run(ctx, "forget a user's attempts", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `DELETE FROM throttle_attempts WHERE account LIKE $1`, "%:"+userID)
		return err
	})
}
