package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// errTxDone is returned when a transaction is used after its function has returned.
var errTxDone = errors.New("the transaction is over")

// tx is a change in progress. It implements [store.Tx].
type tx struct {
	reader
	d       *DB
	sql     *sql.Tx
	cancel  context.CancelFunc
	changes []store.Change
	seen    map[store.Change]struct{}
	// failed is the first failure of the engine in this transaction. PostgreSQL rejects all further statements; SQLite
	// may have rolled back already and would run them outside of any transaction. So no statement may follow, and
	// nothing is committed, whatever fn returns.
	failed error
}

var _ store.Tx = (*tx)(nil)

// runIn is reader.run inside of a transaction.
func (t *tx) runIn(ctx context.Context, op string, fn func(ctx context.Context, q queryer) error) error {
	if t.failed != nil {
		return t.failed
	}
	bounded, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	err := fn(bounded, t.sql)
	if err == nil {
		return nil
	}
	mapped := mapError(ctx, op, err)
	if !isContractError(err) && !errors.Is(err, sql.ErrNoRows) {
		t.failed = mapped
	}
	return mapped
}

// recordChange remembers a change; it is written when fn has returned.
func (t *tx) recordChange(kind store.ChangeKind, subject string) {
	c := store.Change{Kind: kind, Subject: subject}
	if _, ok := t.seen[c]; ok {
		return
	}
	if t.seen == nil {
		t.seen = make(map[store.Change]struct{})
	}
	t.seen[c] = struct{}{}
	t.changes = append(t.changes, c)
}

// maxChangeRows is the number of changes in one transaction above which a single row says that everything changed: an
// import of a hundred thousand users must not cause as many notifications.
const maxChangeRows = 500

// RecordChange implements [store.Tx].
func (t *tx) RecordChange(_ context.Context, c store.Change) error {
	if t.failed != nil {
		return t.failed
	}
	if err := checkKeys(string(c.Kind), c.Subject); err != nil {
		return err
	}
	if c.Kind == "" {
		return fmt.Errorf("%w: a change needs a kind", errArgument)
	}
	t.recordChange(c.Kind, c.Subject)
	return nil
}

// Change implements [store.Store].
func (d *DB) Change(ctx context.Context, fn func(tx store.Tx) error) error {
	done, err := d.trackCall()
	if err != nil {
		return err
	}
	defer done()
	changes, err := d.change(ctx, func(t *tx) error { return fn(t) })
	// Also after a commit whose outcome is unknown: it is treated as if it had succeeded.
	d.hub.notifyChanged(changes)
	return err
}

// change returns the changes that were, or may have been, committed.
func (d *DB) change(ctx context.Context, fn func(t *tx) error) (changes []store.Change, err error) {
	t, done, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	committed := false
	defer func() {
		if !committed { // an error, or a panic in fn
			_ = t.sql.Rollback() // an uncommitted change is undone when the connection closes, at the latest
		}
		t.failed = errTxDone
		done()
	}()
	if err := fn(t); err != nil {
		return nil, err
	}
	if t.failed != nil {
		return nil, t.failed
	}
	origin := d.poller.origin()
	if err := t.writeChanges(ctx, origin); err != nil {
		return nil, err
	}
	committed = true
	if err := t.commit(); err != nil {
		// It is unknown whether it was committed, or when it will be: from now on the poller must not treat rows of this
		// origin as already delivered.
		d.poller.resetOrigin(origin)
		return t.changes, mapError(context.WithoutCancel(ctx), "commit a change", err)
	}
	return t.changes, nil
}

// begin starts a change: it waits for the writing connection and for other changes. done releases the connection.
func (d *DB) begin(ctx context.Context) (t *tx, done func(), err error) {
	const op = "begin a change"
	waiting, stop := context.WithTimeout(ctx, queueTimeout)
	defer stop()
	conn, err := d.writer.Conn(waiting)
	if err != nil {
		return nil, nil, mapError(ctx, op, err)
	}
	// Statements are bound to ctx, but the transaction is not: a client that disconnects during the commit must not make
	// its outcome unknown.
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done = func() {
		cancel()
		_ = conn.Close() // returns it to the pool
	}
	guard := time.AfterFunc(queueTimeout, cancel) // for BEGIN and the change lock
	sqlTx, err := conn.BeginTx(detached, nil)
	if err != nil {
		done()
		return nil, nil, mapError(ctx, op, err)
	}
	if err := d.engine.lockChanges(waiting, sqlTx); err != nil {
		_ = sqlTx.Rollback() // the first error counts
		done()
		return nil, nil, mapError(ctx, op, err)
	}
	if !guard.Stop() {
		_ = sqlTx.Rollback() // canceled already
		done()
		return nil, nil, unavailable(op, context.DeadlineExceeded)
	}
	t = &tx{d: d, sql: sqlTx, cancel: cancel}
	t.reader = reader{run: t.runIn, dia: &d.dia, now: d.opts.Clock, budget: d.budget}
	return t, done, nil
}

// commit commits, with a timeout for stores on a network.
func (t *tx) commit() error {
	defer time.AfterFunc(statementTimeout, t.cancel).Stop()
	return t.sql.Commit()
}

// writeChanges writes the changes for other processes. Sequence numbers are in commit order, since the counter's row
// is locked until this transaction has committed.
func (t *tx) writeChanges(ctx context.Context, origin string) error {
	if len(t.changes) == 0 {
		return nil
	}
	if len(t.changes) > maxChangeRows {
		t.changes = []store.Change{{Kind: store.ChangeAll}}
	}
	return t.run(ctx, "record a change", func(ctx context.Context, q queryer) error {
		var seq int64
		err := q.QueryRowContext(ctx, `UPDATE change_counter SET seq = seq + $1 WHERE id = 1 RETURNING seq`,
			int64(len(t.changes))).Scan(&seq)
		if err != nil {
			return err
		}
		seq -= int64(len(t.changes))
		at := toMillis(t.now())
		for _, c := range t.changes {
			seq++
			_, err := q.ExecContext(ctx, `INSERT INTO changes (seq, kind, subject, origin, at) VALUES ($1, $2, $3, $4, $5)`,
				seq, string(c.Kind), c.Subject, origin, at)
			if err != nil {
				return err
			}
		}
		return t.d.engine.announce(ctx, t.sql, origin)
	})
}

// bulk runs writes that record no changes in one transaction. It takes the same lock as a change: two transactions
// that write the same sessions in different order would deadlock.
func (d *DB) bulk(ctx context.Context, op string, fn func(ctx context.Context, q queryer) error) error {
	done, err := d.trackCall()
	if err != nil {
		return err
	}
	defer done()
	_, err = d.change(ctx, func(t *tx) error { return t.run(ctx, op, fn) })
	return err
}
