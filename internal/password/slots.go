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

// ErrBusy means that too many passwords are being checked at once, and the queue is full. The concrete error is a
// *[BusyError].
var ErrBusy = errors.New("too many passwords are being checked at the moment")

// BusyError says when to retry. It matches [ErrBusy].
type BusyError struct {
	RetryAfter time.Duration // whole seconds, at least one
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%v: try again in %s", ErrBusy, e.RetryAfter)
}

// Is makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// defaultQueue is the default length of each queue, that of strangers and that of others: at a few hashes per second
// and slot, the last in it still gets its response before a browser times out.
const defaultQueue = 64

// typicalHash is the rough time of one hash on a small server. It is used for Retry-After only.
const typicalHash = 200 * time.Millisecond

// tarpitDelay is about how long a caller waits for admission before it is rejected; see [Tarpit].
const tarpitDelay = time.Second

// Slots limits how many hashes run at once. All hashing shares one, so that memory is limited by the number of slots,
// whatever the number of callers. It is safe for concurrent use.
type Slots struct {
	sem        *semaphore.Weighted // first come, first served
	admitted   *semaphore.Weighted // admitted strangers, in a slot or waiting for one
	tarpit     Tarpit
	queue      int64
	unadmitted atomic.Int64 // waiting without admission
	retry      time.Duration
	running    atomic.Int64
	idle       *time.Timer // returns memory to the system after a while without hashing
}

// idleAfter is how long nothing is hashed before the memory of the last hashes is returned to the system. The garbage
// collector alone would keep it for minutes, and an idle gate would seem to use three times its memory.
const idleAfter = 3 * time.Second

// NewSlots returns Slots with so many parallel hashes (at least one), and so many callers in the queue.
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

// DefaultSlots returns half as many slots as there are cores, so that a flood of sign-ins leaves the other half to
// signed-in users, and fewer if that many hashes of cost p do not fit into a quarter of the memory limit of the process
// (GOMEMLIMIT; Caddy sets it from the container's limit).
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

// Admit admits a stranger whose password is going to be checked, before anything expensive. With the returned context
// Acquire always gets a slot, in order of arrival. The caller calls leave once, after the check. If the queue is full,
// Admit waits a moment for room, and then returns a *[BusyError]; other errors are the context's.
func (s *Slots) Admit(ctx context.Context) (admitted context.Context, leave func(), err error) {
	if !s.admitted.TryAcquire(1) { // fails while others wait for admission, so nobody overtakes them
		if err := s.waitForPlace(ctx); err != nil {
			return nil, nil, err
		}
	}
	return context.WithValue(ctx, admittedKey{}, s), func() { s.admitted.Release(1) }, nil
}

// waitForPlace waits a moment for admission.
func (s *Slots) waitForPlace(ctx context.Context) error {
	moment, end := s.tarpit.Delay(tarpitDelay)
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

// Acquire waits for a slot. The caller calls release once. Callers without admission have a queue of their own, and get
// a *[BusyError] if it is full: they are authenticated already (administrators, users of a one-time link, or who has
// just given the old password), so strangers cannot fill that queue. Other errors are the context's.
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
