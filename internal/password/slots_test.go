package password

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// waitFor polls until that many callers wait in the queue.
func (s *Slots) waitFor(t *testing.T, waiting int64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for s.unadmitted.Load() != waiting {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", s.unadmitted.Load(), waiting)
		}
		runtime.Gosched()
	}
}

func mustAcquire(t *testing.T, s *Slots) (release func()) {
	t.Helper()
	release, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func TestSlotsServeInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers = 8
		s := NewSlots(1, callers)
		release := mustAcquire(t, s)
		var order []int
		for i := range callers {
			go func() {
				release, err := s.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i) // only the holder of the slot gets here
				release()
			}()
			synctest.Wait() // until it stands in the queue
		}
		release()
		synctest.Wait()
		if len(order) != callers || !slices.IsSorted(order) {
			t.Errorf("served in the order %v", order)
		}
	})
}

// Denial of service: callers beyond the queue are rejected at once, and nothing accumulates.
func TestSlotsRejectBeyondTheQueue(t *testing.T) {
	t.Parallel()
	s := NewSlots(1, 2)
	release := mustAcquire(t, s)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			release, err := s.Acquire(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			release()
		})
	}
	s.waitFor(t, 2)
	for range 100 {
		_, err := s.Acquire(t.Context())
		var busy *BusyError
		if !errors.Is(err, ErrBusy) || !errors.As(err, &busy) || busy.RetryAfter < time.Second ||
			busy.RetryAfter%time.Second != 0 {
			t.Fatalf("%v", err)
		}
	}
	release()
	wg.Wait()
	mustAcquire(t, s)()
}

// Clients that are rejected at once retry at once. A caller that is not admitted waits about a second, is admitted in
// order of arrival when there is room, and is rejected otherwise. The number of waiting callers is limited.
func TestSlotsDelayAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 1)
		var places []func()
		for range 2 {
			_, leave, err := s.Admit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			places = append(places, leave)
		}
		asked := time.Now()
		var order []int
		var busy atomic.Int64
		for i := range maxDelayed {
			go func() {
				switch _, _, err := s.Admit(t.Context()); {
				case err == nil:
					order = append(order, i) // one at a time
				case errors.Is(err, ErrBusy) && time.Since(asked) >= tarpitDelay/2 && time.Since(asked) < 3*tarpitDelay/2:
					busy.Add(1)
				default:
					t.Errorf("%v after %v", err, time.Since(asked))
				}
			}()
			synctest.Wait() // until it is delayed
		}
		if _, _, err := s.Admit(t.Context()); !errors.Is(err, ErrBusy) || time.Since(asked) > 0 {
			t.Fatalf("one more than may be held: %v after %v", err, time.Since(asked))
		}
		for _, leave := range places {
			leave()
			synctest.Wait()
		}
		if !slices.Equal(order, []int{0, 1}) {
			t.Errorf("let in %v", order)
		}
		time.Sleep(tarpitDelay)
		synctest.Wait()
		if n := busy.Load(); n < maxDelayed*2/5 || n > maxDelayed*3/5 {
			t.Errorf("after the middle of the time %d are sent away: they are not spread", n)
		}
		time.Sleep(tarpitDelay)
		synctest.Wait()
		if busy.Load() != maxDelayed-2 || s.tarpit.delayed.Load() != 0 {
			t.Errorf("%d sent away, %d still held", busy.Load(), s.tarpit.delayed.Load())
		}

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(tarpitDelay/4, cancel)
		if _, _, err := s.Admit(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrBusy) {
			t.Errorf("a client that left: %v", err)
		}
	})
}

// A flood of strangers does not affect callers that are known already, and the other way round: an admitted caller
// always gets a slot, and those without admission have a queue of their own.
func TestSlotsKeepStrangersAndOthersApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 2)
		var served []string
		run := func(who string, ctx context.Context) {
			go func() {
				release, err := s.Acquire(ctx)
				if err != nil {
					t.Errorf("%s: %v", who, err)
					return
				}
				served = append(served, who)
				time.Sleep(time.Second)
				release()
			}()
			synctest.Wait()
		}
		run("first", t.Context())
		run("known", t.Context())
		run("known", t.Context())
		if _, err := s.Acquire(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("one more without a place: %v", err)
		}
		for range 3 {
			ctx, leave, err := s.Admit(t.Context())
			if err != nil {
				t.Fatalf("entering: %v", err)
			}
			defer leave()
			run("stranger", ctx)
		}
		if _, _, err := s.Admit(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("one more stranger: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		run("known, late", t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []string{
			"first", "known", "known", "stranger", "stranger", "stranger",
			"known, late",
		}; !slices.Equal(served, want) {
			t.Errorf("served %v", served)
		}
	})
}

// A caller that is canceled while it waits frees its place.
func TestACanceledCallerFreesItsPlaceInTheQueue(t *testing.T) {
	t.Parallel()
	s := NewSlots(1, 1)
	release := mustAcquire(t, s)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := s.Acquire(ctx)
			left <- err
		}()
		s.waitFor(t, 1)
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) || errors.Is(err, ErrBusy) {
			t.Fatalf("%v", err)
		}
	}
	release()
	s.waitFor(t, 0)
	mustAcquire(t, s)()
}

func TestSlotsBoundWhatRunsAtOnce(t *testing.T) {
	t.Parallel()
	s := NewSlots(3, 1000)
	var running, most atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			release, err := s.Acquire(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			runtime.Gosched()
			running.Add(-1)
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d ran at once", most.Load())
	}
}

func TestSlotsFollowCoresAndMemory(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct {
		p     Params
		cores int
		limit int64
		want  int
	}{
		{DefaultParams, 8, math.MaxInt64, 4},
		{DefaultParams, 0, math.MaxInt64, 1},
		{DefaultParams, 1, math.MaxInt64, 1},
		{DefaultParams, 8, 0, 4},
		{DefaultParams, 8, 4096 * mib, 4},
		{DefaultParams, 8, 1024 * mib, 4},
		{DefaultParams, 8, 512 * mib, 2},
		{DefaultParams, 8, 256 * mib, 1},
		{DefaultParams, 8, 32 * mib, 1},
		{MinParams, 16, 512 * mib, 6},
		{Params{}, 4, 64 * mib, 2},
	} {
		if got := slotsFor(c.p, c.cores, c.limit); got != c.want {
			t.Errorf("%s, %d cores, %d MiB: %d slots, want %d", c.p, c.cores, c.limit/mib, got, c.want)
		}
	}
	mustAcquire(t, DefaultSlots(DefaultParams))()
	mustAcquire(t, NewSlots(-1, -1))()
}

// Denial of service: a flood takes no more memory than the slots.
func TestMemoryStaysFlatUnderAFlood(t *testing.T) {
	p := Params{MemoryKiB: 16 * 1024, Time: 1, Threads: 1}
	h := NewHasher(p, NewSlots(2, 8))
	encoded := mustHash(t, h, "some password")
	stop, sampled := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		var m runtime.MemStats
		for {
			select {
			case <-stop:
				sampled <- most
				return
			default:
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
				time.Sleep(time.Millisecond) // waits: the pace of the samples
			}
		}
	}()
	var wg sync.WaitGroup
	var busy, served atomic.Int64
	for range 64 {
		wg.Go(func() {
			for range 4 {
				ok, _, err := h.Verify(t.Context(), encoded, "some password")
				switch {
				case errors.Is(err, ErrBusy) && !ok:
					busy.Add(1)
				case err == nil && ok:
					served.Add(1)
				default:
					t.Errorf("ok %t, %v", ok, err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	// 64 concurrent hashes would take 1 GiB. Two slots take 32 MiB, and about as much is garbage.
	if most := <-sampled; most > 256<<20 {
		t.Errorf("the heap grew to %d MiB", most>>20)
	}
	if busy.Load() == 0 || served.Load() == 0 {
		t.Errorf("%d sent away, %d served: that was no flood", busy.Load(), served.Load())
	}
}

func TestParamsValidate(t *testing.T) {
	t.Parallel()
	for _, p := range []Params{DefaultParams, MinParams, {1 << 20, 4, 16}, {65536, 64, 1}, {19456, 2, 64}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, p := range []Params{
		{},
		{19455, 2, 1},
		{19456, 1, 1},
		{19456, 2, 0},
		{1<<20 + 1, 2, 1},
		{65536, 65, 1},
		{65536, 2, 65},
		{1 << 20, 5, 1},
		{math.MaxUint32, math.MaxUint32, 255},
	} {
		if err := p.Validate(); err == nil {
			t.Errorf("%s was taken", p)
		}
	}
	if text := DefaultParams.String(); text != "64MiB 3 1" {
		t.Errorf("%q", text)
	}
	if text := (Params{19457, 2, 1}).String(); text != "19457KiB 2 1" {
		t.Errorf("%q", text)
	}
}
