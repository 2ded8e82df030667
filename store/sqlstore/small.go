package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// KnownDevice implements [store.Reader].
func (r reader) KnownDevice(ctx context.Context, hash store.TokenHash, userID string) (bool, error) {
	if !storable(userID) {
		return false, nil
	}
	n, err := one(ctx, r, "look a device up", scanInt, `SELECT count(*) FROM devices
		WHERE device_hash = $1 AND user_id = $2 AND expires_at > $3`, hash.String(), userID, toMillis(r.now()))
	return n > 0, err
}

// PutDevice implements [store.Tx].
func (t *tx) PutDevice(ctx context.Context, hash store.TokenHash, userID string, at, expires time.Time) error {
	if err := checkKeys(userID); err != nil {
		return err
	}
	return t.run(ctx, "note a device", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `INSERT INTO devices (device_hash, user_id, seen_at, expires_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (device_hash, user_id) DO UPDATE SET seen_at = excluded.seen_at, expires_at = excluded.expires_at`,
			hash.String(), userID, toMillis(at), toMillis(expires))
		if err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `DELETE FROM devices WHERE user_id = $1 AND device_hash NOT IN (
			SELECT device_hash FROM devices WHERE user_id = $1 ORDER BY seen_at DESC, device_hash LIMIT $2)`,
			userID, int64(store.MaxDevices))
		return err
	})
}

// ForgetDevices implements [store.Tx].
func (t *tx) ForgetDevices(ctx context.Context, userID string, keep ...store.TokenHash) (int, error) {
	if !storable(userID) {
		return 0, nil
	}
	var n int64
	err := t.run(ctx, "forget devices", func(ctx context.Context, q queryer) error {
		var w where
		if userID != store.AllUsers {
			w.add("user_id = %s", userID)
		}
		for _, hash := range keep {
			w.add("device_hash <> %s", hash.String())
		}
		var err error
		n, err = affected(ctx, q, `DELETE FROM devices`+w.String(), w.args...)
		return err
	})
	return int(n), err
}

// EndFlows implements [store.Tx].
func (t *tx) EndFlows(ctx context.Context, userID string) error {
	if !storable(userID) || userID == "" {
		return nil
	}
	return t.run(ctx, "end the flows of a user", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `DELETE FROM flows WHERE user_id = $1 AND user_id <> ''`, userID)
		return err
	})
}

// UseOnce implements [store.Tx].
func (t *tx) UseOnce(ctx context.Context, kind, key string, now, expires time.Time) (bool, error) {
	if err := checkKeys(kind, key); err != nil {
		return false, err
	}
	if !expires.After(now) {
		// It would expire at once and could be replayed.
		return false, fmt.Errorf("%w: a once-value must be kept for some time", errArgument)
	}
	var n int64
	err := t.run(ctx, "note a value that counts once", func(ctx context.Context, q queryer) error {
		var err error
		n, err = affected(ctx, q, `INSERT INTO once_values (kind, value_key, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (kind, value_key) DO UPDATE SET expires_at = excluded.expires_at
			WHERE once_values.expires_at <= $4`, kind, key, toMillis(expires), toMillis(now))
		return err
	})
	return n > 0, err
}

// Mark implements [store.Tx].
func (t *tx) Mark(ctx context.Context, kind, key string, until time.Time) error {
	if err := checkKeys(kind, key); err != nil {
		return err
	}
	return t.run(ctx, "note what happened", func(ctx context.Context, q queryer) error {
		return t.mark(ctx, q, kind, key, until)
	})
}

// mark stores the time by the store's clock, like [tx.CreateFlow]: sessions ended on one machine are compared with
// sign-ins started on another.
func (t *tx) mark(ctx context.Context, q queryer, kind, key string, until time.Time) error {
	until, err := t.d.storeTime(ctx, t.reader, until)
	if err != nil {
		return err
	}
	_, err = q.ExecContext(ctx, `INSERT INTO once_values (kind, value_key, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (kind, value_key) DO UPDATE SET expires_at = excluded.expires_at
		WHERE once_values.expires_at < excluded.expires_at`, kind, key, toMillis(until))
	return err
}

// Marked implements [store.Tx].
func (t *tx) Marked(ctx context.Context, kind, key string, at time.Time) (marked bool, err error) {
	if err := checkKeys(kind, key); err != nil {
		return false, err
	}
	if at, err = t.d.storeTime(ctx, t.reader, at); err != nil {
		return false, err
	}
	err = t.run(ctx, "look what happened", func(ctx context.Context, q queryer) error {
		marked, err = exists(ctx, q, `SELECT 1 FROM once_values WHERE kind = $1 AND value_key = $2 AND expires_at > $3`,
			kind, key, toMillis(at))
		return err
	})
	return marked, err
}

// SetSetting implements [store.Tx].
func (t *tx) SetSetting(ctx context.Context, key, value string) error {
	if err := checkKeys(key, value); err != nil {
		return err
	}
	err := t.run(ctx, "write a setting", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, key, value)
		return err
	})
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeSetting, key)
	return nil
}

// SetSettingOnce implements [store.Tx].
func (t *tx) SetSettingOnce(ctx context.Context, key, value string) (string, error) {
	if err := checkKeys(key, value); err != nil {
		return "", err
	}
	var current string
	var written int64
	err := t.run(ctx, "write a setting", func(ctx context.Context, q queryer) error {
		var err error
		written, err = affected(ctx, q, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
			key, value)
		if err != nil {
			return err
		}
		return q.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, key).Scan(&current)
	})
	if err != nil {
		return "", err
	}
	if written > 0 {
		t.recordChange(store.ChangeSetting, key)
	}
	return current, nil
}

// touchBatch bounds how many sessions one transaction updates: others wait for it.
const touchBatch = 500

// Touch implements [store.Store].
func (d *DB) Touch(ctx context.Context, touches []store.Touch) error {
	for len(touches) > 0 {
		batch := touches[:min(len(touches), touchBatch)]
		touches = touches[len(batch):]
		if err := d.bulk(ctx, "note the use of sessions", func(ctx context.Context, q queryer) error {
			return touchSessions(ctx, q, batch)
		}); err != nil {
			return err
		}
	}
	return nil
}

func touchSessions(ctx context.Context, q queryer, batch []store.Touch) error {
	for _, t := range batch {
		if !storable(t.SessionID) {
			continue
		}
		_, err := q.ExecContext(ctx, `UPDATE sessions SET last_seen_at = $2,
			over_at = CASE WHEN $2 + idle_ms < expires_at THEN $2 + idle_ms ELSE expires_at END
			WHERE id = $1 AND last_seen_at < $2`, t.SessionID, toMillis(t.LastSeen))
		if err != nil {
			return err
		}
	}
	return nil
}
