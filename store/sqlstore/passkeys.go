package sqlstore

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Limits in bytes of what is stored of a passkey. A credential id has at most 1023 bytes (Web Authentication Level 3,
// section 4), a key of RSA some hundred.
const (
	maxCredentialID = 1364 // base64url
	maxPublicKey    = 4096
	maxRPID         = 253
	maxHandle       = 128
	maxAAGUID       = 32
	maxAttachment   = 32
)

//nolint:gosec // names of columns
const passkeyColumns = `id user_id rp_id credential_id public_key aaguid sign_count uv backup_eligible backed_up
	counter_back discoverable transports attachment passkey_name created_at last_used_at`

type passkeyRow struct {
	p                 store.Passkey
	key, transports   string
	count             int64
	created, usedLast int64
}

func (r *passkeyRow) dest() []any {
	p := &r.p
	return []any{
		&p.ID, &p.UserID, &p.RPID, &p.CredentialID, &r.key, &p.AAGUID, &r.count,
		intBool{&p.UserVerified},
		intBool{&p.BackupEligible},
		intBool{&p.BackedUp},
		intBool{&p.CounterBack},
		&p.Discoverable, &r.transports,
		&p.Attachment, &p.Name, &r.created, &r.usedLast,
	}
}

// passkey returns the passkey. One whose key cannot be read is returned without a key: it proves nothing, and its owner
// can remove it.
func (r *passkeyRow) passkey() store.Passkey {
	p := &r.p
	p.PublicKey, _ = base64.RawURLEncoding.DecodeString(r.key)
	p.Transports, _ = parseTexts(r.transports)
	p.SignCount = uint32(r.count) //nolint:gosec // written by us, from a uint32
	p.CreatedAt, p.LastUsedAt = fromMillis(r.created), fromMillis(r.usedLast)
	return *p
}

func scanPasskey(s scanner) (store.Passkey, error) {
	var r passkeyRow
	if err := s.Scan(r.dest()...); err != nil {
		return store.Passkey{}, err
	}
	return r.passkey(), nil
}

// scanPasskeyHandle scans a passkey with the handle of its user.
func scanPasskeyHandle(s scanner) (store.Passkey, error) {
	var r passkeyRow
	if err := s.Scan(append(r.dest(), &r.p.Handle)...); err != nil {
		return store.Passkey{}, err
	}
	return r.passkey(), nil
}

// passkeyUser is a passkey with its user.
type passkeyUser struct {
	passkey store.Passkey
	user    store.User
}

func scanPasskeyUser(s scanner) (passkeyUser, error) {
	var p passkeyRow
	var u userRow
	if err := s.Scan(append(append(p.dest(), &p.p.Handle), u.dest()...)...); err != nil {
		return passkeyUser{}, err
	}
	user, err := u.user()
	return passkeyUser{p.passkey(), user}, err
}

var (
	selectPasskeys = `SELECT ` + columns("p.", passkeyColumns) + `, u.webauthn_handle
		FROM passkeys p JOIN users u ON u.id = p.user_id`
	selectPasskeyUser = `SELECT ` + columns("p.", passkeyColumns) + `, u.webauthn_handle, ` +
		columns("u.", userColumns) + `
		FROM passkeys p JOIN users u ON u.id = p.user_id`
)

// Passkeys implements [store.Reader].
func (r reader) Passkeys(ctx context.Context, userID string) ([]store.Passkey, error) {
	if !storable(userID) {
		return nil, nil
	}
	return all(ctx, r, "list passkeys", scanPasskeyHandle,
		selectPasskeys+` WHERE p.user_id = $1 ORDER BY p.created_at, p.id`, userID)
}

// PasskeyByCredential implements [store.Reader].
func (r reader) PasskeyByCredential(ctx context.Context, rpID, credentialID string) (store.Passkey, store.User, error) {
	if !storable(rpID, credentialID) {
		return store.Passkey{}, store.User{}, store.ErrNotFound
	}
	pu, err := one(ctx, r, "look a passkey up", scanPasskeyUser,
		selectPasskeyUser+` WHERE p.rp_id = $1 AND p.credential_id = $2`, rpID, credentialID)
	return pu.passkey, pu.user, err
}

// PasskeySites implements [store.Reader].
func (r reader) PasskeySites(ctx context.Context) ([]store.PasskeySite, error) {
	return all(ctx, r, "count passkeys", func(s scanner) (site store.PasskeySite, err error) {
		err = s.Scan(&site.RPID, &site.Count)
		return site, err
	}, `SELECT rp_id, count(*) FROM passkeys GROUP BY rp_id ORDER BY rp_id`)
}

// SetPasskeyHandleOnce implements [store.Tx].
func (t *tx) SetPasskeyHandleOnce(ctx context.Context, userID, fresh string) (handle string, err error) {
	if !storable(userID) {
		return "", store.ErrNotFound
	}
	if err := checkKeys(fresh); err != nil || fresh == "" || len(fresh) > maxHandle {
		return "", fmt.Errorf("%w: a handle for passkeys has 1 to %d characters", errArgument, maxHandle)
	}
	err = t.run(ctx, "set the handle for passkeys", func(ctx context.Context, q queryer) error {
		if err := checkPerson(ctx, q, userID); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `UPDATE users SET webauthn_handle = $2 WHERE id = $1 AND webauthn_handle = ''`,
			userID, fresh)
		if err != nil {
			return err
		}
		return q.QueryRowContext(ctx, `SELECT webauthn_handle FROM users WHERE id = $1`, userID).Scan(&handle)
	})
	return handle, err
}

func checkPasskey(p store.Passkey) error {
	keys := append([]string{p.ID, p.UserID, p.RPID, p.CredentialID, p.AAGUID, p.Attachment}, p.Transports...)
	if err := checkKeys(keys...); err != nil {
		return fmt.Errorf("the passkey: %w", err)
	}
	switch {
	case p.ID == "", p.RPID == "", p.CredentialID == "", len(p.PublicKey) == 0, p.CreatedAt.IsZero():
		return fmt.Errorf("%w: a passkey needs an id, a domain, a credential id, a key and a creation time", errArgument)
	case len(p.ID) > store.MaxKey, len(p.RPID) > maxRPID, len(p.CredentialID) > maxCredentialID,
		len(p.PublicKey) > maxPublicKey, len(p.AAGUID) > maxAAGUID, len(p.Attachment) > maxAttachment,
		len(p.Transports) > maxAttachment:
		return fmt.Errorf("%w: the passkey is too long", errArgument)
	case p.Discoverable != "" && p.Discoverable != "yes" && p.Discoverable != "no":
		return fmt.Errorf("%w: whether a passkey is discoverable is yes, no or unknown", errArgument)
	case p.BackedUp && !p.BackupEligible:
		return fmt.Errorf("%w: a passkey that is backed up may be", errArgument)
	}
	return nil
}

// CreatePasskey implements [store.Tx].
func (t *tx) CreatePasskey(ctx context.Context, p store.Passkey) error {
	if err := checkPasskey(p); err != nil {
		return err
	}
	return t.changeFactors(ctx, "add a passkey", p.UserID, func(ctx context.Context, q queryer) error {
		// Looked up first: after a failed statement PostgreSQL rejects all others of a transaction.
		taken, err := exists(ctx, q, `SELECT 1 FROM passkeys WHERE rp_id = $1 AND credential_id = $2`, p.RPID, p.CredentialID)
		if err != nil {
			return err
		}
		if taken {
			return &store.ConflictError{Field: "credential"}
		}
		n, err := affected(ctx, q, `INSERT INTO passkeys (`+columns("", passkeyColumns)+`)
			SELECT `+placeholders(17)+` WHERE (SELECT count(*) FROM passkeys WHERE user_id = $2) < $18`,
			p.ID, p.UserID, p.RPID, p.CredentialID, base64.RawURLEncoding.EncodeToString(p.PublicKey), p.AAGUID,
			int64(p.SignCount), toInt(p.UserVerified), toInt(p.BackupEligible), toInt(p.BackedUp), toInt(p.CounterBack),
			p.Discoverable, textsText(p.Transports), p.Attachment, clip(p.Name, maxFactorName), toMillis(p.CreatedAt), 0,
			int64(store.MaxPasskeys))
		if err == nil && n == 0 {
			return &store.ConflictError{Field: "passkey"}
		}
		if err == nil {
			_, err = t.endTrust(ctx, q, p.UserID)
		}
		return err
	})
}

// UsePasskey implements [store.Tx].
func (t *tx) UsePasskey(ctx context.Context, userID, id string, s store.PasskeyState, at time.Time) error {
	if !storable(userID, id) {
		return store.ErrNotFound
	}
	if at.IsZero() || s.BackedUp && !s.BackupEligible {
		return fmt.Errorf("%w: a passkey is used at some time, and one that is backed up may be", errArgument)
	}
	return updateOne(ctx, t, "use a passkey", `UPDATE passkeys SET sign_count = $3, uv = $4, backup_eligible = $5,
		backed_up = $6, counter_back = $7, last_used_at = $8 WHERE id = $2 AND user_id = $1`,
		userID, id, int64(s.SignCount), toInt(s.UserVerified), toInt(s.BackupEligible), toInt(s.BackedUp),
		toInt(s.CounterBack), toMillis(at))
}

// DistrustPasskey implements [store.Tx].
func (t *tx) DistrustPasskey(ctx context.Context, userID, id string) error {
	if !storable(userID, id) {
		return store.ErrNotFound
	}
	return updateOne(ctx, t, "distrust a passkey", `UPDATE passkeys SET uv = 0 WHERE id = $2 AND user_id = $1`, userID, id)
}

// RenamePasskey implements [store.Tx].
func (t *tx) RenamePasskey(ctx context.Context, userID, id, name string) error {
	if !storable(id) {
		return store.ErrNotFound
	}
	return t.changeFactors(ctx, "rename a passkey", userID, func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE passkeys SET passkey_name = $3 WHERE id = $1 AND user_id = $2`,
			id, userID, clip(name, maxFactorName))
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// DeletePasskeys implements [store.Tx].
func (t *tx) DeletePasskeys(ctx context.Context, userID, id string) (deleted []store.Passkey, err error) {
	if !storable(id) {
		return nil, nil
	}
	err = t.changeFactors(ctx, "delete passkeys", userID, func(ctx context.Context, q queryer) (err error) {
		var w where
		w.add("user_id = %s", userID)
		if id != "" {
			w.add("id = %s", id)
		}
		deleted, err = collect(ctx, q, scanPasskey, `DELETE FROM passkeys`+w.String()+
			` RETURNING `+columns("", passkeyColumns), w.args...)
		if err == nil && len(deleted) > 0 {
			_, err = t.endTrust(ctx, q, userID)
		}
		return err
	})
	return deleted, err
}
