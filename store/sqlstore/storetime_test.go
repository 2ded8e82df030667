package sqlstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// Several machines on one store: what their clocks say is no matter, neither for the person nor for who guesses.
func TestMachinesWhoseClocksAreApartCountByTheStoresClock(t *testing.T) {
	t.Parallel()
	path, dsn := filepath.Join(t.TempDir(), "gatehouse.db"), testenv.PostgresDSN(t)
	for _, opts := range []sqlstore.Options{
		{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true}, {Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true},
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
		db.OnMachine(clock)
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
