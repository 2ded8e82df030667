package oidc

import (
	"testing"
	"time"
)

func TestABreakerLetsOneThroughWhileTheProviderDoesNotAnswer(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	want := func(what string, want bool) {
		t.Helper()
		if got := b.admit(now); got != want {
			t.Errorf("%s: admitted %t", what, got)
		}
	}
	want("closed", true)
	want("closed, again", true)
	b.slow(now)
	want("just opened", false)
	now = now.Add(firstBackoff)
	want("the first attempt", true)
	want("one at a time", false)
	b.done(now, true)
	now = now.Add(firstBackoff)
	want("waits longer after a failure", false)
	now = now.Add(firstBackoff)
	want("the second attempt", true)
	b.done(now, false)
	want("closed by a response", true)
	for range 40 {
		b.done(now, true)
	}
	now = now.Add(maxBreak)
	want("never waits longer than the limit", true)
	b.done(now, true)
	now = now.Add(-24 * time.Hour)
	want("a clock that was set back", true)
}
