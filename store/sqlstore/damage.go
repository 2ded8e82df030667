package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrDamaged is matched by the error for a file that is proven to be damaged, or not a database.
var ErrDamaged = errors.New("the store is damaged")

// proofTimeout bounds the integrity check.
const proofTimeout = time.Minute

// backUpFirst says what to do first with a file that may be damaged: the log holds data that is not in the file.
const backUpFirst = "stop Caddy and copy the file together with those of the same name that end in -wal and -shm " +
	"to a safe place"

// isCorrupt reports whether SQLite found the file to be damaged or not a database.
func isCorrupt(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB)
}

// isNoDatabase reports whether SQLite found that the file does not have the header of a database.
func isNoDatabase(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_NOTADB
}

func noDatabase(path string, cause error) error {
	return fmt.Errorf("%w: %w: %s is not a SQLite database: check the path. If it was the store, %s, then move them all "+
		"away and restore a backup: %w", store.ErrUnavailable, ErrDamaged, path, backUpFirst, cause)
}

// damageError returns the error for a store in which SQLite found damage when opening it with its log. It says that
// data is lost only if SQLite's integrity check confirms it.
func damageError(ctx context.Context, path string, cause error) error {
	if isNoDatabase(cause) {
		return noDatabase(path, cause)
	}
	finding, err := integrity(ctx, path)
	switch {
	case isCorrupt(err):
		finding = "it cannot be read"
	case err != nil:
		return fmt.Errorf("%w: SQLite found something wrong in the store %s, and whether it is damaged could not be told: "+
			"%s and try again: %w", store.ErrUnavailable, path, backUpFirst, errors.Join(cause, err))
	case finding == "":
		return fmt.Errorf("%w: SQLite found something wrong in the store %s, but nothing when it looked at all of it: "+
			"nothing is lost; try again: %w", store.ErrUnavailable, path, cause)
	}
	return fmt.Errorf("%w: %w: %s: %s, see what \"caddy gatehouse store check\" says of it, then move them all away and "+
		"restore a backup (%s): %w", store.ErrUnavailable, ErrDamaged, path, backUpFirst, finding, cause)
}

// integrity runs SQLite's integrity check on the whole database, including the log, and returns the first finding.
func integrity(ctx context.Context, path string) (finding string, err error) {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	db, err := openSQLitePool(path, false, 1)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&finding); err != nil {
		return "", err
	}
	if finding == "ok" {
		return "", nil
	}
	return strings.Join(strings.Fields(finding), " "), nil
}
