package testenv

import (
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// SQLite opens a fresh SQLite store in a folder of the test and closes it at the end. Change the options with with.
func SQLite(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return OpenSQLite(t, filepath.Join(t.TempDir(), "gatehouse.db"), with...)
}

// OpenSQLite opens the SQLite store at path, for tests with several handles on one file, and closes it at the end.
func OpenSQLite(t testing.TB, path string, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return openStore(t, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true}, with)
}

// Postgres opens a store in a fresh database of PostgreSQL and closes it at the end.
func Postgres(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return OpenPostgres(t, PostgresDSN(t), with...)
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
