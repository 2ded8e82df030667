package storecopy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lockWait is how long to wait for a change in progress of a server.
const lockWait = 10 * time.Second

// Options of [Move], [Load] and [Backup].
type Options struct {
	// Progress is called after each batch with the number of rows in the target, and in total. May be nil.
	Progress func(table string, rows, of int64)
	// Batch bounds the rows of a batch. 0: 1000.
	Batch int
	// Empty names tables that stay empty in the target. For Load only.
	Empty []string
	// Replace lets Load replace what the target holds.
	Replace bool
	// NeedAdmin refuses content without an active administrator. Move always does.
	NeedAdmin bool
}

func (o Options) batch() int {
	if o.Batch > 0 {
		return o.Batch
	}
	return batchRows
}

func (o Options) progress(table string, rows, of int64) {
	if o.Progress != nil {
		o.Progress(table, rows, of)
	}
}

// Errors for callers.
var (
	// ErrNotEmpty means that the target already holds data.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrNoAdmin means that the content has no active administrator.
	ErrNoAdmin = errors.New("there is no active administrator in what was to be copied")
	// errDiffers means that source and target differ after copying.
	errDiffers = errors.New("the target differs from the source")
)

// copier is a copy in progress.
type copier struct {
	from, to Side
	src      *sql.Tx // keeps the source from changing
	dst      *sql.Conn
	tables   []table
	counts   map[string]int64
	opts     Options
}

// newCopier compares the stores, and begins the transaction on the source with read. The caller closes the copier.
func newCopier(ctx context.Context, from, to Side, o Options,
	read func(context.Context, []table) (*sql.Tx, error),
) (_ *copier, err error) {
	m := &copier{from: from, to: to, opts: o}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.dst, err = to.DB.Conn(ctx); err != nil {
		return nil, fmt.Errorf("connecting to the target: %w", err)
	}
	if m.tables, err = compareSchemas(ctx, from, to, m.dst); err != nil {
		return nil, err
	}
	if m.src, err = read(ctx, m.tables); err != nil {
		return nil, err
	}
	if m.counts, err = count(ctx, m.src, m.tables); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *copier) close() {
	if m.src != nil {
		_ = m.src.Rollback() // it only read
	}
	if m.dst != nil {
		_ = m.dst.Close()
	}
}

// Move copies everything from one store to another, which has to be empty or the target of an earlier, interrupted
// Move. The source is locked meanwhile. It returns the target's content, which equals the source's.
func Move(ctx context.Context, from, to Side, o Options) (_ []Content, err error) {
	defer func() { err = contextError(ctx, err) }()
	m, err := newCopier(ctx, from, to, o, from.lockSource)
	if err != nil {
		return nil, err
	}
	defer m.close()
	if err := requireAdmin(ctx, m.src); err != nil {
		return nil, err
	}
	resumed, err := m.markTarget(ctx)
	if err != nil {
		return nil, err
	}
	content, err := m.copyAndFinish(ctx)
	if resumed && err != nil && ctx.Err() == nil {
		// The source may have changed after the interruption, so that rows copied before are outdated. That shows in the
		// final comparison, or earlier as a conflict with such a row. Starting over has to succeed in any case.
		if cleared := m.clearTarget(ctx); cleared != nil {
			return nil, errors.Join(err, cleared)
		}
		content, err = m.copyAndFinish(ctx)
	}
	return content, err
}

// contextError adds the error of the caller's context to err: the drivers report a canceled statement in many ways
// (interrupted, connection closed, transaction done).
func contextError(ctx context.Context, err error) error {
	over := ctx.Err()
	if err == nil || over == nil || errors.Is(err, over) {
		return err
	}
	return fmt.Errorf("%w: %w", over, err)
}

func compareSchemas(ctx context.Context, from, to Side, dst queryer) ([]table, error) {
	a, err := from.schema(ctx, from.DB)
	if err != nil {
		return nil, err
	}
	b, err := to.schema(ctx, dst)
	if err != nil {
		return nil, err
	}
	return matchSchemas(a, b)
}

// lockSource begins a transaction that blocks all other writers. Otherwise the move would undo a sign-out that is
// acknowledged after its session was copied.
func (s Side) lockSource(ctx context.Context, tables []table) (*sql.Tx, error) {
	tx, err := s.DB.BeginTx(ctx, nil) // SQLite: BEGIN IMMEDIATE
	if err == nil {
		err = s.lock(ctx, tx, tables)
	}
	if err != nil {
		if tx != nil {
			_ = tx.Rollback()
		}
		return nil, fmt.Errorf("locking %s: stop Caddy and try again: %w", s.Location, err)
	}
	return tx, nil
}

// keepAlive lets PostgreSQL detect within a minute that this machine is gone, and release the locks.
const keepAlive = `SELECT set_config('tcp_keepalives_idle', '20', true),
	set_config('tcp_keepalives_interval', '10', true), set_config('tcp_keepalives_count', '3', true)`

// lock blocks other writers until tx ends; they may read. SQLite's transaction does so from its beginning.
func (s Side) lock(ctx context.Context, tx *sql.Tx, tables []table) error {
	if !s.postgres() {
		return nil
	}
	list := make([]string, len(tables))
	for i, t := range tables {
		list[i] = quote(t.name)
	}
	for _, statement := range []string{
		fmt.Sprintf(`SET LOCAL lock_timeout = %d`, lockWait.Milliseconds()),
		`SET LOCAL statement_timeout = 0`, // whole tables are read
		`SET LOCAL idle_in_transaction_session_timeout = 0`,
		keepAlive,
		`LOCK TABLE ` + strings.Join(list, ", ") + ` IN EXCLUSIVE MODE`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func count(ctx context.Context, q queryer, tables []table) (map[string]int64, error) {
	counts := make(map[string]int64, len(tables))
	for _, t := range tables {
		var n int64
		if err := q.QueryRowContext(ctx, `SELECT count(*) FROM `+quote(t.name)).Scan(&n); err != nil {
			return nil, fmt.Errorf("counting the table %s: %w", t.name, err)
		}
		counts[t.name] = n
	}
	return counts, nil
}

// counterTable has a row even in an empty store.
const counterTable = "change_counter"

// requireEmpty returns ErrNotEmpty if any table has a row.
func (s Side) requireEmpty(ctx context.Context, q queryer, tables []table) error {
	counts, err := count(ctx, q, tables)
	if err != nil {
		return err
	}
	var filled []string
	for name, n := range counts {
		if n > 0 && name != counterTable {
			filled = append(filled, fmt.Sprintf("%s: %d", name, n))
		}
	}
	if len(filled) == 0 {
		return nil
	}
	slices.Sort(filled)
	return fmt.Errorf("%w: %s holds rows already (%s)", ErrNotEmpty, s.Location, strings.Join(filled, ", "))
}

// inTarget runs fn in a transaction of the target.
func (m *copier) inTarget(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := m.dst.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing to %s: %w", m.to.Location, err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // the first error is returned
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing to %s: %w", m.to.Location, err)
	}
	return nil
}

// markTarget marks the target as incomplete and reports whether it was marked already.
func (m *copier) markTarget(ctx context.Context) (resumed bool, err error) {
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if m.to.postgres() {
		query = `SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1`
	}
	err = m.inTarget(ctx, func(tx *sql.Tx) error {
		if err := m.to.lock(ctx, tx, m.tables); err != nil {
			return fmt.Errorf("locking %s: stop Caddy and try again: %w", m.to.Location, err)
		}
		var n int64
		if err := tx.QueryRowContext(ctx, query, copyTableName).Scan(&n); err != nil {
			return fmt.Errorf("looking at %s: %w", m.to.Location, err)
		}
		if resumed = n > 0; resumed {
			return nil
		}
		if err := m.to.requireEmpty(ctx, tx, m.tables); err != nil {
			return err
		}
		for _, statement := range []string{
			`CREATE TABLE ` + copyTableName +
				` (table_name TEXT NOT NULL PRIMARY KEY, last_key TEXT NOT NULL, row_count BIGINT NOT NULL)`,
			`DELETE FROM ` + counterTable,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("marking %s: %w", m.to.Location, err)
			}
		}
		return nil
	})
	return resumed, err
}

// clearTarget empties the target, which is marked as incomplete, so all its rows were copied.
func (m *copier) clearTarget(ctx context.Context) error {
	return m.inTarget(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+copyTableName); err != nil {
			return fmt.Errorf("emptying %s: %w", m.to.Location, err)
		}
		return empty(ctx, tx, m.tables)
	})
}

func empty(ctx context.Context, q queryer, tables []table) error {
	for _, t := range slices.Backward(tables) {
		if _, err := q.ExecContext(ctx, `DELETE FROM `+quote(t.name)); err != nil {
			return fmt.Errorf("emptying the table %s: %w", t.name, err)
		}
	}
	return nil
}

func (m *copier) copyAndFinish(ctx context.Context) ([]Content, error) {
	for _, t := range m.tables {
		if err := m.copyTable(ctx, t); err != nil {
			return nil, err
		}
	}
	var content []Content
	err := m.inTarget(ctx, func(tx *sql.Tx) (err error) {
		if err := m.to.lock(ctx, tx, m.tables); err != nil {
			return fmt.Errorf("locking %s: stop Caddy and try again: %w", m.to.Location, err)
		}
		if content, err = compare(ctx, m.src, tx, m.tables); err != nil {
			return err
		}
		if err := requireAdmin(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DROP TABLE `+copyTableName); err != nil {
			return fmt.Errorf("releasing %s: %w", m.to.Location, err)
		}
		return nil
	})
	return content, err
}

// copyTable copies the remaining rows. Each batch is written in one transaction with the progress.
func (m *copier) copyTable(ctx context.Context, t table) error {
	after, rows, err := m.savedProgress(ctx, t)
	if err != nil {
		return err
	}
	m.opts.progress(t.name, rows, m.counts[t.name])
	return t.eachBatch(ctx, m.src, after, m.opts.batch(), func(batch []row) error {
		last, err := json.Marshal(t.keyOf(batch[len(batch)-1]))
		if err != nil {
			return fmt.Errorf("noting the progress: %w", err)
		}
		rows += int64(len(batch))
		err = m.inTarget(ctx, func(tx *sql.Tx) error {
			if err := m.to.insert(ctx, tx, t, batch); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO `+copyTableName+` (table_name, last_key, row_count) VALUES ($1, $2, $3)
				ON CONFLICT (table_name) DO UPDATE SET last_key = excluded.last_key, row_count = excluded.row_count`,
				t.name, string(last), rows)
			return err
		})
		if err != nil {
			return err
		}
		m.opts.progress(t.name, rows, m.counts[t.name])
		return nil
	})
}

// savedProgress returns the progress of an earlier run.
func (m *copier) savedProgress(ctx context.Context, t table) (after []any, rows int64, err error) {
	var last string
	err = m.dst.QueryRowContext(ctx, `SELECT last_key, row_count FROM `+copyTableName+` WHERE table_name = $1`,
		t.name).Scan(&last, &rows)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading how far an earlier run came: %w", err)
	}
	d := json.NewDecoder(strings.NewReader(last))
	d.UseNumber()
	if err := d.Decode(&after); err != nil || len(after) != len(t.key) {
		return nil, 0, fmt.Errorf("the note of how far an earlier run came with %s can't be read", t.name)
	}
	for i, v := range after {
		if n, ok := v.(json.Number); ok {
			if after[i], err = n.Int64(); err != nil {
				return nil, 0, fmt.Errorf("the note of how far an earlier run came with %s can't be read: %w", t.name, err)
			}
		}
	}
	return after, rows, nil
}

// compare compares all rows of both sides.
func compare(ctx context.Context, a, b queryer, tables []table) ([]Content, error) {
	list := make([]Content, 0, len(tables))
	for _, t := range tables {
		x, err := t.content(ctx, a)
		if err != nil {
			return nil, err
		}
		y, err := t.content(ctx, b)
		if err != nil {
			return nil, err
		}
		if x != y {
			return nil, fmt.Errorf("%w: %s has %d rows with the checksum %s in the source and %d with %s in the target; is a "+
				"server running on the target?", errDiffers, t.name, x.Rows, x.Sum, y.Rows, y.Sum)
		}
		list = append(list, y)
	}
	return list, nil
}

// activeAdmins counts administrators, including invited ones who have never signed in: such a store can be moved.
const activeAdmins = `SELECT count(*) FROM users WHERE role = 'admin' AND active = 1 AND pending = 0`

func requireAdmin(ctx context.Context, q queryer) error {
	var n int64
	if err := q.QueryRowContext(ctx, activeAdmins).Scan(&n); err != nil {
		return fmt.Errorf("looking for an administrator: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("%w: make one first, with \"caddy gatehouse user add\" or \"user enable\"", ErrNoAdmin)
	}
	return nil
}
