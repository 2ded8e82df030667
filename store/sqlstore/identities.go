package sqlstore

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/store"
)

const identityColumns = `issuer subject user_id provider email display_name group_names created_at last_login_at`

func scanIdentity(s scanner) (store.Identity, error) {
	var i store.Identity
	var groups string
	var created, last int64
	err := s.Scan(&i.Issuer, &i.Subject, &i.UserID, &i.Provider, &i.Email, &i.Name, &groups, &created, &last)
	if err != nil {
		return store.Identity{}, err
	}
	i.Groups = parseGroups(groups)
	i.CreatedAt, i.LastLoginAt = fromMillis(created), fromMillis(last)
	return i, nil
}

var selectIdentity = `SELECT ` + columns("", identityColumns) + ` FROM identities`

// Identity implements [store.Reader].
func (r reader) Identity(ctx context.Context, issuer, subject string) (store.Identity, error) {
	if !storable(issuer, subject) {
		return store.Identity{}, store.ErrNotFound
	}
	return one(ctx, r, "read an identity", scanIdentity, selectIdentity+` WHERE issuer = $1 AND subject = $2`, issuer,
		subject)
}

// Identities implements [store.Reader].
func (r reader) Identities(ctx context.Context, userID string) ([]store.Identity, error) {
	if !storable(userID) {
		return nil, nil
	}
	return all(ctx, r, "list identities", scanIdentity,
		selectIdentity+` WHERE user_id = $1 ORDER BY created_at, issuer, subject`, userID)
}

// CreateIdentity implements [store.Tx].
func (t *tx) CreateIdentity(ctx context.Context, i store.Identity) error {
	if err := checkKeys(i.Issuer, i.Subject, i.UserID, i.Provider); err != nil {
		return fmt.Errorf("the identity: %w", err)
	}
	if i.Issuer == "" || i.Subject == "" {
		return fmt.Errorf("%w: an identity needs issuer and subject", errArgument)
	}
	return t.run(ctx, "link an identity", func(ctx context.Context, q queryer) error {
		taken, err := exists(ctx, q, `SELECT 1 FROM identities WHERE issuer = $1 AND subject = $2`, i.Issuer, i.Subject)
		if err != nil {
			return err
		}
		if taken {
			return &store.ConflictError{Field: "identity"}
		}
		if err := checkService(ctx, q, i.UserID); err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `INSERT INTO identities (`+columns("", identityColumns)+`) VALUES (`+placeholders(9)+`)`,
			i.Issuer, i.Subject, i.UserID, i.Provider, clean(i.Email), clean(i.Name), groupsText(i.Groups),
			toMillis(i.CreatedAt), toMillis(i.LastLoginAt))
		return err
	})
}

// UpdateIdentity implements [store.Tx].
func (t *tx) UpdateIdentity(ctx context.Context, i store.Identity) error {
	if !storable(i.Issuer, i.Subject) {
		return store.ErrNotFound
	}
	return updateOne(ctx, t, "update an identity", `UPDATE identities SET email = $3, display_name = $4, group_names = $5,
		last_login_at = $6, provider = CASE WHEN $7 = '' THEN provider ELSE $7 END WHERE issuer = $1 AND subject = $2`,
		i.Issuer, i.Subject, clean(i.Email), clean(i.Name), groupsText(i.Groups), toMillis(i.LastLoginAt), clean(i.Provider))
}

// DeleteIdentity implements [store.Tx].
func (t *tx) DeleteIdentity(ctx context.Context, issuer, subject string) error {
	if !storable(issuer, subject) {
		return store.ErrNotFound
	}
	return t.detachIdentity(ctx, "unlink an identity", issuer, subject,
		`DELETE FROM identities WHERE issuer = $1 AND subject = $2`)
}

// MoveIdentity implements [store.Tx].
func (t *tx) MoveIdentity(ctx context.Context, issuer, subject, userID string) error {
	if !storable(issuer, subject) || !storable(userID) {
		return store.ErrNotFound
	}
	const op = "move an identity"
	err := t.run(ctx, op, func(ctx context.Context, q queryer) error { return checkService(ctx, q, userID) })
	if err != nil {
		return err
	}
	return t.detachIdentity(ctx, op, issuer, subject,
		`UPDATE identities SET user_id = $3 WHERE issuer = $1 AND subject = $2`, userID)
}

// detachIdentity runs the statement that deletes or moves an identity, and clears the claims of sessions that began
// with it, and of tokens that were made in these.
func (t *tx) detachIdentity(ctx context.Context, op, issuer, subject, statement string, extra ...any) error {
	var sessionIDs, tokenIDs []string
	err := t.run(ctx, op, func(ctx context.Context, q queryer) error {
		id, err := scanIdentity(q.QueryRowContext(ctx, selectIdentity+` WHERE issuer = $1 AND subject = $2`, issuer, subject))
		if err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, statement, append([]any{issuer, subject}, extra...)...); err != nil {
			return err
		}
		if sessionIDs, err = clearClaims(ctx, q, "sessions", issuer, subject); err != nil {
			return err
		}
		if tokenIDs, err = clearClaims(ctx, q, "tokens", issuer, subject); err != nil {
			return err
		}
		return checkLostSignIn(ctx, q, id.UserID)
	})
	for _, id := range sessionIDs {
		t.recordChange(store.ChangeSession, id)
	}
	for _, id := range tokenIDs {
		t.recordChange(store.ChangeToken, id)
	}
	return err
}

// unlinkedClaims are the claims of what was made with an identity that was unlinked or moved: none, for ever. They are
// not those of somebody of whom the provider says nothing, and "" would mean a session of an older version with unknown
// ones.
const unlinkedClaims = `{"unlinked":true}`

// clearClaims clears the claims in the rows of a table that are of an identity, and returns their ids.
func clearClaims(ctx context.Context, q queryer, table, issuer, subject string) ([]string, error) {
	return collect(ctx, q, scanText, `UPDATE `+table+` SET claims = $3
		WHERE issuer = $1 AND issuer <> '' AND subject = $2 RETURNING id`, issuer, subject, unlinkedClaims)
}
