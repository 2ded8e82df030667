package session_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// fixture is a store with one user, a manager, and a clock to move.
type fixture struct {
	store.Store
	m     *session.Manager
	clock *testenv.Clock
	user  store.User
}

func setUp(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{Store: testenv.Store(t), clock: testenv.NewClock(time.Now().UTC().Truncate(time.Millisecond))}
	f.m = session.NewManager(f.Store, session.Options{Clock: f.clock.Now})
	t.Cleanup(f.m.Close)
	f.user = f.addUser(t, "ada")
	return f
}

func (f *fixture) addUser(t testing.TB, name string) store.User {
	t.Helper()
	u := store.User{
		ID: store.NewID(f.clock.Now()), Username: name, Role: store.RoleUser, Active: true, Local: true,
		Origin: store.OriginLocal, CreatedAt: f.clock.Now(), UpdatedAt: f.clock.Now(),
	}
	f.change(t, func(tx store.Tx) error { return tx.CreateUser(t.Context(), u) })
	u, err := f.User(context.Background(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (f *fixture) change(t testing.TB, fn func(store.Tx) error) {
	t.Helper()
	if err := f.Change(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) start(t testing.TB, u store.User, remember bool) (string, store.Session) {
	t.Helper()
	var token string
	var s store.Session
	f.change(t, func(tx store.Tx) (err error) {
		u, err = tx.User(context.Background(), u.ID)
		if err != nil {
			return err
		}
		token, s, err = f.m.Start(context.Background(), tx, session.StartOptions{
			User: u, Remember: remember, Method: "password",
			AuthAt: f.clock.Now(),
			Limits: session.Limits{Idle: time.Hour, Absolute: 24 * time.Hour, Remember: 48 * time.Hour},
		})
		return err
	})
	return token, s
}

func (f *fixture) alive(t testing.TB, token string) bool {
	t.Helper()
	l, err := f.m.Resolve(context.Background(), token)
	switch {
	case err == nil:
		return l != nil
	case errors.Is(err, session.ErrNone):
		return false
	}
	t.Fatal(err)
	return false
}

func changeUser(ctx context.Context, tx store.Tx, id string, change func(*store.User)) error {
	u, err := tx.User(ctx, id)
	if err != nil {
		return err
	}
	change(&u)
	_, err = tx.UpdateUser(ctx, u)
	return err
}

// Each way of ending a session takes effect on the next request, cached or not.
func TestASessionIsOverOnTheNextRequestAfterEveryWayOfEndingIt(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]func(f *fixture, tx store.Tx, s store.Session) error{
		"sign-out": func(f *fixture, tx store.Tx, s store.Session) error {
			_, err := tx.EndSessions(ctx, store.SessionSelector{ID: s.ID})
			return err
		},
		"all of a user": func(f *fixture, tx store.Tx, s store.Session) error {
			_, err := tx.EndSessions(ctx, store.SessionSelector{UserID: s.UserID})
			return err
		},
		"everyone": func(f *fixture, tx store.Tx, s store.Session) error {
			_, err := tx.EndSessions(ctx, store.SessionSelector{All: true})
			return err
		},
		"the epoch moves on": func(f *fixture, tx store.Tx, s store.Session) error { return tx.BumpEpoch(ctx, s.UserID) },
		"deactivation": func(f *fixture, tx store.Tx, s store.Session) error {
			return changeUser(ctx, tx, s.UserID, func(u *store.User) { u.Active = false })
		},
		"deletion": func(f *fixture, tx store.Tx, s store.Session) error { return tx.DeleteUser(ctx, s.UserID) },
		"pending": func(f *fixture, tx store.Tx, s store.Session) error {
			return changeUser(ctx, tx, s.UserID, func(u *store.User) { u.Pending = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			token, s := f.start(t, f.user, false)
			for range 3 { // warm the cache
				if !f.alive(t, token) {
					t.Fatal("a new session is not live")
				}
			}
			f.change(t, func(tx store.Tx) error { return end(f, tx, s) })
			if f.alive(t, token) {
				t.Error("the session goes on")
			}
		})
	}
}

func TestReactivationRevivesNothing(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, _ := f.start(t, f.user, false)
	for _, active := range []bool{false, true} {
		f.change(t, func(tx store.Tx) error {
			u, err := tx.User(t.Context(), f.user.ID)
			if err != nil {
				return err
			}
			u.Active = active
			_, err = tx.UpdateUser(t.Context(), u)
			return err
		})
		if f.alive(t, token) {
			t.Fatalf("the session is live with active=%v", active)
		}
	}
}

func TestSessionsExpireWhenIdleAndInTheEnd(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	idle, _ := f.start(t, f.user, false)
	f.alive(t, idle)
	f.clock.Advance(time.Hour - time.Second)
	if !f.alive(t, idle) {
		t.Fatal("over before its idle time")
	}
	f.clock.Advance(time.Hour - time.Second) // the use in between extended it
	if !f.alive(t, idle) {
		t.Fatal("a use did not extend the session")
	}
	f.clock.Advance(time.Hour)
	if f.alive(t, idle) {
		t.Error("unused for its idle time, and still live")
	}
	busy, _ := f.start(t, f.user, false)
	for range 48 {
		f.clock.Advance(29 * time.Minute)
		f.alive(t, busy)
	}
	if !f.alive(t, busy) {
		t.Fatal("over before its absolute time")
	}
	f.clock.Advance(49 * time.Minute)
	if f.alive(t, busy) {
		t.Error("live beyond its absolute time")
	}
}

func TestPeekDoesNotExtendASession(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, _ := f.start(t, f.user, false)
	f.clock.Advance(30 * time.Minute)
	if _, err := f.m.Peek(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(31 * time.Minute)
	if f.alive(t, token) {
		t.Error("a peek counted as a use")
	}
}

func TestRememberedSessionsLastLonger(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, _ := f.start(t, f.user, true)
	f.clock.Advance(47 * time.Hour)
	if !f.alive(t, token) {
		t.Error("a remembered session is over too soon")
	}
	f.clock.Advance(time.Hour)
	if f.alive(t, token) {
		t.Error("a remembered session never ends")
	}
}

// A rotated session has a new token and a new id; the old token is worthless.
func TestRotationMakesTheOldTokenWorthless(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	old, s := f.start(t, f.user, false)
	f.alive(t, old)
	var token string
	var renewed store.Session
	f.change(t, func(tx store.Tx) (err error) {
		token, renewed, err = f.m.Rotate(t.Context(), tx, s, s.Epoch, f.clock.Now())
		return err
	})
	if f.alive(t, old) || !f.alive(t, token) || token == old || renewed.ID == s.ID {
		t.Error("the old session was not replaced by a new one")
	}
	err := f.Change(t.Context(), func(tx store.Tx) error {
		_, _, err := f.m.Rotate(t.Context(), tx, s, s.Epoch, f.clock.Now())
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("renewing an ended session: %v, want not found", err)
	}
}

// Uses recorded in memory reach the store in batches, also at a graceful stop, and never revive an ended session.
func TestUsesAreWrittenBehindTheRequests(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, s := f.start(t, f.user, false)
	ended, e := f.start(t, f.user, false)
	f.clock.Advance(40 * time.Minute)
	if !f.alive(t, token) || !f.alive(t, ended) {
		t.Fatal("not live")
	}
	f.change(t, func(tx store.Tx) error {
		_, err := tx.EndSessions(t.Context(), store.SessionSelector{ID: e.ID})
		return err
	})
	f.m.Close()
	got, _, err := f.Session(t.Context(), s.ID)
	if err != nil || !got.LastSeenAt.Equal(f.clock.Now()) {
		t.Errorf("last seen %v (%v), want %v", got.LastSeenAt, err, f.clock.Now())
	}
	if _, _, err := f.Session(t.Context(), e.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an ended session came back: %v", err)
	}
}

// Race: a Resolve that runs while the session is being ended never leaves a stale entry in the cache.
func TestResolvingDuringEveryEndingLeavesNothingStale(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for i := range 60 {
		token, s := f.start(t, f.user, false)
		var wg sync.WaitGroup
		var stop atomic.Bool
		for range 4 {
			wg.Go(func() {
				for !stop.Load() {
					_, _ = f.m.Resolve(context.Background(), token)
				}
			})
		}
		f.change(t, func(tx store.Tx) error {
			if i%2 == 0 {
				return tx.BumpEpoch(context.Background(), s.UserID)
			}
			_, err := tx.EndSessions(context.Background(), store.SessionSelector{ID: s.ID})
			return err
		})
		over := !f.alive(t, token)
		stop.Store(true)
		wg.Wait()
		if !over || f.alive(t, token) {
			t.Fatalf("round %d: an ended session answered", i)
		}
	}
}

// When polls of the store fail, the cache is not used: sessions are read from the store.
func TestWithoutPollsTheCacheIsNotUsed(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, _ := f.start(t, f.user, false)
	if !f.alive(t, token) {
		t.Fatal("not live")
	}
	if err := f.Store.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := f.m.Resolve(t.Context(), token)
		if err != nil {
			if errors.Is(err, session.ErrNone) || !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("a closed store answers %v, want unavailable", err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the cache answers for ever without the store")
		}
	}
}

func TestMalformedTokensAreAnonymous(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for _, token := range []string{"", "x", store.NewToken(), store.NewToken() + "A", "\x00", "é"} {
		if f.alive(t, token) {
			t.Errorf("%q is a session", token)
		}
	}
}

func BenchmarkResolveWarm(b *testing.B) {
	f := setUp(b)
	token, _ := f.start(b, f.user, false)
	f.alive(b, token)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.m.Resolve(context.Background(), token); err != nil {
			b.Fatal(err)
		}
	}
}
