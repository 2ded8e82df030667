package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"go.uber.org/zap"
	"modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
	"github.com/gatehouse-auth/gatehouse/store"
)

// sqliteEngine implements engine on SQLite.
type sqliteEngine struct {
	path    string
	opened  os.FileInfo
	version int64 // data_version when it was last read; 0 is never a version
	reader  *sql.Conn
}

// fileURI returns the path as a file: URI: a '?', '#' or '%' in it would otherwise end it or start the parameters.
func fileURI(path, query string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // a drive letter
	}
	u := url.URL{Scheme: "file", Path: slashed, RawQuery: query}
	return u.String()
}

// sqliteDSN returns the connection string of a file. mode=rw: connections never create a file; openSQLite does, with
// restrictive permissions.
func sqliteDSN(path string, writer bool) string {
	q := url.Values{"mode": {"rw"}, "_txlock": {"immediate"}, "_defensive": {"1"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	pragmas := []string{
		fmt.Sprintf("busy_timeout(%d)", lockTimeout.Milliseconds()),
		"foreign_keys(1)",
		"journal_mode(WAL)",
		"synchronous(FULL)", // an acknowledged change, such as a revocation, survives a power cut
		"temp_store(MEMORY)",
		"trusted_schema(0)",
		"cache_size(-2000)", // KiB for each connection; the file is in the system's cache anyway
	}
	if writer {
		pragmas = append(pragmas, "secure_delete(FAST)", "journal_size_limit(67108864)")
	} else {
		pragmas = append(pragmas, "query_only(1)")
	}
	q["_pragma"] = pragmas
	return fileURI(path, q.Encode())
}

func openSQLitePool(path string, writer bool, conns int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(sqliteDSN(path, writer))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func (d *DB) openSQLite(ctx context.Context) error {
	d.dia = sqliteDialect()
	path := d.opts.Path
	d.info = store.Info{Engine: EngineSQLite, Location: path}
	if err := d.prepareFile(path); err != nil {
		return err
	}
	opened, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	d.engine = &sqliteEngine{path: path, opened: opened}
	if d.writer, err = openSQLitePool(path, true, 1); err != nil {
		return err
	}
	if err := pingSQLite(ctx, d.writer); err != nil {
		return sqliteOpenError(ctx, path, err)
	}
	if err := d.restrictCompanions(path); err != nil {
		return err
	}
	if d.info.Schema, err = d.migrate(ctx); err != nil {
		return sqliteOpenError(ctx, path, err)
	}
	if d.pool, err = openSQLitePool(path, false, max(4, 2*runtime.GOMAXPROCS(0))); err != nil {
		return err
	}
	if err := pingSQLite(ctx, d.pool); err != nil {
		return sqliteOpenError(ctx, path, err)
	}
	d.reads = newPreparedPool(d.pool)
	return nil
}

// pingSQLite opens the first connection. Switching a new file to write-ahead logging takes a lock that SQLite does
// not wait for, so processes that start at the same time have to retry.
func pingSQLite(ctx context.Context, db *sql.DB) error {
	deadline := time.Now().Add(lockTimeout)
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := db.PingContext(ctx)
		if err == nil || !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// sqliteOpenError adds to the error of a file that cannot be opened what to do about it.
func sqliteOpenError(ctx context.Context, path string, err error) error {
	switch {
	case errors.Is(err, store.ErrNewerSchema), errors.Is(ctx.Err(), context.Canceled):
		return err
	case isCorrupt(err):
		return damageError(ctx, path, err)
	case isBusy(err):
		return fmt.Errorf("%w: the store %s is locked by another program: end that program and try again: %w",
			store.ErrUnavailable, path, err)
	}
	return fmt.Errorf("%w: open the store %s: %w", store.ErrUnavailable, path, err)
}

// prepareFile creates the directory (0700) and the file (0600) before the driver can create them with wider
// permissions, and restricts an existing file: it holds password hashes.
func (d *DB) prepareFile(path string) error {
	info, err := statFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !d.opts.Migrate:
		return fmt.Errorf("there is no store at %s: start the server once, which makes it, or name another path: %w",
			path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrNotExist):
		return createFile(path)
	case err != nil:
		return err
	}
	d.restrict(path, info)
	return nil
}

func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of the store: %w", err)
	}
	// Never use an existing file: another process may have created it in the meantime, or an attacker planted it. It
	// isn't opened either, since closing it would drop the locks that another handle of this process may hold on it.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		_, err = statFile(path)
		return err
	}
	if err != nil {
		return fmt.Errorf("make the store: %w", err)
	}
	return f.Close()
}

// restrictCompanions checks the files that SQLite keeps beside the database: an earlier process may have created them
// with wide permissions. They exist by now, so nobody can plant theirs in their place afterwards.
func (d *DB) restrictCompanions(path string) error {
	if err := refuseForeign(path); err != nil {
		return err
	}
	for _, dir := range owner.UnsafeParents(realPath(path)) {
		d.opts.Log.Warn("store can be moved or replaced by another user: a parent directory is owned or writable by others",
			zap.String("folder", dir), zap.String("file", path))
	}
	for _, suffix := range companions {
		file := realPath(path) + suffix
		if info, err := os.Stat(file); err == nil {
			d.restrict(file, info)
		}
	}
	return nil
}

func (d *DB) restrict(path string, info os.FileInfo) {
	mode := info.Mode().Perm()
	if mode&0o077 == 0 || runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(path, mode&0o700); err != nil {
		d.opts.Log.Warn("store file is readable by other users and its mode could not be changed: set it to 0600",
			zap.String("file", path), zap.Error(err))
		return
	}
	d.opts.Log.Warn("store file was readable by other users: mode restricted",
		zap.String("file", path), zap.String("mode_before", mode.String()))
}

// lockChanges implements engine. BEGIN IMMEDIATE holds the lock already.
func (e *sqliteEngine) lockChanges(context.Context, *sql.Tx) error { return nil }

// announce implements engine. Other processes see data_version change.
func (e *sqliteEngine) announce(context.Context, *sql.Tx, string) error { return nil }

// healthy implements engine. If the file is moved, deleted or replaced while it is open, this process would keep
// using the old one and never learn of sessions that are ended in the new one.
func (e *sqliteEngine) healthy() error {
	now, err := os.Stat(e.path)
	if err != nil {
		return unavailable("the file of the store is gone: restart the server", err)
	}
	if !os.SameFile(now, e.opened) {
		return fmt.Errorf("%w: the file of the store was replaced while it was open: restart the server",
			store.ErrUnavailable)
	}
	return nil
}

// listen implements engine. SQLite has no notifications: the poller polls often.
func (e *sqliteEngine) listen(ctx context.Context, _ func()) { <-ctx.Done() }

// pollCommits implements engine by data_version, which changes on a connection when another one, of any process, has
// committed (SQLite documentation, PRAGMA data_version).
func (e *sqliteEngine) pollCommits(ctx context.Context, conn *sql.Conn) (committed, reset bool, err error) {
	var version int64
	if err := conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&version); err != nil {
		return false, false, err
	}
	if conn == e.reader && version == e.version {
		return false, false, nil
	}
	e.reader, e.version = conn, version
	return true, false, nil
}
