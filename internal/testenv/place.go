package testenv

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// storeEnv is the environment variable with the engine for tests of behavior: sqlite, the default, or postgres.
// Gatehouse's behavior must not depend on it, so the suite runs on both.
const storeEnv = "GATEHOUSE_TEST_STORE"

// Place is the location of a store on the engine under test. Several handles and Caddys may open it.
type Place struct {
	Engine string // sqlstore.EngineSQLite or sqlstore.EnginePostgres
	Path   string // SQLite: of the file
	DSN    string // PostgreSQL
}

// NewPlace returns a new location with a migrated, empty store, which is removed after the test.
func NewPlace(t testing.TB) Place {
	t.Helper()
	p := newPlace(t)
	if p.Engine == sqlstore.EnginePostgres {
		p.DSN = MigratedDSN(t)
	} else {
		fillSQLite(t, p.Path)
	}
	return p
}

// EmptyPlace is NewPlace without a store, not even a schema.
func EmptyPlace(t testing.TB) Place {
	t.Helper()
	p := newPlace(t)
	if p.Engine == sqlstore.EnginePostgres {
		p.DSN = PostgresDSN(t)
	}
	return p
}

func newPlace(t testing.TB) Place {
	t.Helper()
	switch engine := os.Getenv(storeEnv); engine {
	case "", sqlstore.EngineSQLite:
		return Place{Engine: sqlstore.EngineSQLite, Path: filepath.Join(t.TempDir(), "data", "gatehouse.db")}
	case sqlstore.EnginePostgres:
		return Place{Engine: engine}
	default:
		t.Fatalf("%s=%s: use sqlite or postgres", storeEnv, engine)
		return Place{}
	}
}

// Store opens a fresh store on the engine under test, and closes it at the end.
func Store(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return NewPlace(t).Open(t, with...)
}

// Open opens the store like a further process, and closes it at the end of the test.
func (p Place) Open(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return openStore(t, sqlstore.Options{Engine: p.Engine, Path: p.Path, DSN: p.DSN, Migrate: true}, with)
}

// Caddyfile returns the line of the global option that configures the store.
func (p Place) Caddyfile() string {
	if p.Engine == sqlstore.EnginePostgres {
		return fmt.Sprintf("store postgres %q", p.DSN)
	}
	return "store sqlite " + p.Path
}

// Exists reports whether a store was created there.
func (p Place) Exists(t testing.TB) bool {
	t.Helper()
	if p.Engine == sqlstore.EnginePostgres {
		return p.Rows(t) != ""
	}
	_, err := os.Stat(filepath.Dir(p.Path))
	return !errors.Is(err, os.ErrNotExist)
}

// Rows returns all rows of all tables, like an attacker who steals the store would see them: for SQLite also the
// bytes of its files, which may contain deleted rows.
func (p Place) Rows(t testing.TB) string {
	t.Helper()
	dump, done := p.Watch(t)
	defer done()
	text := dump()
	if p.Engine == sqlstore.EngineSQLite {
		text += string(p.files(t))
	}
	return text
}

// Watch returns a function that returns the current content of the store. The result differs after any write, even
// one that changes no value.
func (p Place) Watch(t testing.TB) (dump func() string, done func()) {
	t.Helper()
	driver, source := "pgx", p.DSN
	tables, columns := `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`, `ctid, xmin, *`
	if p.Engine == sqlstore.EngineSQLite {
		driver, source = "sqlite", "file:"+p.Path+"?_pragma=query_only(1)"
		tables, columns = `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`, `*`
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // SQLite's data_version is per connection
	return func() string {
		t.Helper()
		var out strings.Builder
		for _, table := range query(t, db, tables) {
			fmt.Fprintln(&out, "table", table)
			for _, row := range query(t, db, `SELECT `+columns+` FROM "`+table+`"`) {
				fmt.Fprintln(&out, table, row)
			}
		}
		if p.Engine == sqlstore.EngineSQLite {
			fmt.Fprintf(&out, "data_version %s, files %x\n", query(t, db, `PRAGMA data_version`), sha256.Sum256(p.files(t)))
		}
		return out.String()
	}, func() { _ = db.Close() }
}

// files returns the database file and its write-ahead log.
func (p Place) files(t testing.TB) (all []byte) {
	t.Helper()
	for _, name := range []string{p.Path, p.Path + "-wal"} {
		b, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(append(all, name...), b...)
	}
	return all
}

// query returns the rows of a query as text.
func query(t testing.TB, db *sql.DB, text string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		cells, dest := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range cells {
			dest[i] = &cells[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(cells))
		for i, c := range cells {
			texts[i] = c.String
		}
		out = append(out, strings.Join(texts, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Exec runs a statement in the store directly, bypassing all checks.
func (p Place) Exec(t testing.TB, statement string) {
	t.Helper()
	if p.Engine == sqlstore.EnginePostgres {
		PostgresExec(t, p.DSN, statement)
		return
	}
	db, err := sql.Open("sqlite", p.Path)
	if err == nil {
		_, err = db.ExecContext(context.Background(), statement)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Lock blocks all others from opening the store until release is called: they wait.
func (p Place) Lock(t testing.TB) (release func()) {
	t.Helper()
	driver, source, lock := "pgx", p.DSN, "BEGIN; LOCK TABLE gatehouse_schema IN ACCESS EXCLUSIVE MODE"
	if p.Engine == sqlstore.EngineSQLite {
		driver, source, lock = "sqlite", p.Path, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(context.Background(), lock); err != nil {
		t.Fatal(err)
	}
	return func() { // closing the connection releases the lock
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Break makes the store unusable: the file is overwritten, or the tables are dropped.
func (p Place) Break(t testing.TB) {
	t.Helper()
	if p.Engine == sqlstore.EnginePostgres {
		p.Exec(t, "ALTER SCHEMA public RENAME TO lost")
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		f, err := os.OpenFile(p.Path+suffix, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if suffix == "" {
			_, err = f.WriteAt([]byte(strings.Repeat("not a database\n", 4096)), 0)
		} else {
			err = f.Truncate(0)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
