package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// notifyChannel is the channel of NOTIFY. It only wakes: what happened is read from the table.
const notifyChannel = "gatehouse_changes"

// postgresEngine is the part of an open PostgreSQL store that is PostgreSQL's own.
type postgresEngine struct {
	config *pgx.ConnConfig
	log    *zap.Logger
	origin func() string
	since  string // when the server started that the last poll asked
}

// parseDSN reads a connection string. The driver's own error repeats parts of it, the password perhaps among them, so
// it is not passed on.
func parseDSN(dsn string) (*pgx.ConnConfig, error) {
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("the connection string of PostgreSQL is empty")
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil || cutPassword(dsn, config) {
		return nil, errors.New("the connection string of PostgreSQL cannot be read: write it as " +
			"postgres://user:password@host:5432/database?sslmode=verify-full (special characters in the password " +
			"percent-encoded), or as host=… user=… password=… dbname=…, and see that files it names exist")
	}
	if config.Database == "" {
		config.Database = config.User
	}
	if config.ConnectTimeout <= 0 {
		config.ConnectTimeout = lockTimeout
	}
	// Types follow from the arguments, in one round trip and with nothing kept on the server: PgBouncer in
	// transaction mode gives every transaction another connection.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.StatementCacheCapacity = 0
	config.DescriptionCacheCapacity = 0
	if _, ok := config.RuntimeParams["application_name"]; !ok {
		config.RuntimeParams["application_name"] = "gatehouse"
	}
	return config, nil
}

// cutPassword reports whether a part of the password was taken for one of the host or the database, which are shown: an
// '@' that is not encoded ends the password before its end.
func cutPassword(dsn string, config *pgx.ConnConfig) bool {
	hosts := []string{config.Host}
	for _, f := range config.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	// The folder of a socket may have an '@' in it; "@name" is an abstract one.
	cut := func(h string) bool { return !strings.HasPrefix(h, "/") && strings.LastIndexByte(h, '@') > 0 }
	return slices.ContainsFunc(hosts, cut) ||
		strings.Contains(config.Database, "@") && strings.Contains(dsn, "://") && strings.Count(dsn, "@") > 1
}

func (d *DB) openPostgres(ctx context.Context) error {
	d.dia = postgresDialect()
	config, err := parseDSN(d.opts.DSN)
	if err != nil {
		return err
	}
	host := config.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	d.info = store.Info{Engine: EnginePostgres, Location: host + "/" + config.Database}
	d.engine = &postgresEngine{config: config, log: d.opts.Log, origin: d.poller.origin}

	d.writer = stdlib.OpenDB(*config)
	d.pool = d.writer
	d.reads = d.writer
	d.writer.SetMaxOpenConns(16)
	d.writer.SetMaxIdleConns(16)
	d.writer.SetConnMaxIdleTime(5 * time.Minute)
	d.writer.SetConnMaxLifetime(30 * time.Minute)

	bounded, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	if err := d.writer.PingContext(bounded); err != nil {
		return d.postgresOpenError(ctx, err)
	}
	if d.info.Schema, err = d.migrate(ctx); err != nil {
		return d.postgresOpenError(ctx, err)
	}
	return nil
}

func (d *DB) postgresOpenError(ctx context.Context, err error) error {
	if errors.Is(err, store.ErrNewerSchema) || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: open the store in PostgreSQL at %s: %w", store.ErrUnavailable, d.info.Location, err)
}

// lockChanges implements engine: it waits until every earlier change has committed and keeps later ones waiting. The
// limits hold for this transaction only; a process that stops in the middle must not hold up all others.
func (e *postgresEngine) lockChanges(ctx context.Context, tx *sql.Tx) error {
	text := fmt.Sprintf("SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d; "+
		"SET LOCAL idle_in_transaction_session_timeout = %d; SELECT seq FROM change_counter WHERE id = 1 FOR UPDATE",
		lockTimeout.Milliseconds(), statementTimeout.Milliseconds(), 3*statementTimeout.Milliseconds())
	// Several statements in one round trip need the simple protocol; there are no arguments.
	_, err := tx.ExecContext(ctx, text, pgx.QueryExecModeSimpleProtocol)
	return err
}

// announce implements engine.
func (e *postgresEngine) announce(ctx context.Context, tx *sql.Tx, origin string) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_notify($1, $2)`, notifyChannel, origin)
	return err
}

// healthy implements engine. The query that goes with it tells all there is.
func (e *postgresEngine) healthy() error { return nil }

// moved implements engine: the poll is cheap enough to ask every time. It is another server since the last time when
// that one started at another moment, whatever address or pooler leads to it. One that was promoted may lack the last
// changes, and gives their numbers to later ones.
func (e *postgresEngine) moved(ctx context.Context, conn *sql.Conn) (moved, anew bool, err error) {
	var since string
	if err := conn.QueryRowContext(ctx, `SELECT extract(epoch FROM pg_postmaster_start_time())::text`).Scan(&since); err != nil {
		return false, false, err
	}
	anew, e.since = e.since != "" && since != e.since, since
	return true, anew, nil
}

// listen implements engine: it keeps a connection that listens, and makes a new one when that is lost.
func (e *postgresEngine) listen(ctx context.Context, wake func()) {
	const shortest, longest = 100 * time.Millisecond, 5 * time.Second
	for wait := shortest; ctx.Err() == nil; {
		began := time.Now()
		err := e.listenOnce(ctx, wake)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longest {
			wait = shortest
		}
		e.log.Debug("no longer listening for changes; the poll goes on", zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, longest)
	}
}

func (e *postgresEngine) listenOnce(ctx context.Context, wake func()) error {
	connecting, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, e.config.Copy())
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // it only listened
	}()
	if _, err := conn.Exec(connecting, "LISTEN "+notifyChannel); err != nil {
		return err
	}
	wake() // what was announced before is not told again
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload != e.origin() {
			wake()
		}
	}
}
