package caddyauth_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// at has a server use the PostgreSQL at dsn.
func at(dsn string) option {
	return func(s *caddyServer) { s.place = testenv.Place{Engine: "postgres", DSN: dsn} }
}

// closed waits until a person who is signed in gets 503, and checks that no request waits long, that the response says
// when to try again, and that nothing else opens meanwhile.
func closed(t *testing.T, b *browser, what string) {
	t.Helper()
	eventuallyFor(t, 30*time.Second, "the gate to close: "+what, func() bool {
		begin := time.Now()
		a := b.fetch("/x")
		if took := time.Since(begin); took > 15*time.Second { // ten by design: the wait for a connection
			t.Errorf("%s: an answer took %v", what, took)
		}
		if a.StatusCode != 503 && a.StatusCode != 200 {
			t.Fatalf("%s: answered %d", what, a.StatusCode)
		}
		return a.StatusCode == 503 && a.Header.Get("Retry-After") != ""
	})
	// A connection that comes free for a moment may find no such session: 401 is right then.
	anonymousBrowser := anonymousBrowser(b.s)
	eventuallyFor(t, 30*time.Second, "an unknown session to be answered 503: "+what, func() bool {
		a := anonymousBrowser.fetch("/x")
		if a.StatusCode != 503 && a.StatusCode != 401 {
			t.Fatalf("%s: an unknown session is answered %d", what, a.StatusCode)
		}
		return a.StatusCode == 503
	})
	checkNoSignIn(t, b.s, what)
}

// checkNoSignIn sees that a right password is neither taken nor called wrong.
func checkNoSignIn(t *testing.T, s *caddyServer, what string) {
	t.Helper()
	begin := time.Now()
	a := s.browser().post("/_auth/login", "username", adminName, "password", adminPass)
	if took := time.Since(begin); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || took > 25*time.Second {
		t.Errorf("%s: a sign-in is answered %d after %v", what, a.StatusCode, took)
	}
}

// waitForRecovery waits until everything works again, without a restart.
func waitForRecovery(t *testing.T, b *browser, what string) {
	t.Helper()
	eventuallyFor(t, 60*time.Second, "the gate to heal: "+what, func() bool {
		return b.reaches("/x") && b.fetch("/_auth/healthz").StatusCode == 200
	})
	eventuallyFor(t, 60*time.Second, "sign-ins: "+what, func() bool {
		return b.s.browser().post("/_auth/login", "username", adminName, "password", adminPass).StatusCode == 303
	})
}

// Whatever happens to PostgreSQL, the gate is closed in bounded time, never open, and recovers by itself.
func TestTheGateClosesAndRecoversFromEveryPostgreSQLFailure(t *testing.T) {
	server := testenv.NewServer(t, "-c", "max_connections=40")
	s := startAdmin(t, "gatehouse", at(server.DSN()), withGlobal("throttle {\n\tclient 100000/1m\n}"))
	b := s.browser()
	b.signIn(adminName, adminPass)

	server.Stop()
	closed(t, b, "stopped")
	server.Start()
	waitForRecovery(t, b, "stopped")

	release := hog(t, server.DSN())
	closed(t, b, "no connection left")
	release()
	waitForRecovery(t, b, "no connection left")

	const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatehouse'"
	testenv.PostgresExec(t, server.DSN(), "ALTER SYSTEM SET default_transaction_read_only = on")
	testenv.PostgresExec(t, server.DSN(), "SELECT pg_reload_conf()")
	testenv.PostgresExec(t, server.DSN(), cut) // a connection keeps its setting
	eventually(t, "people who are signed in to go on: read-only", func() bool { return b.reaches("/x") })
	checkNoSignIn(t, s, "read-only")
	if a := b.post("/_auth/logout"); a.StatusCode != 503 || !b.reaches("/x") {
		t.Errorf("read-only: a sign-out that could not be written is answered %d", a.StatusCode)
	}
	testenv.PostgresExec(t, server.DSN(), "ALTER SYSTEM RESET default_transaction_read_only")
	testenv.PostgresExec(t, server.DSN(), "SELECT pg_reload_conf()")
	waitForRecovery(t, b, "read-only")

	// Only the connection that listens is cut: nothing is noticed, and changes are received all the while.
	other := s.openStore()
	for range 2 {
		testenv.PostgresExec(t, server.DSN(), cut+" AND query LIKE 'LISTEN%'")
		live := s.browser()
		live.signIn(adminName, adminPass)
		if !live.reaches("/x") || !b.reaches("/x") {
			t.Fatal("the listening connection was cut, and requests fail")
		}
		endAll(t, other)
		withinASecond(t, "an ending without a listener to arrive", func() bool { return !live.reaches("/x") })
		b.signIn(adminName, adminPass)
	}
}

// hog takes every connection of a server until the returned function is called.
func hog(t *testing.T, dsn string) (release func()) {
	t.Helper()
	var held []*pgx.Conn
	ctx := context.Background()
	take := func() bool {
		c, err := pgx.Connect(ctx, dsn)
		if err == nil {
			held = append(held, c)
		}
		return err == nil
	}
	if !take() {
		t.Fatal("there is no connection to begin with")
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if take() {
				continue
			}
			if _, err := held[0].Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatehouse'"); err != nil {
				t.Errorf("taking connections away: %v", err)
				return
			}
			time.Sleep(5 * time.Millisecond) // waits: a pause between statements, as connections go a moment later
		}
	}()
	return func() {
		close(stop)
		<-stopped
		for _, c := range held {
			_ = c.Close(ctx) // the server may have closed it
		}
	}
}

// A failover: the primary is gone, the standby is read-only until it is promoted, the address moves. What was
// acknowledged before is in force after, and nothing has to be restarted.
func TestAFailoverLosesNothingThatWasAcknowledged(t *testing.T) {
	primary := testenv.NewServer(t)
	standby := primary.Standby()
	proxy, dsn := testenv.ProxyTo(t, primary.DSN())
	s := startAdmin(t, "gatehouse", at(dsn), withGlobal("throttle {\n\tclient 100000/1m\n}"))
	live, over := s.browser(), s.browser()
	live.signIn(adminName, adminPass)
	over.signIn(adminName, adminPass)
	token := over.cookie()
	over.post("/_auth/logout")
	over.setCookie(token)

	primary.Stop()
	closed(t, live, "the primary is gone")
	proxy.Redirect(standby.Addr())
	eventuallyFor(t, 60*time.Second, "people who are signed in to go on at the standby", func() bool { return live.reaches("/x") })
	if over.reaches("/x") {
		t.Error("a session that was ended before goes on at the standby")
	}
	checkNoSignIn(t, s, "at a standby")
	standby.Promote()
	waitForRecovery(t, live, "after the failover")
	if over.reaches("/x") {
		t.Error("a session that was ended before goes on after the failover")
	}
	if live.post("/_auth/logout"); live.reaches("/x") {
		t.Error("a sign-out after the failover ends nothing")
	}
}

// The same with both servers in the DSN and nothing between.
func TestADSNWithSeveralHostsFollowsThePrimary(t *testing.T) {
	primary := testenv.NewServer(t)
	standby := primary.Standby()
	s := startAdmin(t, "gatehouse", withGlobal("throttle {\n\tclient 100000/1m\n}"),
		at("postgres://gatehouse@"+standby.Addr()+","+primary.Addr()+"/postgres?sslmode=disable&target_session_attrs=read-write"))
	b := s.browser()
	b.signIn(adminName, adminPass)
	primary.Stop()
	closed(t, b, "the primary is gone")
	standby.Promote()
	waitForRecovery(t, b, "after the failover")
}

// endAll ends every session as another process does.
func endAll(t *testing.T, st store.Store) {
	t.Helper()
	err := st.Change(t.Context(), func(tx store.Tx) error {
		_, err := tx.EndSessions(t.Context(), store.SessionSelector{All: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
