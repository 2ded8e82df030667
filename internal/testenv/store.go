package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// SQLite opens a fresh SQLite store in a directory of the test and closes it at the end. with changes the options.
func SQLite(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return OpenSQLite(t, SQLitePath(t), with...)
}

// SQLitePath returns the path of a fresh SQLite store, for tests with several handles on one file. It is removed
// after the test.
func SQLitePath(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	fillSQLite(t, path)
	return path
}

var errUnclean = errors.New("the file alone is not the whole store")

// emptySQLite returns the bytes of a migrated, empty store. With the race detector each migration takes half a
// second, and most tests need one.
var emptySQLite = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatehouse-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "gatehouse.db")
	db, err := sqlstore.Open(context.Background(), sqlstore.Options{
		Engine: sqlstore.EngineSQLite, Path: path,
		Migrate: true,
	})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil { // which checkpoints the log into the file
		return nil, err
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("a closed store left changes beside its file: %w", errors.Join(errUnclean, err))
	}
	return os.ReadFile(path)
})

// fillSQLite creates a migrated, empty store at path.
func fillSQLite(t testing.TB, path string) {
	t.Helper()
	content, err := emptySQLite()
	if err != nil {
		t.Fatalf("make a store to copy: %v", err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// OpenSQLite opens the SQLite store at path, which is created if there is no file, and closes it at the end.
func OpenSQLite(t testing.TB, path string, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return openStore(t, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true}, with)
}

// Postgres opens a store in a new PostgreSQL database and closes it at the end.
func Postgres(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return OpenPostgres(t, MigratedDSN(t), with...)
}

// OpenPostgres opens the store in the database at dsn and closes it at the end.
func OpenPostgres(t testing.TB, dsn string, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return openStore(t, sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true}, with)
}

func openStore(t testing.TB, opts sqlstore.Options, with []func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	for _, change := range with {
		change(&opts)
	}
	db, err := sqlstore.Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return db
}
