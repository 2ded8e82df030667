package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func TestConcurrentOpensCreateOneStore(t *testing.T) {
	t.Parallel()
	t.Run("handles", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "new", "gatehouse.db")
		openConcurrently(t, func() error {
			db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
			if err != nil {
				return err
			}
			return errors.Join(db.Ping(t.Context()), db.Close())
		})
		checkOneSchema(t, testenv.OpenSQLite(t, path, withoutMigrate))
	})
	t.Run("processes", func(t *testing.T) {
		t.Parallel()
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "new", "gatehouse.db")
		openConcurrently(t, func() error {
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), openEnv+"="+path)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		checkOneSchema(t, testenv.OpenSQLite(t, path, withoutMigrate))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := testenv.PostgresDSN(t)
		openConcurrently(t, func() error {
			db, err := sqlstore.Open(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true})
			if err != nil {
				return err
			}
			return errors.Join(db.Ping(t.Context()), db.Close())
		})
		checkOneSchema(t, testenv.OpenPostgres(t, dsn, withoutMigrate))
	})
}

// withoutMigrate opens a store without creating or migrating anything.
func withoutMigrate(o *sqlstore.Options) { o.Migrate = false }

func openConcurrently(t *testing.T, open func() error) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 8 {
		wg.Go(func() {
			<-start
			if err := open(); err != nil {
				t.Errorf("number %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
}

func checkOneSchema(t *testing.T, db *sqlstore.DB) {
	t.Helper()
	latest, err := sqlstore.LatestMigration()
	if err != nil {
		t.Fatal(err)
	}
	var rows, distinct, counters int64
	err = db.Writer().QueryRowContext(t.Context(), `SELECT count(*), count(DISTINCT version_id),
		(SELECT count(*) FROM change_counter) FROM gatehouse_schema WHERE version_id > 0`).Scan(&rows, &distinct, &counters)
	if err != nil || rows != latest || distinct != latest || counters != 1 || db.Info().Schema != latest {
		t.Fatalf("%d rows of %d versions, %d counters, schema %d, %v; want version %d", rows, distinct, counters,
			db.Info().Schema, err, latest)
	}
}

func TestMigrationsAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	names, err := sqlstore.MigrationNames()
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %v", names, err)
	}
	for i, name := range names {
		number, _, _ := strings.Cut(name, "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 || len(number) != 4 {
			t.Errorf("%s is number %d", name, i+1)
		}
	}
}

// During an update an older version writes beside a newer one, and knows nothing of new columns.
func TestNewColumnsHaveADefault(t *testing.T) {
	t.Parallel()
	names, err := sqlstore.MigrationNames()
	if err != nil {
		t.Fatal(err)
	}
	added := 0
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("migrations", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, "ADD COLUMN") {
				continue
			}
			if added++; !strings.Contains(line, "DEFAULT") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
	if added < 10 {
		t.Errorf("%d columns were found: this test sees too little", added)
	}
}

// setVersion gives the store the schema version of a newer Gatehouse.
func setVersion(t *testing.T, path string, version int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `INSERT INTO gatehouse_schema (version_id, is_applied) VALUES ($1, 1)`, version)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchemaIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filled(t)
		setVersion(t, path, 4711)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sqlstore.Open(t.Context(), sqliteOptions(path))
		for _, err := range []error{err, sqlstore.Check(t.Context(), sqliteOptions(path))} {
			if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "4711") ||
				!strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		}
		after, err := os.ReadFile(path)
		if err != nil || string(after) != string(before) {
			t.Fatalf("the file changed, %v", err)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := testenv.PostgresDSN(t)
		testenv.OpenPostgres(t, dsn)
		testenv.PostgresExec(t, dsn, `INSERT INTO gatehouse_schema (version_id, is_applied) VALUES (4711, true)`)
		_, err := sqlstore.Open(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true})
		if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "4711") {
			t.Errorf("got %v", err)
		}
	})
}
