package storecopy

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// Load fills a store from another one in a single transaction: all of it, or nothing. The source is read as it was at
// one moment, whoever writes to it meanwhile. Servers that run on the target learn that everything changed.
func Load(ctx context.Context, from, to Side, o Options) (_ []Content, err error) {
	defer func() { err = ended(ctx, err) }()
	dst, err := to.DB.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to the target: %w", err)
	}
	defer dst.Close()
	tables, err := compareSchemas(ctx, from, to, dst)
	if err != nil {
		return nil, err
	}
	src, err := from.snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", from.Location, err)
	}
	defer func() { _ = src.Rollback() }() // it only read
	m := &mover{from: from, to: to, src: src, dst: dst, tables: tables, opts: o}
	if m.counts, err = count(ctx, src, tables); err != nil {
		return nil, err
	}
	var content []Content
	err = m.inTarget(ctx, func(tx *sql.Tx) (err error) {
		content, err = m.load(ctx, tx)
		return err
	})
	return content, err
}

// snapshot begins a transaction that sees the database as it is now.
func (s Side) snapshot(ctx context.Context) (*sql.Tx, error) {
	if s.postgres() {
		return s.DB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	}
	return s.DB.BeginTx(ctx, nil)
}

// withRows returns the tables that are not to stay empty: neither the named ones nor what belongs to rows of those. tables
// come in the order of their references.
func withRows(tables []table, empty []string) (filled []table) {
	stays := slices.Clone(empty)
	for _, t := range tables {
		belongs := func(r reference) bool { return r.table != t.name && slices.Contains(stays, r.table) }
		if slices.Contains(stays, t.name) || slices.ContainsFunc(t.references, belongs) {
			stays = append(stays, t.name)
			continue
		}
		filled = append(filled, t)
	}
	return filled
}

func (m *mover) load(ctx context.Context, tx *sql.Tx) ([]Content, error) {
	if err := m.to.lock(ctx, tx, m.tables); err != nil {
		return nil, fmt.Errorf("locking %s: stop Caddy and try again: %w", m.to.Location, err)
	}
	if !m.opts.Replace {
		if err := m.to.refuseFilled(ctx, tx, m.tables); err != nil {
			return nil, err
		}
	}
	var before int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM `+counterTable).Scan(&before); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", m.to.Location, err)
	}
	if err := empty(ctx, tx, m.tables); err != nil {
		return nil, err
	}
	filled := withRows(m.tables, m.opts.Empty)
	for _, t := range filled {
		var rows int64
		err := t.batches(ctx, m.src, nil, m.opts.batch(), func(batch []row) error {
			rows += int64(len(batch))
			m.opts.progress(t.name, rows, m.counts[t.name])
			return m.to.insert(ctx, tx, t, batch)
		})
		if err != nil {
			return nil, err
		}
	}
	content, err := compare(ctx, m.src, tx, filled)
	if err != nil {
		return nil, err
	}
	if m.opts.NeedAdmin {
		if err := needAdmin(ctx, tx); err != nil {
			return nil, err
		}
	}
	if before > 0 || m.opts.Replace {
		return content, outrun(ctx, tx, before)
	}
	return content, nil
}

// outrun moves the counter of changes beyond what any server on the target has seen, past a number that no change has:
// a server that finds such a gap forgets all it knew.
func outrun(ctx context.Context, q queryer, before int64) error {
	_, err := q.ExecContext(ctx, `UPDATE `+counterTable+` SET seq = (CASE WHEN seq < $1 THEN $1 ELSE seq END) + 2`, before)
	if err != nil {
		return fmt.Errorf("telling servers that everything changed: %w", err)
	}
	return nil
}
