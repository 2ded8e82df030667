package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/store"
)

// refoldBatch is how many rows are read at a time: a connection can run only one statement at a time.
const refoldBatch = 1000

// refold recomputes the folded keys after the folding rule has changed. If two names become equal, no account is lost
// and no start fails: the name without ignorable characters keeps it, else the older one; the other account gets a
// new name and loses its e-mail address, and both changes are in the audit log. It is idempotent.
func (d *DB) refold(ctx context.Context, q queryer) error {
	stale, err := staleUsers(ctx, q)
	if err != nil {
		return err
	}
	slices.SortFunc(stale, precedence)
	for _, u := range stale { // old keys must not conflict with new ones
		if _, err := q.ExecContext(ctx, `UPDATE users SET username_key = $2, email_key = '' WHERE id = $1`, u.ID,
			"\x01"+u.ID); err != nil {
			return fmt.Errorf("fold names again: %w", err)
		}
	}
	for _, u := range stale {
		if err := d.refoldUser(ctx, q, u); err != nil {
			return fmt.Errorf("fold names again: %w", err)
		}
	}
	return refoldEvents(ctx, q)
}

// precedence is the order in which accounts keep their names: the managed administrator, then names without ignorable
// characters, then by age.
func precedence(a, b store.User) int {
	rank := func(u store.User) int {
		switch {
		case u.Managed:
			return 0
		case !strings.ContainsFunc(u.Username, identifier.Ignorable):
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
}

// staleUsers returns the users whose keys were folded by another rule.
func staleUsers(ctx context.Context, q queryer) ([]store.User, error) {
	type row struct {
		store.User
		stored userKeys
	}
	var stale []store.User
	for after := ""; ; {
		found, err := collect(ctx, q, func(s scanner) (row, error) {
			var r row
			var created int64
			err := s.Scan(&r.ID, &r.Username, &r.Email, intBool{&r.EmailVerified}, &r.Name, intBool{&r.Managed},
				intBool{&r.Local}, &created,
				&r.stored.username, &r.stored.email, &r.stored.search)
			r.CreatedAt = fromMillis(created)
			return r, err
		}, `SELECT id, username, email, email_verified, display_name, managed, is_local, created_at,
			username_key, email_key, search FROM users WHERE id > $1 ORDER BY id LIMIT $2`, after, refoldBatch)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if after = r.ID; r.stored != keysOf(r.User) {
				stale = append(stale, r.User)
			}
		}
		if len(found) < refoldBatch {
			return stale, nil
		}
	}
}

func keysOf(u store.User) userKeys {
	return userKeys{username: store.FoldName(u.Username), email: store.FoldName(u.Email), search: userSearch(u)}
}

// refoldUser writes the keys of one user, with another name or no e-mail address if those are taken now.
func (d *DB) refoldUser(ctx context.Context, q queryer, u store.User) error {
	before := u
	for n := 1; ; n++ {
		err := checkUnique(ctx, q, u.ID, keysOf(u), u.Local)
		var taken *store.ConflictError
		switch {
		case err == nil && keysOf(u).username != "":
			return d.writeRefolded(ctx, q, before, u)
		case errors.As(err, &taken) && taken.Field == "email":
			u.Email, u.EmailVerified = "", false
		case err == nil, taken != nil:
			u.Username = candidateName(before, n)
		default:
			return err
		}
	}
}

// candidateName returns the nth name to try for an account that cannot keep its own, finally one that is unique.
func candidateName(u store.User, n int) string {
	name := cmp.Or(identifier.SanitizeUsername(u.Username), "user")
	if n > maxCandidateNames {
		return "user-" + strings.ToLower(u.ID)
	}
	return identifier.WithSuffix(name, "-"+strconv.Itoa(n+1))
}

const maxCandidateNames = 1000

func (d *DB) writeRefolded(ctx context.Context, q queryer, before, u store.User) error {
	keys := keysOf(u)
	versionStep := int64(0)
	if u.Username != before.Username || u.Email != before.Email {
		versionStep = 1
	}
	if _, err := q.ExecContext(ctx, `UPDATE users SET username = $2, email = $3, email_verified = $4, username_key = $5,
		email_key = $6, search = $7, version = version + $8 WHERE id = $1`,
		u.ID, u.Username, u.Email, toInt(u.EmailVerified), keys.username, keys.email, keys.search, versionStep); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `UPDATE sessions SET search = $2 || lower(ip) WHERE user_id = $1`,
		u.ID, sessionSearch(u.Username, "")); err != nil {
		return err
	}
	if versionStep == 0 {
		return nil
	}
	d.opts.Log.Warn("account renamed: its username or e-mail address equaled another one except for invisible characters",
		zap.String("user_id", u.ID), zap.String("before", identifier.Example(before.Username)), zap.String("after",
			u.Username),
		zap.Bool("email_removed", u.Email != before.Email))
	return insertEvent(ctx, q, d.CompleteEvent(store.Event{
		Actor: store.NameStartUp, Action: "user.update", TargetID: u.ID, Target: u.Username, Outcome: store.Success,
		Details: map[string]string{
			"before.username": before.Username, "after.username": u.Username,
			"before.email": before.Email, "after.email": u.Email,
			"reason": "another account has the same name but for characters that nobody sees",
		},
	}))
}

// refoldEvents recomputes the search text of the audit log. The folding of ASCII has not changed.
func refoldEvents(ctx context.Context, q queryer) error {
	type row struct{ id, actor, target, action, ip, actorKey, search string }
	for after := ""; ; {
		found, err := collect(ctx, q, func(s scanner) (row, error) {
			var r row
			err := s.Scan(&r.id, &r.actor, &r.target, &r.action, &r.ip, &r.actorKey, &r.search)
			return r, err
		}, `SELECT id, actor, target, action, ip, actor_key, search FROM events
			WHERE id > $1 AND length(search) <> octet_length(search) ORDER BY id LIMIT $2`, after, refoldBatch)
		if err != nil {
			return err
		}
		for _, r := range found {
			after = r.id
			key, search := actorKey(r.actor), eventSearch(r.actor, r.target, r.action, r.ip)
			if key == r.actorKey && search == r.search {
				continue
			}
			if _, err := q.ExecContext(ctx, `UPDATE events SET actor_key = $2, search = $3 WHERE id = $1`, r.id, key,
				search); err != nil {
				return err
			}
		}
		if len(found) < refoldBatch {
			return nil
		}
	}
}
