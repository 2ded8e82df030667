package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// errTxOver returns the use of a transaction after its function has returned.
var errTxOver = errors.New("the transaction is over")

// tx is a change under way. It implements [store.Tx].
type tx struct {
	reader
	d       *DB
	sql     *sql.Tx
	cancel  context.CancelFunc
	changes []store.Change
	noted   map[store.Change]struct{}
	// failed is the first failure of the engine in this transaction. PostgreSQL refuses all that follows, SQLite may
	// have rolled back already and would run what follows outside of any transaction: so nothing may follow, and
	// whatever fn returns, nothing is committed.
	failed error
}

var _ store.Tx = (*tx)(nil)

// runIn is the run of a transaction.
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
	if !isOurs(err) && !errors.Is(err, sql.ErrNoRows) {
		t.failed = mapped
	}
	return mapped
}

// note remembers a change; it is written when fn has returned.
func (t *tx) note(kind store.ChangeKind, subject string) {
	c := store.Change{Kind: kind, Subject: subject}
	if _, ok := t.noted[c]; ok {
		return
	}
	if t.noted == nil {
		t.noted = make(map[store.Change]struct{})
	}
	t.noted[c] = struct{}{}
	t.changes = append(t.changes, c)
}

// manyChanges is the number of changes in one transaction from which on one row says that everything changed. An
// import of a hundred thousand users is not worth a hundred thousand messages.
const manyChanges = 500

// NoteChange implements [store.Tx].
func (t *tx) NoteChange(_ context.Context, c store.Change) error {
	if t.failed != nil {
		return t.failed
	}
	if err := checkKeys(string(c.Kind), c.Subject); err != nil {
		return err
	}
	if c.Kind == "" {
		return fmt.Errorf("%w: a change needs a kind", errArgument)
	}
	t.note(c.Kind, c.Subject)
	return nil
}

// Change implements [store.Store].
func (d *DB) Change(ctx context.Context, fn func(tx store.Tx) error) error {
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	changes, err := d.change(ctx, fn)
	// After a commit whose answer was lost, too: what may have happened is told as if it had.
	d.hub.changed(changes)
	return err
}

// change returns the changes that were, or may have been, committed.
func (d *DB) change(ctx context.Context, fn func(tx store.Tx) error) (told []store.Change, err error) {
	t, done, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	committed := false
	defer func() {
		if !committed { // an error, or a panic of fn on its way through
			_ = t.sql.Rollback() // what is not committed is undone when the connection goes, at the latest
		}
		t.failed = errTxOver
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
		// Nobody knows whether it was committed, nor when it will be: from now on the poller must not take rows of
		// this origin for ones that were told at the right time.
		d.poller.renounce(origin)
		return t.changes, mapError(context.WithoutCancel(ctx), "commit a change", err)
	}
	return t.changes, nil
}

// begin starts a change: it waits for the writing connection and for the changes of others. done gives the connection
// back.
func (d *DB) begin(ctx context.Context) (t *tx, done func(), err error) {
	const op = "begin a change"
	waiting, stop := context.WithTimeout(ctx, queueTimeout)
	defer stop()
	conn, err := d.writer.Conn(waiting)
	if err != nil {
		return nil, nil, mapError(ctx, op, err)
	}
	// The transaction does not hang on ctx, each statement does: a client that goes away while the commit is under
	// way must not leave everyone in doubt about it.
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done = func() {
		cancel()
		_ = conn.Close() // gives it back to the pool
	}
	guard := time.AfterFunc(queueTimeout, cancel) // for BEGIN and the lock
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
	t.reader = reader{run: t.runIn, dia: &d.dia, now: d.opts.Clock, reach: d.reach}
	return t, done, nil
}

// commit commits, in bounded time where the answer has to come over a network.
func (t *tx) commit() error {
	defer time.AfterFunc(statementTimeout, t.cancel).Stop()
	return t.sql.Commit()
}

// writeChanges leaves the changes for other processes. Their numbers are in the order of the commits, as the counter's
// row is locked until this transaction has committed.
func (t *tx) writeChanges(ctx context.Context, origin string) error {
	if len(t.changes) == 0 {
		return nil
	}
	if len(t.changes) > manyChanges {
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

// bulk runs writes that are no changes in one transaction. It takes the same lock as a change: two transactions that
// write the same sessions in another order would wait for each other.
func (d *DB) bulk(ctx context.Context, op string, fn func(ctx context.Context, q queryer) error) error {
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	_, err = d.change(ctx, func(inner store.Tx) error {
		return inner.(*tx).run(ctx, op, fn)
	})
	return err
}
