package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gatehouse-auth/gatehouse/store"
)

// errClosed is the cause of ErrUnavailable after Close.
var errClosed = errors.New("the store is closed")

// isContractError reports whether err is defined by package store (or rejects an argument), as opposed to a failure
// of the engine.
func isContractError(err error) bool {
	for _, target := range []error{
		store.ErrNotFound, store.ErrConflict, store.ErrStale, store.ErrLastAdmin, store.ErrBadCursor,
		store.ErrUnavailable, errBadText, errBadQuery, errArgument,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// errArgument is matched by errors about invalid arguments, such as a selector that selects nothing.
var errArgument = errors.New("invalid argument")

// mapError converts a driver's error to one of package store. ctx is the caller's context, op names the operation.
// Unknown errors count as failures of the engine: callers fail closed either way.
func mapError(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case isContractError(err):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		// The drivers report a canceled query in many ways (interrupted, connection closed, transaction done).
		return fmt.Errorf("%s: %w", op, context.Canceled)
	}
	if mapped := mapSQLite(err); mapped != nil {
		return fmt.Errorf("%s: %w", op, mapped)
	}
	if mapped := mapPostgres(err); mapped != nil {
		return fmt.Errorf("%s: %w", op, mapped)
	}
	return fmt.Errorf("%s: %w: %w", op, store.ErrUnavailable, err)
}

// mapSQLite returns nil for errors that are not SQLite's, and for those that mean that the database is unavailable.
func mapSQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return &store.ConflictError{Field: sqliteConflictField(e.Error())}
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("the user: %w", store.ErrNotFound)
	}
	if isSchemaError(e.Error()) {
		return nil
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE,
		sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG:
		return err // a bug in a statement or a value: retrying does not help
	}
	return nil
}

// isSchemaError reports whether SQLite misses a table or column, or cannot read its schema: the file is not as we
// left it, and asking again may help once it was restored. The code is the same as for a mistake in a statement, only
// the words notify; statements of ours that name no table of ours would fail in every test.
func isSchemaError(message string) bool {
	for _, part := range []string{"no such table", "no such column", "has no column named", "malformed database schema"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

// sqliteConflictField reads the field from "UNIQUE constraint failed: table.column": SQLite reports it in no other
// way. An unknown message costs only the name of the field, since the error code is known.
func sqliteConflictField(message string) string {
	for part, field := range map[string]string{
		"users.username_key": "username",
		"users.email_key":    "email",
		"identities.issuer":  "identity",
	} {
		if strings.Contains(message, part) {
			return field
		}
	}
	return "id"
}

// mapPostgres is mapSQLite for PostgreSQL, by SQLSTATE (PostgreSQL documentation, appendix A).
func mapPostgres(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) || len(e.Code) != 5 {
		return nil
	}
	switch e.Code {
	case "23505":
		return &store.ConflictError{Field: postgresConflictField(e.ConstraintName)}
	case "23503":
		return fmt.Errorf("the user: %w", store.ErrNotFound)
	case "42501", "42P01", "42703", "3F000": // no permission, table, column or schema: the database was changed
		return nil
	}
	switch e.Code[:2] {
	case "22", "23", "42", "54": // data, constraint, syntax, limits of a statement
		return err
	}
	return nil
}

func postgresConflictField(constraint string) string {
	switch constraint {
	case "users_username_key":
		return "username"
	case "users_email_key_local":
		return "email"
	case "identities_pkey":
		return "identity"
	}
	return "id"
}

// unavailable marks err as a failure of the engine.
func unavailable(op string, err error) error {
	return fmt.Errorf("%s: %w: %w", op, store.ErrUnavailable, err)
}

// isBusy reports whether another process holds SQLite's lock.
func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
}
