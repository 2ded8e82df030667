package sqlstore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// FormerName implements [store.Reader].
func (r reader) FormerName(ctx context.Context, username, issuer, subject string) (bool, error) {
	key := store.FoldName(username)
	if !storable(key) || key == "" {
		return false, nil
	}
	holder := ""
	if issuer != "" {
		holder = store.Identity{Issuer: issuer, Subject: subject}.ID()
	}
	n, err := one(ctx, r, "look a former name up", scanInt, `SELECT count(*) FROM former_names f WHERE f.name_key = $1
		AND NOT EXISTS (SELECT 1 FROM former_names g WHERE g.name_key = $1 AND g.holder = $2 AND g.holder <> '')`,
		key, holder)
	return n > 0, err
}

// recordFormerName records that a username was used by this account. Only its last holder may get it back: otherwise
// somebody at a provider could take over the name, and what applications associate with it.
func recordFormerName(ctx context.Context, q queryer, u store.User, at time.Time) error {
	key := store.FoldName(u.Username)
	if _, err := q.ExecContext(ctx, `DELETE FROM former_names WHERE name_key = $1`, key); err != nil {
		return err
	}
	ids, err := collect(ctx, q, scanIdentity, selectIdentity+` WHERE user_id = $1`, u.ID)
	if err != nil {
		return err
	}
	holders := []string{""}
	for _, id := range ids {
		holders = append(holders, id.ID())
	}
	for _, holder := range holders {
		_, err := q.ExecContext(ctx, `INSERT INTO former_names (name_key, holder, left_at) VALUES ($1, $2, $3)`, key, holder,
			toMillis(at))
		if err != nil {
			return err
		}
	}
	return nil
}
