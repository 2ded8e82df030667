package sqlstore_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

// Behind PgBouncer in transaction mode every transaction may run on another connection, and notifications are lost.
// The conformance suite still passes, also across two processes: changes arrive by polling.
func TestPgBouncerPassesTheConformanceSuite(t *testing.T) {
	t.Parallel()
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		through, direct := testenv.PgBouncerDSN(t)
		return testenv.OpenPostgres(t, through), testenv.OpenPostgres(t, direct)
	})
	storetest.Run(t, func(t *testing.T) store.Store {
		through, _ := testenv.PgBouncerDSN(t)
		return testenv.OpenPostgres(t, through)
	})
}

// Why that works: no state stays on a server connection for the next client, neither a prepared statement nor a
// setting nor a lock.
func TestPostgresConnectionsKeepNoState(t *testing.T) {
	t.Parallel()
	dsn := testenv.PostgresDSN(t)
	db := testenv.OpenPostgres(t, dsn)
	db.Writer().SetMaxOpenConns(1)
	for range 3 { // the driver would name a statement when it comes again
		err := db.Change(t.Context(), func(tx store.Tx) error {
			if err := tx.SetSetting(t.Context(), "k", "v"); err != nil {
				return err
			}
			_, err := tx.Setting(t.Context(), "k")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Users(t.Context(), store.UserQuery{Text: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := db.Writer().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for what, query := range map[string]string{
		"prepared statements": `SELECT count(*) FROM pg_prepared_statements`,
		"cursors":             `SELECT count(*) FROM pg_cursors WHERE name <> ''`,
		"temporary tables":    `SELECT count(*) FROM pg_class WHERE relpersistence = 't'`,
		"advisory locks":      `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory' AND d.datname = current_database()`,
		"channels":            `SELECT count(*) FROM pg_listening_channels()`,
		"settings":            `SELECT count(*) FROM pg_settings WHERE source = 'session' AND name <> 'application_name'`,
	} {
		var n int64
		// Without arguments in the simple protocol: the query itself leaves no state.
		if err := conn.QueryRowContext(t.Context(), query, pgx.QueryExecModeSimpleProtocol).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
}
