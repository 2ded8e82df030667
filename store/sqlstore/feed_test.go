package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func setSetting(ctx context.Context, db *sqlstore.DB, key string) error {
	return db.Change(ctx, func(tx store.Tx) error { return tx.SetSetting(ctx, key, "v") })
}

func TestMissingChangeRowsReportThatEverythingChanged(t *testing.T) {
	t.Parallel()
	all := store.Change{Kind: store.ChangeAll}
	for name, db := range map[string]*sqlstore.DB{"sqlite": testenv.SQLite(t), "postgres": testenv.Postgres(t)} {
		for i := range 5 {
			if err := setSetting(t.Context(), db, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		r := storetest.Watch(t, db)
		for _, statement := range []string{
			`UPDATE change_counter SET seq = seq + 3`, // as if their rows were deleted
			`UPDATE change_counter SET seq = 2`,       // as if the store was restored to an earlier state
		} {
			r.Take()
			if _, err := db.Writer().ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			within(t, 10*time.Second, name+": "+statement, func() bool { return r.Count(all) == 1 })
		}
	}
}

func TestReplacedFileIsNoticed(t *testing.T) {
	t.Parallel()
	// A process that keeps a deleted file open would never learn of sessions that are ended in the new one.
	for name, break_ := range map[string]func(path string) error{
		"deleted": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		path := filepath.Join(t.TempDir(), "gatehouse.db")
		db := testenv.OpenSQLite(t, path)
		r := storetest.Watch(t, db)
		if err := break_(path); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: ping says %v", name, err)
		}
		// One poll may be in progress; after that Synced is not called, so that caches are not used.
		time.Sleep(300 * time.Millisecond) // waits: for that poll, which nothing else shows
		at := time.Now()
		time.Sleep(300 * time.Millisecond) // waits: longer than a poll takes to come, to see that none does
		if r.LastSynced().After(at) {
			t.Errorf("%s: Synced is still called", name)
		}
	}
}

func TestReconnectsWithoutMissingChanges(t *testing.T) {
	t.Parallel()
	dsn := testenv.PostgresDSN(t)
	a, b := testenv.OpenPostgres(t, dsn), testenv.OpenPostgres(t, dsn)
	r := storetest.Watch(t, b)
	for i := range 3 {
		testenv.PostgresExec(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		key := fmt.Sprint(i)
		within(t, 10*time.Second, "a change after the loss", func() bool { return setSetting(t.Context(), a, key) == nil })
		want := store.Change{Kind: store.ChangeSetting, Subject: key}
		within(t, 10*time.Second, "news of it", func() bool { return r.Count(want) > 0 })
	}
}

func TestChangesArriveThroughAPoolerWithoutNotify(t *testing.T) {
	t.Parallel()
	// LISTEN does not work through PgBouncer in transaction mode: polling has to be enough.
	dsn := testenv.PostgresDSN(t)
	a := testenv.OpenPostgres(t, dsn)
	proxy := startProxy(t, dsn)
	proxy.refuse = []byte("LISTEN ")
	b := testenv.OpenPostgres(t, proxy.dsn)
	r := storetest.Watch(t, b)
	for i := range 3 {
		key := fmt.Sprint(i)
		if err := setSetting(t.Context(), a, key); err != nil {
			t.Fatal(err)
		}
		want := store.Change{Kind: store.ChangeSetting, Subject: key}
		within(t, 5*time.Second, "news", func() bool { return r.Count(want) == 1 })
	}
	if proxy.refused.Load() == 0 {
		t.Fatal("LISTEN was never tried: the test proves nothing")
	}
}

func TestCommitWithUnknownOutcomeIsReported(t *testing.T) {
	t.Parallel()
	// The connection is cut between commit and response: sessions may have ended, so this process must drop them from
	// its cache, and once more when the poll finds the commit.
	dsn := testenv.PostgresDSN(t)
	proxy := startProxy(t, dsn)
	db := testenv.OpenPostgres(t, proxy.dsn)
	r := storetest.Watch(t, db)
	origin := db.Origin()
	proxy.cutAfter.Store(true)
	err := setSetting(t.Context(), db, "k")
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	want := store.Change{Kind: store.ChangeSetting, Subject: "k"}
	if r.Count(want) == 0 {
		t.Error("it was not reported before the call returned")
	}
	if proxy.cuts.Load() == 0 {
		t.Fatal("no commit was cut: the test proves nothing")
	}
	within(t, 10*time.Second, "the commit", func() bool { v, err := db.Setting(t.Context(), "k"); return err == nil && v == "v" })
	within(t, 10*time.Second, "the second report", func() bool { return r.Count(want) == 2 })
	if db.Origin() == origin {
		t.Error("later changes carry the abandoned origin")
	}
}
