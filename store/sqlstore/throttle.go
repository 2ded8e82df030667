package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// forgetAttempts is how long after the last attempt a count starts again from nothing.
const forgetAttempts = 24 * time.Hour

// TakeTurn implements [store.Throttle]. One statement decides; where no turn is left the row is only read, so that a
// flood costs no writes.
func (d *DB) TakeTurn(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (time.Duration, error) {
	if err := checkKeys(key); err != nil {
		return 0, err
	}
	if limit < 1 || window < time.Microsecond {
		return 0, fmt.Errorf("%w: a period needs a length, and attempts that it allows", errArgument)
	}
	at := now.UnixMicro()
	p, err := d.period(ctx, key)
	if err != nil {
		return 0, err
	}
	if wait := p.wait(at, limit); wait > 0 {
		return wait, nil
	}
	var taken int64
	err = d.exec(ctx, "count an attempt of a client", func(ctx context.Context, q queryer) error {
		var err error
		taken, err = affected(ctx, q, `INSERT INTO throttle_buckets (bucket, tat, used) VALUES ($1, $2, 1)
			ON CONFLICT (bucket) DO UPDATE SET
			used = CASE WHEN throttle_buckets.tat <= $3 THEN 1 ELSE throttle_buckets.used + 1 END,
			tat = CASE WHEN throttle_buckets.tat <= $3 THEN excluded.tat ELSE throttle_buckets.tat END
			WHERE throttle_buckets.tat <= $3 OR throttle_buckets.used < $4`, key, at+window.Microseconds(), at, int64(limit))
		return err
	})
	if err != nil || taken > 0 {
		return 0, err
	}
	if p, err = d.period(ctx, key); err != nil {
		return 0, err
	}
	return max(p.wait(at, limit), time.Microsecond), nil
}

// period is one in which a client's attempts are counted.
type period struct {
	end  int64 // microseconds
	used int64
}

// wait answers how long there is no turn.
func (p period) wait(at int64, limit int) time.Duration {
	if p.end <= at || p.used < int64(limit) {
		return 0
	}
	return time.Duration(p.end-at) * time.Microsecond
}

// period answers the zero period where there is none.
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

// BeginAttempt implements [store.Throttle]. The statement counts only where the wait is over, so that of guesses sent
// at once no more are counted, and answered with no wait, than the rule allows.
func (d *DB) BeginAttempt(ctx context.Context, key string, free int, longest time.Duration, now time.Time) (time.Duration, error) {
	if err := checkKeys(key); err != nil {
		return 0, err
	}
	if longest < 0 || free < 0 {
		return 0, fmt.Errorf("%w: a wait cannot be negative", errArgument)
	}
	at := now.UnixMilli()
	wait := func(until int64) time.Duration { return time.Duration(max(until-at, 1)) * time.Millisecond }
	until, err := d.waitUntil(ctx, key)
	switch {
	case err != nil:
		return 0, err
	case until > at:
		return wait(until), nil
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
			WHERE throttle_attempts.wait_until <= $2`,
			key, at, int64(free), doublings, most, at-forgetAttempts.Milliseconds(),
			at+store.Wait(1, free, longest).Milliseconds())
		return err
	})
	if err != nil || counted > 0 {
		return 0, err
	}
	if until, err = d.waitUntil(ctx, key); err != nil {
		return 0, err
	}
	return wait(until), nil
}

// firstWaitSQL is store.FirstWait in milliseconds, as a number of 64 bits; a test compares the two.
const firstWaitSQL = `CAST(2000 AS BIGINT)`

func (d *DB) waitUntil(ctx context.Context, key string) (int64, error) {
	return orNone(one(ctx, d.reader, "read a count of attempts", scanInt64,
		`SELECT wait_until FROM throttle_attempts WHERE account = $1`, key))
}

// orNone answers 0 for a row that is not there.
func orNone(v int64, err error) (int64, error) {
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return v, err
}

func scanInt64(s scanner) (n int64, err error) {
	err = s.Scan(&n)
	return n, err
}

// ForgiveAttempt implements [store.Throttle]. The wait that began with the attempt ends: the count alone says how long
// the next one is, so that forgiving gains no further guess.
func (d *DB) ForgiveAttempt(ctx context.Context, key string, now time.Time) error {
	if err := checkKeys(key); err != nil {
		return err
	}
	return d.exec(ctx, "take an attempt back", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `UPDATE throttle_attempts SET failures = failures - 1,
			wait_until = CASE WHEN wait_until > $2 THEN $2 ELSE wait_until END
			WHERE account = $1 AND failures > 0`, key, now.UnixMilli())
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
