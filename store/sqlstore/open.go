package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Timeouts. Together they bound how long a request waits for a store that hangs.
const (
	statementTimeout = 10 * time.Second // one statement, or one read
	lockTimeout      = 5 * time.Second  // waiting for another process's change
	queueTimeout     = 10 * time.Second // waiting for the connection behind other changes of this process
	closeTimeout     = 10 * time.Second // waiting for calls in progress
)

// Options selects the store to open.
type Options struct {
	Engine string // EngineSQLite or EnginePostgres
	Path   string // SQLite: absolute path of the file
	DSN    string // PostgreSQL: URL or key=value pairs; may hold a password and is never logged

	Clock        func() time.Time // time.Now when nil
	Log          *zap.Logger      // discarded when nil
	PollInterval time.Duration    // how often to look for other processes' changes; 0: 100 ms SQLite, 250 ms PostgreSQL

	// Migrate creates the file and the schema, or migrates the schema. Without it Open refuses a store that is missing
	// or older.
	Migrate bool
	// Resume opens a store whose copy from another one was interrupted, to continue it; see CopyTable.
	Resume bool
}

// defaults sets the defaults of unset fields.
func (o Options) defaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.PollInterval <= 0 {
		o.PollInterval = 250 * time.Millisecond
		if o.Engine == EngineSQLite {
			o.PollInterval = 100 * time.Millisecond
		}
	}
	return o
}

// DB is an open store. It implements [store.Store].
type DB struct {
	reader
	opts Options
	dia  dialect
	info store.Info

	writer *sql.DB // SQLite: one connection; PostgreSQL: the pool
	pool   *sql.DB // for reads; PostgreSQL: the same as writer
	reads  queryer // pool, with prepared statements where that pays
	skew   clockSkew

	ids *store.IDs // within events

	hub    hub
	poller poller
	engine engine

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

var _ store.Store = (*DB)(nil)

// engine holds the operations of an open store that differ between the engines.
type engine interface {
	// lockChanges makes the transaction the only running change. On SQLite, BEGIN IMMEDIATE has done that already.
	lockChanges(ctx context.Context, tx *sql.Tx) error
	// announce notifies other processes of the changes when tx commits.
	announce(ctx context.Context, tx *sql.Tx, origin string) error
	// healthy returns an error when the database under the connections is no longer the one that was opened.
	healthy() error
	// listen runs until ctx ends and calls wake when another process may have changed something.
	listen(ctx context.Context, wake func())
	// pollCommits reports whether anything may have been committed since the last call, on the poller's own connection,
	// and with reset, whether this server may lack changes that were already delivered (a failover).
	pollCommits(ctx context.Context, conn *sql.Conn) (committed, reset bool, err error)
}

// Open opens a store. Errors name the file or the host and what to do; they hold no secret.
func Open(ctx context.Context, opts Options) (*DB, error) {
	opts = opts.defaults()
	d := &DB{opts: opts, ids: store.NewIDs()}
	d.skew.machine = time.Now
	d.reader = reader{run: d.read, dia: &d.dia, now: opts.Clock, budget: &defaultBudget}
	d.poller.init(d)
	var err error
	switch opts.Engine {
	case EngineSQLite:
		err = d.openSQLite(ctx)
	case EnginePostgres:
		err = d.openPostgres(ctx)
	default:
		err = fmt.Errorf("unknown store engine %q: use %q or %q", opts.Engine, EngineSQLite, EnginePostgres)
	}
	if err == nil {
		err = d.refuseIncomplete(ctx)
	}
	if err != nil {
		_ = d.closePools() // err is the reason
		return nil, err
	}
	return d, nil
}

// trackCall counts a call in progress, so that Close can wait for it; done ends it.
func (d *DB) trackCall() (done func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, errClosed)
	}
	d.calls.Add(1)
	return d.calls.Done, nil
}

// read runs a query outside of any transaction.
func (d *DB) read(ctx context.Context, op string, fn func(ctx context.Context, q queryer) error) error {
	return d.call(ctx, op, d.reads, fn)
}

// exec runs single statements outside of any change; each is its own transaction.
func (d *DB) exec(ctx context.Context, op string, fn func(ctx context.Context, q queryer) error) error {
	return d.call(ctx, op, d.writer, fn)
}

func (d *DB) call(ctx context.Context, op string, q queryer, fn func(ctx context.Context, q queryer) error) error {
	done, err := d.trackCall()
	if err != nil {
		return err
	}
	defer done()
	bounded, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	return mapError(ctx, op, fn(bounded, q))
}

// requiredTables are the tables that sign-ins and session lookups depend on.
var requiredTables = []string{
	"users", "sessions", "tokens", "links", "devices", "throttle_buckets", "throttle_attempts",
	"settings", "changes",
}

// Ping implements [store.Store]. It reads a row of every required table: a store that responds but has lost one of
// them is not healthy.
func (d *DB) Ping(ctx context.Context) error {
	return d.read(ctx, "ping the store", func(ctx context.Context, q queryer) error {
		if err := d.engine.healthy(); err != nil {
			return err
		}
		for _, table := range requiredTables {
			if err := readRow(ctx, q, table); err != nil {
				return err
			}
		}
		var seq int64
		return q.QueryRowContext(ctx, `SELECT seq FROM change_counter WHERE id = 1`).Scan(&seq)
	})
}

// readRow reads a row of a table, if there is one: a damaged page is detected only when it is read.
func readRow(ctx context.Context, q queryer, table string) error {
	rows, err := q.QueryContext(ctx, `SELECT * FROM `+table+` LIMIT 1`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// Info implements [store.Store].
func (d *DB) Info() store.Info { return d.info }

// Close implements [store.Store]. It waits for calls in progress, up to closeTimeout.
func (d *DB) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()

	d.poller.stop()
	done := make(chan struct{})
	go func() {
		d.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
		d.opts.Log.Warn("store closed with calls still in progress")
	}
	return d.closePools()
}

// closePools closes the readers first: the last connection to close is the writer, which then checkpoints the
// write-ahead log into the database file.
func (d *DB) closePools() error {
	var errs []error
	if c, ok := d.reads.(*preparedPool); ok {
		errs = append(errs, c.close())
	}
	if d.pool != nil && d.pool != d.writer {
		errs = append(errs, d.pool.Close())
	}
	if d.writer != nil {
		errs = append(errs, d.writer.Close())
	}
	return errors.Join(errs...)
}
