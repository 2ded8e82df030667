package sqlstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

// After a failover that loses changes which this process has seen, later changes reuse their sequence numbers. A
// process that continued to count would miss them: a session that was ended in one would stay in its cache.
func TestAFailoverThatLosesChangesDropsCachedData(t *testing.T) {
	t.Parallel()
	primary := testenv.NewServer(t)
	old := testenv.OpenPostgres(t, primary.DSN())
	standby := primary.Standby()
	proxy, dsn := testenv.ProxyTo(t, primary.DSN())
	db := testenv.OpenPostgres(t, dsn)
	r := storetest.Watch(t, db)

	// The standby receives nothing any more, and the primary still acknowledges.
	testenv.PostgresExec(t, primary.DSN(), "ALTER SYSTEM RESET synchronous_standby_names")
	testenv.PostgresExec(t, primary.DSN(), "SELECT pg_reload_conf()")
	testenv.PostgresExec(t, standby.DSN(), "ALTER SYSTEM SET primary_conninfo = ''")
	testenv.PostgresExec(t, standby.DSN(), "SELECT pg_reload_conf()")
	within(t, 30*time.Second, "the standby to be alone", func() bool {
		return testenv.PostgresText(t, standby.DSN(), "SELECT count(*) FROM pg_stat_wal_receiver") == "0"
	})
	const lost = 3
	for i := range lost {
		key := fmt.Sprintf("lost%d", i)
		if err := setSetting(t.Context(), old, key); err != nil {
			t.Fatal(err)
		}
		within(t, 10*time.Second, "news of it", func() bool {
			return r.Count(store.Change{
				Kind:    store.ChangeSetting,
				Subject: key,
			}) == 1
		})
	}
	proxy.Cut()
	primary.Stop()
	standby.Promote()
	direct := testenv.OpenPostgres(t, strings.Replace(standby.DSN(), primary.Addr(), standby.Addr(), 1))
	for i := range lost + 2 { // more than were lost
		if err := setSetting(t.Context(), direct, fmt.Sprintf("new%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	r.Take()
	proxy.Redirect(standby.Addr())
	within(t, 30*time.Second, "word that everything may have changed", func() bool {
		return r.Count(store.Change{Kind: store.ChangeAll}) > 0
	})
	if err := setSetting(t.Context(), direct, "later"); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "news of the new server", func() bool {
		return r.Count(store.Change{Kind: store.ChangeSetting, Subject: "later"}) == 1
	})
	if n := r.Count(store.Change{Kind: store.ChangeAll}); n != 1 {
		t.Errorf("everything was forgotten %d times", n)
	}
}
