package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

const deviceColumns = `id device_hash code_hash client hosts paths methods site origin ip created_at expires_at
	grant_state user_id token_id`

// scanDevice returns a grant. A malformed scope reads as one that no token can have.
func scanDevice(s scanner) (store.DeviceGrant, error) {
	var g store.DeviceGrant
	var hosts, paths string
	var created, expires int64
	err := s.Scan(&g.ID, &g.Hash, &g.CodeHash, &g.Client, &hosts, &paths, &g.Methods, &g.Site, &g.Origin, &g.IP, &created,
		&expires, &g.State, &g.UserID, &g.TokenID)
	if err != nil {
		return store.DeviceGrant{}, err
	}
	var hostsOK, pathsOK bool
	g.Hosts, hostsOK = parseTexts(hosts)
	g.Paths, pathsOK = parseTexts(paths)
	if !hostsOK || !pathsOK || len(g.Hosts) == 0 {
		g.Hosts, g.Paths, g.Methods = nil, nil, ""
	}
	g.CreatedAt, g.ExpiresAt = fromMillis(created), fromMillis(expires)
	return g, nil
}

var selectDevice = `SELECT ` + columns("", deviceColumns) + ` FROM device_grants`

// DeviceGrant implements [store.Reader].
func (r reader) DeviceGrant(ctx context.Context, hash store.TokenHash) (store.DeviceGrant, error) {
	return one(ctx, r, "read a device grant", scanDevice, selectDevice+` WHERE device_hash = $1`, hash.String())
}

// DeviceGrantByCode implements [store.Reader].
func (r reader) DeviceGrantByCode(ctx context.Context, hash store.TokenHash) (store.DeviceGrant, error) {
	return one(ctx, r, "look a user code up", scanDevice, selectDevice+` WHERE code_hash = $1`, hash.String())
}

// CountDeviceGrants implements [store.Reader].
func (r reader) CountDeviceGrants(ctx context.Context, origin string, now time.Time) (all, own int, err error) {
	type counts struct{ all, own int }
	n, err := one(ctx, r, "count device grants", func(s scanner) (n counts, err error) {
		err = s.Scan(&n.all, &n.own)
		return n, err
	}, `SELECT count(*), coalesce(sum(CASE WHEN origin = $1 THEN 1 ELSE 0 END), 0) FROM device_grants
		WHERE expires_at > $2 AND grant_state = 'pending'`, clean(origin), toMillis(now))
	return n.all, n.own, err
}

// CreateDeviceGrant implements [store.Tx].
func (t *tx) CreateDeviceGrant(ctx context.Context, g store.DeviceGrant) error {
	keys := append([]string{g.ID, g.Client, g.Site, g.Origin}, g.Hosts...)
	if err := checkKeys(append(keys, g.Paths...)...); err != nil {
		return fmt.Errorf("the device grant: %w", err)
	}
	switch {
	case g.ID == "", g.Hash == (store.TokenHash{}), g.CodeHash == (store.TokenHash{}), g.Client == "",
		g.ExpiresAt.IsZero(), len(g.Hosts) == 0:
		return fmt.Errorf("%w: a device grant needs an id, two codes, a client, a host and an end", errArgument)
	case g.Methods != store.TokenRead && g.Methods != store.TokenAll:
		return fmt.Errorf("%w: a device grant needs methods, %q are none", errArgument, g.Methods)
	case g.State != store.DevicePending || g.UserID != "" || g.TokenID != "":
		return fmt.Errorf("%w: a new device grant is pending", errArgument)
	}
	return t.run(ctx, "create a device grant", func(ctx context.Context, q queryer) error {
		used, err := exists(ctx, q, `SELECT 1 FROM device_grants WHERE code_hash = $1`, g.CodeHash.String())
		if err != nil {
			return err
		}
		if used { // looked up first: after a failed statement PostgreSQL rejects all others of a transaction
			return &store.ConflictError{Field: "code"}
		}
		_, err = q.ExecContext(ctx, `INSERT INTO device_grants (`+columns("", deviceColumns)+`)
			VALUES (`+placeholders(15)+`)`,
			g.ID, g.Hash.String(), g.CodeHash.String(), g.Client, textsText(g.Hosts), textsText(g.Paths), string(g.Methods),
			g.Site, g.Origin, clip(withoutZone(g.IP), maxIP), toMillis(g.CreatedAt), toMillis(g.ExpiresAt), string(g.State),
			"", "")
		return err
	})
}

// DecideDeviceGrant implements [store.Tx]. Check and update are one statement.
func (t *tx) DecideDeviceGrant(ctx context.Context, code store.TokenHash, d store.DeviceDecision, now time.Time) error {
	if err := checkKeys(d.UserID, d.TokenID); err != nil {
		return err
	}
	approved := d.State == store.DeviceApproved
	if !approved && d.State != store.DeviceDenied || d.UserID == "" || approved != (d.TokenID != "") {
		return fmt.Errorf("%w: somebody approves a device grant with a token, or denies it", errArgument)
	}
	return t.run(ctx, "decide about a device grant", func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE device_grants SET grant_state = $2, user_id = $3, token_id = $4
			WHERE code_hash = $1 AND grant_state = 'pending' AND expires_at > $5`,
			code.String(), string(d.State), d.UserID, d.TokenID, toMillis(now))
		if err != nil || n > 0 {
			return err
		}
		decided, err := exists(ctx, q, `SELECT 1 FROM device_grants
			WHERE code_hash = $1 AND grant_state <> 'pending' AND expires_at > $2`, code.String(), toMillis(now))
		switch {
		case err != nil:
			return err
		case decided:
			return store.ErrStale
		}
		return store.ErrNotFound
	})
}

// TakeDeviceGrant implements [store.Tx]. Check and update are one statement.
func (t *tx) TakeDeviceGrant(ctx context.Context, hash store.TokenHash, now time.Time) (store.DeviceGrant, error) {
	g, err := one(ctx, t.reader, "take a device grant", scanDevice, `UPDATE device_grants SET grant_state = 'used'
		WHERE device_hash = $1 AND grant_state = 'approved' AND expires_at > $2
		RETURNING `+columns("", deviceColumns), hash.String(), toMillis(now))
	if err != nil {
		return store.DeviceGrant{}, err
	}
	g.State = store.DeviceApproved // as it was
	return g, nil
}

// SetTokenText implements [store.Tx].
func (t *tx) SetTokenText(ctx context.Context, id string, hash store.TokenHash, hint string,
	expires, now time.Time,
) error {
	if err := checkKeys(id, hint); err != nil {
		return err
	}
	if hash == (store.TokenHash{}) || !expires.After(now) {
		return fmt.Errorf("%w: a token needs a hash, and an end that is not past", errArgument)
	}
	err := t.run(ctx, "set the text of a token", func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE tokens SET token_hash = $2, hint = $3, expires_at = $4
			WHERE id = $1 AND replaced_by = '' AND (expires_at = 0 OR expires_at > $5)`,
			id, hash.String(), hint, toMillis(expires), toMillis(now))
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeToken, id)
	return nil
}
