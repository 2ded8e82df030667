package storetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// attemptModel is a simple reference implementation of BeginAttempt.
type attemptModel struct {
	failures    int
	until, last time.Time
}

func (m *attemptModel) begin(free int, longest time.Duration, at time.Time) time.Duration {
	if at.Before(m.until) {
		return m.until.Sub(at)
	}
	if !m.last.IsZero() && at.Sub(m.last) >= 24*time.Hour {
		m.failures = 0
	}
	m.failures++
	m.last, m.until = at, at.Add(store.Wait(m.failures, free, longest))
	return 0
}

var throttleTests = []test{
	{"a window allows its limit and no more, and ends as a whole", func(t *testing.T, s store.Store) {
		at := now()
		take := func(d time.Duration) time.Duration {
			t.Helper()
			wait, err := s.CountInWindow(t.Context(), "k", 3, 6*time.Second, at.Add(d))
			if err != nil {
				t.Fatal(err)
			}
			return wait
		}
		for i, c := range []struct{ at, want time.Duration }{
			{0, 0},
			{time.Second, 0},
			{2 * time.Second, 0},
			{2 * time.Second, 4 * time.Second},
			{6*time.Second - time.Millisecond, time.Millisecond},
			{6 * time.Second, 0},
			{7 * time.Second, 0},
			{7 * time.Second, 0},
			{8 * time.Second, 4 * time.Second},
			{time.Hour, 0},
			{time.Hour, 0},
			{time.Hour, 0},
			{time.Hour, 6 * time.Second},
		} {
			if got := take(c.at); got != c.want {
				t.Fatalf("step %d at %v: wait %v, want %v", i, c.at, got, c.want)
			}
		}
		if wait, err := s.CountInWindow(t.Context(), "other", 1, time.Second, at); err != nil || wait != 0 {
			t.Fatalf("another client: %v, %v", wait, err)
		}
		if wait, err := s.CountInWindow(t.Context(), "k", 4, 6*time.Second, at.Add(time.Hour)); err != nil || wait != 0 {
			t.Fatalf("with a higher limit: %v, %v", wait, err)
		}
		for _, bad := range []struct {
			limit  int
			window time.Duration
		}{{0, time.Second}, {-1, time.Second}, {1, 0}, {1, -time.Second}} {
			if _, err := s.CountInWindow(t.Context(), "bad", bad.limit, bad.window, at); err == nil {
				t.Errorf("a window of %+v allowed an attempt", bad)
			}
		}
	}},
	{"waits match the reference model, whatever the order", func(t *testing.T, s store.Store) {
		// The times are random; the store and the model must agree at every step.
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 1)) // a reproducible sequence for a test
			free := int(seed) * 2
			longest := []time.Duration{time.Second, 7 * time.Second, time.Minute, 15 * time.Minute}[seed]
			key, at, m := store.NewToken(), now(), attemptModel{}
			for step := range 60 {
				switch r.IntN(6) {
				case 0:
					if m.until.After(at) {
						at = m.until // to the millisecond
					}
				case 1:
					at = at.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
				case 2:
					if m.until.After(at) {
						at = m.until.Add(-time.Millisecond)
					}
				case 3:
					if r.IntN(5) == 0 {
						at = at.Add(24 * time.Hour)
					}
				}
				want := m.begin(free, longest, at)
				got, err := s.BeginAttempt(t.Context(), key, free, longest, at)
				if err != nil || got != want {
					t.Fatalf("seed %d, step %d: wait %v, %v, want %v (%+v)", seed, step, got, err, want, m)
				}
			}
		}
	}},
	{"of concurrent guesses only the free ones are allowed", func(t *testing.T, s store.Store) {
		// The attempt is counted before the password check, in one statement.
		const free = 5
		at := now()
		var through atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				wait, err := s.BeginAttempt(t.Context(), "victim", free, time.Minute, at)
				if err != nil {
					t.Error(err)
				}
				if wait == 0 {
					through.Add(1)
				}
			})
		}
		wg.Wait()
		if got := through.Load(); got != free {
			t.Fatalf("%d guesses were allowed, want %d", got, free)
		}
	}},
	{"of concurrent attempts only the limit of the window is allowed", func(t *testing.T, s store.Store) {
		at := now()
		var given atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				wait, err := s.CountInWindow(t.Context(), "client", 7, time.Second, at)
				if err != nil {
					t.Error(err)
				}
				if wait == 0 {
					given.Add(1)
				}
			})
		}
		wg.Wait()
		if got := given.Load(); got != 7 {
			t.Fatalf("%d attempts were allowed, want 7", got)
		}
	}},
	{"a forgiven attempt grants no extra guess and costs no wait", func(t *testing.T, s store.Store) {
		at := now()
		begin := func(at time.Time) time.Duration {
			t.Helper()
			wait, err := s.BeginAttempt(t.Context(), "k", 2, time.Minute, at)
			if err != nil {
				t.Fatal(err)
			}
			return wait
		}
		forgive := func(at time.Time) {
			t.Helper()
			if err := s.ForgiveAttempt(t.Context(), "k", at); err != nil {
				t.Fatal(err)
			}
		}
		forgive(at) // without an attempt there is no error and no credit
		for i, want := range []time.Duration{0, 0, 2 * time.Second} {
			if got := begin(at); got != want {
				t.Fatalf("attempt %d waits %v, want %v: two free attempts, then two seconds", i+1, got, want)
			}
		}
		forgive(at)
		if begin(at) != 0 { // the second again
			t.Fatal("the forgiven attempt still counts")
		}
		if got := begin(at); got != 2*time.Second {
			t.Fatalf("wait %v", got)
		}
	}},
	{"allowed attempts never block others, whatever order or clock", func(t *testing.T, s store.Store) {
		at := now()
		for i, d := range []time.Duration{
			0, -time.Millisecond, -time.Second, time.Minute, -time.Hour, time.Hour,
			-48 * time.Hour, 0,
		} {
			if wait, err := s.BeginAttempt(t.Context(), "k", 100, time.Minute, at.Add(d)); err != nil || wait != 0 {
				t.Fatalf("attempt %d at %v waits %v, %v", i+1, d, wait, err)
			}
		}
		for i, d := range []time.Duration{0, -time.Second, time.Minute, -2 * time.Minute} {
			if wait, err := s.CountInWindow(t.Context(), "k", 100, time.Minute, at.Add(d)); err != nil || wait != 0 {
				t.Fatalf("turn %d at %v waits %v, %v", i+1, d, wait, err)
			}
		}
	}},
	{"a wait never exceeds its length, even if a clock is set back", func(t *testing.T, s store.Store) {
		at, due := now(), 2*store.FirstWait
		begin := func(at time.Time) time.Duration {
			t.Helper()
			wait, err := s.BeginAttempt(t.Context(), "k", 1, time.Minute, at)
			if err != nil {
				t.Fatal(err)
			}
			return wait
		}
		begin(at)
		begin(at.Add(store.FirstWait))
		at = at.Add(store.FirstWait)
		for _, back := range []time.Duration{time.Second, time.Minute, time.Hour} {
			if wait := begin(at.Add(-back)); wait != due {
				t.Errorf("%v before: waits %v, want %v", back, wait, due)
			}
		}
		if wait := begin(at.Add(due - time.Hour)); wait != 0 {
			t.Errorf("an hour back, and after the wait: %v", wait)
		}
		const window = time.Minute
		for i, c := range []struct {
			at   time.Duration
			full bool
		}{{0, false}, {0, true}, {-time.Minute, true}, {-time.Hour, false}, {-time.Hour, true}} {
			wait, err := s.CountInWindow(t.Context(), "client", 1, window, at.Add(c.at))
			if err != nil || (wait > 0) != c.full || wait > window {
				t.Errorf("turn %d waits %v, %v", i+1, wait, err)
			}
		}
	}},
	{"success resets the attempts of that key only", func(t *testing.T, s store.Store) {
		at := now()
		for _, key := range []string{"a", "b"} {
			if _, err := s.BeginAttempt(t.Context(), key, 0, time.Minute, at); err != nil {
				t.Fatal(err)
			}
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ClearAttempts(ctx, "a") })
		if wait, err := s.BeginAttempt(t.Context(), "a", 0, time.Minute, at); err != nil || wait != 0 {
			t.Fatalf("wait %v, %v", wait, err)
		}
		if wait, err := s.BeginAttempt(t.Context(), "b", 0, time.Minute, at); err != nil || wait == 0 {
			t.Fatalf("the other key: wait %v, %v", wait, err)
		}
	}},
	{"the attempts of a user's browsers are reset, and of nobody else's", func(t *testing.T, s store.Store) {
		at, one, two := now(), store.NewID(now()), store.NewID(now())
		keys := map[string]bool{"a:" + one: true, "d:hash:" + one: true, "a:" + two: false, one: false, "n:" + one + "x": false}
		for key := range keys {
			if _, err := s.BeginAttempt(t.Context(), key, 0, time.Minute, at); err != nil {
				t.Fatal(err)
			}
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ClearUserAttempts(ctx, one) })
		for key, cleared := range keys {
			if wait, err := s.BeginAttempt(t.Context(), key, 0, time.Minute, at); err != nil || (wait == 0) != cleared {
				t.Errorf("%s: wait %v, %v", key, wait, err)
			}
		}
	}},
}
