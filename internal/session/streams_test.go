package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A session that another process ends is over here within a second, and its streams are canceled.
func TestAnEndingByAnotherProcessArrivesWithinASecond(t *testing.T) {
	t.Parallel()
	place := testenv.NewPlace(t)
	a, b := place.Open(t), place.Open(t)
	f := &fixture{Store: a, clock: testenv.NewClock(time.Now().UTC())}
	f.m = session.NewManager(a, session.Options{Clock: f.clock.Now})
	t.Cleanup(f.m.Close)
	f.user = f.addUser(t, "ada")
	token, s := f.start(t, f.user, false)
	l, err := f.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var fl session.Follower
	ctx := f.m.Follow(t.Context(), l, &fl)
	defer fl.Release()
	other := &fixture{Store: b}
	other.change(t, func(tx store.Tx) error {
		_, err := tx.EndSessions(t.Context(), store.SessionSelector{ID: s.ID})
		return err
	})
	select {
	case <-ctx.Done():
		if !errors.Is(context.Cause(ctx), session.ErrEnded) {
			t.Errorf("cause %v", context.Cause(ctx))
		}
	case <-time.After(10 * time.Second): // the limit is a second; a loaded test machine gets more
		t.Error("the stream goes on")
	}
	if f.alive(t, token) {
		t.Error("the session goes on")
	}
}

// Streams of an ended session are canceled, those of others continue, nothing leaks.
func TestOnlyTheEndedSessionsStreamsAreCut(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	follow := func(token string) (context.Context, func()) {
		l, err := f.m.Resolve(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		fl := new(session.Follower)
		return f.m.Follow(t.Context(), l, fl), fl.Release
	}
	one, s := f.start(t, f.user, false)
	two, _ := f.start(t, f.addUser(t, "bob"), false)
	cut1, release1 := follow(one)
	cut2, release2 := follow(one)
	kept, release3 := follow(two)
	if n := f.m.StreamCount(); n != 3 {
		t.Fatalf("%d streams, want 3", n)
	}
	f.change(t, func(tx store.Tx) error {
		_, err := tx.EndSessions(t.Context(), store.SessionSelector{ID: s.ID})
		return err
	})
	for _, ctx := range []context.Context{cut1, cut2} {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("a stream goes on")
		}
	}
	if kept.Err() != nil {
		t.Error("another session's stream was cut")
	}
	release1()
	release2()
	release3()
	if n := f.m.StreamCount(); n != 0 {
		t.Errorf("%d streams are still known", n)
	}
}

func TestAnExpiredSessionsStreamsAreCut(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, _ := f.start(t, f.user, false)
	l, err := f.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var fl session.Follower
	ctx := f.m.Follow(t.Context(), l, &fl)
	defer fl.Release()
	f.clock.Advance(61 * time.Minute)
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("the stream of an expired session goes on")
	}
}

// An end between Resolve and Follow is noticed.
func TestAnEndingBetweenResolveAndFollowIsNotMissed(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, s := f.start(t, f.user, false)
	l, err := f.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	f.change(t, func(tx store.Tx) error {
		_, err := tx.EndSessions(t.Context(), store.SessionSelector{ID: s.ID})
		return err
	})
	var fl session.Follower
	ctx := f.m.Follow(t.Context(), l, &fl)
	defer fl.Release()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
}
