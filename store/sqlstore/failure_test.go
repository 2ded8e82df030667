package sqlstore_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func TestLockedStoreIsUnavailableInBoundedTime(t *testing.T) {
	t.Parallel()
	// Another process holds the lock and does not release it.
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	db := testenv.OpenSQLite(t, path)
	dsn := testenv.PostgresDSN(t)
	pg := testenv.OpenPostgres(t, dsn)
	holder := testenv.OpenSQLite(t, path)
	pgHolder := testenv.OpenPostgres(t, dsn)
	for name, pair := range map[string][2]*sqlstore.DB{"sqlite": {holder, db}, "postgres": {pgHolder, pg}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := pair[0].Change(t.Context(), func(tx store.Tx) error {
				began := time.Now()
				err := setSetting(t.Context(), pair[1], "k")
				if !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("got %v, want ErrUnavailable", err)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				// Reads go on.
				_, err = pair[1].UserByLogin(t.Context(), "nobody")
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("read: %v", err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if err := setSetting(t.Context(), pair[1], "k"); err != nil {
				t.Errorf("after the lock is released: %v", err)
			}
		})
	}
}

// A missing table is a failure of the store and not a bug in a query, and the health check reports it.
func TestStoreWithoutATableIsUnavailable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	dsn := testenv.PostgresDSN(t)
	for name, c := range map[string]struct {
		db          *sqlstore.DB
		driver, dsn string
	}{"sqlite": {testenv.OpenSQLite(t, path), "sqlite", path}, "postgres": {testenv.OpenPostgres(t, dsn), "pgx", dsn}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.db.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			raw, err := sql.Open(c.driver, c.dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			for _, statement := range []string{
				"ALTER TABLE sessions RENAME COLUMN token_hash TO lost",
				"ALTER TABLE users RENAME TO gone",
			} {
				if _, err := raw.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.db.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("health: %v", err)
			}
			if _, err := c.db.UserByLogin(t.Context(), "somebody"); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a user: %v", err)
			}
			if _, _, err := c.db.SessionByToken(t.Context(), store.HashToken("x")); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a session: %v", err)
			}
		})
	}
}

func TestFullStoreIsUnavailableAndLosesNothing(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	if err := setSetting(t.Context(), db, "before"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer().ExecContext(t.Context(), `PRAGMA max_page_count = 1`); err != nil { // as large as it is now
		t.Fatal(err)
	}
	big := strings.Repeat("x", 1<<20)
	err := db.Change(t.Context(), func(tx store.Tx) error {
		if err := tx.SetSetting(t.Context(), "small", "v"); err != nil {
			t.Error(err)
		}
		_ = tx.SetSetting(t.Context(), "big", big) // a careless caller
		return tx.SetSetting(t.Context(), "after", "v")
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	for _, key := range []string{"small", "big", "after"} {
		if _, err := db.Setting(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if v, err := db.Setting(t.Context(), "before"); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestNoStatementIsNamedOnTheServer(t *testing.T) {
	t.Parallel()
	// A pooler in transaction mode gives every transaction another connection, which knows no earlier statement.
	dsn := testenv.PostgresDSN(t)
	proxy := startProxy(t, dsn)
	db := testenv.OpenPostgres(t, proxy.dsn)
	tokens := fill(t, db, 3)
	for range 3 {
		for _, token := range tokens {
			if _, _, err := db.SessionByToken(t.Context(), store.HashToken(token)); err != nil {
				t.Fatal(err)
			}
		}
	}
	conn, err := db.Pool().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var named int64
	if err := conn.QueryRowContext(t.Context(),
		`SELECT count(*) FROM pg_prepared_statements WHERE name <> ''`).Scan(&named); err != nil || named != 0 {
		t.Fatalf("%d named statements, %v", named, err)
	}
}

func TestCloseWaitsForChangesInProgress(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
	if err != nil {
		t.Fatal(err)
	}
	started, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		<-started
		closed <- db.Close()
	}()
	err = db.Change(t.Context(), func(tx store.Tx) error {
		close(started)
		within(t, 10*time.Second, "Close to begin", func() bool { return db.Ping(t.Context()) != nil })
		return tx.SetSetting(t.Context(), "k", "v")
	})
	if err := errors.Join(err, <-closed); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("the log was not checkpointed: %v, %v", entries, err)
	}
	if v, err := testenv.OpenSQLite(t, path).Setting(t.Context(), "k"); err != nil || v != "v" {
		t.Fatalf("got %q, %v", v, err)
	}
}

func TestTypedNamesCannotFillTheStore(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"n:", "u:"} {
		t.Run(prefix, func(t *testing.T) { typedNamesAreSwept(t, prefix) })
	}
}

func typedNamesAreSwept(t *testing.T, prefix string) {
	// A client can invent any number of names; the newest ten thousand counts are kept.
	db := testenv.SQLite(t)
	at := time.Now()
	_, err := db.Writer().ExecContext(t.Context(), `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12500)
		INSERT INTO throttle_attempts (account, failures, wait_until, last_at) SELECT '`+prefix+`' || i, 1, 0, $1 + i FROM n`, at.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.BeginAttempt(t.Context(), "known", 0, time.Minute, at); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := db.Sweep(t.Context(), at.Add(time.Minute), 0, 1000); err != nil {
			t.Fatal(err)
		}
	}
	var left, oldest, known int64
	err = db.Writer().QueryRowContext(t.Context(), `SELECT sum(account LIKE $1), min(CASE WHEN account LIKE $1 THEN last_at END), sum(account = 'known')
		FROM throttle_attempts`, prefix+"%").Scan(&left, &oldest, &known)
	if err != nil || left != 10_000 || oldest != at.UnixMilli()+2501 || known != 1 {
		t.Fatalf("%d left, the oldest %d, known %d, %v", left, oldest-at.UnixMilli(), known, err)
	}
}

func TestFirstWaitMatchesTheStatement(t *testing.T) {
	t.Parallel()
	if want := fmt.Sprintf("CAST(%d AS BIGINT)", store.FirstWait.Milliseconds()); sqlstore.FirstWaitSQL != want {
		t.Fatalf("got %s, want %s", sqlstore.FirstWaitSQL, want)
	}
}

func TestStoreHoldsNoUsableToken(t *testing.T) {
	t.Parallel()
	// A stolen file holds nothing with which one can sign in.
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
	if err != nil {
		t.Fatal(err)
	}
	tokens := fill(t, db, 5)
	link, device := store.NewToken(), store.NewToken()
	err = db.Change(t.Context(), func(tx store.Tx) error {
		admins, err := tx.Users(t.Context(), store.UserQuery{Limit: 1})
		if err != nil {
			return err
		}
		at := time.Now()
		return errors.Join(
			tx.CreateLink(t.Context(), store.Link{
				ID: store.NewID(at), Hash: store.HashToken(link), Purpose: store.LinkSetup,
				CreatedAt: at, ExpiresAt: at.Add(time.Hour),
			}),
			tx.PutDevice(t.Context(), store.HashToken(device), admins.Items[0].ID, at, at.Add(time.Hour)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, token := range append(tokens, link, device) {
		if bytes.Contains(file, []byte(token)) {
			t.Errorf("token %d is in the file", i)
		}
		if !bytes.Contains(file, []byte(store.HashToken(token).String())) {
			t.Errorf("the hash of token %d is not in the file: the test looks in the wrong place", i)
		}
	}
}

func TestSchemaViolationsAreMappedToConflicts(t *testing.T) {
	t.Parallel()
	// Checks before a write usually catch these; the indexes have to enforce them alone.
	for name, db := range map[string]*sqlstore.DB{"sqlite": testenv.SQLite(t), "postgres": testenv.Postgres(t)} {
		fill(t, db, 2)
		ctx := t.Context()
		err := db.Change(ctx, func(tx store.Tx) error {
			u, err := tx.UserByUsername(ctx, "user0")
			if err != nil {
				return err
			}
			return errors.Join(tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "a", UserID: u.ID}),
				tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "b", UserID: u.ID}))
		})
		if err != nil {
			t.Fatal(err)
		}
		for statement, field := range map[string]string{
			`UPDATE users SET username_key = 'user0'`:           "username",
			`UPDATE users SET email_key = 'user0@example.com'`:  "email",
			`UPDATE users SET id = 'x'`:                         "id",
			`UPDATE identities SET subject = 'a'`:               "identity",
			`UPDATE sessions SET token_hash = 'x'`:              "id",
			`INSERT INTO change_counter (id, seq) VALUES (1,1)`: "id",
		} {
			_, err := db.Writer().ExecContext(ctx, statement)
			var conflict *store.ConflictError
			if !errors.As(sqlstore.MapError(ctx, err), &conflict) || conflict.Field != field {
				t.Errorf("%s: %s: got %v of %v, want a conflict of %s", name, statement, conflict, err, field)
			}
		}
		_, err = db.Writer().ExecContext(ctx, `UPDATE sessions SET user_id = 'nobody'`)
		if err := sqlstore.MapError(ctx, err); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: a session without a user: %v", name, err)
		}
		_, err = db.Writer().ExecContext(ctx, `SELECT nonsense FRM users WHERE`)
		if err := sqlstore.MapError(ctx, err); err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: a wrong statement: %v", name, err)
		}
	}
}
