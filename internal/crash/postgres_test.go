package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// The stores of a worker: paths of SQLite or connection strings of PostgreSQL.
const (
	fromEnv = "GATEHOUSE_CRASH_FROM"
	toEnv   = "GATEHOUSE_CRASH_TO"
)

func optionsOf(at string) sqlstore.Options {
	if strings.HasPrefix(at, "postgres:") {
		return sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: at, Migrate: true}
	}
	return options(at)
}

func moveBetween(ctx context.Context, from, to string) error {
	target := optionsOf(to)
	target.Resume = true
	return with(ctx, optionsOf(from), func(a *sqlstore.DB) error {
		return with(ctx, target, func(b *sqlstore.DB) error {
			_, err := storecopy.Move(ctx, side(a), side(b), storecopy.Options{Batch: 20})
			return err
		})
	})
}

func restoreInto(ctx context.Context, from, to string) error {
	return with(ctx, optionsOf(from), func(a *sqlstore.DB) error {
		return with(ctx, optionsOf(to), func(b *sqlstore.DB) error {
			_, err := storecopy.Load(ctx, side(a), side(b),
				storecopy.Options{Replace: true, NeedAdmin: true, Batch: 20, Empty: []string{"changes"}})
			return err
		})
	})
}

func backupTo(ctx context.Context, from, to string) error {
	fill := func(path string, copyTo func(storecopy.Side) error) error {
		return with(ctx, options(path), func(db *sqlstore.DB) error { return copyTo(side(db)) })
	}
	return with(ctx, optionsOf(from), func(db *sqlstore.DB) error {
		return storecopy.Backup(ctx, side(db), to, fill, storecopy.Options{Batch: 20})
	})
}

func init() {
	between := func(f func(ctx context.Context, from, to string) error) func(context.Context, string) error {
		return func(ctx context.Context, _ string) error { return f(ctx, os.Getenv(fromEnv), os.Getenv(toEnv)) }
	}
	workers["move between"], workers["restore between"], workers["backup between"] = between(moveBetween), between(restoreInto), between(backupTo)
	workers["open between"] = between(func(ctx context.Context, _, to string) error {
		return with(ctx, optionsOf(to), func(db *sqlstore.DB) error { return db.Ping(ctx) })
	})
}

// killAt lets a process work for a while and kills it; it reports whether the process had ended before.
func killAt(t *testing.T, work, from, to string, after time.Duration) (done bool) {
	t.Helper()
	cmd := worker(t, work, "", fromEnv+"="+from, toEnv+"="+to)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("%s failed by itself: %v: %s", work, err, out.String())
		}
		return true
	case <-time.After(after): // waits: the moment of the kill
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return <-ended == nil
}

// within returns a random moment for a kill within about the time that the work takes.
func within(random *rand.Rand, took time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(took)))
}

// engines return locations for new stores.
var engines = map[string]func(t *testing.T) string{
	"sqlite":   func(t *testing.T) string { return filepath.Join(folder(t), storeName) },
	"postgres": testenvDSN,
}

func testenvDSN(t *testing.T) string { return testenv.PostgresDSN(t) }

// filledAt creates a store with users.
func filledAt(t *testing.T, at, mark string, n int) string {
	t.Helper()
	if err := with(t.Context(), optionsOf(at), func(db *sqlstore.DB) error { return people(t.Context(), db, mark, n) }); err != nil {
		t.Fatal(err)
	}
	return at
}

// eachEngine runs a test on both engines.
func eachEngine(t *testing.T, test func(t *testing.T, fresh func(t *testing.T) string, random *rand.Rand, times int)) {
	t.Helper()
	for name, fresh := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, long := rounds(t, 2)
			if long {
				n = max(2, n/20)
			}
			test(t, fresh, newRand(t), n)
		})
	}
}

func took(t *testing.T, work, from, to string) time.Duration {
	t.Helper()
	began := time.Now()
	if !killAt(t, work, from, to, time.Minute) {
		t.Fatalf("%s took more than a minute", work)
	}
	return time.Since(began)
}

func TestStoreStartsAfterAKillInAMigration(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, fresh func(t *testing.T) string, random *rand.Rand, times int) {
		full := took(t, "open between", "", fresh(t))
		for range times {
			at := fresh(t)
			for range 2 { // the second run starts on the result of the first
				killAt(t, "open between", "", at, within(random, full))
			}
			began := time.Now()
			if err := with(t.Context(), optionsOf(at), func(db *sqlstore.DB) error { return checkWhole(t.Context(), db) }); err != nil {
				t.Errorf("after a kill: %v", err)
			}
			if waited := time.Since(began); waited > 30*time.Second {
				t.Errorf("it waited %v for a lock that nobody needs", waited)
			}
		}
	})
}

func TestAKilledMoveContinues(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, fresh func(t *testing.T) string, random *rand.Rand, times int) {
		for other, freshSource := range engines {
			source := filledAt(t, freshSource(t), "source", 100)
			full := took(t, "move between", source, fresh(t))
			for range times {
				at := fresh(t)
				done := killAt(t, "move between", source, at, within(random, full))
				// A server that starts now finds a complete store, or an error that says what to do; never an incomplete one.
				err := with(t.Context(), optionsOf(at), func(db *sqlstore.DB) error {
					return errors.Join(checkWhole(t.Context(), db), hasContent(t.Context(), db, map[string]int{"": 0, "source": 100}))
				})
				if err != nil && !errors.Is(err, sqlstore.ErrIncomplete) {
					t.Errorf("from %s: a start after the kill: %v", other, err)
				}
				if err := moveBetween(t.Context(), source, at); err != nil &&
					(!errors.Is(err, storecopy.ErrNotEmpty) || !done && isCopying(t, at)) {
					t.Errorf("from %s: moving again: %v", other, err)
				}
				if err := with(t.Context(), optionsOf(at), func(db *sqlstore.DB) error {
					return errors.Join(checkWhole(t.Context(), db), hasContent(t.Context(), db, map[string]int{"source": 100}))
				}); err != nil {
					t.Errorf("from %s: after moving again: %v", other, err)
				}
				if err := with(t.Context(), optionsOf(source), func(db *sqlstore.DB) error {
					_, err := db.UserByUsername(t.Context(), "source7")
					return errors.Join(err, db.Change(t.Context(),
						func(tx store.Tx) error { return tx.SetSetting(t.Context(), "goes", "on") }))
				}); err != nil {
					t.Errorf("the source does not go on: %v", err)
				}
			}
		}
	})
}

func isCopying(t *testing.T, at string) bool {
	t.Helper()
	err := with(t.Context(), optionsOf(at), func(*sqlstore.DB) error { return nil })
	return errors.Is(err, sqlstore.ErrIncomplete)
}

func TestAKilledRestoreLeavesTheOldOrTheNewStore(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, fresh func(t *testing.T) string, random *rand.Rand, times int) {
		backup := filledAt(t, filepath.Join(folder(t), "backup.db"), "new", 80)
		full := took(t, "restore between", backup, filledAt(t, fresh(t), "old", 60))
		for range times {
			at := filledAt(t, fresh(t), "old", 60)
			contents := map[string]int{"old": 60, "new": 80}
			if killAt(t, "restore between", backup, at, within(random, full)) {
				delete(contents, "old")
			}
			if err := with(t.Context(), optionsOf(at), func(db *sqlstore.DB) error {
				return errors.Join(checkWhole(t.Context(), db), hasContent(t.Context(), db, contents))
			}); err != nil {
				t.Errorf("after a kill: %v", err)
			}
			if err := restoreInto(t.Context(), backup, at); err != nil {
				t.Errorf("restoring again: %v", err)
			}
		}
	})
}

func TestAKilledBackupIsCompleteOrMissing(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, fresh func(t *testing.T) string, random *rand.Rand, times int) {
		at := filledAt(t, fresh(t), "old", 60)
		dir := folder(t)
		full := took(t, "backup between", at, filepath.Join(dir, "first.db"))
		for i := range times {
			file := filepath.Join(dir, fmt.Sprintf("%d.db", i))
			done := killAt(t, "backup between", at, file, within(random, full))
			if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) && !done {
				continue
			}
			if err := with(t.Context(), options(file), func(db *sqlstore.DB) error {
				return errors.Join(checkWhole(t.Context(), db), hasContent(t.Context(), db, map[string]int{"old": 60}))
			}); err != nil {
				t.Errorf("a backup: %v", err)
			}
		}
	})
}
