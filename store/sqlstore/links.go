package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

const linkColumns = `id token_hash purpose user_id created_by end_sessions created_at expires_at used_at cancelled_at`

func scanLink(s scanner) (store.Link, error) {
	var l store.Link
	var created, expires, used, canceled int64
	err := s.Scan(&l.ID, &l.Hash, &l.Purpose, &l.UserID, &l.CreatedBy, intBool{&l.EndSessions}, &created, &expires,
		&used, &canceled)
	if err != nil {
		return store.Link{}, err
	}
	l.CreatedAt, l.ExpiresAt = fromMillis(created), fromMillis(expires)
	l.UsedAt, l.CancelledAt = fromMillis(used), fromMillis(canceled)
	return l, nil
}

var selectLink = `SELECT ` + columns("", linkColumns) + ` FROM links`

// Link implements [store.Reader].
func (r reader) Link(ctx context.Context, hash store.TokenHash) (store.Link, error) {
	return one(ctx, r, "read a link", scanLink, selectLink+` WHERE token_hash = $1`, hash.String())
}

var linkOrder = order{list: "links", key: "created_at", id: "id", isTime: true, desc: true}

// Links implements [store.Reader].
func (r reader) Links(ctx context.Context, q store.LinkQuery) (store.LinkPage, error) {
	from, err := linkOrder.parseCursor(q.Cursor)
	if err != nil {
		return store.LinkPage{}, err
	}
	l := listing[store.Link]{
		op: "list links", cols: columns("", linkColumns), from: "FROM links", keys: "FROM links", order: linkOrder,
		index:    func(w *where) { addOpenLinks(w, q) },
		filter:   func(w *where) { r.linkFilter(w, q) },
		scan:     scanLink,
		cursorOf: func(l store.Link) cursor { return cursor{Num: toMillis(l.CreatedAt), ID: l.ID} },
	}
	list, err := l.page(ctx, r, from, pageSize(q.Limit))
	if err != nil {
		return store.LinkPage{}, err
	}
	return store.LinkPage{Items: list.rows, Next: list.next.text()}, nil
}

// addOpenLinks adds the condition of the partial indexes.
func addOpenLinks(w *where, q store.LinkQuery) {
	w.add("used_at = 0 AND cancelled_at = 0")
	if q.UserID != "" {
		w.add("user_id = %s", clean(q.UserID))
	}
}

func (r reader) linkFilter(w *where, q store.LinkQuery) {
	w.add(r.dia.unindexed+"expires_at > %s", toMillis(q.Now))
	if q.Purpose != "" {
		w.add("purpose = %s", clean(string(q.Purpose)))
	}
}

// CountLinks implements [store.Reader].
func (r reader) CountLinks(ctx context.Context, q store.LinkQuery) (int, error) {
	var w where
	addOpenLinks(&w, q)
	r.linkFilter(&w, q)
	return r.countTo(ctx, "count links", "FROM links", w, q.Limit)
}

// CreateLink implements [store.Tx].
func (t *tx) CreateLink(ctx context.Context, l store.Link) error {
	if err := checkKeys(l.ID, string(l.Purpose), l.UserID); err != nil {
		return fmt.Errorf("the link: %w", err)
	}
	if l.ID == "" || l.Hash == (store.TokenHash{}) || l.Purpose == "" || l.ExpiresAt.IsZero() {
		return fmt.Errorf("%w: a link needs an id, a token, a purpose and an end", errArgument)
	}
	return t.run(ctx, "create a link", func(ctx context.Context, q queryer) error {
		if l.UserID != "" {
			found, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1`, l.UserID)
			if err != nil {
				return err
			}
			if !found {
				return fmt.Errorf("the user: %w", store.ErrNotFound)
			}
			if err := checkService(ctx, q, l.UserID); err != nil {
				return err
			}
			if _, err := cancelLinks(ctx, q, l.Purpose, l.UserID, l.CreatedAt); err != nil {
				return err
			}
		}
		_, err := q.ExecContext(ctx, `INSERT INTO links (`+columns("", linkColumns)+`) VALUES (`+placeholders(10)+`)`,
			l.ID, l.Hash.String(), string(l.Purpose), l.UserID, clean(l.CreatedBy), toInt(l.EndSessions),
			toMillis(l.CreatedAt), toMillis(l.ExpiresAt), toMillis(l.UsedAt), toMillis(l.CancelledAt))
		return err
	})
}

// TakeLink implements [store.Tx]. Check and update are one statement.
func (t *tx) TakeLink(ctx context.Context, hash store.TokenHash, now time.Time) (store.Link, error) {
	return one(ctx, t.reader, "use a link", scanLink, `UPDATE links SET used_at = $2
		WHERE token_hash = $1 AND used_at = 0 AND cancelled_at = 0 AND expires_at > $2
		RETURNING `+columns("", linkColumns), hash.String(), toMillis(now))
}

// CancelLinks implements [store.Tx].
func (t *tx) CancelLinks(ctx context.Context, purpose store.LinkPurpose, userID string) (int, error) {
	if err := checkKeys(string(purpose), userID); err != nil {
		return 0, err
	}
	var n int64
	err := t.run(ctx, "cancel links", func(ctx context.Context, q queryer) error {
		var err error
		n, err = cancelLinks(ctx, q, purpose, userID, t.now())
		return err
	})
	return int(n), err
}

func cancelLinks(ctx context.Context, q queryer, purpose store.LinkPurpose, userID string,
	at time.Time,
) (int64, error) {
	return affected(ctx, q, `UPDATE links SET cancelled_at = $3
		WHERE purpose = $1 AND user_id = $2 AND used_at = 0 AND cancelled_at = 0`, string(purpose), userID, toMillis(at))
}

const flowColumns = `state_hash browser_hash provider user_id purpose data created_at expires_at`

func scanFlow(s scanner) (store.Flow, error) {
	var f store.Flow
	var created, expires int64
	err := s.Scan(&f.Hash, &f.Browser, &f.Provider, &f.UserID, &f.Purpose, &f.Data, &created, &expires)
	if err != nil {
		return store.Flow{}, err
	}
	f.CreatedAt, f.ExpiresAt = fromMillis(created), fromMillis(expires)
	return f, nil
}

// CreateFlow implements [store.Tx].
func (t *tx) CreateFlow(ctx context.Context, f store.Flow) error {
	if err := checkKeys(f.Provider, f.UserID, f.Purpose, f.Data); err != nil {
		return fmt.Errorf("the flow: %w", err)
	}
	if f.Hash == (store.TokenHash{}) || f.Browser == (store.TokenHash{}) || f.ExpiresAt.IsZero() {
		return fmt.Errorf("%w: a flow needs a state, a browser and an end", errArgument)
	}
	created, err := t.d.storeTime(ctx, t.reader, f.CreatedAt)
	if err != nil {
		return err
	}
	return t.run(ctx, "create a flow", func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `INSERT INTO flows (`+columns("", flowColumns)+`) VALUES (`+placeholders(8)+`)`,
			f.Hash.String(), f.Browser.String(), f.Provider, f.UserID, f.Purpose, f.Data, toMillis(created),
			toMillis(f.ExpiresAt))
		return err
	})
}

// TakeFlow implements [store.Tx].
func (t *tx) TakeFlow(ctx context.Context, hash store.TokenHash, now time.Time) (store.Flow, error) {
	f, err := one(ctx, t.reader, "take a flow", scanFlow, `DELETE FROM flows WHERE state_hash = $1 AND expires_at > $2
		RETURNING `+columns("", flowColumns), hash.String(), toMillis(now))
	if err != nil {
		return store.Flow{}, err
	}
	f.CreatedAt, err = t.d.machineTime(ctx, t.reader, f.CreatedAt)
	return f, err
}
