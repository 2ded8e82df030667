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

// isOurs reports whether err is an answer of the contract (or a refusal of the argument) and not a failure of the
// engine.
func isOurs(err error) bool {
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

// errArgument is matched by refusals of arguments that make no sense, such as a selector that selects nothing.
var errArgument = errors.New("invalid argument")

// mapError turns what the driver said into an error of the contract. ctx is the caller's own context, op says what
// was tried. What nobody foresaw counts as the engine's failure: callers fail closed either way.
func mapError(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case isOurs(err):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		// The drivers answer a canceled query in many ways (interrupted, connection closed, transaction done).
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

// mapSQLite returns nil for what is not an error of SQLite's, and for SQLite's errors that mean that it cannot answer.
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
	if isUprooted(e.Error()) {
		return nil
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE,
		sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG:
		return err // a mistake in a statement or a value: trying again does not help
	}
	return nil
}

// isUprooted reports whether SQLite misses a table or column, or cannot read its schema: the file is not as we left it,
// and asking again may help once it was restored. The code is the same as for a mistake in a statement, only the words
// tell; statements of ours that name no table of ours would fail in every test.
func isUprooted(message string) bool {
	for _, part := range []string{"no such table", "no such column", "has no column named", "malformed database schema"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

// sqliteConflictField reads the field from "UNIQUE constraint failed: table.column": SQLite tells it in no other way.
// An unknown text costs only the name of the field, as the code has told already what happened.
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
	case "42501", "42P01", "42703", "3F000": // no permission, table, column, schema: the database is not as we left it
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
