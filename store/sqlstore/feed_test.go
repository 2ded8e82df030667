package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// recorder is a watcher that remembers what it is told.
type recorder struct {
	mu      sync.Mutex
	changes []store.Change
	synced  time.Time
}

func (r *recorder) Changed(changes []store.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, changes...)
}

func (r *recorder) Synced(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.synced = at
}

func (r *recorder) count(c store.Change) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.changes {
		if other == c {
			n++
		}
	}
	return n
}

func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = nil
}

func (r *recorder) syncedAfter(at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.synced.After(at)
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// watch starts a recorder that is up to date.
func watch(t *testing.T, db *sqlstore.DB) *recorder {
	t.Helper()
	r := &recorder{}
	t.Cleanup(db.Watch(r))
	at := time.Now()
	within(t, 10*time.Second, "Synced", func() bool { return r.syncedAfter(at) })
	r.forget()
	return r
}

func setSetting(ctx context.Context, db *sqlstore.DB, key string) error {
	return db.Change(ctx, func(tx store.Tx) error { return tx.SetSetting(ctx, key, "v") })
}

func TestLostRowsOfTheFeedTellThatEverythingChanged(t *testing.T) {
	t.Parallel()
	all := store.Change{Kind: store.ChangeAll}
	for name, db := range map[string]*sqlstore.DB{"sqlite": testenv.SQLite(t), "postgres": testenv.Postgres(t)} {
		for i := range 5 {
			if err := setSetting(t.Context(), db, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		r := watch(t, db)
		for _, statement := range []string{
			`UPDATE change_counter SET seq = seq + 3`, // as if their rows were pruned
			`UPDATE change_counter SET seq = 2`,       // as if the store was put back to an earlier state
		} {
			r.forget()
			if _, err := db.Writer().ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			within(t, 10*time.Second, name+": "+statement, func() bool { return r.count(all) == 1 })
		}
	}
}

func TestReplacedFileIsNoticed(t *testing.T) {
	t.Parallel()
	// A process alone with a deleted file would never learn of sessions that are ended in the new one.
	for name, break_ := range map[string]func(path string) error{
		"deleted": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		path := filepath.Join(t.TempDir(), "gatehouse.db")
		db := testenv.OpenSQLite(t, path)
		r := watch(t, db)
		if err := break_(path); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: ping says %v", name, err)
		}
		// One poll may be under way; after that no Synced comes, so that nobody answers from memory.
		time.Sleep(300 * time.Millisecond) // waits: for that poll, which nothing else shows
		at := time.Now()
		time.Sleep(300 * time.Millisecond) // waits: longer than a poll takes to come, to see that none does
		if r.syncedAfter(at) {
			t.Errorf("%s: Synced still comes", name)
		}
	}
}

func TestLostConnectionsAreMadeAgainAndNothingIsMissed(t *testing.T) {
	t.Parallel()
	dsn := testenv.PostgresDSN(t)
	a, b := testenv.OpenPostgres(t, dsn), testenv.OpenPostgres(t, dsn)
	r := watch(t, b)
	for i := range 3 {
		testenv.PostgresExec(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		key := fmt.Sprint(i)
		within(t, 10*time.Second, "a change after the loss", func() bool { return setSetting(t.Context(), a, key) == nil })
		want := store.Change{Kind: store.ChangeSetting, Subject: key}
		within(t, 10*time.Second, "news of it", func() bool { return r.count(want) > 0 })
	}
}

func TestChangesOverAPoolerThatSwallowsNotify(t *testing.T) {
	t.Parallel()
	// LISTEN does not work through PgBouncer in transaction mode: the poll has to do alone.
	dsn := testenv.PostgresDSN(t)
	a := testenv.OpenPostgres(t, dsn)
	proxy := startProxy(t, dsn)
	proxy.refuse = []byte("LISTEN ")
	b := testenv.OpenPostgres(t, proxy.dsn)
	r := watch(t, b)
	for i := range 3 {
		key := fmt.Sprint(i)
		if err := setSetting(t.Context(), a, key); err != nil {
			t.Fatal(err)
		}
		want := store.Change{Kind: store.ChangeSetting, Subject: key}
		within(t, 5*time.Second, "news", func() bool { return r.count(want) == 1 })
	}
	if proxy.refused.Load() == 0 {
		t.Fatal("nobody tried to listen: the test shows nothing")
	}
}

func TestCommitWhoseAnswerIsLostIsToldAsIfItHappened(t *testing.T) {
	t.Parallel()
	// A cut line between commit and answer: the sessions may be ended, so this process must forget them, and once more
	// when the poll shows when it really happened.
	dsn := testenv.PostgresDSN(t)
	proxy := startProxy(t, dsn)
	db := testenv.OpenPostgres(t, proxy.dsn)
	r := watch(t, db)
	origin := db.Origin()
	proxy.cutAfter.Store(true)
	err := setSetting(t.Context(), db, "k")
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	want := store.Change{Kind: store.ChangeSetting, Subject: "k"}
	if r.count(want) == 0 {
		t.Error("it was not told before the call returned")
	}
	if proxy.cuts.Load() == 0 {
		t.Fatal("no commit was cut: the test shows nothing")
	}
	within(t, 10*time.Second, "the commit", func() bool { v, err := db.Setting(t.Context(), "k"); return err == nil && v == "v" })
	within(t, 10*time.Second, "told again", func() bool { return r.count(want) == 2 })
	if db.Origin() == origin {
		t.Error("its later changes carry the origin that is told of")
	}
}
