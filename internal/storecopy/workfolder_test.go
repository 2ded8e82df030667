package storecopy_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func TestLeftoversOfKilledBackupsAreRemoved(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	const prefix = ".gatehouse-backup-"
	old := time.Now().Add(-time.Hour)
	leave := func(name string, at time.Time) string {
		dir := filepath.Join(parent, name)
		err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "store.db"), []byte("hashes"), 0o600),
			os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600), os.Chtimes(dir, at, at))
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	working, remove, err := storecopy.WorkFolder(parent, prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(working, old, old); err != nil {
		t.Fatal(err)
	}
	killed := leave(prefix+"123", old)
	stay := []string{
		leave(prefix+"456", time.Now()), leave("other-123", old), leave(prefix+"mine", old),
		leave(prefix+"789", old), working,
	}
	if err := os.Lchown(stay[3], 54321, 54321); err != nil {
		t.Fatalf("this test gives files to another user, which takes root: %v", err)
	}
	_, again, err := storecopy.WorkFolder(parent, prefix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
	for _, dir := range stay {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("it is gone: %v", err)
		}
	}
	if err := errors.Join(remove(), again()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(working); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder stays: %v", err)
	}
}

// A user who can replace files in a directory could have a backup written into their own file.
func TestBackupRefusesFoldersOfOtherUsers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, opts sqlstore.Options) {
		db := open(t, opts)
		fill(t, db, 3)
		for name, set := range map[string]func(dir string) error{
			"another user's":   func(dir string) error { return os.Lchown(dir, 54321, 54321) },
			"for all to write": func(dir string) error { return os.Chmod(dir, 0o777) },
		} {
			dir := filepath.Join(t.TempDir(), "place")
			if err := errors.Join(os.Mkdir(dir, 0o700), set(dir)); err != nil {
				t.Fatal(err)
			}
			err := storecopy.Backup(t.Context(), side(db), filepath.Join(dir, "b.db"), nil, storecopy.Options{})
			if !errors.Is(err, owner.ErrForeign) {
				t.Errorf("%s: %v", name, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("%s: it holds %v, %v", name, entries, err)
			}
		}
	})
}
