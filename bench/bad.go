package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
)

// badKind is a flood of tokens that open nothing, each another.
type badKind struct {
	name      string
	token     func() string
	addresses bool // each from an address of its own
}

var badKinds = []badKind{
	{"unknown tokens from one address", func() string { return credential.New(true) }, false},
	{"unknown tokens from as many addresses", func() string { return credential.New(true) }, true},
	{"misspelled tokens from as many addresses", func() string { return credential.New(true) + "x" }, true},
}

// tally counts the responses to bad tokens.
type tally struct{ n, unauthorized, throttled, other atomic.Int64 }

// send sends the next bad token, and counts the response.
func (k badKind) send(ctx context.Context, client *http.Client, srv *server, tally *tally) error {
	n := tally.n.Add(1)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.url+"/some/path", nil)
	if err != nil {
		return err
	}
	for name, value := range programHeaders {
		r.Header.Set(name, value)
	}
	r.Header.Set("Authorization", "Bearer "+k.token())
	if k.addresses {
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	switch res.StatusCode {
	case http.StatusUnauthorized:
		tally.unauthorized.Add(1)
	case http.StatusTooManyRequests:
		tally.throttled.Add(1)
	default:
		tally.other.Add(1)
	}
	return nil
}

// times sends n requests over 16 connections, and returns the CPU of the server and the time for each, and the largest
// resident memory meanwhile.
func times(ctx context.Context, srv *server, n int, send func(*http.Client) error) (cpu, took, peak float64, err error) {
	const conns = 16
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: conns, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	before, err := srv.cpu()
	if err != nil {
		return 0, 0, 0, err
	}
	begin := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	failed := make([]error, conns)
	peaks := make([]float64, conns)
	for i := range conns {
		wg.Go(func() {
			for sent := 0; left.Add(-1) >= 0 && failed[i] == nil && ctx.Err() == nil; sent++ {
				failed[i] = send(client)
				if sent%1000 == 0 {
					peaks[i] = max(peaks[i], srv.rss())
				}
			}
		})
	}
	wg.Wait()
	took = time.Since(begin).Seconds() / float64(n)
	after, err := srv.cpu()
	err = errors.Join(errors.Join(failed...), err, ctx.Err())
	return (after - before) / float64(n), took, max(slices.Max(peaks), srv.rss()), err
}

// manyBad sends n bad tokens. What they cost is compared with what a request without any credential does, at the same
// gate, and with Caddy's own 401; a tenth of n of these is sent before and after.
func manyBad(ctx context.Context, plain, gated *server, kind badKind, n int) error {
	if n < 1 {
		return nil
	}
	refused := func(srv *server, path string) (cpu float64, err error) {
		t := target{server: srv, path: path, status: http.StatusUnauthorized, headers: programHeaders}
		cpu, _, _, err = times(ctx, srv, max(n/10, 1), func(c *http.Client) error { return t.ask(ctx, c) })
		return cpu, err
	}
	var nothing, caddys [2]float64
	var counted tally
	var cpu, took, peak, idle float64
	for i := range 2 {
		var err error
		if caddys[i], err = refused(plain, "/refused"); err != nil {
			return err
		}
		if nothing[i], err = refused(gated, "/some/path"); err != nil {
			return err
		}
		if i > 0 {
			break
		}
		idle = gated.rss()
		cpu, took, peak, err = times(ctx, gated, n, func(c *http.Client) error { return kind.send(ctx, c, gated, &counted) })
		if err != nil {
			return err
		}
	}
	if other := counted.other.Load(); other > 0 {
		return fmt.Errorf("%s: %d were answered otherwise than 401 and 429", kind.name, other)
	}
	time.Sleep(settle) // waits: see settle
	fmt.Printf("\n%d %s: %.0f µs each; CPU as a ratio to no credential %.2f, to Caddy's own 401 %.2f; "+
		"answered 401: %d, 429: %d; resident memory before %.1f MiB, at most %.1f MiB, after %.1f MiB\n",
		n, kind.name, took*1e6, cpu*2/(nothing[0]+nothing[1]), cpu*2/(caddys[0]+caddys[1]),
		counted.unauthorized.Load(), counted.throttled.Load(), idle, peak, gated.rss())
	return nil
}

// badRate is how many bad tokens come in a second beside good ones: below saturation, or every figure would be that of
// the run queue.
const badRate = 1000

// goodBesideBad compares the latency of good tokens with and without bad ones beside them.
func goodBesideBad(ctx context.Context, gated *server, c credentials, kind badKind, rounds int, sample time.Duration) error {
	good := target{server: gated, status: http.StatusOK}.with("good token", "Bearer "+c.token)
	var counted tally
	measure := func() (figures, error) { return paced(ctx, good.ask, perSecond, sample) }
	p50, p99, _, err := beside(gated, measure, rounds, sample, func() (stop func()) {
		return badly(ctx, func(ctx context.Context, client *http.Client) {
			if err := kind.send(ctx, client, gated, &counted); err != nil && ctx.Err() == nil {
				counted.other.Add(1)
			}
		})
	})
	if err != nil {
		return err
	}
	if other := counted.other.Load(); other > 0 {
		return fmt.Errorf("%s: %d failed, or were answered otherwise than 401 and 429", kind.name, other)
	}
	fmt.Printf("good tokens beside %d %s a second, as a ratio to without: p50 %.2f (%.2f..%.2f), p99 %.2f\n",
		badRate, kind.name, median(p50), slices.Min(p50), slices.Max(p50), median(p99))
	return nil
}

// badly calls send at [badRate] until the returned function is called.
func badly(ctx context.Context, send func(context.Context, *http.Client)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second / badRate)
		defer tick.Stop()
		for ctx.Err() == nil {
			wg.Go(func() { send(ctx, client) })
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		client.CloseIdleConnections()
	}
}
