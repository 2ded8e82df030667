package password

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// ErrBusy: too many passwords are being checked at once, and the queue is full. The concrete error is a *[BusyError].
var ErrBusy = errors.New("too many passwords are being checked at the moment")

// BusyError says when to try again. It matches [ErrBusy].
type BusyError struct {
	RetryAfter time.Duration // whole seconds, at least one
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%v: try again in %s", ErrBusy, e.RetryAfter)
}

// Is makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// defaultQueue is how many wait by default, strangers and others each: at a few hashes per second and slot, the last of
// them still gets its answer before a browser gives up.
const defaultQueue = 64

// typicalHash is what one hash takes, roughly, on a small server. It only serves to tell people when to come back.
const typicalHash = 200 * time.Millisecond

// tarpitDelay is about how long somebody waits for a place before being sent away; see [Holds].
const tarpitDelay = time.Second

// Slots bounds how many hashes run at once. Share one between everything that hashes: memory is bounded by the
// number of slots, whatever the number of callers. It is safe for concurrent use.
type Slots struct {
	sem        *semaphore.Weighted // first come, first served
	admitted   *semaphore.Weighted // of strangers, who are in a slot or wait for one
	tarpit     Holds
	queue      int64
	unadmitted atomic.Int64 // without a place
	retry      time.Duration
	running    atomic.Int64
	idle       *time.Timer // gives memory back when nothing was hashed for a while
}

// idleAfter is how long nothing is hashed before the memory of the last hashes goes back to the system. The garbage
// collector alone would hold on to it for minutes, and a gate that sits idle would look three times its size.
const idleAfter = 3 * time.Second

// NewSlots lets parallel hashes run at once (at least one) and queue more callers wait for their turn.
func NewSlots(parallel, queue int) *Slots {
	parallel, queue = max(parallel, 1), max(queue, 0)
	full := time.Duration(queue+parallel) * typicalHash / time.Duration(parallel)
	s := &Slots{
		sem:      semaphore.NewWeighted(int64(parallel)),
		admitted: semaphore.NewWeighted(int64(parallel + queue)),
		queue:    int64(queue),
		retry:    max(time.Second, full.Round(time.Second)),
	}
	s.idle = time.AfterFunc(time.Hour, func() {
		if s.running.Load() == 0 {
			debug.FreeOSMemory()
		}
	})
	s.idle.Stop()
	return s
}

// DefaultSlots makes half as many slots as there are cores, so that a flood of sign-ins leaves the other half to the
// people who are signed in, and fewer where a quarter of the memory limit of the process
// (GOMEMLIMIT; Caddy sets it from the container's limit) does not hold that many hashes of cost p.
func DefaultSlots(p Params) *Slots {
	return NewSlots(slotsFor(p, runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1)), defaultQueue)
}

// slotsFor computes [DefaultSlots]. A limit of [math.MaxInt64] means none.
func slotsFor(p Params, cores int, limit int64) int {
	perHash := max(int64(p.MemoryKiB), 1) * 1024
	half := max(cores/2, 1)
	if limit <= 0 || limit == math.MaxInt64 {
		return half
	}
	return max(1, int(min(int64(half), limit/4/perHash)))
}

type admittedKey struct{}

// Enter takes a place for a stranger whose password is going to be checked, before anything that costs. With the context
// that it returns nothing is busy: who has a place gets a slot, in order of arrival. The caller calls leave once, after
// the check. The error is a *[BusyError] when there is no place, also not after the moment for which the caller is held
// then, or that of the context.
func (s *Slots) Enter(ctx context.Context) (placed context.Context, leave func(), err error) {
	if !s.admitted.TryAcquire(1) { // fails while others are held, so nobody overtakes them
		if err := s.waitForPlace(ctx); err != nil {
			return nil, nil, err
		}
	}
	return context.WithValue(ctx, admittedKey{}, s), func() { s.admitted.Release(1) }, nil
}

// waitForPlace waits a moment for a place.
func (s *Slots) waitForPlace(ctx context.Context) error {
	moment, end := s.tarpit.Begin(tarpitDelay)
	defer end()
	if moment == 0 {
		return &BusyError{RetryAfter: s.retry}
	}
	bounded, cancel := context.WithTimeout(ctx, moment)
	defer cancel()
	err := s.admitted.Acquire(bounded, 1)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("waiting to have a password checked: %w", ctx.Err())
	}
	return &BusyError{RetryAfter: s.retry}
}

// Acquire waits for a slot. The caller calls release once. Without a place the error is a *[BusyError] when that many
// wait without one: those who hash without are known already (administrators, holders of a link, whoever has just proved
// the old password), so strangers can't fill their queue. Otherwise it is that of the context.
func (s *Slots) Acquire(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("waiting to hash a password: %w", err)
	}
	// TryAcquire fails while others wait, so nobody overtakes the queue.
	if s.sem.TryAcquire(1) {
		s.running.Add(1)
		return s.release, nil
	}
	if ctx.Value(admittedKey{}) != s {
		defer s.unadmitted.Add(-1)
		if s.unadmitted.Add(1) > s.queue {
			return nil, &BusyError{RetryAfter: s.retry}
		}
	}
	if err := s.sem.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("waiting to hash a password: %w", err)
	}
	s.running.Add(1)
	return s.release, nil
}

func (s *Slots) release() {
	if s.running.Add(-1) == 0 {
		s.idle.Reset(idleAfter)
	}
	s.sem.Release(1)
}
