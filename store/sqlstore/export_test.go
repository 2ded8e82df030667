package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// What tests need to look behind the contract.

// Writer returns the connections that write.
func (d *DB) Writer() *sql.DB { return d.writer }

// Pool returns the connections that read.
func (d *DB) Pool() *sql.DB { return d.pool }

// Origin returns the name under which changes are written now.
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

// OnMachine gives the store the clock of a machine, and reads that of the store's server as if it were not the same.
func (d *DB) OnMachine(clock func() time.Time) {
	d.skew.machine = clock
	if d.dia.clock == "" {
		d.dia.clock = `CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`
	}
}

// MapError turns an error of a driver into one of the contract.
func MapError(ctx context.Context, err error) error { return mapError(ctx, "test", err) }

// FirstWaitSQL is the first wait as the throttle's statement has it.
const FirstWaitSQL = firstWaitSQL

// Recorded is a query that was run.
type Recorded struct {
	Query string
	Args  []any
}

// Recorder keeps the queries of a store's readers.
type Recorder struct {
	queryer
	mu   sync.Mutex
	list []Recorded
}

// Record starts to keep the queries of the readers. Call it before the store is used by several goroutines.
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

func (r *Recorder) keep(query string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, Recorded{query, args})
}

// QueryContext keeps the query and runs it.
func (r *Recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.keep(query, args)
	return r.queryer.QueryContext(ctx, query, args...)
}

// QueryRowContext keeps the query and runs it.
func (r *Recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.keep(query, args)
	return r.queryer.QueryRowContext(ctx, query, args...)
}

// SetReach bounds the pages of a store more tightly, so that few rows show what many would: the entries passed over in
// each step, and how many rows found by an index of texts are sorted at once and in the end.
func SetReach(d *DB, walk []int, few, many int) {
	d.reach = &reach{walk: walk, few: few, many: many}
}
