package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// Several machines share a store: differences between their clocks help neither the user nor an attacker.
func TestAttemptsAreCountedByTheStoresClock(t *testing.T) {
	t.Parallel()
	path, dsn := filepath.Join(t.TempDir(), "gatehouse.db"), testenv.PostgresDSN(t)
	for _, opts := range []sqlstore.Options{
		{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true},
		{Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true},
	} {
		t.Run(opts.Engine, func(t *testing.T) {
			t.Parallel()
			machinesCount(t, opts)
		})
	}
}

func machinesCount(t *testing.T, opts sqlstore.Options) {
	type machine struct {
		store.Store
		clock func() time.Time
	}
	var machines []machine
	for _, off := range []time.Duration{0, 3 * time.Minute, -2 * time.Hour} {
		clock := func() time.Time { return time.Now().Add(off) }
		db, err := sqlstore.Open(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		db.SetMachineClock(clock)
		machines = append(machines, machine{db, clock})
	}
	begin := func(m machine, d time.Duration) time.Duration {
		t.Helper()
		wait, err := m.BeginAttempt(t.Context(), "ada", 2, time.Hour, m.clock().Add(d))
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	begin(machines[1], 0)
	begin(machines[2], 0) // a wait begins
	for i, m := range machines {
		if wait := begin(m, 0); wait <= 0 || wait > store.FirstWait {
			t.Errorf("machine %d waits %v, want no longer than %v", i, wait, store.FirstWait)
		}
	}
	if wait := begin(machines[0], store.FirstWait+time.Second); wait != 0 {
		t.Errorf("after the wait: %v", wait)
	}
	for i, m := range machines {
		if wait := begin(m, store.FirstWait+time.Second); wait <= 0 || wait > 2*store.FirstWait {
			t.Errorf("machine %d gains a guess, or waits too long: %v", i, wait)
		}
	}
}

// A user is signed out on one machine during or just before a sign-in on another: the order counts, whatever their
// clocks say.
func TestSignOutAndSignInAreOrderedByTheStoresClock(t *testing.T) {
	t.Parallel()
	dsn := testenv.PostgresDSN(t)
	type machine struct {
		store.Store
		clock func() time.Time
	}
	var machines []machine
	var passed atomic.Int64 // on all clocks
	for _, off := range []time.Duration{0, 3 * time.Minute, -2 * time.Hour} {
		clock := func() time.Time { return time.Now().Add(off + time.Duration(passed.Load())) }
		db, err := sqlstore.Open(t.Context(), sqlstore.Options{
			Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true,
			Clock: clock,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		db.SetMachineClock(func() time.Time { return time.Now().Add(off) })
		machines = append(machines, machine{db, clock})
	}
	change := func(m machine, fn func(tx store.Tx) error) {
		t.Helper()
		if err := m.Change(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	u := store.User{
		ID: store.NewID(time.Now()), Username: "ada", Role: store.RoleUser, Active: true,
		CreatedAt: time.Now(),
	}
	change(machines[0], func(tx store.Tx) error { return tx.CreateUser(t.Context(), u) })
	begin := func(m machine) store.TokenHash {
		at, hash := m.clock(), store.HashToken(store.NewToken())
		f := store.Flow{Hash: hash, Browser: hash, Purpose: "login", CreatedAt: at, ExpiresAt: time.Now().Add(24 * time.Hour)}
		change(m, func(tx store.Tx) error { return tx.CreateFlow(t.Context(), f) })
		passed.Add(int64(time.Second))
		return hash
	}
	for i, m := range machines {
		for j, other := range machines {
			before := begin(m)
			change(other, func(tx store.Tx) error { return tx.BumpEpoch(t.Context(), u.ID) })
			passed.Add(int64(time.Second))
			after := begin(m)
			for hash, want := range map[store.TokenHash]bool{before: true, after: false} {
				change(machines[(i+j)%3], func(tx store.Tx) error {
					f, err := tx.TakeFlow(t.Context(), hash, time.Now())
					if err != nil {
						return err
					}
					ended, err := tx.Marked(t.Context(), store.MarkEnded, u.ID, f.CreatedAt.Add(store.EndedMarkTTL))
					if ended != want {
						t.Errorf("begun on %d, ended on %d: %t, want %t", i, j, ended, want)
					}
					return err
				})
			}
		}
	}
}

// A change uses a single connection: waiting for a second one could deadlock with changes that wait for this one.
func TestAChangeNeedsNoSecondConnection(t *testing.T) {
	t.Parallel()
	db := testenv.OpenPostgres(t, testenv.MigratedDSN(t))
	at := time.Now().UTC().Truncate(time.Millisecond)
	u := store.User{
		ID: store.NewID(at), Username: "ada", Role: store.RoleUser, Active: true, Origin: store.OriginLocal,
		CreatedAt: at,
	}
	if err := db.Change(t.Context(), func(tx store.Tx) error { return tx.CreateUser(t.Context(), u) }); err != nil {
		t.Fatal(err)
	}
	var held []*sql.Conn // all connections but the one of the change
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for range db.Writer().Stats().MaxOpenConnections - db.Writer().Stats().InUse - 1 {
		c, err := db.Writer().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	state, browser := store.HashToken(store.NewToken()), store.HashToken(store.NewToken())
	err := db.Change(ctx, func(tx store.Tx) error {
		u, err := tx.User(ctx, u.ID)
		if err != nil {
			return err
		}
		u.Active = false
		_, err = tx.UpdateUser(ctx, u)
		_, marked := tx.Marked(ctx, "kind", "key", at)
		made := tx.CreateFlow(ctx, store.Flow{Hash: state, Browser: browser, CreatedAt: at, ExpiresAt: at.Add(time.Hour)})
		_, taken := tx.TakeFlow(ctx, state, at)
		return errors.Join(err, tx.Mark(ctx, "kind", "key", at.Add(time.Hour)), marked, made, taken, tx.BumpEpoch(ctx, u.ID))
	})
	if err != nil {
		t.Fatal(err)
	}
}
