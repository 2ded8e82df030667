package session_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

type countingRefresher struct{ calls atomic.Int32 }

func (c *countingRefresher) RefreshSession(context.Context) { c.calls.Add(1) }

// A session with streams is refreshed while they are open, once for all of them, and not after.
func TestTheSessionsOfOpenStreamsAreRefreshed(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	token, _ := f.start(t, f.user, false)
	l, err := f.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var calls countingRefresher
	var followers [3]session.Follower
	for i := range followers {
		if i > 0 {
			followers[i].Refresher = &calls
		}
		f.m.Follow(t.Context(), l, &followers[i])
	}
	for deadline := time.Now().Add(20 * time.Second); calls.calls.Load() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("refreshed %d times", calls.calls.Load())
		}
	}
	for i := range followers {
		followers[i].Release()
	}
	f.m.Close()
	if n := calls.calls.Load(); n > 20 {
		t.Errorf("refreshed %d times", n)
	}
}

// stuck is a session whose provider does not respond.
type stuck struct{ ctx context.Context }

func (s stuck) RefreshSession(context.Context) { <-s.ctx.Done() }

type panicking struct{}

func (panicking) RefreshSession(context.Context) { panic("a claim that nobody expected") }

// follows follows a request of a new session from a provider.
func (f *fixture) follows(t *testing.T, provider string, r session.Refresher) context.Context {
	t.Helper()
	var token string
	f.change(t, func(tx store.Tx) (err error) {
		token, _, err = f.m.Start(t.Context(), tx, session.StartOptions{
			User: f.user, Limits: session.DefaultLimits, Provider: provider, Issuer: "https://" + provider, Subject: "1",
		})
		return err
	})
	l, err := f.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	fl := &session.Follower{Refresher: r}
	t.Cleanup(fl.Release)
	return f.m.Follow(t.Context(), l, fl)
}

// However many streams wait for one provider, those of another are refreshed in time.
func TestStreamsOfAProviderThatHangsDelayNoOthers(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	ctx, over := context.WithCancel(t.Context())
	defer over()
	for range 40 {
		f.follows(t, "hangs", stuck{ctx})
	}
	var calls countingRefresher
	f.follows(t, "works", &calls)
	until(t, "three refreshes at the other provider", func() bool { return calls.calls.Load() >= 3 })
}

// A refresh that panics ends the stream, and not the process.
func TestARefreshThatPanicsEndsItsStream(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	ctx := f.follows(t, "acme", panicking{})
	until(t, "the end of the stream", func() bool { return ctx.Err() != nil })
	if !errors.Is(context.Cause(ctx), session.ErrEnded) {
		t.Error(context.Cause(ctx))
	}
}
