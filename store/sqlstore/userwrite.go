package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// userKeys are the derived columns of a user.
type userKeys struct{ username, email, search string }

// maxUserKey bounds a folded username or e-mail address in bytes. Folding can make a short text long, and PostgreSQL
// limits the length of index keys.
const maxUserKey = store.MaxKey

// prepareUser checks and cleans a user for writing.
func prepareUser(u *store.User) (userKeys, error) {
	if err := checkKeys(u.ID, u.Username, u.Email, string(u.Role), string(u.Origin), u.PasswordHash); err != nil {
		return userKeys{}, fmt.Errorf("the user: %w", err)
	}
	u.Name = clean(u.Name)
	if u.Kind == "" {
		u.Kind = store.KindPerson
	}
	if u.Kind != store.KindPerson && (u.Kind != store.KindService || u.PasswordHash != "" || u.Role != store.RoleUser ||
		u.Managed || u.Local || u.Pending || u.MustChange) {
		return userKeys{}, fmt.Errorf("%w: the user: %w", errArgument, errService)
	}
	normalizeProvided(u)
	keys := userKeys{
		username: store.FoldName(u.Username),
		email:    store.FoldName(u.Email),
		search:   userSearch(*u),
	}
	if u.ID == "" || keys.username == "" {
		return userKeys{}, fmt.Errorf("%w: a user needs an id and a name", errArgument)
	}
	if len(keys.username) > maxUserKey || len(keys.email) > maxUserKey {
		return userKeys{}, fmt.Errorf("%w: the username or e-mail is too long", errArgument)
	}
	return keys, nil
}

// checkUnique returns a ConflictError if another user has a unique value of u. Changes run one at a time, so it
// cannot be taken before the write; checking first keeps a PostgreSQL transaction usable, for example to continue
// with the next row of an import. The unique indexes enforce it in any case.
func checkUnique(ctx context.Context, q queryer, id string, keys userKeys, local bool) error {
	var username, email int64
	err := q.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM users WHERE username_key = $1 AND id <> $2),
		(SELECT count(*) FROM users WHERE email_key = $3 AND is_local = 1 AND email_key <> '' AND id <> $2)`,
		keys.username, id, keys.email).Scan(&username, &email)
	switch {
	case err != nil:
		return err
	case username > 0:
		return &store.ConflictError{Field: "username"}
	case email > 0 && local:
		return &store.ConflictError{Field: "email"}
	}
	return nil
}

func exists(ctx context.Context, q queryer, query string, args ...any) (bool, error) {
	var n int64
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM (`+query+` LIMIT 1) AS found`, args...).Scan(&n); err != nil {
		return false, err
	}
	return n > 0, nil
}

// CreateUser implements [store.Tx].
func (t *tx) CreateUser(ctx context.Context, u store.User) error {
	keys, err := prepareUser(&u)
	if err != nil {
		return err
	}
	if u.CreatedAt.IsZero() {
		return fmt.Errorf("%w: a user needs a creation time", errArgument)
	}
	if u.UpdatedAt.IsZero() {
		u.UpdatedAt = u.CreatedAt
	}
	return t.run(ctx, "create a user", func(ctx context.Context, q queryer) error {
		taken, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1`, u.ID)
		if err != nil {
			return err
		}
		if taken {
			return &store.ConflictError{Field: "id"}
		}
		if err := checkUnique(ctx, q, u.ID, keys, u.Local); err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `INSERT INTO users (`+columns("", newUserColumns)+`, username_key, email_key, search)
			VALUES (`+placeholders(27)+`)`,
			u.ID, u.Username, u.Email, toInt(u.EmailVerified), u.Name, string(u.Role), toInt(u.RoleGranted),
			groupsText(u.Groups), toInt(u.Active), toInt(u.Pending), toInt(u.Managed), toInt(u.Local), string(u.Origin),
			u.PasswordHash, toInt(u.MustChange), toMillis(u.PasswordChangedAt), u.Epoch, max(u.Version, 1),
			toMillis(u.CreatedAt), toMillis(u.UpdatedAt), toMillis(u.LastLoginAt),
			toInt(u.RoleProvided), groupsText(u.ProvidedGroups), string(u.Kind), keys.username, keys.email,
			keys.search)
		return err
	})
}

// UpdateUser implements [store.Tx].
func (t *tx) UpdateUser(ctx context.Context, u store.User) (store.User, error) {
	keys, err := prepareUser(&u)
	if err != nil {
		return store.User{}, err
	}
	var stored store.User
	err = t.run(ctx, "update a user", func(ctx context.Context, q queryer) error {
		before, err := scanUser(q.QueryRowContext(ctx, queryUserByID, u.ID))
		if err != nil {
			return err
		}
		if err := checkUpdate(ctx, q, u, before, keys); err != nil {
			return err
		}
		if err := t.writeUser(ctx, q, u, before, keys); err != nil {
			return err
		}
		if keys.username != store.FoldName(before.Username) {
			if err := recordFormerName(ctx, q, before, t.now()); err != nil {
				return err
			}
		}
		if u.Username != before.Username {
			// The username is part of the search text of sessions.
			if _, err := q.ExecContext(ctx, `UPDATE sessions SET search = $2 || lower(ip) WHERE user_id = $1`,
				u.ID, sessionSearch(u.Username, "")); err != nil {
				return err
			}
		}
		if err := t.endTrustOf(ctx, q, before, u); err != nil {
			return err
		}
		if before.Active && !u.Active {
			if err := t.deactivate(ctx, q, before, t.now()); err != nil {
				return err
			}
		}
		stored, err = scanUser(q.QueryRowContext(ctx, queryUserByID, u.ID))
		return err
	})
	if err != nil {
		return store.User{}, err
	}
	t.recordChange(store.ChangeUser, u.ID)
	return stored, nil
}

// checkUpdate returns an error if u must not replace before.
func checkUpdate(ctx context.Context, q queryer, u, before store.User, keys userKeys) error {
	if before.Version != u.Version {
		return store.ErrStale
	}
	if before.Kind != u.Kind {
		return fmt.Errorf("%w: the kind of an account never changes", errArgument)
	}
	if isGrantedAdmin(before) && !isGrantedAdmin(u) || before.IsActiveAdmin() && !u.IsActiveAdmin() {
		if err := checkLastAdmin(ctx, q, before); err != nil {
			return err
		}
	}
	return checkUnique(ctx, q, u.ID, keys, u.Local)
}

// checkLostSignIn returns ErrLastAdmin if a user who has just lost a sign-in method was the last administrator with
// one.
func checkLostSignIn(ctx context.Context, q queryer, id string) error {
	u, err := scanUser(q.QueryRowContext(ctx, queryUserByID, id))
	if err != nil || !u.IsActiveAdmin() {
		return err
	}
	able, err := exists(ctx, q, `SELECT 1 FROM users u WHERE `+canSignInAsAdmin+` AND u.id = $1`, id)
	if err != nil || able {
		return err
	}
	return requireOtherAdmin(ctx, q, u, !u.RoleProvided)
}

func (t *tx) writeUser(ctx context.Context, q queryer, u, before store.User, keys userKeys) error {
	updated := u.UpdatedAt
	if updated.Equal(before.UpdatedAt) || updated.IsZero() {
		updated = t.now() // unchanged since the caller read it
	}
	// A sign-in between the caller's read and this write must not be forgotten: last_login_at only grows.
	n, err := affected(ctx, q, `UPDATE users SET username = $3, email = $4, email_verified = $5, display_name = $6,
		role = $7, role_granted = $8, group_names = $9, active = $10, pending = $11, managed = $12, is_local = $13,
		origin = $14, updated_at = $15,
		last_login_at = CASE WHEN last_login_at > $16 THEN last_login_at ELSE $16 END,
		username_key = $17, email_key = $18, search = $19, role_provided = $20, provided_groups = $21, version = version + 1
		WHERE id = $1 AND version = $2`,
		u.ID, u.Version, u.Username, u.Email, toInt(u.EmailVerified), u.Name, string(u.Role), toInt(u.RoleGranted),
		groupsText(u.Groups), toInt(u.Active), toInt(u.Pending), toInt(u.Managed), toInt(u.Local), string(u.Origin),
		toMillis(updated), toMillis(u.LastLoginAt), keys.username, keys.email, keys.search, toInt(u.RoleProvided),
		groupsText(u.ProvidedGroups))
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrStale
	}
	return nil
}

// isGrantedAdmin reports whether a user is an administrator whose role was granted in Gatehouse. One made by a
// provider does not count: the provider, or a change of the configuration, can revoke that at any time. If there is
// nobody else, the last of those has to stay all the same: a store without any administrator waits for the set-up of
// a first one.
func isGrantedAdmin(u store.User) bool { return u.IsActiveAdmin() && !u.RoleProvided }

// roleProvided is the condition that a provider made u an administrator, as in normalizeProvided. It also holds for a
// user from a provider without a granted role, whatever the column says: an older version that runs during an update
// does not write the column.
const roleProvided = `u.role_granted = 0 AND u.managed = 0 AND (u.role_provided = 1 OR u.origin = 'oidc')`

// normalizeProvided clears what cannot come from a provider: a granted role, groups that are not in Groups. And it
// sets RoleProvided for a role that can only come from a provider.
func normalizeProvided(u *store.User) {
	u.RoleProvided = (u.RoleProvided || u.Origin == store.OriginOIDC) && u.Role == store.RoleAdmin && !u.RoleGranted &&
		!u.Managed
	var provided []string
	for _, g := range u.ProvidedGroups {
		if slices.Contains(u.Groups, g) {
			provided = append(provided, g)
		}
	}
	u.ProvidedGroups = provided
}

// checkLastAdmin returns ErrLastAdmin if no administrator who can sign in would be left without u. If u cannot sign
// in, any other one is enough.
func checkLastAdmin(ctx context.Context, q queryer, u store.User) error {
	granted := isGrantedAdmin(u)
	if granted {
		var err error
		if granted, err = exists(ctx, q, `SELECT 1 FROM users u WHERE `+canSignInAsAdmin+` AND u.id = $1`, u.ID); err != nil {
			return err
		}
	}
	return requireOtherAdmin(ctx, q, u, granted)
}

// requireOtherAdmin returns ErrLastAdmin unless another administrator can sign in; with granted, one whose role was
// granted in Gatehouse.
func requireOtherAdmin(ctx context.Context, q queryer, u store.User, granted bool) error {
	which := ""
	if granted {
		which = ` AND ` + grantedLocally
	}
	other, err := exists(ctx, q, `SELECT 1 FROM users u WHERE `+canSignInAsAdmin+which+` AND u.id <> $1`, u.ID)
	if err != nil {
		return err
	}
	if !other {
		return store.ErrLastAdmin
	}
	return nil
}

// deactivate deletes everything with which a user could get in. The epoch is incremented, so that re-activation does
// not revive sessions that a process has cached. Tokens of a service account rest: they are all that it has.
func (t *tx) deactivate(ctx context.Context, q queryer, u store.User, now time.Time) error {
	id := u.ID
	if !u.IsService() {
		if _, err := deleteTokens(ctx, q, "user_id", id); err != nil {
			return err
		}
	}
	if _, err := q.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, id); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `DELETE FROM flows WHERE user_id = $1 AND user_id <> ''`, id); err != nil {
		return err
	}
	if err := endHalfLogins(ctx, q, id); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `DELETE FROM devices WHERE user_id = $1`, id); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `UPDATE links SET cancelled_at = $2
		WHERE user_id = $1 AND used_at = 0 AND cancelled_at = 0`, id, toMillis(now)); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `UPDATE users SET epoch = epoch + 1 WHERE id = $1`, id); err != nil {
		return err
	}
	return t.mark(ctx, q, store.MarkEnded, id, now.Add(store.EndedMarkTTL))
}

// DeleteUser implements [store.Tx].
func (t *tx) DeleteUser(ctx context.Context, id string) error {
	if !storable(id) {
		return store.ErrNotFound
	}
	err := t.run(ctx, "delete a user", func(ctx context.Context, q queryer) error {
		before, err := scanUser(q.QueryRowContext(ctx, queryUserByID, id))
		if err != nil {
			return err
		}
		if before.IsActiveAdmin() {
			if err := checkLastAdmin(ctx, q, before); err != nil {
				return err
			}
		}
		if err := recordFormerName(ctx, q, before, t.now()); err != nil {
			return err
		}
		for _, statement := range []string{
			// Sessions, identities, tokens, browsers, factors and half-logins go with their user (ON DELETE CASCADE); these have
			// no foreign key, since some of them have no user.
			`DELETE FROM links WHERE user_id = $1`,
			`DELETE FROM flows WHERE user_id = $1 AND user_id <> ''`,
			`DELETE FROM users WHERE id = $1`,
		} {
			if _, err := q.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeUser, id)
	return nil
}

// SetPassword implements [store.Tx].
func (t *tx) SetPassword(ctx context.Context, userID string, p store.PasswordChange) error {
	if err := checkKeys(userID, p.Hash, p.IfHash); err != nil {
		return err
	}
	err := t.run(ctx, "set a password", func(ctx context.Context, q queryer) error {
		before, err := scanUser(q.QueryRowContext(ctx, queryUserByID, userID))
		if err != nil {
			return err
		}
		switch {
		case before.IsService():
			return fmt.Errorf("%w: %w", errArgument, errService)
		case p.Rehash:
			return rehash(ctx, q, userID, p)
		case !p.KeepTokens:
			if _, err := deleteTokens(ctx, q, "user_id", userID); err != nil {
				return err
			}
		}
		if _, err := t.endTrust(ctx, q, userID); err != nil {
			return err
		}
		return setPassword(ctx, q, before, p)
	})
	if err != nil {
		return err
	}
	if !p.Rehash {
		t.recordChange(store.ChangeUser, userID)
	}
	return nil
}

// rehash writes another hash of the same password. An empty IfHash would write over "no password".
func rehash(ctx context.Context, q queryer, userID string, p store.PasswordChange) error {
	if p.IfHash == "" || p.Hash == "" {
		return fmt.Errorf("%w: a re-hash needs the old and the new hash", errArgument)
	}
	n, err := affected(ctx, q, `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`,
		userID, p.IfHash, p.Hash)
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrStale
	}
	return nil
}

func setPassword(ctx context.Context, q queryer, before store.User, p store.PasswordChange) error {
	local := before.Local || p.Hash != ""
	versionStep := int64(0)
	if local != before.Local {
		keys := userKeys{username: store.FoldName(before.Username), email: store.FoldName(before.Email)}
		if err := checkUnique(ctx, q, before.ID, keys, local); err != nil {
			return err
		}
		versionStep = 1 // a concurrent edit would write the old value of Local
	}
	_, err := q.ExecContext(ctx, `UPDATE users SET password_hash = $2, must_change = $3, password_changed_at = $4,
		updated_at = $4, is_local = $5, version = version + $6 WHERE id = $1`,
		before.ID, p.Hash, toInt(p.MustChange), toMillis(p.At), toInt(local), versionStep)
	if err == nil && p.Hash == "" {
		err = checkLostSignIn(ctx, q, before.ID)
	}
	if err == nil { // they were begun with the password of before
		err = endHalfLogins(ctx, q, before.ID)
	}
	if err != nil {
		return err
	}
	_, err = q.ExecContext(ctx, `UPDATE links SET cancelled_at = $3
		WHERE user_id = $1 AND purpose = $2 AND used_at = 0 AND cancelled_at = 0`,
		before.ID, string(store.LinkPassword), toMillis(p.At))
	return err
}

// SetLastLogin implements [store.Tx].
func (t *tx) SetLastLogin(ctx context.Context, userID string, at time.Time) error {
	return updateOne(ctx, t, "note a sign-in", `UPDATE users SET
		last_login_at = CASE WHEN last_login_at > $2 THEN last_login_at ELSE $2 END WHERE id = $1`,
		clean(userID), toMillis(at))
}

// BumpEpoch implements [store.Tx].
func (t *tx) BumpEpoch(ctx context.Context, userID string) error {
	err := updateOne(ctx, t, "increment a user's epoch", `UPDATE users SET epoch = epoch + 1 WHERE id = $1`, clean(userID))
	if err == nil {
		err = t.EndHalfLogins(ctx, userID)
	}
	if err == nil {
		err = t.Mark(ctx, store.MarkEnded, userID, t.now().Add(store.EndedMarkTTL))
	}
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeUser, userID)
	return nil
}

// updateOne runs a statement that has to affect a row.
func updateOne(ctx context.Context, t *tx, op, statement string, args ...any) error {
	return t.run(ctx, op, func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, statement, args...)
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrNotFound
		}
		return nil
	})
}
