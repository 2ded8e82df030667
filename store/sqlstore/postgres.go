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
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// notifyChannel is the channel of NOTIFY. It only wakes the poller, which reads the changes from the table.
const notifyChannel = "gatehouse_changes"

// postgresEngine implements engine on PostgreSQL.
type postgresEngine struct {
	config  *pgx.ConnConfig
	log     *zap.Logger
	origin  func() string
	started string // start time of the server at the last poll
}

// parseDSN reads a connection string. The driver's error repeats parts of it, possibly the password, so it is not
// wrapped.
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
	// Types are derived from the arguments, in one round trip and without state on the server: PgBouncer in transaction
	// mode may give every transaction another connection.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.StatementCacheCapacity = 0
	config.DescriptionCacheCapacity = 0
	if _, ok := config.RuntimeParams["application_name"]; !ok {
		config.RuntimeParams["application_name"] = "gatehouse"
	}
	return config, nil
}

// cutPassword reports whether part of the password was read as something else, which errors show: an unencoded '@',
// '/', '?' or '#' ends the password early. Nothing of that is in a URL that is written as it should be.
func cutPassword(dsn string, config *pgx.ConnConfig) bool {
	if _, rest, isURL := strings.Cut(dsn, "://"); isURL {
		authority := rest
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			authority = rest[:end]
		}
		if strings.Count(authority, "@") > 1 || strings.ContainsAny(rest[len(authority):], "@#") {
			return true
		}
	}
	hosts := []string{config.Host}
	for _, f := range config.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	// The directory of a socket may contain an '@'; "@name" is an abstract socket.
	cut := func(h string) bool { return !strings.HasPrefix(h, "/") && strings.LastIndexByte(h, '@') > 0 }
	return slices.ContainsFunc(hosts, cut)
}

func (d *DB) openPostgres(ctx context.Context) error {
	d.dia = postgresDialect()
	if err := d.connectPostgres(ctx); err != nil {
		return err
	}
	var err error
	if d.info.Schema, err = d.migrate(ctx); err != nil {
		return d.postgresOpenError(ctx, err)
	}
	return nil
}

// connectPostgres makes the pool of connections and sees that one can be had.
func (d *DB) connectPostgres(ctx context.Context) error {
	config, err := parseDSN(d.opts.DSN)
	if err != nil {
		return err
	}
	d.info = store.Info{Engine: EnginePostgres, Location: locationOf(config)}
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
	return nil
}

// locationOf returns host, port and database.
func locationOf(config *pgx.ConnConfig) string {
	host := config.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	return host + "/" + config.Database
}

// Location returns where a store is, without opening it: the file, or host, port and database.
func Location(opts Options) string {
	if opts.Engine != EnginePostgres {
		return opts.Path
	}
	config, err := parseDSN(opts.DSN)
	if err != nil {
		return "unknown"
	}
	return locationOf(config)
}

func (d *DB) postgresOpenError(ctx context.Context, err error) error {
	if errors.Is(err, store.ErrNewerSchema) || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42704" { // it names the parameter, which may be part of a password
		return fmt.Errorf("open the store in PostgreSQL at %s: the connection string has a parameter that PostgreSQL does "+
			"not know; put a password with spaces in quotes", d.info.Location)
	}
	return fmt.Errorf("%w: open the store in PostgreSQL at %s: %w", store.ErrUnavailable, d.info.Location, err)
}

// lockChanges implements engine: it waits until every earlier change has committed and blocks later ones. The
// timeouts apply to this transaction only; a process that stops in the middle must not block all others.
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

// healthy implements engine. Queries fail by themselves when the server is gone.
func (e *postgresEngine) healthy() error { return nil }

// pollCommits implements engine: the poll is cheap enough to run every time. A different start time means a different
// server, whatever the address or pooler. A promoted standby may lack the last changes, and reuses their sequence
// numbers for later ones.
func (e *postgresEngine) pollCommits(ctx context.Context, conn *sql.Conn) (committed, reset bool, err error) {
	var started string
	if err := conn.QueryRowContext(ctx,
		`SELECT extract(epoch FROM pg_postmaster_start_time())::text`).Scan(&started); err != nil {
		return false, false, err
	}
	reset, e.started = e.started != "" && started != e.started, started
	return true, reset, nil
}

// listen implements engine: it runs LISTEN on a dedicated connection and reconnects when that is lost.
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
		e.log.Debug("LISTEN connection lost: polling continues", zap.Error(err))
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
		_ = conn.Close(closing) // nothing was written
	}()
	if _, err := conn.Exec(connecting, "LISTEN "+notifyChannel); err != nil {
		return err
	}
	wake() // earlier notifications are not repeated
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
