package sqlstore_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

func TestSQLitePassesTheConformanceSuite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return testenv.SQLite(t) })
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		path := testenv.SQLitePath(t)
		return testenv.OpenSQLite(t, path), testenv.OpenSQLite(t, path)
	})
}

func TestPostgresPassesTheConformanceSuite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return testenv.Postgres(t) })
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		dsn := testenv.MigratedDSN(t)
		return testenv.OpenPostgres(t, dsn), testenv.OpenPostgres(t, dsn)
	})
}
