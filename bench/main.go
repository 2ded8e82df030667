// Command bench compares one Caddy binary with and without the gate, on this machine: make bench.
//
// The main figure is CPU seconds of the Caddy process per request, as a ratio to the same binary without the
// directive, in the same round: absolute times move with the neighbours of the machine. Every sample has a plain
// sample before and after it, and a second, identical plain Caddy (the A/A control) shows how far the method itself
// strays. Load generator and upstream run in this process and are charged to nobody. See docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 8, "samples of each target, each between two plain ones")
	sample := flag.Duration("sample", 2*time.Second, "length of a sample")
	conns := flag.Int("c", 16, "connections")
	binary := flag.String("caddy", "", "a Caddy with the plugin; default: build ./cmd/caddy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, *rounds, *sample, *conns); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, rounds int, sample time.Duration, conns int) error {
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
	plain, err := startCaddy(ctx, binary, dir, "plain", "", up)
	if err != nil {
		return err
	}
	defer plain.stop()
	control, err := startCaddy(ctx, binary, dir, "control", "", up)
	if err != nil {
		return err
	}
	defer control.stop()
	gated, err := startCaddy(ctx, binary, dir, "gated", "gatehouse", up)
	if err != nil {
		return err
	}
	defer gated.stop()
	cookie, err := gated.signIn(ctx)
	if err != nil {
		return err
	}
	var starts [2][]float64
	for range 5 {
		for i, srv := range []*server{plain, gated} {
			if err := srv.again(ctx); err != nil {
				return err
			}
			starts[i] = append(starts[i], srv.startup.Seconds()*1000)
		}
	}
	time.Sleep(time.Second) // let the background work of a start pass
	fmt.Printf("start to first answer (median of 5): plain %.0f ms, gated %.0f ms; resident memory idle: plain %.1f MiB, gated %.1f MiB; cookie %d bytes\n",
		median(starts[0]), median(starts[1]), plain.rss(), gated.rss(), len(cookie))
	// The same request goes to all of them, cookie included: what Caddy itself does with one more header is not the
	// gate's cost.
	base := target{"plain", plain, cookie, 200}
	targets := []target{
		{"plain again (A/A control)", control, cookie, 200},
		{"gated, warm session", gated, cookie, 200},
		{"gated, anonymous page load", gated, "", 302},
	}
	return compare(ctx, base, targets, rounds, sample, conns)
}

// target is one kind of request to one Caddy.
type target struct {
	name   string
	server *server
	cookie string
	status int // the only right answer
}

// compare interleaves samples and prints the medians of the ratios.
func compare(ctx context.Context, base target, targets []target, rounds int, sample time.Duration, conns int) error {
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
	fmt.Printf("\n%d connections, %d rounds of %v; ratios to plain Caddy in the same round\n\n", conns, rounds, sample)
	fmt.Println("| target | CPU per request | min..max | requests/s | p50 | p99 | CPU µs per request |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	for i, t := range targets {
		fmt.Println(results[i].row(t.name))
	}
	return nil
}
