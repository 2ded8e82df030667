package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/store"
)

const trustColumns = `trust_hash id user_id mfa_at created_at expires_at seen_at ip user_agent`

// trustRow is a trusted browser with the mark that it was stored with.
type trustRow struct {
	browser store.TrustedBrowser
	mark    string
}

func scanTrust(s scanner) (r trustRow, err error) {
	b := &r.browser
	var mfa, created, expires, seen int64
	err = s.Scan(&b.Hash, &b.ID, &b.UserID, &mfa, &created, &expires, &seen, &b.IP, &b.UserAgent, &r.mark)
	b.MFAAt, b.CreatedAt, b.ExpiresAt, b.SeenAt = fromMillis(mfa), fromMillis(created), fromMillis(expires),
		fromMillis(seen)
	return r, err
}

var selectTrust = `SELECT ` + columns("", trustColumns) + `, trust_mark FROM trusted_browsers`

// trustMark returns what the trust in browsers of a user stands on: the password, the second factors, and that the user
// is no administrator or is one. A row with another mark counts for nothing, whoever has changed what it stood on: an
// older version, or somebody with the database in hand, ends no trust.
func (r reader) trustMark(ctx context.Context, userID string) (string, error) {
	about, err := one(ctx, r, "read what trust stands on", func(s scanner) (string, error) {
		var changed int64
		var role string
		err := s.Scan(&changed, &role)
		return strconv.FormatInt(changed, 10) + " " + role, err
	}, `SELECT password_changed_at, role FROM users WHERE id = $1`, userID)
	if err != nil {
		return "", err
	}
	factors, err := all(ctx, r, "read what trust stands on", func(s scanner) (id string, err error) {
		err = s.Scan(&id)
		return id, err
	}, `SELECT id FROM totps WHERE user_id = $1 AND confirmed_at > 0
		UNION ALL SELECT id FROM passkeys WHERE user_id = $1`, userID)
	slices.Sort(factors)
	return store.HashToken(strings.Join(append([]string{about}, factors...), "\n")).String(), err
}

// TrustedBrowser implements [store.Reader].
func (r reader) TrustedBrowser(ctx context.Context, hash store.TokenHash) (store.TrustedBrowser, error) {
	row, err := one(ctx, r, "look a trusted browser up", scanTrust, selectTrust+` WHERE trust_hash = $1`, hash.String())
	if err != nil {
		return store.TrustedBrowser{}, err
	}
	mark, err := r.trustMark(ctx, row.browser.UserID)
	switch {
	case err != nil:
		return store.TrustedBrowser{}, err
	case row.mark != mark:
		return store.TrustedBrowser{}, store.ErrNotFound
	}
	return row.browser, nil
}

// TrustedBrowsers implements [store.Reader].
func (r reader) TrustedBrowsers(ctx context.Context, userID string) ([]store.TrustedBrowser, error) {
	if !storable(userID) {
		return nil, nil
	}
	rows, err := all(ctx, r, "list trusted browsers", scanTrust, selectTrust+` WHERE user_id = $1
		ORDER BY created_at DESC, id DESC`, userID)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	mark, err := r.trustMark(ctx, userID)
	if err != nil {
		return nil, err
	}
	var list []store.TrustedBrowser
	for _, row := range rows {
		if row.mark == mark {
			list = append(list, row.browser)
		}
	}
	return list, nil
}

// CreateTrustedBrowser implements [store.Tx].
func (t *tx) CreateTrustedBrowser(ctx context.Context, b store.TrustedBrowser) error {
	if err := checkKeys(b.ID, b.UserID); err != nil {
		return fmt.Errorf("the trusted browser: %w", err)
	}
	switch {
	case b.ID == "", len(b.ID) > store.MaxKey, b.Hash == (store.TokenHash{}):
		return fmt.Errorf("%w: a trusted browser needs an id and a hash", errArgument)
	case b.MFAAt.IsZero(), b.CreatedAt.Before(b.MFAAt), !b.ExpiresAt.After(b.CreatedAt):
		return fmt.Errorf("%w: a browser is trusted after a second factor was proved in it, and until some time", errArgument)
	}
	const op = "trust a browser"
	err := t.run(ctx, op, func(ctx context.Context, q queryer) error { return checkPerson(ctx, q, b.UserID) })
	if err != nil {
		return err
	}
	mark, err := t.trustMark(ctx, b.UserID)
	if err != nil {
		return err
	}
	return t.run(ctx, op, func(ctx context.Context, q queryer) error {
		// Others give way before it is inserted, so that it stays itself, whatever the clocks of those that wrote the others.
		_, err := q.ExecContext(ctx, `DELETE FROM trusted_browsers WHERE user_id = $1 AND id NOT IN (
			SELECT id FROM trusted_browsers WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2)`,
			b.UserID, int64(store.MaxTrustedBrowsers-1))
		if err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `INSERT INTO trusted_browsers (`+columns("", trustColumns)+`, trust_mark)
			VALUES (`+placeholders(10)+`)`,
			b.Hash.String(), b.ID, b.UserID, toMillis(b.MFAAt), toMillis(b.CreatedAt), toMillis(b.ExpiresAt),
			toMillis(b.CreatedAt), clip(withoutZone(b.IP), maxIP), clip(b.UserAgent, maxUserAgent), mark)
		return err
	})
}

// UseTrustedBrowser implements [store.Tx].
func (t *tx) UseTrustedBrowser(ctx context.Context, hash store.TokenHash, at time.Time, ip, userAgent string) error {
	return updateOne(ctx, t, "use a trusted browser", `UPDATE trusted_browsers
		SET seen_at = $2, ip = $3, user_agent = $4 WHERE trust_hash = $1`,
		hash.String(), toMillis(at), clip(withoutZone(ip), maxIP), clip(userAgent, maxUserAgent))
}

// ForgetTrustedBrowser implements [store.Tx].
func (t *tx) ForgetTrustedBrowser(ctx context.Context, userID, id string) error {
	if !storable(userID, id) {
		return store.ErrNotFound
	}
	return t.run(ctx, "forget a trusted browser", func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `DELETE FROM trusted_browsers WHERE id = $2 AND user_id = $1`, userID, id)
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return t.takeTrust(ctx, q, userID)
	})
}

// ForgetTrustedBrowsers implements [store.Tx].
func (t *tx) ForgetTrustedBrowsers(ctx context.Context, userID string, keep ...store.TokenHash) (n int, err error) {
	if !storable(userID) {
		return 0, nil
	}
	err = t.run(ctx, "forget trusted browsers", func(ctx context.Context, q queryer) (err error) {
		n, err = t.endTrust(ctx, q, userID, keep...)
		return err
	})
	return n, err
}

// LimitTrust implements [store.Tx].
func (t *tx) LimitTrust(ctx context.Context, lasts time.Duration) (int, error) {
	if lasts <= 0 {
		return t.ForgetTrustedBrowsers(ctx, store.AllUsers)
	}
	var n int64
	err := t.run(ctx, "limit the trust in browsers", func(ctx context.Context, q queryer) error {
		over, err := collect(ctx, q, func(s scanner) (id string, err error) {
			err = s.Scan(&id)
			return id, err
		}, `SELECT DISTINCT user_id FROM trusted_browsers WHERE expires_at > created_at + $1 AND created_at + $1 <= $2`,
			lasts.Milliseconds(), toMillis(t.now()))
		if err != nil {
			return err
		}
		for _, userID := range over {
			if err := t.takeTrust(ctx, q, userID); err != nil {
				return err
			}
		}
		n, err = affected(ctx, q, `UPDATE trusted_browsers SET expires_at = created_at + $1
			WHERE expires_at > created_at + $1`, lasts.Milliseconds())
		return err
	})
	return int(n), err
}

// endTrust ends the trust in browsers of a user, or of all users, except those in keep, and returns in how many. Where
// none is left, no session stands on it any more.
func (t *tx) endTrust(ctx context.Context, q queryer, userID string, keep ...store.TokenHash) (int, error) {
	var w where
	if userID != store.AllUsers {
		w.add("user_id = %s", userID)
	}
	for _, hash := range keep {
		w.add("trust_hash <> %s", hash.String())
	}
	n, err := affected(ctx, q, `DELETE FROM trusted_browsers`+w.String(), w.args...)
	if err != nil {
		return 0, err
	}
	if userID != store.AllUsers && len(keep) > 0 {
		left, err := exists(ctx, q, `SELECT 1 FROM trusted_browsers WHERE user_id = $1`, userID)
		if err != nil || left {
			return int(n), err
		}
	}
	return int(n), t.takeTrust(ctx, q, userID)
}

// endTrustOf ends the trust in browsers of a user who becomes an administrator, or is turned off.
func (t *tx) endTrustOf(ctx context.Context, q queryer, before, after store.User) error {
	promoted := after.Role == store.RoleAdmin && before.Role != store.RoleAdmin
	if !promoted && (after.Active || !before.Active) {
		return nil
	}
	_, err := t.endTrust(ctx, q, after.ID)
	return err
}

// takeTrust takes the trust in a browser out of what the sessions of a user, or of all users, have proved.
func (t *tx) takeTrust(ctx context.Context, q queryer, userID string) error {
	var w where
	if userID != store.AllUsers {
		w.add("s.user_id = %s", userID)
	}
	w.add(`s.methods LIKE '%%trusted%%'`) // as the index of such sessions has it
	sessions, err := collect(ctx, q, scanSession, selectSession+w.String(), w.args...)
	if err != nil {
		return err
	}
	for i := range sessions {
		s := &sessions[i]
		left, mfaAt := assurance.Methods(s.Methods).Lose(s.MFAAt, assurance.Trusted)
		_, err := q.ExecContext(ctx, `UPDATE sessions SET methods = $2, mfa_at = $3 WHERE id = $1`,
			s.ID, string(left), toMillis(mfaAt))
		if err != nil {
			return err
		}
		t.recordChange(store.ChangeSession, s.ID)
	}
	return nil
}

// keepNoTrust takes the trust in a browser out of a session that replaces another without it: whoever writes it may
// have read the other before the trust ended.
func keepNoTrust(before string, s *store.Session) {
	m := assurance.Methods(s.Methods)
	if m.Has(assurance.Trusted) && !assurance.Methods(before).Has(assurance.Trusted) {
		m, s.MFAAt = m.Lose(s.MFAAt, assurance.Trusted)
		s.Methods = string(m)
	}
}
