package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gatehouse-auth/gatehouse/store"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// versionTable is the table in which goose records applied migrations.
const versionTable = "gatehouse_schema"

// keyMark marks the key columns in the schema; see dialect.keyType.
const keyMark = "/*key*/"

// migrationTimeout bounds all migrations together, including the wait for another process.
const migrationTimeout = 10 * time.Minute

// migrate brings the schema up to date and returns its version. An up-to-date schema is only read.
func (d *DB) migrate(ctx context.Context) (int64, error) {
	current, err := schemaVersion(ctx, d.writer, d.dia)
	if err != nil {
		return 0, err
	}
	latest, err := latestMigration()
	if err != nil {
		return 0, err
	}
	switch {
	case current > latest:
		return 0, newerSchema(d.info.Location, current, latest)
	case current == latest:
		return current, nil
	case !d.opts.Migrate:
		return 0, fmt.Errorf("the store %s has schema version %d, this Gatehouse needs %d: start the server once, "+
			"which brings it up to date", d.info.Location, current, latest)
	}
	ctx, cancel := context.WithTimeout(ctx, migrationTimeout)
	defer cancel()
	for version := current + 1; version <= latest; version++ {
		if err := d.applyMigration(ctx, version); err != nil {
			return 0, err
		}
	}
	// A newer Gatehouse may have migrated on while this one waited for the lock.
	if current, err = schemaVersion(ctx, d.writer, d.dia); err != nil {
		return 0, err
	}
	if current > latest {
		return 0, newerSchema(d.info.Location, current, latest)
	}
	return current, nil
}

func newerSchema(location string, has, knows int64) error {
	return fmt.Errorf("%w: the store %s has schema version %d, this Gatehouse knows versions up to %d: run the newer "+
		"version. The way back is a backup made before the update, restored into another place",
		store.ErrNewerSchema, location, has, knows)
}

// schemaVersion returns the version of the schema, 0 when there is none.
func schemaVersion(ctx context.Context, q queryer, dia dialect) (int64, error) {
	var one int64
	err := q.QueryRowContext(ctx, dia.hasVersionTable).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var version sql.NullInt64
	if err := q.QueryRowContext(ctx, `SELECT max(version_id) FROM `+versionTable).Scan(&version); err != nil {
		return 0, err
	}
	return version.Int64, nil
}

// latestMigration returns the version that this Gatehouse needs. Migrations are numbered from 1 without gaps: a test
// inCondition it.
func latestMigration() (int64, error) {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	return int64(len(files)), nil
}

// migrations returns goose's provider for one version; migrationLocker locks and commits.
func (d *DB) migrations(version int64) (*goose.Provider, error) {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(d.dia.goose, d.writer, schemaFS{sub, d.dia},
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
		goose.WithIsolateDDL(true), // goose starts no transaction of its own: it runs in that of the locker
		goose.WithSessionLocker(migrationLocker{dia: d.dia, version: version, step: d.migrationStep(version)}),
	)
}

// migrationStep returns the Go part of a migration, nil for most. It is found by the file's name, since the number
// may change before a release.
func (d *DB) migrationStep(version int64) func(context.Context, queryer) error {
	files, _ := fs.Glob(migrationFiles, fmt.Sprintf("migrations/%04d_*.sql", version)) // the pattern is valid
	if len(files) == 1 && strings.HasSuffix(files[0], "_fold_names.sql") {
		return d.refold
	}
	return nil
}

func (d *DB) applyMigration(ctx context.Context, version int64) error {
	provider, err := d.migrations(version)
	if err != nil {
		return err
	}
	_, err = provider.ApplyVersion(ctx, version, true)
	if errors.Is(err, goose.ErrAlreadyApplied) {
		return nil // by another process in the meantime
	}
	if err != nil {
		return fmt.Errorf("migrate the schema to version %d: %w", version, err)
	}
	return nil
}

// migrationLocker runs one migration in one transaction that is also the lock: BEGIN IMMEDIATE on SQLite, an advisory
// transaction lock on PostgreSQL. goose calls SessionUnlock whether the migration succeeded or not, so it checks for
// the row of the version, which is written last.
type migrationLocker struct {
	dia     dialect
	version int64
	step    func(context.Context, queryer) error // in the same transaction, after the SQL; may be nil
}

// SessionLock implements goose's lock.SessionLocker.
func (l migrationLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	deadline := time.Now().Add(time.Minute)
	for i, statement := range l.dia.beginMigration {
		_, err := conn.ExecContext(ctx, statement)
		for isBusy(err) && time.Now().Before(deadline) && ctx.Err() == nil {
			_, err = conn.ExecContext(ctx, statement)
		}
		if err != nil {
			if i > 0 {
				_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // the first error is returned
			}
			return fmt.Errorf("wait for the lock of migrations: %w", err)
		}
	}
	return nil
}

// SessionUnlock implements goose's lock.SessionLocker.
func (l migrationLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	long, cancelLong := context.WithTimeout(ctx, migrationTimeout)
	defer cancelLong()
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var rows int64
	err := conn.QueryRowContext(ctx, `SELECT count(*) FROM `+versionTable+` WHERE version_id = $1`, l.version).Scan(&rows)
	if err == nil && rows == 1 && l.step != nil {
		err = l.step(long, conn)
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), statementTimeout) // the step may have taken long
		defer cancel()
	}
	if err != nil || rows != 1 {
		_, rollback := conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, rollback)
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// schemaFS serves the migrations in the form of one engine.
type schemaFS struct {
	fs.FS
	dia dialect
}

// Open implements [fs.FS].
func (s schemaFS) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(s.FS, name)
	if err != nil {
		return nil, err
	}
	return schemaFile{strings.NewReader(s.dia.schema(string(text))), info}, nil
}

// engineMark starts a section of a migration for the engine named after it, or for all.
const engineMark = "-- engine "

// schema returns a migration with the key column marks replaced and without the sections of other engines.
func (dia dialect) schema(text string) string {
	var b strings.Builder
	include := true
	for line := range strings.Lines(text) {
		if engine, ok := strings.CutPrefix(strings.TrimSpace(line), engineMark); ok {
			include = engine == "all" || engine == dia.engine
			continue
		}
		if include {
			b.WriteString(strings.ReplaceAll(line, keyMark, dia.keyType))
		}
	}
	return b.String()
}

type schemaFile struct {
	*strings.Reader
	info fs.FileInfo
}

func (f schemaFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f schemaFile) Close() error               { return nil }
