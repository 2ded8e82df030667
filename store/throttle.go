package store

import (
	"context"
	"time"
)

// Throttle counts attempts. Both methods are one atomic statement, so that parallel guesses cannot slip past, and
// both survive a restart. Keys are hashed by the caller where they hold what a person typed.
type Throttle interface {
	// TakeTurn counts an attempt under key, of which there may be limit in a period. The period begins with the first
	// attempt and is over after window; then nothing is left of it. It returns 0 when it counted one, else how long the
	// period still lasts.
	TakeTurn(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (wait time.Duration, err error)
	// BeginAttempt counts an attempt under key before its outcome is known (the caller clears it on success).
	// While key waits it counts nothing and returns the remaining wait. After free counted attempts each further
	// one makes the key wait twice as long as the one before, from [FirstWait] up to longest.
	BeginAttempt(ctx context.Context, key string, free int, longest time.Duration, now time.Time) (wait time.Duration, err error)
	// ForgiveAttempt takes back one attempt that came to no verdict (the server was too busy to check it).
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
