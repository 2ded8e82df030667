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

// onPairs runs a test for every way between the engines.
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

// Every table, every column, every row; and what was counted, spent and signed in goes on in the new store.
func TestMoveCarriesEverything(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		c := fill(t, from, 75)
		to := open(t, filling(toOpts))
		list, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{Batch: 20})
		if err != nil {
			t.Fatal(err)
		}
		same(t, dump(t, from.Maintenance()), dump(t, to.Maintenance()))
		if len(list) != len(tables(t)) {
			t.Errorf("told of %d tables, there are %d", len(list), len(tables(t)))
		}
		moved := open(t, toOpts) // as a server does
		lives(t, moved, c)
	})
}

// lives looks at a moved store through the contract.
func lives(t *testing.T, db *sqlstore.DB, c content) {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	for _, i := range []int{0, 1, len(c.users) - 1} {
		_, u, err := db.SessionByToken(ctx, store.HashToken(c.sessions[i]))
		if err != nil || u.ID != c.users[i].ID || u.Username != c.users[i].Username {
			t.Errorf("session %d: %q, %v", i, u.Username, err)
		}
	}
	// The index of texts is not copied: it has to have followed.
	found, err := db.Users(ctx, store.UserQuery{Text: strings.ToUpper(c.users[1].Username), Group: c.users[1].Groups[0]})
	if err != nil || len(found.Items) != 1 || found.Items[0].ID != c.users[1].ID {
		t.Errorf("a search finds %+v, %v", found.Items, err)
	}
	if wait, err := db.BeginAttempt(ctx, "account", 2, time.Hour, now); err != nil || wait <= 0 {
		t.Errorf("the throttle forgot: %v, %v", wait, err)
	}
	err = db.Change(ctx, func(tx store.Tx) error {
		if fresh, err := tx.Once(ctx, "jti", "1", now, now.Add(time.Hour)); err != nil || fresh {
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

// TestMoveGoesOnAfterEveryInterruption ends each run after one more batch, until one comes to the end. In between no
// server opens the target.
func TestMoveGoesOnAfterEveryInterruption(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		fill(t, from, 75)
		runs, batches := 0, 0
		for ; ; runs++ {
			to := open(t, filling(toOpts))
			ctx, cancel := context.WithCancelCause(t.Context())
			first := make(map[string]bool)
			_, err := storecopy.Move(ctx, side(from), side(to), storecopy.Options{Batch: 20, Progress: func(table string, _, _ int64) {
				if !first[table] { // told where it goes on from; no batch yet
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
			if !errors.Is(err, sqlstore.ErrIncomplete) || !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "store migrate") {
				t.Fatalf("a server would use half a store: %v", err)
			}
		}
		// Nothing was copied twice: there are as many batches as one run without interruption has.
		if runs < len(tables(t)) || batches != runs {
			t.Errorf("%d runs, %d batches", runs, batches)
		}
		open(t, toOpts)
	})
}

// The drivers have many words for a statement that was canceled while it ran; a caller has to know one.
func TestACancelledMoveSaysSo(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		fill(t, from, 20)
		to := open(t, filling(toOpts))
		canceled := 0
		for after := time.Duration(0); ; after += 4 * time.Millisecond {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(after, cancel)
			_, err := storecopy.Move(ctx, side(from), side(to), storecopy.Options{Batch: 5})
			timer.Stop()
			cancel()
			if err == nil || canceled > 0 && errors.Is(err, storecopy.ErrNotEmpty) { // the one before ended as it was canceled
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

// What was ended in the source between two runs must not live in the target (P-REVOKE).
func TestMoveBeginsAnewWhenTheSourceWentOn(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		c := fill(t, from, 45)
		to := open(t, filling(toOpts))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := storecopy.Move(ctx, side(from), side(to), storecopy.Options{Batch: 20, Progress: func(table string, rows, of int64) {
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
			t.Fatalf("an ended session came back: %v", err)
		}
	})
}

// While a store is moved nobody can end a session in it and be told that it worked.
func TestSourceCannotChangeWhileItIsMoved(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from, server := open(t, fromOpts), open(t, fromOpts)
		c := fill(t, from, 10)
		to := open(t, filling(toOpts))
		tried := 0
		_, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{Progress: func(table string, rows, of int64) {
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

func TestMoveRefusesATargetWithSomethingInIt(t *testing.T) {
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

// The last administrator: no move makes a store that nobody can administer.
func TestMoveRefusesASourceWithoutAdministrator(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from, to := open(t, fromOpts), open(t, toOpts)
		fill(t, from, 3)
		if _, err := from.Maintenance().ExecContext(t.Context(), `UPDATE users SET active = 0 WHERE role = 'admin'`); err != nil {
			t.Fatal(err)
		}
		if _, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{}); !errors.Is(err, storecopy.ErrNoAdmin) {
			t.Fatalf("got %v", err)
		}
		open(t, toOpts)
	})
}

// A migration that one side lacks: a column that would be left behind is found before anything is copied.
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

// A new column on both sides is carried without a word of code about it.
func TestMoveCarriesColumnsOfLaterMigrations(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from, to := open(t, fromOpts), open(t, filling(toOpts))
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
		for _, statement := range []string{`UPDATE users SET a_new_one = id`, `INSERT INTO a_new_table (n, id) VALUES (9007199254740993, 'x')`} {
			if _, err := from.Maintenance().ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := storecopy.Move(t.Context(), side(from), side(to), storecopy.Options{}); err != nil {
			t.Fatal(err)
		}
		var n, other int64
		err := to.Maintenance().QueryRowContext(t.Context(), `SELECT (SELECT n FROM a_new_table), (SELECT count(*) FROM users WHERE a_new_one <> id)`).Scan(&n, &other)
		if err != nil || n != 9007199254740993 || other != 0 {
			t.Errorf("got %d, %d, %v", n, other, err)
		}
	})
}

// SQLite keeps anything anywhere. The error names the place and never the value, which may be a secret (P-SECRETS).
func TestMoveNamesMalformedValues(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"bytes": `x'ff00ff'`, "a zero": `'c4nary' || char(0)`, "nothing": `12`, "a float": `1.5`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := open(t, engines["sqlite"](t)), open(t, filling(engines["postgres"](t)))
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
			if !errors.As(err, &damage) || *damage != (storecopy.DamageError{Table: "users", Column: column}) || strings.Contains(err.Error(), "c4nary") {
				t.Fatalf("got %v", err)
			}
		})
	}
}
