package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// figures are the results of one sample.
type figures struct {
	cpu      float64 // seconds of the server's process per request
	rate     float64 // requests per second
	p50, p99 time.Duration
}

// load sends requests to t for the duration of sample, over conns keep-alive connections, and checks every response.
func load(ctx context.Context, t target, sample time.Duration, conns int) (figures, error) {
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: conns, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	cpu0, err := t.server.cpu()
	if err != nil {
		return figures{}, err
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			var own []time.Duration
			var err error
			for err == nil && time.Since(begin) < sample && ctx.Err() == nil {
				sent := time.Now()
				err = t.ask(ctx, client)
				own = append(own, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if failed != nil {
		return figures{}, fmt.Errorf("%s: %w", t.name, failed)
	}
	cpu1, err := t.server.cpu()
	if err != nil {
		return figures{}, err
	}
	slices.Sort(times)
	n := len(times)
	return figures{
		cpu: (cpu1 - cpu0) / float64(n), rate: float64(n) / took.Seconds(),
		p50: times[n/2], p99: times[n*99/100],
	}, nil
}

const userAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"

// browserHeaders are what a browser sends beside its name when somebody follows a link on the same site.
var browserHeaders = map[string]string{
	"Accept":                    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
	"Accept-Encoding":           "gzip, deflate, br, zstd",
	"Accept-Language":           "en-US,en;q=0.9,de;q=0.8",
	"Cache-Control":             "max-age=0",
	"Priority":                  "u=0, i",
	"Referer":                   "http://127.0.0.1/some/other/path",
	"Sec-Ch-Ua":                 `"Chromium";v="156", "Not?A_Brand";v="24"`,
	"Sec-Ch-Ua-Mobile":          "?0",
	"Sec-Ch-Ua-Platform":        `"Linux"`,
	"Sec-Fetch-Dest":            "document",
	"Sec-Fetch-Mode":            "navigate",
	"Sec-Fetch-Site":            "same-origin",
	"Sec-Fetch-User":            "?1",
	"Upgrade-Insecure-Requests": "1",
}

func (t target) ask(ctx context.Context, client *http.Client) error {
	path := t.path
	if path == "" {
		path = "/some/path"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.server.url+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("User-Agent", userAgent)
	for name, value := range t.headers {
		r.Header.Set(name, value)
	}
	if t.cookie != "" {
		r.Header.Set("Cookie", t.cookie)
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != t.status {
		return fmt.Errorf("answered %d instead of %d", res.StatusCode, t.status)
	}
	return nil
}

// series collects a target's samples as ratios to the plain samples around them.
type series struct {
	cpu, rate, p50, p99, micros []float64
}

func (s *series) add(f, before, after figures) {
	ratio := func(v, a, b float64) float64 { return v / ((a + b) / 2) }
	s.cpu = append(s.cpu, ratio(f.cpu, before.cpu, after.cpu))
	s.rate = append(s.rate, ratio(f.rate, before.rate, after.rate))
	s.p50 = append(s.p50, ratio(f.p50.Seconds(), before.p50.Seconds(), after.p50.Seconds()))
	s.p99 = append(s.p99, ratio(f.p99.Seconds(), before.p99.Seconds(), after.p99.Seconds()))
	s.micros = append(s.micros, f.cpu*1e6)
}

func (s *series) row(name string) string {
	return fmt.Sprintf("| %s | %.2f | %.2f..%.2f | %.2f | %.2f | %.2f | %.1f |", name,
		median(s.cpu), slices.Min(s.cpu), slices.Max(s.cpu), median(s.rate), median(s.p50), median(s.p99), median(s.micros))
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
