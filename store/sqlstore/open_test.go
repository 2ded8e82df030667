package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func sqliteOptions(path string) sqlstore.Options {
	return sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true}
}

// filled creates a store with some content and closes it.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "k", "v") })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFolderAndFilesArePrivateToTheOwner(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o755); err != nil { // a folder that others can read
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "a", "gatehouse")
	db := testenv.OpenSQLite(t, filepath.Join(dir, "gatehouse.db"))
	if err := db.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "k", "v") }); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		parent: 0o755, filepath.Dir(dir): 0o700, dir: 0o700, // an existing directory is not changed
		filepath.Join(dir, "gatehouse.db"): 0o600, filepath.Join(dir, "gatehouse.db-wal"): 0o600, filepath.Join(dir,
			"gatehouse.db-shm"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestReadableFileIsRestrictedWithAWarning(t *testing.T) {
	t.Parallel()
	path := filled(t)
	if err := os.Chmod(path, 0o664); err != nil { // what the test is about
		t.Fatal(err)
	}
	core, logs := observer.New(zap.WarnLevel)
	testenv.OpenSQLite(t, path, func(o *sqlstore.Options) { o.Log = zap.New(core) })
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if logs.FilterMessageSnippet("was readable by other users").Len() != 1 {
		t.Fatalf("the log says %v", logs.All())
	}
}

func TestPathsWithURICharactersWork(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"a b", "what?mode=memory", "x#y", "100%41", "ü", "semi;colon&x=1", "'quote\"", "file:x",
		`back\slash`, "%3f",
	} {
		dir := filepath.Join(t.TempDir(), name)
		path := filepath.Join(dir, name+".db")
		db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if err := errors.Join(db.Ping(t.Context()), db.Close()); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || entries[0].Name() != name+".db" {
			t.Errorf("%q: the folder holds %v, %v", name, entries, err)
		}
		if err := sqlstore.Check(t.Context(), sqliteOptions(path)); err != nil {
			t.Errorf("%q: check: %v", name, err)
		}
	}
}

func TestUpToDateStoreIsOpenedWithoutAWrite(t *testing.T) {
	t.Parallel()
	path := filled(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
		if err != nil {
			t.Fatal(err)
		}
		// A change that changes nothing, as at most starts, writes nothing either.
		err = db.Change(t.Context(), func(tx store.Tx) error { _, err := tx.Setting(t.Context(), "k"); return err })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Fatalf("the file changed, %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("files were left: %v, %v", entries, err)
	}
}

func TestWithoutMigrateNothingIsCreated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x", "gatehouse.db")
	_, err := sqlstore.Open(t.Context(), sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a folder was made: %v", err)
	}
	_, err = sqlstore.Open(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: testenv.PostgresDSN(t)})
	if err == nil || !strings.Contains(err.Error(), "schema version 0") {
		t.Fatalf("got %v", err)
	}
	path = filled(t)
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path})
	if err != nil {
		t.Fatal(err) // an up-to-date one opens
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsOfUnusableStoresSayWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	broken, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	copy(broken[100:], strings.Repeat("\xfe", 3000)) // a valid header, an invalid root page
	for name, c := range map[string]struct {
		opts sqlstore.Options
		want string
		unav bool
	}{
		"relative": {sqliteOptions("gatehouse.db"), "must be absolute", false},
		"folder":   {sqliteOptions(dir), "is not a file", false},
		"text file": {
			sqliteOptions(write("text", strings.Repeat("not a database at all\n", 100))), "not a SQLite database",
			true,
		},
		"broken":     {sqliteOptions(write("broken", string(broken))), "restore a backup", true},
		"under file": {sqliteOptions(filepath.Join(write("file", "x"), "gatehouse.db")), "not a directory", false},
		"engine":     {sqlstore.Options{Engine: "mysql"}, `unknown store engine "mysql"`, false},
		"no dsn":     {sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: " "}, "is empty", false},
	} {
		_, err := sqlstore.Open(t.Context(), c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, store.ErrUnavailable) != c.unav {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestPostgresLocationHasNoPassword(t *testing.T) {
	t.Parallel()
	dsn := testenv.PostgresDSN(t)
	db := testenv.OpenPostgres(t, strings.Replace(dsn, "@", ":c4nary@", 1))
	info := db.Info()
	if info.Engine != "postgres" || strings.Contains(info.Location, "c4nary") ||
		!strings.Contains(info.Location, "/gatehouse_") {
		t.Fatalf("got %+v", info)
	}
}

func TestEverySQLiteConnectionIsConfigured(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	for name, c := range map[string]struct {
		pool *sql.DB
		want map[string]string
	}{
		"writer": {db.Writer(), map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1",
			"busy_timeout": "5000", "trusted_schema": "0", "query_only": "0",
		}},
		"reader": {db.Pool(), map[string]string{
			"journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "5000",
			"trusted_schema": "0", "query_only": "1",
		}},
	} {
		var conns []*sql.Conn
		for range c.pool.Stats().MaxOpenConnections {
			conn, err := c.pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			for pragma, want := range c.want {
				var got string
				if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
					t.Errorf("%s: %s is %q, %v, want %q", name, pragma, got, err, want)
				}
			}
		}
		for _, conn := range conns {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := db.Pool().ExecContext(t.Context(), `DELETE FROM users`); err == nil {
		t.Error("a reader wrote")
	}
}

// Every statement relies on it: $n means the n-th argument, wherever and however often it is used.
func TestNumberedPlaceholdersMeanTheSameInBothEngines(t *testing.T) {
	t.Parallel()
	for name, db := range map[string]*sqlstore.DB{"sqlite": testenv.SQLite(t), "postgres": testenv.Postgres(t)} {
		var a, b, c, d, e string
		err := db.Pool().QueryRowContext(context.WithoutCancel(t.Context()),
			`SELECT CAST($3 AS TEXT), CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($1 AS TEXT), CAST($10 AS TEXT)
			WHERE CAST($4 AS TEXT) = '4' AND CAST($5 AS TEXT) = '5' AND CAST($6 AS TEXT) = '6' AND CAST($7 AS TEXT) = '7'
			AND CAST($8 AS TEXT) = '8' AND CAST($9 AS TEXT) = '9'`,
			"1", "2", "3", "4", "5", "6", "7", "8", "9", "10").Scan(&a, &b, &c, &d, &e)
		if got := strings.Join([]string{a, b, c, d, e}, " "); err != nil || got != "3 1 2 1 10" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
