package storecopy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver that verifies a backup
)

// ErrExists means that the file of a backup exists already.
var ErrExists = errors.New("there is a file of this name already")

// Backup writes a consistent snapshot of a store to a new SQLite file with mode 0600, while servers use it. For
// PostgreSQL, fill creates an empty store at a path to copy into; it is not called for SQLite.
//
// The file gets its name only when it is complete, verified and synced to disk.
func Backup(ctx context.Context, from Side, file string, fill func(path string, copyTo func(Side) error) error,
	o Options,
) (err error) {
	defer func() { err = contextError(ctx, err) }()
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", file, ErrExists)
	}
	// A separate directory: SQLite keeps files beside the database, and nobody else may read any of them.
	dir, remove, err := WorkFolder(filepath.Dir(file), ".gatehouse-backup-")
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	defer func() {
		if rerr := remove(); rerr != nil && err == nil {
			err = fmt.Errorf("removing what the backup left behind: %w", rerr)
		}
	}()
	tmp := filepath.Join(dir, "store.db")
	if from.postgres() {
		err = fill(tmp, func(to Side) error {
			_, err := Load(ctx, from, to, o)
			return err
		})
	} else {
		err = vacuumInto(ctx, from, tmp)
	}
	if err != nil {
		return err
	}
	if err := verify(ctx, tmp); err != nil {
		return err
	}
	return publish(tmp, file)
}

// vacuumInto copies a SQLite store in one read transaction, which does not block writers.
func vacuumInto(ctx context.Context, from Side, tmp string) error {
	// SQLite accepts an empty file, and would create one with wider permissions.
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if _, err := from.DB.ExecContext(ctx, `VACUUM INTO $1`, tmp); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

// verify reads the whole file again: otherwise an unreadable backup would be noticed too late.
func verify(ctx context.Context, path string) error {
	// The file alone is the backup: data in a log beside it would be lost.
	if pendingLog(path) != "" {
		return errors.New("the backup could not be brought into one file, try again")
	}
	if err := errors.Join(os.Chmod(path, 0o600), syncPath(path)); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "mode=ro&immutable=1"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return fmt.Errorf("reading the backup again: %w", err)
	}
	defer db.Close()
	damage, err := Damage(ctx, Side{DB: db, Engine: "sqlite", Location: path})
	if err != nil {
		return fmt.Errorf("reading the backup again: %w", err)
	}
	if damage != "" {
		return fmt.Errorf("the backup was damaged while it was written, try again; if it happens again, the store is "+
			"damaged (\"caddy gatehouse store check\" tells): %s", damage)
	}
	return nil
}

// publish gives the file its name. A hard link, unlike a rename, never replaces a file that was created in the
// meantime.
func publish(tmp, file string) error {
	err := os.Link(tmp, file)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", file, ErrExists)
	}
	if err != nil { // a file system without hard links
		if err := copyNew(tmp, file); err != nil {
			return err
		}
	}
	if err := syncPath(filepath.Dir(file)); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

// copyNew copies a file to one that must not exist, with mode 0600.
func copyNew(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", to, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("copying to %s: %w", to, err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		_ = os.Remove(to) // half a file is worse than none
		return fmt.Errorf("copying to %s: %w", to, err)
	}
	return nil
}

// syncPath syncs a file or a directory to disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// magic is the header of every SQLite file.
const magic = "SQLite format 3\x00"

// Unpack copies a backup into a directory and returns the path of the copy, so that its schema can be migrated
// without changing the backup.
func Unpack(file, dir string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("reading the backup: %w", err)
	}
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	if cerr := f.Close(); cerr != nil {
		return "", fmt.Errorf("reading the backup: %w", cerr)
	}
	if err != nil || string(head) != magic {
		return "", fmt.Errorf("%s is no backup: \"caddy gatehouse backup\" writes SQLite files", file)
	}
	if log := pendingLog(file); log != "" {
		// The log holds data that is missing in the file: a copy of a running store's file is not a consistent snapshot.
		return "", fmt.Errorf("%s has a log beside it (%s): it belongs to a store in use or one that was killed, and is no "+
			"backup. Open it once (\"caddy gatehouse store check --store %s\"), which brings the log in, and make a backup "+
			"of it", file, log, file)
	}
	path := filepath.Join(dir, "store.db")
	return path, copyNew(file, path)
}

// pendingLog returns the suffix of a log with data that is not in the database file yet, "" for none. SQLite keeps it
// beside the database and not beside a link to it.
func pendingLog(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	for _, name := range []string{"wal", "journal"} {
		if info, err := os.Stat(path + "-" + name); err == nil && info.Size() > 0 {
			return name
		}
	}
	return ""
}
