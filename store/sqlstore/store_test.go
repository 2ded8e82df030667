package sqlstore_test

import (
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

func TestSQLiteKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return testenv.SQLite(t) })
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		path := filepath.Join(t.TempDir(), "gatehouse.db")
		return testenv.OpenSQLite(t, path), testenv.OpenSQLite(t, path)
	})
}

func TestPostgresKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return testenv.Postgres(t) })
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		dsn := testenv.PostgresDSN(t)
		return testenv.OpenPostgres(t, dsn), testenv.OpenPostgres(t, dsn)
	})
}
