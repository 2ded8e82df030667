package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// storeName is the file of the interrupted store, in a separate directory. Other inputs of a scenario are beside that
// directory.
const storeName = "gatehouse.db"

// scenario is something that can be interrupted.
type scenario struct {
	// prepare creates the inputs, before the recording starts.
	prepare func(ctx context.Context, dir string) error
	// run is recorded. It calls ack for what was acknowledged.
	run func(ctx context.Context, dir string, ack func(name, value string)) error
}

var scenarios = map[string]scenario{
	"new store":    {prepare: nothing, run: makeStore},
	"commits":      {prepare: prepareStore, run: changeAndCheckpoint},
	"migration":    {prepare: prepareOld, run: migrateStore},
	"restore":      {prepare: prepareRestore, run: restoreStore},
	"move":         {prepare: prepareMove, run: moveStore},
	"resumed move": {prepare: prepareResumed, run: moveStore},
}

func nothing(context.Context, string) error { return nil }

func options(path string) sqlstore.Options {
	return sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true}
}

// with opens a store for fn.
func with(ctx context.Context, opts sqlstore.Options, fn func(db *sqlstore.DB) error) error {
	db, err := sqlstore.Open(ctx, opts)
	if err != nil {
		return err
	}
	return errors.Join(fn(db), db.Close())
}

func side(db *sqlstore.DB) storecopy.Side {
	info := db.Info()
	return storecopy.Side{DB: db.Maintenance(), Engine: info.Engine, Location: info.Location}
}

// person adds an account, long enough that few fit on a page, and a session.
func person(ctx context.Context, tx store.Tx, name string, role store.Role) (token string, err error) {
	now := time.Now()
	u := store.User{
		ID: store.NewID(now), Username: name, Email: name + "@example.com", Name: "Person " + name, Role: role,
		Groups: []string{"staff"}, Active: true, Local: true, PasswordHash: strings.Repeat("h", 300), CreatedAt: now,
	}
	if err := tx.CreateUser(ctx, u); err != nil {
		return "", err
	}
	token = store.NewToken()
	return token, tx.CreateSession(ctx, store.Session{
		ID: store.NewID(now), TokenHash: store.HashToken(token),
		UserID: u.ID, CreatedAt: now,
		AuthAt: now, LastSeenAt: now, Idle: time.Hour, ExpiresAt: now.Add(24 * time.Hour), Method: "password", IP: "192.0.2.7", UserAgent: "a browser",
	})
}

// people adds an administrator and users, and a setting that identifies this content.
func people(ctx context.Context, db *sqlstore.DB, mark string, n int) error {
	return db.Change(ctx, func(tx store.Tx) error {
		for i := range n {
			role := store.RoleUser
			if i == 0 {
				role = store.RoleAdmin
			}
			if _, err := person(ctx, tx, fmt.Sprintf("%s%d", mark, i), role); err != nil {
				return err
			}
		}
		return tx.SetSetting(ctx, "mark", mark)
	})
}

func prepareStore(ctx context.Context, dir string) error {
	return with(ctx, options(filepath.Join(dir, storeName)),
		func(db *sqlstore.DB) error { return people(ctx, db, "old", 60) })
}

func makeStore(ctx context.Context, dir string, ack func(name, value string)) error {
	return with(ctx, options(filepath.Join(dir, storeName)), func(db *sqlstore.DB) error {
		if err := db.Change(ctx, func(tx store.Tx) error { return tx.SetSetting(ctx, "first", "1") }); err != nil {
			return err
		}
		ack("setting first", "1")
		return nil
	})
}

// changeAndCheckpoint creates and ends sessions, edits users, and checkpoints in between and at the end.
func changeAndCheckpoint(ctx context.Context, dir string, ack func(name, value string)) error {
	return with(ctx, options(filepath.Join(dir, storeName)), func(db *sqlstore.DB) error {
		var last string
		for i := range 24 {
			var token string
			err := db.Change(ctx, func(tx store.Tx) (err error) {
				if token, err = person(ctx, tx, fmt.Sprintf("new%d", i), store.RoleUser); err != nil {
					return err
				}
				return tx.SetSetting(ctx, "count", fmt.Sprint(i))
			})
			if err != nil {
				return err
			}
			ack("begun "+token, "")
			ack("setting count", fmt.Sprint(i))
			if last != "" && i%2 == 0 {
				ack("ending "+last, "")
				if err := end(ctx, db, last); err != nil {
					return err
				}
				ack("ended "+last, "")
			}
			last = token
			if i%8 == 7 {
				if _, err := db.Maintenance().ExecContext(ctx,
					[]string{`PRAGMA wal_checkpoint(PASSIVE)`, `PRAGMA wal_checkpoint(TRUNCATE)`}[i/8%2]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// end ends the session of a token.
func end(ctx context.Context, db *sqlstore.DB, token string) error {
	s, _, err := db.SessionByToken(ctx, store.HashToken(token))
	if err != nil {
		return err
	}
	return db.Change(ctx, func(tx store.Tx) error {
		_, err := tx.EndSessions(ctx, store.SessionSelector{ID: s.ID})
		return err
	})
}

// prepareOld creates a store with the first version of the schema.
func prepareOld(ctx context.Context, dir string) (err error) {
	text, err := os.ReadFile(filepath.Join(migrations(), "0001_init.sql"))
	if err != nil {
		return err
	}
	schema, _, _ := strings.Cut(string(text), "-- +goose Down")
	db, err := sql.Open("sqlite", filepath.Join(dir, storeName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `PRAGMA journal_mode = WAL; BEGIN; `+schema+`;
		CREATE TABLE gatehouse_schema (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL,
			tstamp TIMESTAMP DEFAULT (datetime('now')));
		INSERT INTO gatehouse_schema (version_id, is_applied) VALUES (0, 1), (1, 1);
		INSERT INTO settings (name, value) VALUES ('mark', 'old'); COMMIT`); err != nil {
		return fmt.Errorf("making the schema of the first release: %w", err)
	}
	rows, err := db.QueryContext(ctx, `SELECT name, type FROM pragma_table_info('users')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names, values []string
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			return err
		}
		value := map[string]string{
			"id": `printf('%026d', i)`, "role": `'admin'`, "group_names": `'["staff"]'`,
			"origin": `''`,
		}[name]
		switch {
		case value != "":
		case kind == "TEXT":
			value = `'` + name + `' || i`
		default:
			value = map[bool]string{true: "1", false: "0"}[name == "active" || name == "is_local"]
		}
		names, values = append(names, name), append(values, value)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
		INSERT INTO users (`+strings.Join(names, ", ")+`) SELECT `+strings.Join(values, ", ")+` FROM n`)
	return err
}

// migrations returns the directory of the migrations.
func migrations() string {
	if dir := os.Getenv(migrationsEnv); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../../store/sqlstore/migrations")
	if err != nil {
		return ""
	}
	return dir
}

func migrateStore(ctx context.Context, dir string, ack func(name, value string)) error {
	return with(ctx, options(filepath.Join(dir, storeName)), func(*sqlstore.DB) error { ack("migrated", ""); return nil })
}

func sibling(dir, name string) string { return filepath.Join(filepath.Dir(dir), name) }

func prepareRestore(ctx context.Context, dir string) error {
	return errors.Join(prepareStore(ctx, dir),
		with(ctx, options(sibling(dir, "backup.db")), func(db *sqlstore.DB) error { return people(ctx, db, "new", 40) }))
}

func restoreStore(ctx context.Context, dir string, ack func(name, value string)) error {
	return with(ctx, options(sibling(dir, "backup.db")), func(from *sqlstore.DB) error {
		return with(ctx, options(filepath.Join(dir, storeName)), func(to *sqlstore.DB) error {
			_, err := storecopy.Load(ctx, side(from), side(to),
				storecopy.Options{Replace: true, NeedAdmin: true, Batch: 10, Empty: []string{"changes", "sessions"}})
			if err == nil {
				ack("setting mark", "new")
			}
			return err
		})
	})
}

func prepareMove(ctx context.Context, dir string) error {
	return with(ctx, options(sibling(dir, "source.db")),
		func(db *sqlstore.DB) error { return people(ctx, db, "source", 40) })
}

// errEnough interrupts a move.
var errEnough = errors.New("enough")

// prepareResumed interrupts a move, and changes copied rows in the source.
func prepareResumed(ctx context.Context, dir string) error {
	if err := prepareMove(ctx, dir); err != nil {
		return err
	}
	interrupted, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := move(interrupted, dir, func(table string, rows, _ int64) {
		if table == "users" && rows >= 20 {
			cancel(errEnough)
		}
	})
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the move was not interrupted: %w", err)
	}
	return with(ctx, options(sibling(dir, "source.db")), func(db *sqlstore.DB) error {
		return db.Change(ctx, func(tx store.Tx) error {
			u, err := tx.UserByUsername(ctx, "source3")
			if err != nil {
				return err
			}
			if err := tx.DeleteUser(ctx, u.ID); err != nil {
				return err
			}
			_, err = person(ctx, tx, "source3", store.RoleUser) // the name of a copied account
			return err
		})
	})
}

func move(ctx context.Context, dir string, progress func(table string, rows, of int64)) error {
	target := options(filepath.Join(dir, storeName))
	target.Resume = true
	return with(ctx, options(sibling(dir, "source.db")), func(from *sqlstore.DB) error {
		return with(ctx, target, func(to *sqlstore.DB) error {
			_, err := storecopy.Move(ctx, side(from), side(to), storecopy.Options{Batch: 10, Progress: progress})
			return err
		})
	})
}

func moveStore(ctx context.Context, dir string, ack func(name, value string)) error {
	if err := move(ctx, dir, nil); err != nil {
		return err
	}
	ack("setting mark", "source")
	return nil
}
