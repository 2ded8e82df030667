// Command bench compares one Caddy binary with and without the gate, on this machine: make bench.
//
// The main figure is CPU seconds of the Caddy process per request, as a ratio to the same binary without the
// directive, in the same round: absolute times move with the neighbors of the machine. Every sample has a plain
// sample before and after it, and a second, identical plain Caddy (the A/A control) shows the error of the method.
// Load generator and upstream run in this process and are not counted. See docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	binary string
	older  []olderBinary
	part   string
	rounds int
	sample time.Duration
	conns  []int
	bad    int
}

// olderBinary is a Caddy of another commit. Its requests are measured in the same rounds: figures of two runs differ by
// what the machine did meanwhile.
type olderBinary struct{ name, file string }

func main() {
	o, conns := options{}, ""
	flag.IntVar(&o.rounds, "rounds", 8, "samples of each target, each between two plain ones")
	flag.DurationVar(&o.sample, "sample", 2*time.Second, "length of a sample")
	flag.StringVar(&conns, "c", "16,64", "connections, a table each; none: only the flood and the memory")
	flag.StringVar(&o.binary, "caddy", "", "a Caddy with the plugin; default: build ./cmd/caddy")
	flag.StringVar(&o.part, "part", "all", "requests: of sessions; gate: also signed identity, sign-ins, memory; factors: wrong second factors; programs: tokens; or all")
	flag.IntVar(&o.bad, "bad", 1_000_000, "bad tokens of each kind")
	flag.Func("also", "`name=file` of another Caddy with the plugin, as of an older commit, for the same rounds; repeat it for more",
		func(text string) error {
			name, file, _ := strings.Cut(text, "=")
			if name == "" || file == "" {
				return errors.New("use a name and a file such as before=/tmp/caddy")
			}
			o.older = append(o.older, olderBinary{name, file})
			return nil
		})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for c := range strings.SplitSeq(conns, ",") {
		if conns == "none" {
			break
		}
		n, err := strconv.Atoi(c)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench: -c %s: use numbers of connections such as 16,64\n", conns)
			os.Exit(2)
		}
		o.conns = append(o.conns, n)
	}
	if !slices.Contains([]string{"all", "requests", "gate", "factors", "programs"}, o.part) {
		fmt.Fprintf(os.Stderr, "bench: -part %s: use requests, gate, factors, programs or all\n", o.part)
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.binary == "" {
		if o.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	up := upstream()
	defer up.Close()
	if o.part == "factors" {
		return factors(ctx, o.binary, dir, up, o.rounds, o.sample)
	}
	if o.part != "programs" {
		if err := gate(ctx, o, dir, up); err != nil {
			return err
		}
	}
	if o.part != "all" && o.part != "programs" {
		return nil
	}
	return programs(ctx, o.binary, dir, up, o.rounds, o.sample, o.conns, o.bad)
}

// gate measures people: their requests, their starts, and what a flood of sign-ins does to them.
func gate(ctx context.Context, o options, dir string, up *httptest.Server) error {
	plain, err := startCaddy(ctx, o.binary, dir, "plain", "", "", up)
	if err != nil {
		return err
	}
	defer plain.stop()
	gated, err := startCaddy(ctx, o.binary, dir, "gated", "gatehouse", manyAttempts, up)
	if err != nil {
		return err
	}
	defer gated.stop()
	cookie, err := gated.signIn(ctx)
	if err != nil {
		return err
	}
	if err := starts(ctx, plain, gated, cookie); err != nil {
		return err
	}
	if err := requests(ctx, o, dir, up, target{name: "plain Caddy", server: plain, cookie: cookie, status: 200}, gated); err != nil {
		return err
	}
	if o.part == "requests" {
		return nil
	}
	if err := compareAssertion(ctx, o.binary, dir, up, o.rounds, o.sample, o.conns); err != nil {
		return err
	}
	if err := flood(ctx, "many addresses", gated, o.rounds, o.sample); err != nil {
		return err
	}
	throttled, err := startCaddy(ctx, o.binary, dir, "throttled", "gatehouse", "", up)
	if err != nil {
		return err
	}
	defer throttled.stop()
	if err := flood(ctx, "one address", throttled, o.rounds, o.sample); err != nil {
		return err
	}
	if err := factors(ctx, o.binary, dir, up, o.rounds, o.sample); err != nil {
		return err
	}
	return manySessions(ctx, plain, gated)
}

// requests compares requests to gated, and to the gates of older binaries, with base. The same request goes to all of
// them, cookie included: what Caddy itself does with one more header is not the gate's cost.
func requests(ctx context.Context, o options, dir string, up *httptest.Server, base target, gated *server) error {
	control, err := startCaddy(ctx, o.binary, dir, "control", "", "", up)
	if err != nil {
		return err
	}
	defer control.stop()
	// What Caddy itself does with six more headers: clone them, record them for a log line, write them to the upstream.
	headers, err := startCaddy(ctx, o.binary, dir, "headers", identityHeaders, "", up)
	if err != nil {
		return err
	}
	defer headers.stop()
	targets := []target{
		{name: "plain again (A/A control)", server: control, cookie: base.cookie, status: 200},
		{name: "plain with the same six headers", server: headers, cookie: base.cookie, status: 200},
		{name: "gated, warm session", server: gated, cookie: base.cookie, status: 200},
		{name: "gated, anonymous page load", server: gated, status: 302},
	}
	for i, old := range o.older {
		srv, err := startCaddy(ctx, old.file, dir, fmt.Sprint("older-", i), "gatehouse", manyAttempts, up)
		if err != nil {
			return err
		}
		defer srv.stop()
		cookie, err := srv.signIn(ctx)
		if err != nil {
			return err
		}
		targets = append(targets, target{name: "gated, warm session, " + old.name, server: srv, cookie: cookie, status: 200})
	}
	for _, c := range o.conns {
		if err := compare(ctx, "a client's two headers", base, targets, o.rounds, o.sample, c); err != nil {
			return err
		}
		if err := compare(ctx, "a browser's headers", base.asBrowser(), asBrowsers(targets), o.rounds, o.sample, c); err != nil {
			return err
		}
	}
	return nil
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
