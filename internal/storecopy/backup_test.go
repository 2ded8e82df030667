package storecopy_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// backup writes a backup like the command.
func backup(ctx context.Context, db *sqlstore.DB, file string) error {
	return storecopy.Backup(ctx, side(db), file, func(path string, copyTo func(storecopy.Side) error) error {
		to, err := sqlstore.Open(ctx, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true})
		if err != nil {
			return err
		}
		return errors.Join(copyTo(side(to)), to.Close())
	}, storecopy.Options{})
}

// restore opens a copy of the backup and loads it.
func restore(t *testing.T, file string, to *sqlstore.DB, o storecopy.Options) error {
	t.Helper()
	path, err := storecopy.Unpack(file, t.TempDir())
	if err != nil {
		return err
	}
	from := open(t, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true})
	_, err = storecopy.Load(t.Context(), side(from), side(to), o)
	return err
}

// After the loss of the original, the backup restores everything, on either engine.
func TestBackupSurvivesTheLossOfTheOriginal(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, lostOpts, newOpts sqlstore.Options) {
		db, err := sqlstore.Open(t.Context(), lostOpts)
		if err != nil {
			t.Fatal(err)
		}
		c := fill(t, db, 40)
		before := dump(t, db.Maintenance())
		file := filepath.Join(t.TempDir(), "backup.db")
		if err := errors.Join(backup(t.Context(), db, file), db.Close()); err != nil {
			t.Fatal(err)
		}
		if lostOpts.Path != "" {
			if err := os.RemoveAll(filepath.Dir(lostOpts.Path)); err != nil {
				t.Fatal(err)
			}
		}
		to := open(t, newOpts)
		if err := restore(t, file, to, storecopy.Options{NeedAdmin: true}); err != nil {
			t.Fatal(err)
		}
		same(t, before, dump(t, to.Maintenance()))
		checkMoved(t, to, c)
	})
}

// Each change writes two equal settings; a backup in which they differ would not be a consistent snapshot.
func TestBackupOfABusyStoreIsConsistent(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, opts sqlstore.Options) {
		db, server := open(t, opts), open(t, opts)
		fill(t, db, 60)
		ctx, cancel := context.WithCancel(t.Context())
		written := make(chan int)
		go func() {
			n := 0
			for ctx.Err() == nil {
				err := server.Change(ctx, func(tx store.Tx) error {
					return errors.Join(tx.SetSetting(ctx, "a", strconv.Itoa(n)), tx.SetSetting(ctx, "z", strconv.Itoa(n)))
				})
				if err != nil && ctx.Err() == nil {
					t.Errorf("the backup kept a server from writing: %v", err)
					break
				}
				n++
			}
			written <- n
		}()
		dir := t.TempDir()
		for i := range 3 {
			file := filepath.Join(dir, strconv.Itoa(i))
			if err := backup(t.Context(), db, file); err != nil {
				t.Error(err)
				break
			}
			copied := open(t, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: file})
			a, errA := copied.Setting(t.Context(), "a")
			z, errZ := copied.Setting(t.Context(), "z")
			if i > 0 && (errA != nil || errZ != nil) || a != z {
				t.Errorf("backup %d: %q and %q, %v, %v", i, a, z, errA, errZ)
			}
		}
		cancel()
		if n := <-written; n < 3 {
			t.Errorf("the server wrote %d times only: nothing was tested", n)
		}
	})
}

func TestBackupIsPrivateAndReplacesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, opts sqlstore.Options) {
		db := open(t, opts)
		fill(t, db, 3)
		dir := t.TempDir()
		file, link, precious := filepath.Join(dir, "b.db"), filepath.Join(dir, "link"), filepath.Join(dir, "precious")
		if err := errors.Join(os.WriteFile(precious, []byte("x"), 0o600),
			os.Symlink(filepath.Join(dir, "nowhere"), link)); err != nil {
			t.Fatal(err)
		}
		if err := backup(t.Context(), db, file); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		for _, taken := range []string{file, precious, link} {
			if err := backup(t.Context(), db, taken); !errors.Is(err, storecopy.ErrExists) {
				t.Errorf("%s: %v", taken, err)
			}
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := backup(canceled, db, filepath.Join(dir, "never")); err == nil {
			t.Error("a backup that was canceled was told to be there")
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 3 {
			t.Errorf("files were left: %v, %v", entries, err)
		}
		if b, err := os.ReadFile(precious); err != nil || string(b) != "x" {
			t.Errorf("a file was replaced: %q, %v", b, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a link was followed: %v", err)
		}
	})
}

// watcher passes on the changes of a store.
type watcher chan []store.Change

func (w watcher) Changed(c []store.Change) { w <- c }
func (watcher) Synced(time.Time)           {}

// Restoring over a store that servers use is atomic, ended sessions in the backup stay ended, and the servers drop
// their cached data.
func TestRestoreReplacesAStoreInUse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, opts sqlstore.Options) {
		db, server := open(t, opts), open(t, opts)
		c := fill(t, db, 20)
		file := filepath.Join(t.TempDir(), "backup.db")
		if err := backup(t.Context(), db, file); err != nil {
			t.Fatal(err)
		}
		change(t, db, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.EndSessions(ctx, store.SessionSelector{UserID: c.users[1].ID})
			return errors.Join(err, tx.DeleteUser(ctx, c.users[2].ID))
		})
		notifications := make(watcher, 100)
		defer server.Watch(notifications)()
		awaitAll(t, notifications) // the first poll

		if err := restore(t, file, db, storecopy.Options{}); !errors.Is(err, storecopy.ErrNotEmpty) {
			t.Fatalf("without being asked: %v", err)
		}
		o := storecopy.Options{Replace: true, NeedAdmin: true, Empty: []string{"changes", "sessions", "flows", "links"}}
		if err := restore(t, file, db, o); err != nil {
			t.Fatal(err)
		}
		awaitAll(t, notifications)
		if _, err := server.User(t.Context(), c.users[2].ID); err != nil {
			t.Errorf("what the backup had is missing: %v", err)
		}
		for i := range c.sessions {
			if _, _, err := server.SessionByToken(t.Context(), store.HashToken(c.sessions[i])); !errors.Is(err,
				store.ErrNotFound) {
				t.Errorf("session %d lives again: %v", i, err)
			}
		}
		if _, err := server.Link(t.Context(), store.HashToken(c.link)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a link can be used again: %v", err)
		}
		change(t, server, func(ctx context.Context, tx store.Tx) error { return tx.BumpEpoch(ctx, c.users[0].ID) })
	})
}

func awaitAll(t *testing.T, notifications watcher) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case list := <-notifications:
			for _, c := range list {
				if c.Kind == store.ChangeAll {
					return
				}
			}
		case <-deadline:
			t.Fatal("servers were not told that everything changed")
		}
	}
}

// A restore that fails, at any table, leaves the store unchanged.
func TestRestoreIsAllOrNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, opts sqlstore.Options) {
		db := open(t, opts)
		fill(t, db, 5)
		before := dump(t, db.Maintenance())
		noAdmin := open(t, engines["sqlite"](t))
		fill(t, noAdmin, 5)
		if _, err := noAdmin.Maintenance().ExecContext(t.Context(), `UPDATE users SET role = 'user'`); err != nil {
			t.Fatal(err)
		}
		_, err := storecopy.Load(t.Context(), side(noAdmin), side(db), storecopy.Options{Replace: true, NeedAdmin: true})
		if !errors.Is(err, storecopy.ErrNoAdmin) {
			t.Fatalf("got %v", err)
		}
		same(t, before, dump(t, db.Maintenance()))

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err = storecopy.Load(ctx, side(noAdmin), side(db),
			storecopy.Options{Replace: true, Progress: func(table string, _, _ int64) {
				if table == "sessions" {
					cancel()
				}
			}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("not interrupted: %v", err)
		}
		same(t, before, dump(t, db.Maintenance()))
	})
}

func TestUnpackAcceptsBackupsOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("live-wal", "something that the file lacks")
	for file, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file", write("empty", ""): "is no backup", write("text",
			strings.Repeat("x", 100)): "is no backup",
		write("live", "SQLite format 3\x00"): "has a log beside it",
	} {
		if path, err := storecopy.Unpack(file, t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", file, path, err)
		}
	}
}
