package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Accessors for tests.

// Writer returns the writing connections.
func (d *DB) Writer() *sql.DB { return d.writer }

// Pool returns the reading connections.
func (d *DB) Pool() *sql.DB { return d.pool }

// Origin returns the origin of changes written now.
func (d *DB) Origin() string { return d.poller.origin() }

// LatestMigration returns the version of the schema that this package knows.
func LatestMigration() (int64, error) { return latestMigration() }

// MigrationNames returns the files of the migrations.
func MigrationNames() ([]string, error) {
	entries, err := migrationFiles.ReadDir("migrations")
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// SetMachineClock sets the clock of this machine, and makes SQLite have a clock of its own, like a server.
func (d *DB) SetMachineClock(clock func() time.Time) {
	d.skew.machine = clock
	if d.dia.clock == "" {
		d.dia.clock = `CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`
	}
}

// MapError maps a driver's error.
func MapError(ctx context.Context, err error) error { return mapError(ctx, "test", err) }

// FirstWaitSQL is the first wait in the throttle's statement.
const FirstWaitSQL = firstWaitSQL

// Recorded is a query that was run.
type Recorded struct {
	Query string
	Args  []any
}

// Recorder records the queries of a store's readers.
type Recorder struct {
	queryer
	mu   sync.Mutex
	list []Recorded
}

// Record starts to record the queries of the readers. Call it before the store is used by several goroutines.
func Record(d *DB) *Recorder {
	r := &Recorder{queryer: d.reads}
	d.reads = r
	return r
}

// Take returns the queries since the last call.
func (r *Recorder) Take() []Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

func (r *Recorder) add(query string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, Recorded{query, args})
}

// QueryContext records the query and runs it.
func (r *Recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.add(query, args)
	return r.queryer.QueryContext(ctx, query, args...)
}

// QueryRowContext records the query and runs it.
func (r *Recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.add(query, args)
	return r.queryer.QueryRowContext(ctx, query, args...)
}

// ExecContext records the statement and runs it.
func (r *Recorder) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	r.add(query, args)
	return r.queryer.ExecContext(ctx, query, args...)
}

// RecordTx records the statements of a change in progress.
func RecordTx(changing store.Tx) *Recorder {
	t := changing.(*tx)
	r := &Recorder{queryer: t.sql}
	t.run = func(ctx context.Context, op string, fn func(context.Context, queryer) error) error {
		return t.runIn(ctx, op, func(ctx context.Context, _ queryer) error { return fn(ctx, r) })
	}
	return r
}

// SetSearchBudget lowers the budget of a page, so that few rows show what many would: the entries scanned in each
// step, and how many rows from a text index are sorted after the first and after the last step.
func SetSearchBudget(d *DB, scanSteps []int, firstSort, lastSort int) {
	d.budget = &searchBudget{scanSteps: scanSteps, firstSort: firstSort, lastSort: lastSort}
}
