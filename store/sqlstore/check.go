package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
)

// Check looks whether Open can be expected to work and changes nothing: no file, no folder, no log beside the
// database. It is what `caddy validate` asks. Of PostgreSQL it reads the connection string only.
func Check(ctx context.Context, opts Options) error {
	opts = opts.defaults()
	switch opts.Engine {
	case EnginePostgres:
		_, err := parseDSN(opts.DSN)
		return err
	case EngineSQLite:
		return checkSQLite(ctx, opts.Path)
	}
	return fmt.Errorf("unknown store engine %q: use %q or %q", opts.Engine, EngineSQLite, EnginePostgres)
}

func checkSQLite(ctx context.Context, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("the path of the store must be absolute, not %q", path)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkParent(path)
	case err != nil:
		return fmt.Errorf("open the store: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("the store %s is not a file", path)
	}
	if err := writable(path); err != nil {
		return fmt.Errorf("the store %s cannot be written by this user: %w", path, err)
	}
	if err := writable(filepath.Dir(path)); err != nil {
		return fmt.Errorf("the folder of the store %s cannot be written by this user (SQLite keeps its log there): %w",
			path, err)
	}
	if info.Size() == 0 {
		return nil // made, but never filled
	}
	return checkContent(ctx, path)
}

// checkParent looks for the nearest folder that exists: Open will make the others in it.
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

// checkContent reads the version of the schema.
func checkContent(ctx context.Context, path string) error {
	version, err := readVersion(ctx, path)
	// A server may be writing the very pages: what looks damaged once, looks so again if it is.
	for tries := 0; isCorrupt(err) && tries < 3; tries++ {
		time.Sleep(50 * time.Millisecond)
		version, err = readVersion(ctx, path)
	}
	if err != nil {
		return sqliteOpenError(ctx, path, err)
	}
	latest, err := latestMigration()
	if err != nil {
		return err
	}
	if version > latest {
		return newerSchema(path, version, latest)
	}
	return nil
}

// readVersion opens the file as one that nobody changes (immutable), so that SQLite makes no files beside it.
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
