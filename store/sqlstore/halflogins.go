package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// maxHalfLoginData bounds the sealed data of a half-login in bytes, which holds an address to go to.
const maxHalfLoginData = 64 << 10

const halfLoginColumns = `id half_hash user_id purpose browser epoch password_mark host data created_at expires_at`

type halfLoginRow struct {
	h                store.HalfLogin
	created, expires int64
}

func (r *halfLoginRow) dest() []any {
	h := &r.h
	return []any{
		&h.ID, &h.Hash, &h.UserID, &h.Purpose, &h.Browser, &h.Epoch, &h.Password, &h.Host, &h.Data, &r.created, &r.expires,
	}
}

func (r *halfLoginRow) halfLogin() store.HalfLogin {
	r.h.CreatedAt, r.h.ExpiresAt = fromMillis(r.created), fromMillis(r.expires)
	return r.h
}

func scanHalfLogin(sc scanner) (store.HalfLogin, error) {
	var r halfLoginRow
	if err := sc.Scan(r.dest()...); err != nil {
		return store.HalfLogin{}, err
	}
	return r.halfLogin(), nil
}

// halfLoginUser is a half-login with its user.
type halfLoginUser struct {
	half store.HalfLogin
	user store.User
}

func scanHalfLoginUser(sc scanner) (halfLoginUser, error) {
	var h halfLoginRow
	var u userRow
	if err := sc.Scan(append(h.dest(), u.dest()...)...); err != nil {
		return halfLoginUser{}, err
	}
	user, err := u.user()
	return halfLoginUser{h.halfLogin(), user}, err
}

var queryHalfLogin = `SELECT ` + columns("h.", halfLoginColumns) + `, ` + columns("u.", userColumns) +
	` FROM half_logins h JOIN users u ON u.id = h.user_id WHERE h.half_hash = $1`

// HalfLogin implements [store.Reader].
func (r reader) HalfLogin(ctx context.Context, hash store.TokenHash) (store.HalfLogin, store.User, error) {
	hu, err := one(ctx, r, "read a half-login", scanHalfLoginUser, queryHalfLogin, hash.String())
	return hu.half, hu.user, err
}

// CreateHalfLogin implements [store.Tx]. Others give way before it is inserted, so that it stays itself, whatever the
// clocks of those that wrote the others.
func (t *tx) CreateHalfLogin(ctx context.Context, h store.HalfLogin) error {
	if err := checkKeys(h.ID, h.UserID, string(h.Purpose), h.Browser, h.Password, h.Data); err != nil {
		return fmt.Errorf("the half-login: %w", err)
	}
	switch {
	case h.ID == "", h.Hash == (store.TokenHash{}), h.CreatedAt.IsZero(), !h.ExpiresAt.After(h.CreatedAt):
		return fmt.Errorf("%w: a half-login needs an id, a hash, a beginning and an end after it", errArgument)
	case h.Purpose != store.HalfLoginVerify && h.Purpose != store.HalfLoginEnroll && h.Purpose != store.HalfLoginOffer:
		return fmt.Errorf("%w: a half-login needs a purpose, %q is none", errArgument, h.Purpose)
	case len(h.ID) > store.MaxKey, len(h.Browser) > store.MaxKey, len(h.Password) > store.MaxKey,
		len(h.Data) > maxHalfLoginData:
		return fmt.Errorf("%w: the half-login is too long", errArgument)
	}
	return t.run(ctx, "begin a half-login", func(ctx context.Context, q queryer) error {
		if err := checkPerson(ctx, q, h.UserID); err != nil {
			return err
		}
		if err := makeRoom(ctx, q, h); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `INSERT INTO half_logins (`+columns("", halfLoginColumns)+`)
			VALUES (`+placeholders(11)+`)`,
			h.ID, h.Hash.String(), h.UserID, string(h.Purpose), h.Browser, h.Epoch, h.Password, clip(h.Host, maxHost), h.Data,
			toMillis(h.CreatedAt), toMillis(h.ExpiresAt))
		return err
	})
}

// makeRoom deletes what a new half-login replaces: the one from the same known browser, or the oldest from those that
// are not known. Whoever knows the password can so end the sign-ins of other strangers, and none of its owner's.
func makeRoom(ctx context.Context, q queryer, h store.HalfLogin) error {
	if h.Browser != "" {
		_, err := q.ExecContext(ctx, `DELETE FROM half_logins WHERE user_id = $1 AND browser = $2`, h.UserID, h.Browser)
		return err
	}
	_, err := q.ExecContext(ctx, `DELETE FROM half_logins WHERE user_id = $1 AND browser = '' AND id NOT IN (
		SELECT id FROM half_logins WHERE user_id = $1 AND browser = '' ORDER BY created_at DESC, id DESC LIMIT $2)`,
		h.UserID, int64(store.MaxHalfLogins-1))
	return err
}

// TakeHalfLogin implements [store.Tx]. Check and deletion are one statement.
func (t *tx) TakeHalfLogin(ctx context.Context, hash store.TokenHash, now time.Time) (store.HalfLogin, error) {
	return one(ctx, t.reader, "take a half-login", scanHalfLogin, `DELETE FROM half_logins
		WHERE half_hash = $1 AND expires_at > $2 RETURNING `+columns("", halfLoginColumns), hash.String(), toMillis(now))
}

// EndHalfLogins implements [store.Tx].
func (t *tx) EndHalfLogins(ctx context.Context, userID string) error {
	if !storable(userID) {
		return nil
	}
	return t.run(ctx, "end half-logins", func(ctx context.Context, q queryer) error {
		return endHalfLogins(ctx, q, userID)
	})
}

func endHalfLogins(ctx context.Context, q queryer, userID string) error {
	_, err := q.ExecContext(ctx, `DELETE FROM half_logins WHERE user_id = $1`, userID)
	return err
}

// SetSessionLevels implements [store.Tx].
func (t *tx) SetSessionLevels(ctx context.Context, userID string,
	level func(s store.Session) store.SessionLevel,
) error {
	if !storable(userID) {
		return nil
	}
	var changed []string
	err := t.run(ctx, "set the levels of sessions", func(ctx context.Context, q queryer) error {
		sessions, err := collect(ctx, q, scanSession, selectSession+` WHERE s.user_id = $1`, userID)
		if err != nil {
			return err
		}
		for i := range sessions {
			s := &sessions[i]
			l := level(*s)
			if l.Methods == s.Methods && toMillis(l.MFAAt) == toMillis(s.MFAAt) {
				continue
			}
			if err := checkKeys(l.Methods); err != nil {
				return err
			}
			_, err := q.ExecContext(ctx, `UPDATE sessions SET methods = $2, mfa_at = $3 WHERE id = $1`,
				s.ID, l.Methods, toMillis(l.MFAAt))
			if err != nil {
				return err
			}
			changed = append(changed, s.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range changed {
		t.recordChange(store.ChangeSession, id)
	}
	return nil
}
