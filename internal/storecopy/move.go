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

// lockWait is how long to wait for a server to finish the change that it is making.
const lockWait = 10 * time.Second

// Options say how to copy.
type Options struct {
	// Progress is told after each batch: rows that are in the target, of how many. May be nil.
	Progress func(table string, rows, of int64)
	// Batch bounds the rows of a batch. 0: 1000.
	Batch int
	// Empty names tables that stay empty in the target. For Load only.
	Empty []string
	// Replace lets Load replace what the target holds.
	Replace bool
	// NeedAdmin refuses a content without an active administrator. Move always does.
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

// Errors that callers tell apart.
var (
	// ErrNotEmpty: the target holds something that would be mixed with what comes.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrNoAdmin: what would be in the target has no active administrator.
	ErrNoAdmin = errors.New("there is no active administrator in what was to be copied")
	// errDiffers: after copying, the two sides are not the same.
	errDiffers = errors.New("the target differs from the source")
)

// mover is a move under way.
type mover struct {
	from, to Side
	src      *sql.Tx // keeps the source from changing
	dst      *sql.Conn
	tables   []table
	counts   map[string]int64
	opts     Options
}

// Move copies everything from one store to another, which has to be empty or left behind by an earlier Move that was
// interrupted. The source can't be changed meanwhile. It returns what the target holds, compared with the source.
func Move(ctx context.Context, from, to Side, o Options) (_ []Content, err error) {
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
	src, err := from.freeze(ctx, tables)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Rollback() }() // it only read
	m := &mover{from: from, to: to, src: src, dst: dst, tables: tables, opts: o}
	if m.counts, err = count(ctx, src, tables); err != nil {
		return nil, err
	}
	if err := needAdmin(ctx, src); err != nil {
		return nil, err
	}
	resumed, err := m.claim(ctx)
	if err != nil {
		return nil, err
	}
	content, err := m.copyAndFinish(ctx)
	if resumed && err != nil && ctx.Err() == nil {
		// The source went on after the interruption: what was copied before is of another time. That shows in the end,
		// or earlier, where a row does not go with those of then: a name that another account had, a session of somebody
		// who was passed by. Whatever it was, running the same again has to get over it.
		if cleared := m.clear(ctx); cleared != nil {
			return nil, errors.Join(err, cleared)
		}
		content, err = m.copyAndFinish(ctx)
	}
	return content, err
}

// ended makes err tell that the caller's context was over: the drivers answer a statement that is canceled while it runs
// in many ways of their own (interrupted, connection closed, transaction done).
func ended(ctx context.Context, err error) error {
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
	return shared(a, b)
}

// freeze begins a transaction that keeps everybody else from writing. A sign-out that was acknowledged after its
// session had been copied would be undone by the move.
func (s Side) freeze(ctx context.Context, tables []table) (*sql.Tx, error) {
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

// keepAlive lets PostgreSQL find out within a minute that the machine of this program is gone, and let go of the locks.
const keepAlive = `SELECT set_config('tcp_keepalives_idle', '20', true), set_config('tcp_keepalives_interval', '10', true),
	set_config('tcp_keepalives_count', '3', true)`

// lock keeps others from writing until tx ends; they may read. SQLite's transaction does that from its beginning.
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

// counterTable has a row from the beginning, in a store that holds nothing, too.
const counterTable = "change_counter"

// refuseFilled returns ErrNotEmpty when there is a row in any table.
func (s Side) refuseFilled(ctx context.Context, q queryer, tables []table) error {
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
func (m *mover) inTarget(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := m.dst.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing to %s: %w", m.to.Location, err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // the first error counts
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing to %s: %w", m.to.Location, err)
	}
	return nil
}

// claim marks the target as being filled and reports whether it was already.
func (m *mover) claim(ctx context.Context) (resumed bool, err error) {
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if m.to.postgres() {
		query = `SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1`
	}
	err = m.inTarget(ctx, func(tx *sql.Tx) error {
		if err := m.to.lock(ctx, tx, m.tables); err != nil {
			return fmt.Errorf("locking %s: stop Caddy and try again: %w", m.to.Location, err)
		}
		var n int64
		if err := tx.QueryRowContext(ctx, query, fillingTable).Scan(&n); err != nil {
			return fmt.Errorf("looking at %s: %w", m.to.Location, err)
		}
		if resumed = n > 0; resumed {
			return nil
		}
		if err := m.to.refuseFilled(ctx, tx, m.tables); err != nil {
			return err
		}
		for _, statement := range []string{
			`CREATE TABLE ` + fillingTable + ` (table_name TEXT NOT NULL PRIMARY KEY, last_key TEXT NOT NULL, row_count BIGINT NOT NULL)`,
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

// clear empties the target, which is marked as being filled: nothing in it came from anywhere else.
func (m *mover) clear(ctx context.Context) error {
	return m.inTarget(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+fillingTable); err != nil {
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

func (m *mover) copyAndFinish(ctx context.Context) ([]Content, error) {
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
		if err := needAdmin(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DROP TABLE `+fillingTable); err != nil {
			return fmt.Errorf("releasing %s: %w", m.to.Location, err)
		}
		return nil
	})
	return content, err
}

// copyTable copies what the target does not have yet. Each batch and the note of it are one transaction.
func (m *mover) copyTable(ctx context.Context, t table) error {
	after, rows, err := m.reached(ctx, t)
	if err != nil {
		return err
	}
	m.opts.progress(t.name, rows, m.counts[t.name])
	return t.batches(ctx, m.src, after, m.opts.batch(), func(batch []row) error {
		last, err := json.Marshal(t.keyOf(batch[len(batch)-1]))
		if err != nil {
			return fmt.Errorf("noting the progress: %w", err)
		}
		rows += int64(len(batch))
		err = m.inTarget(ctx, func(tx *sql.Tx) error {
			if err := m.to.insert(ctx, tx, t, batch); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO `+fillingTable+` (table_name, last_key, row_count) VALUES ($1, $2, $3)
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

// reached returns how far an earlier run came.
func (m *mover) reached(ctx context.Context, t table) (after []any, rows int64, err error) {
	var last string
	err = m.dst.QueryRowContext(ctx, `SELECT last_key, row_count FROM `+fillingTable+` WHERE table_name = $1`, t.name).Scan(&last, &rows)
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

// compare reads both sides whole.
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

// activeAdmins counts administrators, also those who were invited and have not come yet: a store of theirs can be moved.
const activeAdmins = `SELECT count(*) FROM users WHERE role = 'admin' AND active = 1 AND pending = 0`

func needAdmin(ctx context.Context, q queryer) error {
	var n int64
	if err := q.QueryRowContext(ctx, activeAdmins).Scan(&n); err != nil {
		return fmt.Errorf("looking for an administrator: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("%w: make one first, with \"caddy gatehouse user add\" or \"user enable\"", ErrNoAdmin)
	}
	return nil
}
