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

// storeEnv names the variable with the engine that tests of behavior run on: sqlite, the default, or postgres. What
// Gatehouse does must not depend on it, so the suite runs them on both.
const storeEnv = "GATEHOUSE_TEST_STORE"

// Place is where one store is kept, on the engine that the tests run on. Several handles and Caddys may open it.
type Place struct {
	Engine string // sqlstore.EngineSQLite or sqlstore.EnginePostgres
	Path   string // SQLite: of the file
	DSN    string // PostgreSQL
}

// NewPlace returns a place of its own for each call, with the schema in it and nothing else. It goes with the test.
func NewPlace(t testing.TB) Place {
	t.Helper()
	p := barePlace(t)
	if p.Engine == sqlstore.EnginePostgres {
		p.DSN = MigratedDSN(t)
	} else {
		fillSQLite(t, p.Path)
	}
	return p
}

// BarePlace is NewPlace where certainly nothing is yet, not even a schema.
func BarePlace(t testing.TB) Place {
	t.Helper()
	p := barePlace(t)
	if p.Engine == sqlstore.EnginePostgres {
		p.DSN = PostgresDSN(t)
	}
	return p
}

func barePlace(t testing.TB) Place {
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

// Store opens a fresh store on the engine that the tests run on, and closes it at the end.
func Store(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return NewPlace(t).Open(t, with...)
}

// Open opens the store, as one more process would, and closes it at the end of the test.
func (p Place) Open(t testing.TB, with ...func(*sqlstore.Options)) *sqlstore.DB {
	t.Helper()
	return openStore(t, sqlstore.Options{Engine: p.Engine, Path: p.Path, DSN: p.DSN, Migrate: true}, with)
}

// Caddyfile returns the line of the global option that names the place.
func (p Place) Caddyfile() string {
	if p.Engine == sqlstore.EnginePostgres {
		return fmt.Sprintf("store postgres %q", p.DSN)
	}
	return "store sqlite " + p.Path
}

// Made reports whether anything was made there.
func (p Place) Made(t testing.TB) bool {
	t.Helper()
	if p.Engine == sqlstore.EnginePostgres {
		return p.Rows(t) != ""
	}
	_, err := os.Stat(filepath.Dir(p.Path))
	return !errors.Is(err, os.ErrNotExist)
}

// Rows returns every table with every row, as somebody sees them who steals the store: for SQLite the bytes of its
// files as well, where deleted rows may be left.
func (p Place) Rows(t testing.TB) string {
	t.Helper()
	look, done := p.Watch(t)
	defer done()
	text := look()
	if p.Engine == sqlstore.EngineSQLite {
		text += string(p.files(t))
	}
	return text
}

// Watch returns a function that shows the content of the store, each time as it is then. What it shows differs after
// anything was written, also where it left all values as they were.
func (p Place) Watch(t testing.TB) (look func() string, done func()) {
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
	db.SetMaxOpenConns(1) // SQLite's data_version is told per connection
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

// Exec runs a statement in the store as somebody else would, past everything that guards it.
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

// Lock keeps everybody else from opening the store, until release is called: whoever tries waits.
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
	return func() { // the lock goes with the connection
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Break makes the store unusable for whoever has it open: the file is overwritten, the tables are gone.
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
