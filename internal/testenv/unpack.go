package testenv

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// UnpackStore copies the SQLite store that a folder of testdata has as gatehouse.db.gz and gatehouse.db-wal.gz to a
// folder of its own, and returns its path. In crashed-store of store/sqlstore it was left by a server that was killed
// during a checkpoint: the file alone is not a valid database, the file with its log is.
func UnpackStore(t testing.TB, from string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"gatehouse.db", "gatehouse.db-wal"} {
		packed, err := os.Open(filepath.Join(from, name+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(unpacked)
		if err := errors.Join(err, packed.Close(), os.WriteFile(filepath.Join(dir, name), content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "gatehouse.db")
}
