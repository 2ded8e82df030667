package storecopy

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// Load copies one store to another in a single transaction. The source is read as a consistent snapshot, even while
// others write to it. Servers that run on the target are notified that everything changed.
func Load(ctx context.Context, from, to Side, o Options) (_ []Content, err error) {
	defer func() { err = contextError(ctx, err) }()
	m, err := newCopier(ctx, from, to, o, from.snapshot)
	if err != nil {
		return nil, err
	}
	defer m.close()
	var content []Content
	err = m.inTarget(ctx, func(tx *sql.Tx) (err error) {
		content, err = m.load(ctx, tx)
		return err
	})
	return content, err
}

// snapshot begins a transaction on a consistent snapshot.
func (s Side) snapshot(ctx context.Context, _ []table) (*sql.Tx, error) {
	var options *sql.TxOptions
	if s.postgres() {
		options = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	tx, err := s.DB.BeginTx(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.Location, err)
	}
	return tx, nil
}

// tablesToFill returns the tables to copy: all except the named ones and those that refer to them. tables are in the
// order of their references.
func tablesToFill(tables []table, empty []string) (filled []table) {
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

func (m *copier) load(ctx context.Context, tx *sql.Tx) ([]Content, error) {
	if err := m.to.lock(ctx, tx, m.tables); err != nil {
		return nil, fmt.Errorf("locking %s: stop Caddy and try again: %w", m.to.Location, err)
	}
	if !m.opts.Replace {
		if err := m.to.requireEmpty(ctx, tx, m.tables); err != nil {
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
	filled := tablesToFill(m.tables, m.opts.Empty)
	for _, t := range filled {
		var rows int64
		err := t.eachBatch(ctx, m.src, nil, m.opts.batch(), func(batch []row) error {
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
		if err := requireAdmin(ctx, tx); err != nil {
			return nil, err
		}
	}
	if before > 0 || m.opts.Replace {
		return content, advanceCounter(ctx, tx, before)
	}
	return content, nil
}

// advanceCounter sets the change counter beyond what any server on the target has seen, leaving a gap: a server that
// finds a gap drops its cached data.
func advanceCounter(ctx context.Context, q queryer, before int64) error {
	_, err := q.ExecContext(ctx, `UPDATE `+counterTable+` SET seq = (CASE WHEN seq < $1 THEN $1 ELSE seq END) + 2`, before)
	if err != nil {
		return fmt.Errorf("telling servers that everything changed: %w", err)
	}
	return nil
}
