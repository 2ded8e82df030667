package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// tokenColumns are the columns of a token, in the order of tokenRow.dest.
//
//nolint:gosec // names, and no secret
const tokenColumns = `id token_hash user_id token_name hint hosts paths methods level provider issuer subject claims
	created_by created_at expires_at replaced_by last_used_at last_used_ip`

type tokenRow struct {
	t                      store.Token
	hosts, paths           string
	created, expires, used int64
}

func (r *tokenRow) dest() []any {
	t := &r.t
	return []any{
		&t.ID, &t.Hash, &t.UserID, &t.Name, &t.Hint, &r.hosts, &r.paths, &t.Methods, &t.Level, &t.Provider, &t.Issuer,
		&t.Subject, &t.Claims, &t.CreatedBy, &r.created, &r.expires, &t.ReplacedBy, &r.used, &t.LastUsedIP,
	}
}

// token returns the token. A malformed scope reads as one that allows nothing, as no text is a path rule.
func (r *tokenRow) token() store.Token {
	var ok bool
	if r.t.Hosts, ok = parseTexts(r.hosts); !ok || len(r.t.Hosts) == 0 {
		r.t.Hosts, r.t.Methods = nil, ""
	}
	if r.t.Paths, ok = parseTexts(r.paths); !ok {
		r.t.Hosts, r.t.Paths, r.t.Methods = nil, nil, ""
	}
	r.t.CreatedAt, r.t.ExpiresAt, r.t.LastUsedAt = fromMillis(r.created), fromMillis(r.expires), fromMillis(r.used)
	return r.t
}

func scanToken(sc scanner) (store.Token, error) {
	var r tokenRow
	if err := sc.Scan(r.dest()...); err != nil {
		return store.Token{}, err
	}
	return r.token(), nil
}

func scanListedToken(sc scanner) (store.TokenRow, error) {
	var r tokenRow
	var row store.TokenRow
	if err := sc.Scan(append(r.dest(), &row.Username, &row.Kind)...); err != nil {
		return store.TokenRow{}, err
	}
	row.Token = r.token()
	return row, nil
}

// tokenUser is a token with its owner.
type tokenUser struct {
	token store.Token
	user  store.User
}

func scanTokenUser(sc scanner) (tokenUser, error) {
	var t tokenRow
	var u userRow
	if err := sc.Scan(append(t.dest(), u.dest()...)...); err != nil {
		return tokenUser{}, err
	}
	user, err := u.user()
	return tokenUser{t.token(), user}, err
}

var (
	selectTokenUser = `SELECT ` + columns("t.", tokenColumns) + `, ` + columns("u.", userColumns) +
		` FROM tokens t JOIN users u ON u.id = t.user_id`
	queryTokenByHash = selectTokenUser + ` WHERE t.token_hash = $1`
	queryTokenByID   = selectTokenUser + ` WHERE t.id = $1`

	// listedToken are the columns of a listed token, with subqueries per row: for a join, PostgreSQL would read all users
	// for a few tokens.
	listedToken = columns("t.", tokenColumns) + `, (SELECT u.username FROM users u WHERE u.id = t.user_id),
		(SELECT u.kind FROM users u WHERE u.id = t.user_id)`
	queryExpiredTokens = `SELECT ` + listedToken + ` FROM tokens t
		WHERE t.expires_at > 0 AND t.expires_at <= $1 AND t.expiry_noted = 0 AND t.replaced_by = ''
		ORDER BY t.expires_at LIMIT $2`
)

// TokenByHash implements [store.Reader].
func (r reader) TokenByHash(ctx context.Context, hash store.TokenHash) (store.Token, store.User, error) {
	tu, err := one(ctx, r, "resolve a token", scanTokenUser, queryTokenByHash, hash.String())
	return tu.token, tu.user, err
}

// Token implements [store.Reader].
func (r reader) Token(ctx context.Context, id string) (store.Token, store.User, error) {
	if !storable(id) {
		return store.Token{}, store.User{}, store.ErrNotFound
	}
	tu, err := one(ctx, r, "read a token", scanTokenUser, queryTokenByID, id)
	return tu.token, tu.user, err
}

var tokenOrder = order{list: "tokens", key: "t.created_at", id: "t.id", isTime: true, desc: true}

// Tokens implements [store.Reader].
func (r reader) Tokens(ctx context.Context, q store.TokenQuery) (store.TokenPage, error) {
	from, err := tokenOrder.parseCursor(q.Cursor)
	if err != nil {
		return store.TokenPage{}, err
	}
	l := listing[store.TokenRow]{
		op: "list tokens", cols: listedToken, from: "FROM tokens t", keys: "FROM tokens t", order: tokenOrder,
		index: func(w *where) {
			if q.UserID != "" {
				w.add("t.user_id = %s", clean(q.UserID))
			}
		},
		scan:     scanListedToken,
		cursorOf: func(t store.TokenRow) cursor { return cursor{Num: toMillis(t.CreatedAt), ID: t.ID} },
	}
	list, err := l.page(ctx, r, from, pageSize(q.Limit))
	if err != nil {
		return store.TokenPage{}, err
	}
	return store.TokenPage{Items: list.rows, Next: list.next.text()}, nil
}

// CountTokens implements [store.Reader].
func (r reader) CountTokens(ctx context.Context, userID string, now time.Time) (int, error) {
	if !storable(userID) {
		return 0, nil
	}
	return one(ctx, r, "count tokens", scanInt, `SELECT count(*) FROM tokens
		WHERE user_id = $1 AND replaced_by = '' AND (expires_at = 0 OR expires_at > $2)`, userID, toMillis(now))
}

// ExpiredTokens implements [store.Reader].
func (r reader) ExpiredTokens(ctx context.Context, now time.Time, limit int) ([]store.TokenRow, error) {
	return all(ctx, r, "list expired tokens", scanListedToken, queryExpiredTokens, toMillis(now), int64(pageSize(limit)))
}

// CreateToken implements [store.Tx].
func (t *tx) CreateToken(ctx context.Context, token store.Token) error {
	return t.run(ctx, "create a token", func(ctx context.Context, q queryer) error { return insertToken(ctx, q, token) })
}

func insertToken(ctx context.Context, q queryer, t store.Token) error {
	keys := append([]string{t.ID, t.UserID, t.Hint, t.Level, t.Provider, t.Issuer, t.Subject, t.Claims}, t.Hosts...)
	if err := checkKeys(append(keys, t.Paths...)...); err != nil {
		return fmt.Errorf("the token: %w", err)
	}
	switch {
	case t.ID == "", t.Hash == (store.TokenHash{}), t.CreatedAt.IsZero(), len(t.Hosts) == 0, slices.Contains(t.Hosts, ""):
		return fmt.Errorf("%w: a token needs an id, a hash, a creation time and a host", errArgument)
	case t.Methods != store.TokenRead && t.Methods != store.TokenAll:
		return fmt.Errorf("%w: a token needs methods, %q are none", errArgument, t.Methods)
	case t.ReplacedBy != "":
		return fmt.Errorf("%w: a new token replaces, and is not replaced", errArgument)
	}
	found, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1`, t.UserID)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the user: %w", store.ErrNotFound)
	}
	_, err = q.ExecContext(ctx, `INSERT INTO tokens (`+columns("", tokenColumns)+`, expiry_noted)
		VALUES (`+placeholders(20)+`)`,
		t.ID, t.Hash.String(), t.UserID, clean(t.Name), t.Hint, textsText(t.Hosts), textsText(t.Paths), string(t.Methods),
		t.Level, t.Provider, t.Issuer, t.Subject, t.Claims, clean(t.CreatedBy), toMillis(t.CreatedAt),
		toMillis(t.ExpiresAt), "", toMillis(t.LastUsedAt), clip(withoutZone(t.LastUsedIP), maxIP), 0)
	return err
}

// ReplaceToken implements [store.Tx].
func (t *tx) ReplaceToken(ctx context.Context, oldID string, oldEnds time.Time, next store.Token) error {
	if !storable(oldID) {
		return store.ErrNotFound
	}
	if oldEnds.IsZero() {
		return fmt.Errorf("%w: a replaced token needs an end", errArgument)
	}
	err := t.run(ctx, "replace a token", func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE tokens SET replaced_by = $2,
			expires_at = CASE WHEN expires_at > 0 AND expires_at < $3 THEN expires_at ELSE $3 END
			WHERE id = $1 AND replaced_by = '' AND (expires_at = 0 OR expires_at > $4)`,
			oldID, next.ID, toMillis(oldEnds), toMillis(t.now()))
		if err != nil {
			return err
		}
		if n == 0 {
			old, err := scanText(q.QueryRowContext(ctx, `SELECT replaced_by FROM tokens WHERE id = $1`, oldID))
			if err == nil && old != "" {
				return store.ErrStale
			}
			return store.ErrNotFound
		}
		return insertToken(ctx, q, next)
	})
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeToken, oldID)
	return nil
}

// DeleteTokens implements [store.Tx].
func (t *tx) DeleteTokens(ctx context.Context, sel store.TokenSelector) ([]store.Token, error) {
	column, key := "id", sel.ID
	switch {
	case (sel.ID == "") == (sel.UserID == ""):
		return nil, fmt.Errorf("%w: select tokens by id or by user", errArgument)
	case sel.UserID != "":
		column, key = "user_id", sel.UserID
	}
	if !storable(key) {
		return nil, nil
	}
	var deleted []store.Token
	err := t.run(ctx, "delete tokens", func(ctx context.Context, q queryer) error {
		var err error
		deleted, err = deleteTokens(ctx, q, column, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, token := range deleted {
		t.recordChange(store.ChangeToken, token.ID)
	}
	return deleted, nil
}

// deleteTokens deletes the tokens with that value in a column, and those that they replaced, however often.
func deleteTokens(ctx context.Context, q queryer, column, key string) (deleted []store.Token, err error) {
	returning := ` RETURNING ` + columns("", tokenColumns)
	next, err := collect(ctx, q, scanToken, `DELETE FROM tokens WHERE `+column+` = $1`+returning, key)
	for err == nil && len(next) > 0 {
		deleted = append(deleted, next...)
		newer := next
		next = nil
		for _, token := range newer {
			var older []store.Token
			older, err = collect(ctx, q, scanToken, `DELETE FROM tokens
				WHERE replaced_by = $1 AND replaced_by <> ''`+returning, token.ID)
			if err != nil {
				break
			}
			next = append(next, older...)
		}
	}
	return deleted, err
}

// RenewTokenClaims implements [store.Tx].
func (t *tx) RenewTokenClaims(ctx context.Context, i store.Identity, claims string) error {
	if err := checkKeys(i.Issuer, i.Subject, i.UserID, i.Provider, claims); err != nil {
		return fmt.Errorf("the claims: %w", err)
	}
	if i.Issuer == "" || i.Subject == "" || i.UserID == "" || i.Provider == "" || claims == "" {
		return fmt.Errorf("%w: claims are those of an identity, and of a provider", errArgument)
	}
	var ids []string
	err := t.run(ctx, "renew the claims of tokens", func(ctx context.Context, q queryer) (err error) {
		ids, err = collect(ctx, q, scanText, `UPDATE tokens SET claims = $5
			WHERE issuer = $1 AND issuer <> '' AND subject = $2 AND user_id = $3 AND provider = $4
			AND claims <> $5 AND claims <> $6 RETURNING id`, i.Issuer, i.Subject, i.UserID, i.Provider, claims, unlinkedClaims)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		t.recordChange(store.ChangeToken, id)
	}
	return nil
}

// NoteExpired implements [store.Tx].
func (t *tx) NoteExpired(ctx context.Context, ids ...string) error {
	return t.run(ctx, "note that tokens have expired", func(ctx context.Context, q queryer) error {
		for _, id := range ids {
			if _, err := q.ExecContext(ctx, `UPDATE tokens SET expiry_noted = 1 WHERE id = $1`, clean(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// RecordTokenUses implements [store.Store].
func (d *DB) RecordTokenUses(ctx context.Context, uses []store.TokenUse) error {
	if len(uses) == 0 {
		return nil
	}
	return d.bulk(ctx, "note uses of tokens", func(ctx context.Context, q queryer) error {
		for _, u := range uses {
			_, err := q.ExecContext(ctx, `UPDATE tokens SET last_used_at = $2, last_used_ip = $3
				WHERE id = $1 AND last_used_at < $2`, clean(u.TokenID), toMillis(u.At), clip(withoutZone(u.IP), maxIP))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// errService rejects what a service account cannot have.
var errService = errors.New("a service account has tokens, and no password, identity, session or admin role")

// checkService returns an error if the user with that id is a service account.
func checkService(ctx context.Context, q queryer, userID string) error {
	service, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1 AND kind = 'service'`, userID)
	if err == nil && service {
		return fmt.Errorf("%w: %w", errArgument, errService)
	}
	return err
}
