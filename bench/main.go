// Command bench compares one Caddy binary with and without the gate, on this machine: make bench.
//
// The main figure is CPU seconds of the Caddy process per request, as a ratio to the same binary without the
// directive, in the same round: absolute times move with the neighbors of the machine. Every sample has a plain
// sample before and after it, and a second, identical plain Caddy (the A/A control) shows the error of the method.
// Load generator and upstream run in this process and are not counted. See docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 8, "samples of each target, each between two plain ones")
	sample := flag.Duration("sample", 2*time.Second, "length of a sample")
	conns := flag.String("c", "16,64", "connections, a table each; none: only the flood and the memory")
	binary := flag.String("caddy", "", "a Caddy with the plugin; default: build ./cmd/caddy")
	part := flag.String("part", "all", "gate: sessions, signed identity, sign-ins; programs: tokens; or all")
	bad := flag.Int("bad", 1_000_000, "bad tokens of each kind")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var counts []int
	for c := range strings.SplitSeq(*conns, ",") {
		if *conns == "none" {
			break
		}
		n, err := strconv.Atoi(c)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench: -c %s: use numbers of connections such as 16,64\n", *conns)
			os.Exit(2)
		}
		counts = append(counts, n)
	}
	if *part != "all" && *part != "gate" && *part != "programs" {
		fmt.Fprintf(os.Stderr, "bench: -part %s: use gate, programs or all\n", *part)
		os.Exit(2)
	}
	if err := run(ctx, *binary, *part, *rounds, *sample, counts, *bad); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, part string, rounds int, sample time.Duration, conns []int, bad int) error {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if binary == "" {
		if binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	up := upstream()
	defer up.Close()
	if part != "programs" {
		if err := gate(ctx, binary, dir, up, rounds, sample, conns); err != nil {
			return err
		}
	}
	if part == "gate" {
		return nil
	}
	return programs(ctx, binary, dir, up, rounds, sample, conns, bad)
}

// gate measures people: their requests, their starts, and what a flood of sign-ins does to them.
func gate(ctx context.Context, binary, dir string, up *httptest.Server, rounds int, sample time.Duration, conns []int) error {
	plain, err := startCaddy(ctx, binary, dir, "plain", "", "", up)
	if err != nil {
		return err
	}
	defer plain.stop()
	control, err := startCaddy(ctx, binary, dir, "control", "", "", up)
	if err != nil {
		return err
	}
	defer control.stop()
	gated, err := startCaddy(ctx, binary, dir, "gated", "gatehouse", manyAttempts, up)
	if err != nil {
		return err
	}
	defer gated.stop()
	// What Caddy itself does with six more headers: clone them, record them for a log line, write them to the upstream.
	headers, err := startCaddy(ctx, binary, dir, "headers", identityHeaders, "", up)
	if err != nil {
		return err
	}
	defer headers.stop()
	throttled, err := startCaddy(ctx, binary, dir, "throttled", "gatehouse", "", up)
	if err != nil {
		return err
	}
	defer throttled.stop()
	cookie, err := gated.signIn(ctx)
	if err != nil {
		return err
	}
	if err := starts(ctx, plain, gated, cookie); err != nil {
		return err
	}
	// The same request goes to all of them, cookie included: what Caddy itself does with one more header is not the
	// gate's cost.
	base := target{name: "plain Caddy", server: plain, cookie: cookie, status: 200}
	targets := []target{
		{name: "plain again (A/A control)", server: control, cookie: cookie, status: 200},
		{name: "plain with the same six headers", server: headers, cookie: cookie, status: 200},
		{name: "gated, warm session", server: gated, cookie: cookie, status: 200},
		{name: "gated, anonymous page load", server: gated, status: 302},
	}
	for _, c := range conns {
		if err := compare(ctx, "a client's two headers", base, targets, rounds, sample, c); err != nil {
			return err
		}
		if err := compare(ctx, "a browser's headers", base.asBrowser(), asBrowsers(targets), rounds, sample, c); err != nil {
			return err
		}
	}
	if err := compareAssertion(ctx, binary, dir, up, rounds, sample, conns); err != nil {
		return err
	}
	if err := flood(ctx, "many addresses", gated, rounds, sample); err != nil {
		return err
	}
	if err := flood(ctx, "one address", throttled, rounds, sample); err != nil {
		return err
	}
	return manySessions(ctx, plain, gated)
}

// manyAttempts lifts the throttle for the address of the load generator.
const manyAttempts = "\tgatehouse {\n\t\tthrottle {\n\t\t\tclient 1000000/1m\n\t\t}\n\t}\n"

// identityHeaders are the identity headers of the administrator.
const identityHeaders = `request_header Remote-User admin
	request_header Remote-Id 01kxzq3v4w5x6y7z8a9b0c1d2e
	request_header Remote-Email admin@example.com
	request_header Remote-Name admin
	request_header Remote-Groups ""
	request_header Remote-Role admin`

// settle waits for the background work of a start, and for the memory of the last password hash to be released.
const settle = 6 * time.Second

func starts(ctx context.Context, plain, gated *server, cookie string) error {
	var took [2][]float64
	for range 5 {
		for i, srv := range []*server{plain, gated} {
			if err := srv.restart(ctx); err != nil {
				return err
			}
			took[i] = append(took[i], srv.startup.Seconds()*1000)
		}
	}
	time.Sleep(settle) // waits: see settle
	fmt.Printf("start to first answer (median of 5): plain %.0f ms, gated %.0f ms; resident memory idle: plain %.1f MiB, gated %.1f MiB; cookie %d bytes\n",
		median(took[0]), median(took[1]), plain.rss(), gated.rss(), len(cookie))
	return nil
}

// manySessions reports the resident memory after requests of a hundred thousand users. Both servers handle the same
// number of requests.
func manySessions(ctx context.Context, plain, gated *server) error {
	const n = 100_000
	gated.stop()
	cookies, err := addSessions(ctx, gated.store(), n)
	if err != nil {
		return err
	}
	for _, srv := range []*server{plain, gated} {
		if err := srv.restart(ctx); err != nil {
			return err
		}
		if err := eachOnce(ctx, srv, cookies); err != nil {
			return err
		}
	}
	time.Sleep(settle) // waits: see settle
	fmt.Printf("\nresident memory after %d sessions were seen: plain %.1f MiB, gated %.1f MiB\n", n, plain.rss(), gated.rss())
	return nil
}

// target is one kind of request to one Caddy.
type target struct {
	name   string
	server *server
	cookie string
	status int    // the only right one
	path   string // default /some/path

	headers map[string]string // sent beside the cookie
}

func (t target) asBrowser() target {
	t.headers = browserHeaders
	return t
}

func asBrowsers(targets []target) []target {
	out := make([]target, len(targets))
	for i, t := range targets {
		out[i] = t.asBrowser()
	}
	return out
}

// compare interleaves samples and prints the medians of the ratios.
func compare(ctx context.Context, workload string, base target, targets []target, rounds int, sample time.Duration, conns int) error {
	measure := func(t target) (figures, error) { return load(ctx, t, sample, conns) }
	for _, t := range append([]target{base}, targets...) { // warm up
		if _, err := load(ctx, t, sample/2, conns); err != nil {
			return err
		}
	}
	results := make([]series, len(targets))
	before, err := measure(base)
	if err != nil {
		return err
	}
	for range rounds {
		for i, t := range targets {
			f, err := measure(t)
			if err != nil {
				return err
			}
			after, err := measure(base)
			if err != nil {
				return err
			}
			results[i].add(f, before, after)
			before = after
		}
	}
	fmt.Printf("\n%d connections, %s, %d rounds of %v; ratios to %q in the same round\n\n", conns, workload, rounds, sample, base.name)
	fmt.Println("| target | CPU per request | min..max | requests/s | p50 | p99 | CPU µs per request |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	for i, t := range targets {
		fmt.Println(results[i].row(t.name))
	}
	return nil
}
