package sqlstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// Following the advice of an error must not lose data that can still be recovered: the log holds data that is not in
// the file.
func TestErrorsNeverAdviseToDeleteAStore(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"no database":     func(b []byte) []byte { return []byte(strings.Repeat("noise ", 1000)) },
		"no header":       func(b []byte) []byte { clear(b[:100]); return b },
		"no root page":    func(b []byte) []byte { copy(b[100:], strings.Repeat("\xfe", 3000)); return b },
		"cut in a page":   func(b []byte) []byte { return b[:6000] },
		"a page is noise": func(b []byte) []byte { copy(b[4096:], strings.Repeat("\xfe", 4096)); return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "gatehouse.db")
			spoilt := spoil(append([]byte(nil), content...))
			if err := os.WriteFile(path, spoilt, 0o600); err != nil {
				t.Fatal(err)
			}
			_, opened := sqlstore.Open(t.Context(), sqliteOptions(path))
			if !errors.Is(opened, sqlstore.ErrDamaged) {
				t.Errorf("damage is not reported: %v", opened)
			}
			checked := sqlstore.Check(t.Context(), sqliteOptions(path))
			for _, err := range []error{opened, checked} {
				if err == nil {
					continue // the check need not find what opening finds
				}
				text := err.Error()
				keep, away := strings.Index(text, "copy the file together with those of the same name"), strings.Index(text, "away")
				if away >= 0 && (keep < 0 || keep > away) || strings.Contains(text, "start with a new") ||
					!strings.Contains(text, path) {
					t.Errorf("it says %v", err)
				}
			}
			after, err := os.ReadFile(path)
			if err != nil || string(after) != string(spoilt) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
}

// SQLite would delete the log and start a new store.
func TestALogWithoutItsStoreIsNotDeleted(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"gone":  os.Remove,
		"empty": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := crashed(t)
			content, err := os.ReadFile(path)
			if err := errors.Join(err, lose(path)); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, filepath.Dir(path))
			_, opened := sqlstore.Open(t.Context(), sqliteOptions(path))
			for _, err := range []error{opened, sqlstore.Check(t.Context(), sqliteOptions(path))} {
				if err == nil || !strings.Contains(err.Error(), path+"-wal") ||
					!strings.Contains(err.Error(), "put the file back") {
					t.Errorf("got %v", err)
				}
			}
			if snapshot(t, filepath.Dir(path)) != before {
				t.Error("something was changed")
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := testenv.OpenSQLite(t, path).Ping(t.Context()); err != nil {
				t.Errorf("put back, the store does not open: %v", err)
			}
		})
	}
}

func TestTheCheckReportsOnlyWhatIsCertain(t *testing.T) {
	t.Parallel()
	path := filled(t)
	setVersion(t, path, 4711)
	if err := sqlstore.Check(t.Context(), sqliteOptions(path)); err == nil || !strings.Contains(err.Error(), "4711") {
		t.Errorf("a newer schema: %v", err)
	}
	// With a log beside it, the file may be outdated.
	if err := os.WriteFile(path+"-wal", []byte("frames"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sqlstore.Check(t.Context(), sqliteOptions(path)); err != nil {
		t.Errorf("it was checked without its log: %v", err)
	}
}
