package store

import (
	"context"
	"time"
)

// Throttle counts attempts. Counting is one atomic statement, so that parallel guesses cannot bypass a limit, and
// counts survive a restart. The caller hashes keys that contain user input.
type Throttle interface {
	// CountInWindow counts an attempt under key and allows limit attempts per window (a fixed window that starts with the
	// first attempt). It returns 0 if the attempt was counted, else how long the window still lasts.
	CountInWindow(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (wait time.Duration,
		err error)
	// UncountInWindow takes back one attempt that CountInWindow has counted, and that is none of those to be limited.
	UncountInWindow(ctx context.Context, key string, now time.Time) error
	// BeginAttempt counts an attempt under key before its outcome is known (the caller clears it on success). While key
	// is blocked it counts nothing and returns the remaining wait. After free counted attempts each further one makes
	// the key wait twice as long as the one before, from [FirstWait] up to longest.
	BeginAttempt(ctx context.Context, key string, free int, longest time.Duration, now time.Time) (wait time.Duration,
		err error)
	// ForgiveAttempt undoes one attempt that was not checked (the server was too busy).
	ForgiveAttempt(ctx context.Context, key string, now time.Time) error
}

// FirstWait is the wait after the last free wrong attempt; it doubles with each further one.
const FirstWait = 2 * time.Second

// Wait returns how long an account waits after that many wrong attempts.
func Wait(failures, free int, longest time.Duration) time.Duration {
	if failures < free {
		return 0
	}
	w := FirstWait
	for i := free; i < failures && w < longest; i++ {
		w *= 2
	}
	return min(w, longest)
}
