package session_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// stream is a connection on which bytes move when a test says so.
type stream struct {
	moved   atomic.Bool
	always  atomic.Bool // bytes move all the time
	used    atomic.Int64
	aborted atomic.Bool
}

func (s *stream) Moved() bool {
	moved := s.moved.Swap(false) || s.always.Load()
	if moved {
		s.used.Add(1)
	}
	return moved
}

func (s *stream) Abort() { s.aborted.Store(true) }

// withIdle starts a session that expires after idle, and after absolute whatever happens.
func (f *fixture) withIdle(t *testing.T, idle, absolute time.Duration) (token string) {
	t.Helper()
	f.change(t, func(tx store.Tx) (err error) {
		token, _, err = f.m.Start(t.Context(), tx, session.StartOptions{
			User: f.user, Limits: session.Limits{Idle: idle, Absolute: absolute, Remember: absolute},
		})
		return err
	})
	return token
}

// follow follows a request of a session until the test ends.
func (f *fixture) follow(t *testing.T, token string, s session.Stream) context.Context {
	t.Helper()
	l, err := f.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	fl := &session.Follower{Stream: s}
	t.Cleanup(fl.Release)
	return f.m.Follow(t.Context(), l, fl)
}

// until polls until ok, for at most ten seconds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Bytes in one of a session's requests are uses of it, however long the request takes; in the store, too.
func TestBytesThatMoveKeepTheirSession(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token := f.withIdle(t, time.Minute, time.Hour)
	moving, still := new(stream), new(stream)
	ctx := f.follow(t, token, moving)
	f.follow(t, token, still)
	for range 10 { // two and a half minutes
		f.clock.Advance(15 * time.Second)
		before := moving.used.Load()
		moving.moved.Store(true)
		until(t, "the use to be noticed", func() bool { return moving.used.Load() > before })
	}
	if ctx.Err() != nil || still.used.Load() != 0 {
		t.Errorf("%v; %d uses of the stream on which nothing moved", context.Cause(ctx), still.used.Load())
	}
	hash := store.HashToken(token)
	until(t, "the use to be written", func() bool {
		s, _, err := f.SessionByToken(t.Context(), hash)
		return err == nil && f.clock.Now().Sub(s.LastSeenAt) < time.Minute
	})
	if !f.alive(t, token) {
		t.Error("the session has expired")
	}
}

// An open stream on which nothing moves is not a use, and what moves elsewhere is none of its session.
func TestStreamsOnWhichNothingMovesExpire(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	busy, quiet := f.withIdle(t, time.Minute, time.Hour), f.withIdle(t, time.Minute, time.Hour)
	moving := new(stream)
	moving.always.Store(true)
	kept, cut := f.follow(t, busy, moving), f.follow(t, quiet, new(stream))
	for range 5 {
		f.clock.Advance(15 * time.Second)
		before := moving.used.Load()
		until(t, "the use to be noticed", func() bool { return moving.used.Load() > before })
	}
	until(t, "the quiet stream to be cut", func() bool { return cut.Err() != nil })
	if !errors.Is(context.Cause(cut), session.ErrEnded) || kept.Err() != nil {
		t.Errorf("cut by %v; the other %v", context.Cause(cut), context.Cause(kept))
	}
}

// However much moves, the absolute lifetime ends a session.
func TestBytesThatMoveDoNotOutliveTheAbsoluteLifetime(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := new(stream)
	s.always.Store(true)
	token := f.withIdle(t, time.Minute, 2*time.Minute)
	ctx := f.follow(t, token, s)
	for range 8 {
		f.clock.Advance(15 * time.Second)
		before := s.used.Load()
		until(t, "the use to be noticed, or the end", func() bool { return s.used.Load() > before || ctx.Err() != nil })
	}
	until(t, "the end", func() bool { return ctx.Err() != nil })
	if f.alive(t, token) {
		t.Error("the session goes on")
	}
}

// Bytes that move when a machine wakes up revive no session that expired while it slept.
func TestWakingUpRevivesNoExpiredSession(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := new(stream)
	s.always.Store(true)
	token := f.withIdle(t, time.Minute, 24*time.Hour)
	ctx := f.follow(t, token, s)
	f.clock.Advance(3 * time.Hour)
	until(t, "the end", func() bool { return ctx.Err() != nil })
	if f.alive(t, token) {
		t.Error("the session goes on")
	}
}

// Bytes that moved just before the idle time ran out count, though that is noticed a moment later.
func TestTheLastBytesBeforeTheEndCount(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := new(stream)
	ctx := f.follow(t, f.withIdle(t, time.Minute, time.Hour), s)
	f.clock.Advance(58 * time.Second)
	s.moved.Store(true)
	f.clock.Advance(2 * time.Second)
	until(t, "the use to be noticed", func() bool { return s.used.Load() > 0 || ctx.Err() != nil })
	if ctx.Err() != nil {
		t.Error("the stream was cut")
	}
}

// A use that another Caddy's stream makes counts here, too.
func TestUsesOfStreamsReachOtherProcesses(t *testing.T) {
	t.Parallel()
	place := testenv.NewPlace(t)
	clock := testenv.NewClock(time.Now().UTC())
	here, there := &fixture{Store: place.Open(t), clock: clock}, &fixture{Store: place.Open(t), clock: clock}
	for _, f := range []*fixture{here, there} {
		f.m = session.NewManager(f.Store, session.Options{Clock: clock.Now})
		t.Cleanup(f.m.Close)
	}
	here.user = here.addUser(t, "ada")
	token := here.withIdle(t, time.Minute, time.Hour)
	s := new(stream)
	s.always.Store(true)
	here.follow(t, token, s)
	if !there.alive(t, token) {
		t.Fatal("the session is not known")
	}
	for range 6 {
		clock.Advance(15 * time.Second)
		before := s.used.Load()
		until(t, "the use to be noticed", func() bool { return s.used.Load() > before })
		until(t, "the use to be known elsewhere", func() bool {
			got, _, err := there.SessionByToken(t.Context(), store.HashToken(token))
			return err == nil && clock.Now().Sub(got.LastSeenAt) < 15*time.Second
		})
	}
	if !there.alive(t, token) {
		t.Error("the session is over there")
	}
}
