package storecopy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// onPairs runs a test for every pair of engines.
func onPairs(t *testing.T, test func(t *testing.T, from, to sqlstore.Options)) {
	t.Helper()
	for a, from := range engines {
		for b, to := range engines {
			t.Run(a+" to "+b, func(t *testing.T) {
				t.Parallel()
				test(t, from(t), to(t))
			})
		}
	}
}

// Every table, column and row is copied; counts, used links and sessions are valid in the new store.
func TestMoveCopiesEverything(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		c := fill(t, from, 75)
		to := open(t, resuming(toOpts))
		list, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{Batch: 20})
		if err != nil {
			t.Fatal(err)
		}
		same(t, dump(t, from.Maintenance()), dump(t, to.Maintenance()))
		if len(list) != len(tables(t)) {
			t.Errorf("told of %d tables, there are %d", len(list), len(tables(t)))
		}
		moved := open(t, toOpts) // as a server does
		checkMoved(t, moved, c)
	})
}

// checkMoved checks a moved store through its interface.
func checkMoved(t *testing.T, db *sqlstore.DB, c content) {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	for _, i := range []int{0, 1, len(c.users) - 1} {
		_, u, err := db.SessionByToken(ctx, store.HashToken(c.sessions[i]))
		if err != nil || u.ID != c.users[i].ID || u.Username != c.users[i].Username {
			t.Errorf("session %d: %q, %v", i, u.Username, err)
		}
	}
	// The text index is not copied but filled by triggers.
	addFinding, err := db.Users(ctx, store.UserQuery{
		Text:  strings.ToUpper(c.users[1].Username),
		Group: c.users[1].Groups[0],
	})
	if err != nil || len(addFinding.Items) != 1 || addFinding.Items[0].ID != c.users[1].ID {
		t.Errorf("a search finds %+v, %v", addFinding.Items, err)
	}
	if wait, err := db.BeginAttempt(ctx, "account", 2, time.Hour, now); err != nil || wait <= 0 {
		t.Errorf("the throttle forgot: %v, %v", wait, err)
	}
	err = db.Change(ctx, func(tx store.Tx) error {
		if fresh, err := tx.UseOnce(ctx, "jti", "1", now, now.Add(time.Hour)); err != nil || fresh {
			t.Errorf("a value that was spent counts again: %v, %v", fresh, err)
		}
		if _, err := tx.TakeLink(ctx, store.HashToken(c.link), now); err != nil {
			t.Errorf("the link is lost: %v", err)
		}
		return tx.BumpEpoch(ctx, c.users[1].ID)
	})
	if err != nil {
		t.Errorf("the moved store can't be changed: %v", err)
	}
}

var errInterrupt = errors.New("interrupted by the test")

// TestMoveContinuesAfterEveryInterruption ends each run after one more batch, until one comes to the end. In between no
// server opens the target.
func TestMoveContinuesAfterEveryInterruption(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		fill(t, from, 75)
		runs, batches := 0, 0
		for ; ; runs++ {
			to := open(t, resuming(toOpts))
			ctx, cancel := context.WithCancelCause(t.Context())
			first := make(map[string]bool)
			_, err := storecopy.Move(ctx, side(from), side(to),
				storecopy.Options{Batch: 20, Progress: func(table string, _, _ int64) {
					if !first[table] { // the saved progress; no batch yet
						first[table] = true
						return
					}
					batches++
					cancel(errInterrupt)
				}})
			cancel(nil)
			if err == nil {
				same(t, dump(t, from.Maintenance()), dump(t, to.Maintenance()))
				break
			}
			if !errors.Is(err, context.Canceled) || runs > 100 {
				t.Fatalf("run %d: %v", runs, err)
			}
			_, err = sqlstore.Open(t.Context(), toOpts)
			if !errors.Is(err, sqlstore.ErrIncomplete) || !errors.Is(err, store.ErrUnavailable) ||
				!strings.Contains(err.Error(), "store migrate") {
				t.Fatalf("a server would use half a store: %v", err)
			}
		}
		// Nothing was copied twice: there are as many batches as in a run without interruption.
		if runs < len(tables(t)) || batches != runs {
			t.Errorf("%d runs, %d batches", runs, batches)
		}
		open(t, toOpts)
	})
}

// The drivers have many errors for a canceled statement; callers have to check for one.
func TestACanceledMoveReturnsTheContextError(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		fill(t, from, 20)
		to := open(t, resuming(toOpts))
		canceled := 0
		for after := time.Duration(0); ; after += 4 * time.Millisecond {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(after, cancel)
			_, err := storecopy.Move(ctx, side(from), side(to), storecopy.Options{Batch: 5})
			timer.Stop()
			cancel()
			// the previous run completed when it was canceled
			if err == nil || canceled > 0 && errors.Is(err, storecopy.ErrNotEmpty) {
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("canceled after %s: %v", after, err)
			}
			canceled++
		}
		if canceled == 0 {
			t.Error("no move was canceled")
		}
		same(t, dump(t, from.Maintenance()), dump(t, to.Maintenance()))
	})
}

// A session that was ended in the source between two runs must not be valid in the target.
func TestMoveStartsOverIfTheSourceChanged(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		c := fill(t, from, 45)
		to := open(t, resuming(toOpts))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := storecopy.Move(ctx, side(from), side(to),
			storecopy.Options{Batch: 20, Progress: func(table string, rows, of int64) {
				if table == "sessions" && rows == of {
					cancel()
				}
			}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("not interrupted: %v", err)
		}
		change(t, from, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.EndSessions(ctx, store.SessionSelector{UserID: c.users[5].ID})
			return err
		})
		if _, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{}); err != nil {
			t.Fatal(err)
		}
		same(t, dump(t, from.Maintenance()), dump(t, to.Maintenance()))
		if _, _, err := to.SessionByToken(t.Context(), store.HashToken(c.sessions[5])); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("an ended session was revived: %v", err)
		}
	})
}

// While a store is moved, ending a session must not be acknowledged: the move could undo it.
func TestSourceCannotChangeDuringAMove(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from, server := open(t, fromOpts), open(t, fromOpts)
		c := fill(t, from, 10)
		to := open(t, resuming(toOpts))
		tried := 0
		_, err := storecopy.Move(t.Context(), side(from), side(to),
			storecopy.Options{Progress: func(table string, rows, of int64) {
				if table != "sessions" || rows != of {
					return
				}
				tried++
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				err := server.Change(ctx, func(tx store.Tx) error {
					_, err := tx.EndSessions(ctx, store.SessionSelector{UserID: c.users[2].ID})
					return err
				})
				if err == nil {
					t.Error("a sign-out was acknowledged after its session had been copied")
				}
				if _, _, err := server.SessionByToken(t.Context(), store.HashToken(c.sessions[2])); err != nil {
					t.Errorf("reading has to wait, too: %v", err)
				}
			}})
		if err != nil || tried != 1 {
			t.Fatalf("%v, tried %d times", err, tried)
		}
		same(t, dump(t, from.Maintenance()), dump(t, to.Maintenance()))
	})
}

func TestMoveRefusesANonEmptyTarget(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from, to := open(t, fromOpts), open(t, toOpts)
		fill(t, from, 3)
		change(t, to, func(ctx context.Context, tx store.Tx) error { return tx.SetSetting(ctx, "k", "v") })
		before := dump(t, to.Maintenance())
		_, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{})
		if !errors.Is(err, storecopy.ErrNotEmpty) || !strings.Contains(err.Error(), "settings: 1") {
			t.Fatalf("got %v", err)
		}
		after := dump(t, to.Maintenance())
		if len(after["settings"]) != 1 || len(after["users"]) != len(before["users"]) {
			t.Errorf("the target changed: %v", after)
		}
		open(t, toOpts) // not marked either
	})
}

// A move must not create a store without an administrator.
func TestMoveRefusesASourceWithoutAdministrator(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from, to := open(t, fromOpts), open(t, toOpts)
		fill(t, from, 3)
		if _, err := from.Maintenance().ExecContext(t.Context(),
			`UPDATE users SET active = 0 WHERE role = 'admin'`); err != nil {
			t.Fatal(err)
		}
		if _, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{}); !errors.Is(err,
			storecopy.ErrNoAdmin) {
			t.Fatalf("got %v", err)
		}
		open(t, toOpts)
	})
}

// If one side lacks a migration, a missing column is detected before anything is copied.
func TestMoveRefusesOtherSchemas(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"column": `ALTER TABLE users ADD COLUMN extra TEXT NOT NULL DEFAULT ''`,
		"table":  `CREATE TABLE extra (id TEXT NOT NULL PRIMARY KEY)`,
		"type":   `ALTER TABLE users ADD COLUMN extra REAL`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
				from, to := open(t, fromOpts), open(t, toOpts)
				fill(t, from, 3)
				if _, err := from.Maintenance().ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
				if _, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{}); err == nil {
					t.Fatal("moved without what only one side has")
				}
				open(t, toOpts)
			})
		})
	}
}

// A new column on both sides is copied without a change of code.
func TestMoveCopiesColumnsOfLaterMigrations(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from, to := open(t, fromOpts), open(t, resuming(toOpts))
		fill(t, from, 3)
		for _, db := range []*sqlstore.DB{from, to} {
			for _, statement := range []string{
				`ALTER TABLE users ADD COLUMN a_new_one TEXT NOT NULL DEFAULT ''`,
				`CREATE TABLE a_new_table (n BIGINT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (id, n))`,
			} {
				if _, err := db.Maintenance().ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, statement := range []string{
			`UPDATE users SET a_new_one = id`,
			`INSERT INTO a_new_table (n, id) VALUES (9007199254740993, 'x')`,
		} {
			if _, err := from.Maintenance().ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{}); err != nil {
			t.Fatal(err)
		}
		var n, other int64
		err := to.Maintenance().QueryRowContext(t.Context(),
			`SELECT (SELECT n FROM a_new_table), (SELECT count(*) FROM users WHERE a_new_one <> id)`).Scan(&n, &other)
		if err != nil || n != 9007199254740993 || other != 0 {
			t.Errorf("got %d, %d, %v", n, other, err)
		}
	})
}

// SQLite allows any value in any column. The error names the column and never the value, which may be a secret.
func TestMoveNamesMalformedValues(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"bytes": `x'ff00ff'`, "a zero": `'c4nary' || char(0)`, "nothing": `12`, "a float": `1.5`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := open(t, engines["sqlite"](t)), open(t, resuming(engines["postgres"](t)))
			fill(t, from, 3)
			column := "password_hash"
			if name == "nothing" || name == "a float" {
				column, value = "version", `'c4nary'`
			}
			if _, err := from.Maintenance().ExecContext(t.Context(), `UPDATE users SET `+column+` = `+value); err != nil {
				t.Fatal(err)
			}
			_, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{})
			damage := new(storecopy.DamageError)
			if !errors.As(err, &damage) || *damage != (storecopy.DamageError{Table: "users", Column: column}) ||
				strings.Contains(err.Error(), "c4nary") {
				t.Fatalf("got %v", err)
			}
		})
	}
}
