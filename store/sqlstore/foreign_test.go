package sqlstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// giveAway gives a file to another user.
func giveAway(t *testing.T, path string) {
	t.Helper()
	const stranger = 54321
	if err := os.Lchown(path, stranger, stranger); err != nil {
		t.Fatalf("this test gives files to another user, which takes root: %v", err)
	}
}

// A user who can write in the directory of the store could plant a file to read the password hashes, or a log to
// write to the store.
func TestStoreOwnedByAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(t *testing.T, dir, path string) error{
		"an empty file in a folder like /tmp": func(t *testing.T, dir, path string) error {
			return errors.Join(os.Chmod(dir, 0o777|fs.ModeSticky), theirs(t, path, ""))
		},
		"a whole store": func(t *testing.T, _, path string) error {
			testenv.OpenSQLite(t, path)
			giveAway(t, path)
			return nil
		},
		"a log beside ours": func(t *testing.T, _, path string) error {
			return errors.Join(ours(t, path), theirs(t, path+"-wal", ""))
		},
		"an index beside ours": func(t *testing.T, _, path string) error {
			return errors.Join(ours(t, path), theirs(t, path+"-shm", ""))
		},
		"a journal beside ours": func(t *testing.T, _, path string) error {
			return errors.Join(ours(t, path), theirs(t, path+"-journal", ""))
		},
		"a log before the store": func(t *testing.T, _, path string) error {
			return theirs(t, path+"-wal", "frames")
		},
		"a log beside the target of a link": func(t *testing.T, dir, path string) error {
			target := filepath.Join(dir, "real.db")
			return errors.Join(ours(t, target), theirs(t, target+"-wal", ""), os.Symlink(target, path))
		},
		"the folder":            func(t *testing.T, dir, path string) error { giveAway(t, dir); return nil },
		"the folder of a store": func(t *testing.T, dir, path string) error { err := ours(t, path); giveAway(t, dir); return err },
		"a link": func(t *testing.T, dir, path string) error {
			err := os.Symlink(filepath.Join(dir, "new.db"), path)
			giveAway(t, path)
			return err
		},
		"a folder for everybody": func(t *testing.T, dir, path string) error {
			return errors.Join(ours(t, path), os.Chmod(dir, 0o777))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "place")
			path := filepath.Join(dir, "gatehouse.db")
			if err := errors.Join(os.Mkdir(dir, 0o700), plant(t, dir, path)); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, dir)
			for what, try := range map[string]func() error{
				"check": func() error { return sqlstore.Check(t.Context(), sqliteOptions(path)) },
				"open": func() error {
					db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
					if err == nil {
						return db.Close()
					}
					return err
				},
			} {
				if err := try(); !errors.Is(err, owner.ErrForeign) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if snapshot(t, dir) != before {
				t.Error("something was changed")
			}
		})
	}
}

func ours(t *testing.T, path string) error {
	t.Helper()
	content, err := os.ReadFile(filled(t))
	return errors.Join(err, os.WriteFile(path, content, 0o600))
}

func theirs(t *testing.T, path, content string) error {
	t.Helper()
	err := os.WriteFile(path, []byte(content), 0o600)
	giveAway(t, path)
	return errors.Join(err, os.Chmod(path, 0o666)) // writable by all, which is what the test is about
}

func TestOwnStoreInASharedFolderIsOpened(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "shared")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		path := filepath.Join(dir, "gatehouse.db")
		if err := sqlstore.Check(t.Context(), sqliteOptions(path)); err != nil {
			t.Fatal(err)
		}
		db, err := sqlstore.Open(t.Context(), sqliteOptions(path))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
