package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Limits in bytes of what is stored of an authenticator app: a name has 64 characters, a sealed secret some hundred.
const (
	maxFactorName = 256
	maxSecret     = 1024
)

// maxRecoveryCodes bounds the recovery codes of a user.
const maxRecoveryCodes = 100

const totpColumns = `id user_id totp_name secret created_at confirmed_at last_used_at last_step`

func scanTOTP(s scanner) (store.TOTP, error) {
	var t store.TOTP
	var created, confirmed, used int64
	err := s.Scan(&t.ID, &t.UserID, &t.Name, &t.Secret, &created, &confirmed, &used, &t.LastStep)
	if err != nil {
		return store.TOTP{}, err
	}
	t.CreatedAt, t.ConfirmedAt, t.LastUsedAt = fromMillis(created), fromMillis(confirmed), fromMillis(used)
	return t, nil
}

var selectTOTPs = `SELECT ` + columns("", totpColumns) + ` FROM totps WHERE user_id = $1`

// TOTPs implements [store.Reader].
func (r reader) TOTPs(ctx context.Context, userID string) ([]store.TOTP, error) {
	if !storable(userID) {
		return nil, nil
	}
	return all(ctx, r, "list authenticator apps", scanTOTP, selectTOTPs+` ORDER BY created_at, id`, userID)
}

// PutTOTP implements [store.Tx].
func (t *tx) PutTOTP(ctx context.Context, app store.TOTP) error {
	if err := checkKeys(app.ID, app.UserID, app.Secret); err != nil {
		return fmt.Errorf("the authenticator app: %w", err)
	}
	switch {
	case app.ID == "", app.Secret == "", app.CreatedAt.IsZero():
		return fmt.Errorf("%w: an authenticator app needs an id, a secret and a creation time", errArgument)
	case len(app.ID) > store.MaxKey, len(app.Secret) > maxSecret:
		return fmt.Errorf("%w: the authenticator app is too long", errArgument)
	case app.Confirmed(), app.LastStep != 0, !app.LastUsedAt.IsZero():
		return fmt.Errorf("%w: a new authenticator app is not confirmed, and was never used", errArgument)
	}
	const op = "add an authenticator app"
	return t.changeFactors(ctx, op, app.UserID, func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `DELETE FROM totps WHERE user_id = $1 AND confirmed_at = 0`, app.UserID)
		if err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `INSERT INTO totps (`+columns("", totpColumns)+`) VALUES (`+placeholders(8)+`)`,
			app.ID, app.UserID, clip(app.Name, maxFactorName), app.Secret, toMillis(app.CreatedAt), 0, 0, 0)
		return err
	})
}

// ConfirmTOTP implements [store.Tx]. Check and update are one statement. The code has been used by it.
func (t *tx) ConfirmTOTP(ctx context.Context, userID, id, name string, step int64, at time.Time) error {
	if !storable(id) {
		return store.ErrNotFound
	}
	if step <= 0 || at.IsZero() {
		return fmt.Errorf("%w: an authenticator app is confirmed at some time, by the step of a code", errArgument)
	}
	const op = "confirm an authenticator app"
	return t.changeFactors(ctx, op, userID, func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE totps SET totp_name = $3, last_step = $4, confirmed_at = $5, last_used_at = $5
			WHERE id = $2 AND user_id = $1 AND confirmed_at = 0 AND created_at > $6
			AND (SELECT count(*) FROM totps WHERE user_id = $1 AND confirmed_at > 0) < $7`,
			userID, id, clip(name, maxFactorName), step, toMillis(at), toMillis(at.Add(-store.TOTPSetupTTL)),
			int64(store.MaxTOTPs))
		if err == nil && n > 0 {
			_, err = t.endTrust(ctx, q, userID)
		}
		if err != nil || n > 0 {
			return err
		}
		waits, err := exists(ctx, q, `SELECT 1 FROM totps WHERE id = $1 AND user_id = $2 AND confirmed_at = 0
			AND created_at > $3`, id, userID, toMillis(at.Add(-store.TOTPSetupTTL)))
		switch {
		case err != nil:
			return err
		case waits:
			return &store.ConflictError{Field: "totp"}
		}
		return store.ErrNotFound
	})
}

// UseTOTP implements [store.Tx]. Check and update are one statement.
func (t *tx) UseTOTP(ctx context.Context, userID, id string, step int64, at time.Time) error {
	if !storable(userID, id) {
		return store.ErrNotFound
	}
	if step <= 0 || at.IsZero() {
		return fmt.Errorf("%w: a code is used at some time, and has a step", errArgument)
	}
	return t.run(ctx, "use a code of an authenticator app", func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE totps SET last_step = $3, last_used_at = $4
			WHERE id = $2 AND user_id = $1 AND confirmed_at > 0 AND last_step < $3`, userID, id, step, toMillis(at))
		if err != nil || n > 0 {
			return err
		}
		used, err := exists(ctx, q, `SELECT 1 FROM totps WHERE id = $1 AND user_id = $2 AND confirmed_at > 0`, id, userID)
		switch {
		case err != nil:
			return err
		case used:
			return store.ErrStale
		}
		return store.ErrNotFound
	})
}

// RenameTOTP implements [store.Tx].
func (t *tx) RenameTOTP(ctx context.Context, userID, id, name string) error {
	if !storable(id) {
		return store.ErrNotFound
	}
	const op = "rename an authenticator app"
	return t.changeFactors(ctx, op, userID, func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE totps SET totp_name = $3 WHERE id = $1 AND user_id = $2 AND confirmed_at > 0`,
			id, userID, clip(name, maxFactorName))
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// DeleteTOTPs implements [store.Tx].
func (t *tx) DeleteTOTPs(ctx context.Context, userID, id string) (deleted []store.TOTP, err error) {
	if !storable(id) {
		return nil, nil
	}
	const op = "delete authenticator apps"
	err = t.changeFactors(ctx, op, userID, func(ctx context.Context, q queryer) (err error) {
		var w where
		w.add("user_id = %s", userID)
		if id != "" {
			w.add("id = %s", id)
		}
		deleted, err = collect(ctx, q, scanTOTP, `DELETE FROM totps`+w.String()+` RETURNING `+columns("", totpColumns),
			w.args...)
		if err == nil && slices.ContainsFunc(deleted, store.TOTP.Confirmed) {
			_, err = t.endTrust(ctx, q, userID)
		}
		return err
	})
	return deleted, err
}

// RecoveryCodes implements [store.Reader].
func (r reader) RecoveryCodes(ctx context.Context, userID string) (store.RecoveryCodes, error) {
	if !storable(userID) {
		return store.RecoveryCodes{}, nil
	}
	return one(ctx, r, "count recovery codes", func(s scanner) (c store.RecoveryCodes, err error) {
		var made, used int64
		err = s.Scan(&c.Left, &c.Used, &made, &used)
		c.MadeAt, c.LastUsedAt = fromMillis(made), fromMillis(used)
		return c, err
	}, `SELECT coalesce(sum(CASE WHEN used_at = 0 THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN used_at = 0 THEN 0 ELSE 1 END), 0), coalesce(max(made_at), 0), coalesce(max(used_at), 0)
		FROM recovery_codes WHERE user_id = $1`, userID)
}

// ReplaceRecoveryCodes implements [store.Tx].
func (t *tx) ReplaceRecoveryCodes(ctx context.Context, userID string, hashes []store.TokenHash, at time.Time) error {
	switch {
	case len(hashes) > maxRecoveryCodes, slices.Contains(hashes, store.TokenHash{}):
		return fmt.Errorf("%w: a recovery code has a hash, and there are at most %d", errArgument, maxRecoveryCodes)
	case len(hashes) > 0 && at.IsZero():
		return fmt.Errorf("%w: recovery codes are made at some time", errArgument)
	}
	const op = "replace recovery codes"
	return t.changeFactors(ctx, op, userID, func(ctx context.Context, q queryer) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, userID); err != nil {
			return err
		}
		for _, hash := range hashes {
			_, err := q.ExecContext(ctx, `INSERT INTO recovery_codes (code_hash, user_id, made_at, used_at)
				VALUES ($1, $2, $3, 0)`, hash.String(), userID, toMillis(at))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// UseRecoveryCode implements [store.Tx]. Check and update are one statement.
func (t *tx) UseRecoveryCode(ctx context.Context, userID string, hash store.TokenHash, at time.Time) error {
	if !storable(userID) {
		return store.ErrNotFound
	}
	if at.IsZero() { // it would stay unused
		return fmt.Errorf("%w: a recovery code is used at some time", errArgument)
	}
	return updateOne(ctx, t, "use a recovery code", `UPDATE recovery_codes SET used_at = $3
		WHERE code_hash = $2 AND user_id = $1 AND used_at = 0`, userID, hash.String(), toMillis(at))
}
