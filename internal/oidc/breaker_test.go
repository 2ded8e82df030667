package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

func TestABreakerLetsOneThroughWhileTheProviderDoesNotAnswer(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	n := 0
	want := func(what string, want bool) attempt {
		t.Helper()
		n++
		a, got := b.admit(now, fmt.Sprint(n), false)
		if got != want {
			t.Errorf("%s: admitted %t", what, got)
		}
		return a
	}
	first := want("closed", true)
	want("closed, again", true)
	b.slow(now, "nobody's")
	want("another session is slow, but not at the token endpoint", true)
	b.slow(now, first.session)
	want("just opened", false)
	now = now.Add(firstBackoff)
	a := want("the first attempt", true)
	want("one at a time", false)
	b.done(now, a, noResponse)
	now = now.Add(firstBackoff)
	want("waits longer after a failure", false)
	now = now.Add(firstBackoff)
	a = want("the second attempt", true)
	b.done(now, a, unknownResponse)
	a = want("an attempt that says nothing leaves the turn to others", true)
	b.done(now, a, someResponse)
	a = want("closed by a response", true)
	for range 40 {
		b.done(now, a, noResponse)
	}
	now = now.Add(maxBreak)
	b.done(now, want("never waits longer than the limit", true), noResponse)
	now = now.Add(-24 * time.Hour)
	want("a clock that was set back", true)
}

func TestASessionThatFailedItsAttemptLetsOthersGoFirst(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bad, _ := b.admit(now, "bad", false)
	b.done(now, bad, noResponse)
	now = now.Add(maxBreak)
	if _, ok := b.admit(now, "bad", false); ok {
		t.Error("the session that failed has the next attempt")
	}
	good, ok := b.admit(now, "good", false)
	if !ok {
		t.Fatal("another session has no attempt")
	}
	b.done(now, good, noResponse)
	now = now.Add(2*firstBackoff + turnOfOthers)
	if _, ok := b.admit(now, "bad", false); !ok {
		t.Error("nobody tries when nobody else comes")
	}
}

func TestASessionThatWouldEndIsNotRefusedByTheBreaker(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bad, _ := b.admit(now, "bad", false)
	b.done(now, bad, noResponse)
	for i := range maxOverdue {
		if _, ok := b.admit(now, fmt.Sprint(i), true); !ok {
			t.Errorf("session %d was refused", i)
		}
	}
	if _, ok := b.admit(now, "more", true); ok {
		t.Error("there is no limit")
	}
}

func TestOnlyATokenEndpointThatDoesNotRespondOpensTheBreaker(t *testing.T) {
	t.Parallel()
	status := func(code int) error { return &oauth2.RetrieveError{Response: &http.Response{StatusCode: code}} }
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context //nolint:containedctx // of one case
		err  error
		want responsiveness
	}{
		"success":            {t.Context(), nil, someResponse},
		"400":                {t.Context(), status(400), someResponse},
		"401":                {t.Context(), status(401), someResponse},
		"429":                {t.Context(), status(429), someResponse},
		"500":                {t.Context(), status(500), noResponse},
		"503":                {t.Context(), status(503), noResponse},
		"no connection":      {t.Context(), &url.Error{Err: errors.New("refused")}, noResponse},
		"timeout":            {t.Context(), &url.Error{Err: context.DeadlineExceeded}, noResponse},
		"too large":          {t.Context(), &url.Error{Err: errTooLarge}, someResponse},
		"unreadable":         {t.Context(), errors.New("oauth2: cannot parse json"), someResponse},
		"a private address":  {t.Context(), &url.Error{Err: errPrivateAddress}, unknownResponse},
		"the caller is gone": {gone, &url.Error{Err: context.DeadlineExceeded}, unknownResponse},
	} {
		if got := tokenEndpointResponse(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
