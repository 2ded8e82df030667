package sqlstore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// snapshot returns every file under dir with its content, mode and kind, to compare before and after.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s %s", path, info.Mode(), info.ModTime())
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", content)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCheckChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	empty := filepath.Join(dir, "empty.db")
	if err := errors.Join(os.WriteFile(garbage, []byte(strings.Repeat("x", 5000)), 0o600),
		os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	good := filled(t)
	running := filepath.Join(dir, "running.db")
	live := testenv.OpenSQLite(t, running)
	if err := live.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "k", "v") }); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"missing":        {filepath.Join(dir, "a", "b", "gatehouse.db"), ""},
		"under a file":   {filepath.Join(garbage, "b", "gatehouse.db"), "not a directory"},
		"good":           {good, ""},
		"running":        {running, ""},
		"empty":          {empty, ""},
		"garbage":        {garbage, "not a SQLite database"},
		"a folder":       {dir, "is not a file"},
		"a relative one": {"gatehouse.db", "must be absolute"},
	} {
		before := snapshot(t, dir) + snapshot(t, filepath.Dir(good))
		err := sqlstore.Check(t.Context(), sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: c.path})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if after := snapshot(t, dir) + snapshot(t, filepath.Dir(good)); after != before {
			t.Errorf("%s: something changed", name)
		}
	}
}

func TestConnectionStringsAreCheckedAndNeverRepeated(t *testing.T) {
	t.Parallel()
	const secret = "c4nary-Passw0rd"
	for _, dsn := range []string{
		"postgres://user:" + secret + "@host:notaport/db", "postgres://user:" + secret + "@host/db?sslmode=nonsense",
		"postgres://user:" + secret + "%zz@host/db", "host=h password=" + secret + " port=x", "host=h password='" + secret,
		"postgres://user:" + secret + "@host/db?sslrootcert=/no/such/file&sslmode=verify-full", "password=" + secret + " =",
		// An '@' in a password ends it, and the rest is a host or a database, which errors name.
		"postgres://u:ge@" + secret + "@127.0.0.1:1/db", "postgres://u:@" + secret + "@127.0.0.1:1,127.0.0.2:1/db",
		"postgres://u:ge@/" + secret + "@127.0.0.1:1/db", "postgres://u:ge@127.0.0.1:1," + secret + "@127.0.0.2:1/db",
	} {
		opts := sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn}
		_, opened := sqlstore.Open(t.Context(), opts)
		for _, err := range []error{opened, sqlstore.Check(t.Context(), opts)} {
			if err == nil || strings.Contains(err.Error(), secret) ||
				strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
				t.Errorf("got %v", err)
			}
		}
	}
	if err := sqlstore.Check(t.Context(), sqlstore.Options{
		Engine: sqlstore.EnginePostgres,
		DSN:    "postgres://u:" + secret + "@nowhere.invalid/db",
	}); err != nil {
		t.Errorf("the check used the network: %v", err)
	}
	// A server that does not exist: the error names the address and not the password.
	_, err := sqlstore.Open(t.Context(), sqlstore.Options{
		Engine: sqlstore.EnginePostgres,
		DSN:    "postgres://u:" + secret + "@127.0.0.1:1/db?sslmode=disable",
	})
	if !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), secret) ||
		!strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

// A password with characters that end it early is refused, whatever the rest would mean, and never repeated.
func TestPasswordsThatAConnectionStringEndsEarlyAreRefused(t *testing.T) {
	t.Parallel()
	const secret = "c4nary"
	for _, dsn := range []string{
		"postgres://u:ge@" + secret + "@host/db", "postgres://u:ge/" + secret + "@host/db", "postgres://u:1/" + secret + "@host/db",
		"postgres://u:1?" + secret + "@host/db", "postgres://u:1#" + secret + "@host/db", "postgresql://u:ge#" + secret + "@host/db",
		"postgres://u:@" + secret + "/@host/db", "postgres://" + secret + "@@host/db",
	} {
		opts := sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn}
		for _, err := range []error{sqlstore.Check(t.Context(), opts), sqlstore.Probe(t.Context(), opts)} {
			if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "percent-encoded") {
				t.Errorf("%s: got %v", dsn, err)
			}
		}
		if at := sqlstore.Location(opts); strings.Contains(at, secret) {
			t.Errorf("%s: is at %s", dsn, at)
		}
	}
	for dsn, want := range map[string]string{
		"postgres://u:p%40s%2Fs%3F%23@db.example:6543/gate?sslmode=require": "db.example:6543/gate", "host=/run/pg user=a@b dbname=gate": "/run/pg/gate",
		"postgres://u@host/db?application_name=x%40y": "host:5432/db", "host=h user=u password='a b@c#d?' dbname=gate": "h:5432/gate",
	} {
		opts := sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn}
		if err := sqlstore.Check(t.Context(), opts); err != nil || sqlstore.Location(opts) != want {
			t.Errorf("%s: %v, at %s", dsn, err, sqlstore.Location(opts))
		}
	}
}
