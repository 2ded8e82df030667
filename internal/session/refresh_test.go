package session_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
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
