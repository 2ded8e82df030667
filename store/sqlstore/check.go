package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
	"modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Check refuses a store that Open would certainly refuse, and changes nothing: no file, no directory, no log beside
// the database. It runs in `caddy validate`, and at every start and reload before the store is opened. For PostgreSQL
// it parses the connection string only.
//
// No error does not mean that the store is intact. Only Open can tell, which reads the file together with its log:
// while a server writes, and after one was killed, the file alone is not a consistent database. So Check reads a file
// only if it is not in use and has no log, and leaves everything else to Open.
func Check(ctx context.Context, opts Options) error {
	opts = opts.defaults()
	switch opts.Engine {
	case EnginePostgres:
		_, err := parseDSN(opts.DSN)
		return err
	case EngineSQLite:
		return checkSQLite(ctx, opts)
	}
	return fmt.Errorf("unknown store engine %q: use %q or %q", opts.Engine, EngineSQLite, EnginePostgres)
}

func checkSQLite(ctx context.Context, opts Options) error {
	path := opts.Path
	info, err := statFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkParent(path)
	case err != nil:
		return err
	}
	if err := writable(path); err != nil {
		return fmt.Errorf("the store %s cannot be written by this user: %w", path, err)
	}
	if err := writable(filepath.Dir(realPath(path))); err != nil && !hasCompanions(path) {
		return fmt.Errorf("the folder of the store %s cannot be written by this user (SQLite keeps its log there): %w",
			path, err)
	}
	if info.Size() == 0 {
		return nil // created but still empty
	}
	return checkContent(ctx, opts)
}

// companions are the suffixes of the files that SQLite keeps beside a database.
var companions = []string{"-wal", "-shm", "-journal"}

// hasCompanions reports whether these files exist already, so that SQLite creates none.
func hasCompanions(path string) bool {
	_, wal := os.Stat(realPath(path) + "-wal")
	_, shm := os.Stat(realPath(path) + "-shm")
	return wal == nil && shm == nil
}

// realPath resolves symbolic links: SQLite keeps its files beside the target and not beside the link.
func realPath(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

// statFile returns the info of a store's file. It refuses what is not a regular file, and files that another user
// controls: a file planted at the store's path would give them the password hashes, and a log planted beside it would
// let them write to the store.
func statFile(path string) (fs.FileInfo, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("the path of the store must be absolute, not %q", path)
	}
	if strings.IndexByte(path, 0) >= 0 {
		return nil, errors.New("the path of the store holds a NUL character")
	}
	if err := refuseForeign(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		if err := refuseOrphanedLog(path); err != nil {
			return nil, err
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("open the store: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("the store %s is not a file", path)
	}
	return info, nil
}

// refuseOrphanedLog refuses a store of which only the log exists: SQLite deletes the log of an empty database, and a
// new store would replace one that can still be recovered. A killed process does not leave that state behind; a moved
// or lost file does.
func refuseOrphanedLog(path string) error {
	log := realPath(path) + "-wal"
	if info, err := os.Stat(log); err == nil && info.Size() > 0 {
		return fmt.Errorf("%w: the store %s is empty or not there, but its log %s is not: put the file back that belongs "+
			"to it. If there is none, keep a copy of the log, move it away and restore a backup",
			store.ErrUnavailable, path, log)
	}
	return nil
}

func refuseForeign(path string) error {
	if err := owner.CheckFile(path); err != nil {
		return fmt.Errorf("open the store %s: %w", path, err)
	}
	for _, suffix := range companions {
		if err := owner.CheckFile(realPath(path) + suffix); err != nil {
			return fmt.Errorf("open the store %s: %w", path, err)
		}
	}
	return nil
}

// checkParent checks the nearest existing directory: Open will create the others in it.
func checkParent(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir):
			continue
		case err != nil:
			return fmt.Errorf("the store %s cannot be made: %w", path, err)
		case !info.IsDir():
			return fmt.Errorf("the store %s cannot be made: %s is not a folder", path, dir)
		}
		if err := writable(dir); err != nil {
			return fmt.Errorf("the store %s cannot be made: the folder %s cannot be written by this user: %w", path, dir, err)
		}
		return nil
	}
}

// checkContent reads the schema version if the file alone is the complete database, before and after reading.
func checkContent(ctx context.Context, opts Options) error {
	unknown := func(why string, cause error) error {
		opts.Log.Info("store content not checked before the start", zap.String("file", opts.Path),
			zap.String("reason", why), zap.Error(cause))
		return nil
	}
	before := statCheckpointed(opts.Path)
	if before == nil {
		return unknown("it is in use, or was not closed", nil)
	}
	version, err := readVersion(ctx, opts.Path)
	after := statCheckpointed(opts.Path)
	if after == nil || !os.SameFile(before, after) || before.Size() != after.Size() ||
		!before.ModTime().Equal(after.ModTime()) {
		return unknown("it came into use meanwhile", err)
	}
	if isNoDatabase(err) {
		return noDatabase(opts.Path, err)
	}
	if err != nil {
		return unknown("it could not be read", err)
	}
	latest, err := latestMigration()
	if err != nil {
		return err
	}
	if version > latest {
		return newerSchema(opts.Path, version, latest)
	}
	return nil
}

// statCheckpointed returns the info of a file that certainly holds the complete database, else nil. It opens nothing:
// closing a file drops every lock that this process holds on it (fcntl, POSIX), including SQLite's.
func statCheckpointed(path string) fs.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		log, err := os.Stat(realPath(path) + suffix)
		if !errors.Is(err, fs.ErrNotExist) && (err != nil || log.Size() > 0) {
			return nil
		}
	}
	return info
}

// readVersion opens the file as immutable, so that SQLite creates no files beside it. The result is valid only if
// nobody writes to the file.
func readVersion(ctx context.Context, path string) (int64, error) {
	query := "mode=ro&immutable=1&_query_only=1&_defensive=1&_error_rc=1"
	connector, err := sqlite.NewConnector(fileURI(path, query))
	if err != nil {
		return 0, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	return schemaVersion(ctx, db, sqliteDialect())
}
