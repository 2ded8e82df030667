package sqlstore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	// sessionGrace is how long an idle session is kept: its last uses may not have been written yet.
	sessionGrace = 5 * time.Minute
	// linkGrace is how long an expired link is kept, so that its page can say "expired" and not "unknown".
	linkGrace = 7 * 24 * time.Hour
	// tokenGrace is how long an expired token is kept, so that its owner's list can say so.
	tokenGrace = 30 * 24 * time.Hour
	// deviceGrace is how long an expired device grant is kept, so that its program hears "expired" and not "unknown".
	deviceGrace = 10 * time.Minute
	// halfLoginGrace is how long a half-login that is over is kept, so that its page can offer to start again with the
	// username.
	halfLoginGrace = 10 * time.Minute
	// changeRetention is how long changes are kept for other processes. A process that missed more than that drops its
	// cache.
	changeRetention = time.Hour
	// maxTypedNames bounds the attempt counts of entered names: a client can invent any number of them.
	maxTypedNames = 10_000
)

// typedNamePrefixes are the key prefixes of such counts: of all names, and of unknown ones.
var typedNamePrefixes = []string{"n:", "u:"}

// sweepStep selects the keys of expired rows of one kind.
type sweepStep struct {
	table, key, rows string
	args             []any
}

// Sweep implements [store.Store]. Each kind is a separate transaction, so that other changes do not wait long.
func (d *DB) Sweep(ctx context.Context, now time.Time, keepEvents time.Duration, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	counts, err := d.storeTime(ctx, d.reader, now)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, step := range sweepSteps(now, counts, keepEvents) {
		n, err := d.sweep(ctx, step, limit)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// sweepSteps returns a step per kind. counts is now by the store's clock, which attempt counts use.
func sweepSteps(now, counts time.Time, keepEvents time.Duration) []sweepStep {
	ms := func(d time.Duration) int64 { return toMillis(now.Add(-d)) }
	steps := []sweepStep{
		{"sessions", "id", `over_at <= $2 AND (expires_at <= $2 OR over_at <= $3)`, []any{ms(0), ms(sessionGrace)}},
		{"flows", "state_hash", `expires_at <= $2`, []any{ms(0)}},
		{"links", "id", `expires_at <= $2`, []any{ms(linkGrace)}},
		{"tokens", "id", `expires_at > 0 AND expires_at <= $2`, []any{ms(tokenGrace)}},
		{"device_grants", "id", `expires_at <= $2`, []any{ms(deviceGrace)}},
		{"half_logins", "id", `expires_at <= $2`, []any{ms(halfLoginGrace)}},
		{"trusted_browsers", "id", `expires_at <= $2`, []any{ms(0)}},
		{"totps", "id", `confirmed_at = 0 AND created_at <= $2`, []any{ms(store.TOTPSetupTTL)}},
		{"throttle_buckets", "bucket", `tat <= $2`, []any{counts.UnixMicro()}},
		{"throttle_attempts", "account", `last_at <= $2`, []any{toMillis(counts.Add(-forgetAttempts))}},
		{"changes", "seq", `at <= $2`, []any{ms(changeRetention)}},
		// These two have composite keys.
		{"devices", "device_hash, user_id", `expires_at <= $2`, []any{ms(0)}},
		{"once_values", "kind, value_key", `expires_at <= $2`, []any{ms(0)}},
	}
	for _, prefix := range typedNamePrefixes {
		after := prefix[:1] + ";" // what comes after ':'
		steps = append(steps, sweepStep{"throttle_attempts", "account", `account >= $2 AND account < $3 AND last_at < (
			SELECT last_at FROM throttle_attempts WHERE account >= $2 AND account < $3
			ORDER BY last_at DESC, account LIMIT 1 OFFSET $4)`, []any{prefix, after, int64(maxTypedNames - 1)}})
	}
	if keepEvents > 0 {
		steps = append(steps, sweepStep{"events", "id", `happened_at <= $2`, []any{ms(keepEvents)}})
	}
	return steps
}

// sweep queries with a reader first: usually there is nothing to delete, and then no change has to wait.
func (d *DB) sweep(ctx context.Context, step sweepStep, limit int) (int, error) {
	keys := `SELECT ` + step.key + ` FROM ` + step.table + ` WHERE ` + step.rows + ` LIMIT $1`
	args := append([]any{int64(limit)}, step.args...)
	found, err := one(ctx, d.reader, "look for what has expired", scanInt, `SELECT count(*) FROM (`+keys+`) AS expired`,
		args...)
	if err != nil || found == 0 {
		return 0, err
	}
	var n int64
	err = d.bulk(ctx, "delete what has expired", func(ctx context.Context, q queryer) error {
		var err error
		n, err = affected(ctx, q, `DELETE FROM `+step.table+` WHERE (`+step.key+`) IN (`+keys+`)`, args...)
		return err
	})
	return int(n), err
}
