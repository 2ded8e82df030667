package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// attackers is the number of concurrent sign-in attempts, repeated immediately, whatever Retry-After says.
const attackers = 200

// flood compares the latency of signed-in users with and without a flood of sign-ins, at a load below saturation: on
// a saturated machine, every figure would be that of the run queue.
func flood(ctx context.Context, kind string, gated *server, rounds int, sample time.Duration) error {
	cookie, err := gated.signIn(ctx)
	if err != nil {
		return err
	}
	t := target{name: "gated", server: gated, cookie: cookie, status: http.StatusOK}
	var tally attempts
	signedIn := func() (figures, error) { return paced(ctx, t.ask, perSecond, sample) }
	p50, p99, peak, err := beside(gated, signedIn, rounds, sample, func() (stop func()) { return tally.run(ctx, gated) })
	if err != nil {
		return err
	}
	if n := tally.other.Load(); n > 0 {
		return fmt.Errorf("%d sign-ins of the flood were answered otherwise than 401, 429 and 503", n)
	}
	fmt.Printf("\nsigned-in requests during %d sign-ins at once from %s, as a ratio to without: p50 %.2f (%.2f..%.2f), p99 %.2f; sign-ins answered 401: %d, 429: %d, 503: %d; resident memory %.1f MiB\n",
		attackers, kind, median(p50), slices.Min(p50), slices.Max(p50), median(p99), tally.wrong.Load(), tally.throttled.Load(), tally.busy.Load(), peak)
	return nil
}

// beside returns what measure returns while something else goes on at a server, as ratios to that without it, and the
// largest resident memory of the server meanwhile.
func beside(srv *server, measure func() (figures, error), rounds int, sample time.Duration, begin func() (stop func())) (
	p50, p99 []float64, peak float64, err error,
) {
	before, err := measure()
	if err != nil {
		return nil, nil, 0, err
	}
	for range rounds {
		stop := begin()
		time.Sleep(sample / 4) // waits: until queues are full, and steady
		under, err := measure()
		peak = max(peak, srv.rss())
		stop()
		if err != nil {
			return nil, nil, 0, err
		}
		after, err := measure()
		if err != nil {
			return nil, nil, 0, err
		}
		p50 = append(p50, under.p50.Seconds()*2/(before.p50+after.p50).Seconds())
		p99 = append(p99, under.p99.Seconds()*2/(before.p99+after.p99).Seconds())
		before = after
	}
	return p50, p99, peak, nil
}

// perSecond is how many requests signed-in people send in a second.
const perSecond = 200

// paced sends a number of requests per second, however long the responses take.
func paced(ctx context.Context, send func(context.Context, *http.Client) error, rate int, sample time.Duration) (
	figures, error,
) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < sample; <-tick.C {
		wg.Go(func() {
			sent := time.Now()
			err := send(ctx, client)
			took := time.Since(sent)
			mu.Lock()
			defer mu.Unlock()
			times, failed = append(times, took), errors.Join(failed, err)
		})
	}
	wg.Wait()
	if failed != nil {
		return figures{}, failed
	}
	slices.Sort(times)
	return figures{p50: times[len(times)/2], p99: times[len(times)*99/100]}, nil
}

// attempts counts the results of sign-ins.
type attempts struct{ wrong, throttled, busy, other, names atomic.Int64 }

// run floods until the returned function is called.
func (a *attempts) run(ctx context.Context, srv *server) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: attackers}}
	var wg sync.WaitGroup
	for range attackers {
		wg.Go(func() {
			for ctx.Err() == nil {
				a.try(ctx, client, srv)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
		client.CloseIdleConnections()
	}
}

func (a *attempts) try(ctx context.Context, client *http.Client, srv *server) {
	form := url.Values{"username": {fmt.Sprintf("nobody%d", a.names.Add(1))}, "password": {"a wrong password"}}
	res, err := srv.post(ctx, client, "/_auth/login", "", form)
	if err != nil {
		if ctx.Err() == nil {
			a.other.Add(1)
		}
		return
	}
	retryAfter := res.Header.Get("Retry-After") != ""
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		a.wrong.Add(1)
	case res.StatusCode == http.StatusTooManyRequests && retryAfter:
		a.throttled.Add(1)
	case res.StatusCode == http.StatusServiceUnavailable && retryAfter:
		a.busy.Add(1)
	default:
		a.other.Add(1)
	}
}
