package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const longGrace = 5 * time.Minute

// outage is a manager on PostgreSQL behind a proxy that can be made to fail.
type outage struct {
	*fixture
	proxy *testenv.Proxy
	logs  *observer.ObservedLogs
}

func setUpOutage(t *testing.T) *outage {
	t.Helper()
	proxy, dsn := testenv.PostgresProxy(t)
	core, logs := observer.New(zap.InfoLevel)
	f := &fixture{Store: testenv.OpenPostgres(t, dsn), clock: testenv.NewClock(time.Now())}
	f.m = session.NewManager(f.Store, session.Options{Clock: f.clock.Now, Log: zap.New(core)})
	t.Cleanup(f.m.Close)
	f.user = f.addUser(t, "ada")
	o := &outage{f, proxy, logs}
	o.confirm(t) // the first poll of the store clears the cache
	return o
}

// known creates a session and waits until a poll has finished after it was read.
func (o *outage) known(t *testing.T) (string, store.Session) {
	t.Helper()
	token, s := o.start(t, o.user, false)
	if !o.alive(t, token) {
		t.Fatal("a new session is not live")
	}
	o.confirm(t)
	return token, s
}

// confirm waits for a poll of the store that began after now.
func (o *outage) confirm(t *testing.T) {
	t.Helper()
	news := &newsWatcher{after: time.Now(), came: make(chan struct{})}
	defer o.Watch(news)()
	select {
	case <-news.came:
	case <-time.After(20 * time.Second):
		t.Fatal("no news from the store")
	}
}

type newsWatcher struct {
	after time.Time
	came  chan struct{}
	done  bool
}

func (n *newsWatcher) Changed([]store.Change) {}
func (n *newsWatcher) Synced(at time.Time) {
	if !n.done && at.After(n.after) {
		n.done = true
		close(n.came)
	}
}

// stale waits until the cache may no longer be used for a session that it has.
func (o *outage) stale(t *testing.T, token string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := o.m.Peek(t.Context(), token); errors.Is(err, store.ErrUnavailable) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the store or the cache answers")
		}
	}
}

func (o *outage) within(t *testing.T, token string) (graced bool, err error) {
	t.Helper()
	l, graced, err := o.m.ResolveWithGrace(t.Context(), token, longGrace)
	if (err == nil) != (l != nil) {
		t.Fatalf("session %v, error %v", l, err)
	}
	return graced, err
}

// refused fails the test if a request with the token is served.
func (o *outage) refused(t *testing.T, token, why string) {
	t.Helper()
	if graced, err := o.within(t, token); err == nil {
		t.Errorf("%s: the session goes on, graced=%v", why, graced)
	}
}

func (o *outage) end(t *testing.T, s store.Session) {
	t.Helper()
	o.change(t, func(tx store.Tx) error {
		_, err := tx.EndSessions(t.Context(), store.SessionSelector{ID: s.ID})
		return err
	})
}

// An unavailable store delays the first requests only, and not for long: after that it is known to be unavailable, and
// pinged in the background.
func TestWithinTheGraceASessionGoesOnWithoutTheStore(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*testenv.Proxy){
		"gone":    (*testenv.Proxy).Cut,
		"hanging": (*testenv.Proxy).Hang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := setUpOutage(t)
			token, _ := o.known(t)
			if graced, err := o.within(t, token); err != nil || graced {
				t.Fatalf("with a store that answers: graced=%v, %v", graced, err)
			}
			fail(o.proxy)
			o.stale(t, token)
			if graced, err := o.within(t, token); err != nil || !graced {
				t.Fatalf("graced=%v, %v", graced, err)
			}
			began := time.Now()
			for range 100 {
				if graced, err := o.within(t, token); err != nil || !graced {
					t.Fatalf("graced=%v, %v", graced, err)
				}
			}
			if took := time.Since(began); took > 5*time.Second { // with a timeout for each: at least 100 s
				t.Errorf("100 requests took %v", took)
			}
			if n, active := o.m.GraceStatus(); n != 101 || !active {
				t.Errorf("%d requests counted, active=%v", n, active)
			}
			// Without store_grace, and for pages, requests are denied.
			for _, resolve := range []func(context.Context, string) (*session.Live, error){o.m.Resolve, o.m.Peek} {
				if _, err := resolve(t.Context(), token); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("without grace: %v", err)
				}
			}
			o.refused(t, store.NewToken(), "an unknown token")
			o.proxy.Heal()
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				graced, err := o.within(t, token)
				if _, active := o.m.GraceStatus(); err == nil && !graced && !active {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the store is back: graced=%v, %v", graced, err)
				}
			}
			for _, text := range []string{"store unavailable", "store available again"} {
				if o.logs.FilterMessageSnippet(text).Len() != 1 {
					t.Errorf("the log does not say once: %s", text)
				}
			}
		})
	}
}

// A program goes on like a session: for the grace, if its token was used before, and not if it had ended.
func TestWithinTheGraceAProgramGoesOnWithoutTheStore(t *testing.T) {
	t.Parallel()
	o := setUpOutage(t)
	cookie, _ := o.known(t)
	used, _ := o.token(t, o.user)
	unused, _ := o.token(t, o.user)
	revoked, gone := o.token(t, o.user)
	short, _ := o.token(t, o.user, func(token *store.Token) { token.ExpiresAt = token.CreatedAt.Add(time.Hour) })
	for _, text := range []string{used, revoked, short} {
		if !o.acts(t, text) {
			t.Fatal("a new token is not good")
		}
	}
	o.change(t, func(tx store.Tx) error {
		_, err := tx.DeleteTokens(t.Context(), store.TokenSelector{ID: gone.ID})
		return err
	})
	o.confirm(t)
	o.proxy.Cut()
	o.stale(t, cookie)
	within := func(text string, grace time.Duration) bool {
		l, graced, err := o.m.ResolveToken(t.Context(), text, tokenClient, grace)
		return err == nil && graced && l.Token != nil
	}
	if !within(used, longGrace) || !within(short, longGrace) {
		t.Error("a token in use does not go on")
	}
	if within(used, 0) || within(unused, longGrace) || within(revoked, longGrace) || within(cookie, longGrace) {
		t.Error("what was not a token in use goes on, or without a grace")
	}
	if _, err := o.m.PeekToken(t.Context(), used); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("looking at it without a grace: %v", err)
	}
	if o.clock.Advance(time.Hour); within(short, longGrace) || !within(used, longGrace) {
		t.Error("a token goes on after its end, or one without an end does not")
	}
}

func TestTheGraceEndsOnTime(t *testing.T) {
	t.Parallel()
	o := setUpOutage(t)
	token, _ := o.known(t)
	const grace = 4 * time.Second
	o.proxy.Cut()
	cut := time.Now()
	o.stale(t, token)
	if _, graced, err := o.m.ResolveWithGrace(t.Context(), token, grace); time.Since(cut) < grace/2 && (err != nil || !graced) {
		t.Fatalf("graced=%v, %v", graced, err)
	}
	for ; ; time.Sleep(20 * time.Millisecond) {
		asked := time.Now()
		_, _, err := o.m.ResolveWithGrace(t.Context(), token, grace)
		if errors.Is(err, store.ErrUnavailable) {
			break
		}
		if asked.Sub(cut) > grace { // the last poll was before the cut
			t.Fatalf("%v after the cut the session goes on: %v", asked.Sub(cut), err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); o.logs.FilterMessageSnippet("longer than store_grace").Len() != 1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say that the gate is closed now")
		}
	}
	if _, active := o.m.GraceStatus(); active {
		t.Error("still active")
	}
}

// Fail closed: a session that is known to have ended does not continue during an outage, however that is known.
func TestWhatIsKnownToHaveEndedHasNoGrace(t *testing.T) {
	t.Parallel()
	o := setUpOutage(t)
	live, _ := o.known(t)
	here, s := o.known(t)
	o.end(t, s)
	elsewhere, s := o.known(t)
	other := &fixture{Store: testenv.OpenPostgres(t, o.proxy.Direct())}
	other.change(t, func(tx store.Tx) error {
		_, err := tx.EndSessions(t.Context(), store.SessionSelector{ID: s.ID})
		return err
	})
	o.confirm(t)
	during, d := o.known(t)
	idle, _ := o.known(t)
	never, _ := o.start(t, o.user, false) // not in the cache

	o.proxy.Cut()
	o.stale(t, live)
	if graced, err := o.within(t, live); err != nil || !graced {
		t.Fatalf("graced=%v, %v", graced, err)
	}
	o.refused(t, here, "ended by this process")
	o.refused(t, elsewhere, "ended by another process before the outage")
	o.refused(t, never, "never read")
	if graced, err := o.within(t, during); err != nil || !graced {
		t.Fatalf("graced=%v, %v", graced, err)
	}
	o.m.Changed([]store.Change{{Kind: store.ChangeSession, Subject: d.ID}}) // as after a commit whose response was lost
	o.refused(t, during, "ended by this process during the outage")
	o.clock.Advance(40 * time.Minute)
	if _, err := o.within(t, live); err != nil {
		t.Fatal(err)
	}
	o.clock.Advance(40 * time.Minute)
	if _, err := o.within(t, live); err != nil {
		t.Fatalf("a use during the outage did not count: %v", err)
	}
	o.refused(t, idle, "unused for its idle time")
	for range 40 {
		o.clock.Advance(40 * time.Minute)
		_, _ = o.within(t, live)
	}
	o.refused(t, live, "beyond its absolute time")
}

// Polls may fail while reads still work: then the store is read, and the last read counts once it is unavailable.
func TestWhatTheStoreSaidLastCountsInAnOutage(t *testing.T) {
	t.Parallel()
	o := setUpOutage(t)
	live, _ := o.known(t)
	ended, s := o.known(t)
	testenv.PostgresExec(t, o.proxy.Direct(), "ALTER TABLE change_counter RENAME TO gone")
	for deadline := time.Now().Add(20 * time.Second); o.fresh(live); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("news come without their table")
		}
	}
	if graced, err := o.within(t, live); err != nil || graced {
		t.Errorf("the store answers, but graced=%v, %v", graced, err)
	}
	testenv.PostgresExec(t, o.proxy.Direct(), "DELETE FROM sessions WHERE id = '"+s.ID+"'")
	if _, err := o.within(t, ended); !errors.Is(err, session.ErrNone) {
		t.Errorf("the store says that it has ended, but: %v", err)
	}
	o.proxy.Cut()
	o.stale(t, live)
	o.refused(t, ended, "called ended by the store")
	o.refused(t, live, "read after the last news: an ending since would not have been told")
}

// fresh reports whether the cache is used.
func (o *outage) fresh(token string) bool {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := o.m.Peek(gone, token)
	return err == nil
}

// Open streams continue for ten seconds, the maximum of store_grace, and no longer.
func TestStreamsAreCutWhenTheStoreStaysSilent(t *testing.T) {
	t.Parallel()
	o := setUpOutage(t)
	token, _ := o.known(t)
	l, err := o.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var f session.Follower
	cut := o.m.Follow(t.Context(), l, &f)
	defer f.Release()
	began := time.Now()
	o.proxy.Hang()
	select {
	case <-cut.Done():
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("cut after %v, before the store could come back", took)
		}
	case <-time.After(30 * time.Second): // the limit is ten
		t.Error("the stream goes on although nothing is known of its session")
	}
}
