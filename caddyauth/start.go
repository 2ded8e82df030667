package caddyauth

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// How long a start may take: a start that hangs is worse than one that fails. Migrating millions of rows takes time,
// and a migration that is canceled starts again from the beginning.
const (
	openTimeout  = 15 * time.Minute
	startTimeout = 60 * time.Second
)

// How PostgreSQL is waited for when a process starts before it.
const (
	firstProbe   = 2 * time.Second // then the other sites of this Caddy have waited long enough
	shortestWait = 250 * time.Millisecond
	longestWait  = 5 * time.Second
)

// waiting is work of a start that goes on after it.
type waiting struct {
	cancel context.CancelFunc // nil where there is none
	done   sync.WaitGroup
}

func (w *waiting) stop() {
	if w.cancel != nil {
		w.cancel()
		w.done.Wait()
	}
}

// Start opens the store, brings its schema up to date, applies the environment's administrator in one transaction,
// and opens the gates. Until then they respond 503.
//
// When a process starts, PostgreSQL may not be there yet: after a power cut both start at once. A failed start would
// take down every site of this Caddy, so the gates stay closed and the rest is done when it is there. A reload fails
// instead, and the old configuration goes on.
func (a *App) Start() error {
	defer a.readyOnce.Do(func() { close(a.ready) })
	a.rt.Enter(a)
	if a.opt.store.engine == sqlstore.EnginePostgres && caddy.ActiveContext().Context == nil {
		err := a.probe(context.Background())
		if sqlstore.Unreachable(err) {
			a.startLater(err)
			return nil
		}
	}
	return a.start(context.Background())
}

func (a *App) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstProbe)
	defer cancel()
	return a.opt.store.check(ctx, a.log, true)
}

// startLater goes on trying to start until the store is there or the app is stopped.
func (a *App) startLater(err error) {
	a.log.Error("the store cannot be reached: every gated site is closed (503) until it is there, and everything else "+
		"goes on; trying again", zap.Error(err))
	ctx, cancel := context.WithCancel(context.Background())
	a.waiting.cancel = cancel
	a.waiting.done.Go(func() {
		for wait := shortestWait; ; wait = min(2*wait, longestWait) {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			before := err
			if err = a.rt.WithTurn(a, func() error { return a.start(ctx) }); err == nil {
				return
			}
			if ctx.Err() == nil && err.Error() != before.Error() {
				a.log.Error("still not started: every gated site is closed (503)", zap.Error(err))
			}
		}
	})
}

// start opens the store and the gates.
func (a *App) start(parent context.Context) error {
	opening, opened := context.WithTimeout(parent, openTimeout)
	defer opened()
	if err := a.rt.Open(opening, a.opt.store.open(a.log), a.log); err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	ctx, cancel := context.WithTimeout(parent, startTimeout)
	defer cancel()
	l, err := newLive(a)
	if err != nil {
		return err
	}
	res, err := seed.Apply(ctx, a.rt.Store, a.seed, l.hasher, seed.Options{Clock: time.Now, Log: a.log})
	if err != nil {
		return fmt.Errorf("making the administrator: %w", err)
	}
	if err := a.warnOfUnusedFactors(ctx, a.rt.Store); err != nil {
		return err
	}
	if err := a.limitTrust(ctx, a.rt.Store); err != nil {
		return err
	}
	if err := a.warnOfLostPasskeys(ctx, a.rt.Store); err != nil {
		return err
	}
	a.rt.KeepEvents(a, a.opt.retention)
	if res.NeedsSetup {
		if err := a.rt.LogSetupLink(ctx, l.accounts, a.siteAddresses(), a.opt.prefix, a.log); err != nil {
			return err
		}
	}
	if res.CheckIgnored != nil {
		a.rt.Background(res.CheckIgnored)
	}
	a.rt.Sessions.InvalidateAll()
	a.live.Store(l)
	if !res.NeedsSetup { // else every site is closed, and the log says how to go on
		a.announce()
	}
	return nil
}

// Stop implements caddy.App. Requests may still be under way, so nothing is closed here; see Cleanup.
func (a *App) Stop() error {
	a.waiting.stop()
	a.announcing.stop()
	return nil
}

// activePoll is how often it is looked whether Caddy runs this configuration, which it tells no module.
const activePoll = 20 * time.Millisecond

// announce logs where the gated sites are, as soon as Caddy runs this configuration: apps start in no order, and one
// that starts later may fail, such as on a port that is taken.
func (a *App) announce() {
	ctx, cancel := context.WithCancel(context.Background())
	a.announcing.cancel = cancel
	a.announcing.done.Go(func() {
		ticker := time.NewTicker(activePoll)
		defer ticker.Stop()
		for {
			if running, err := caddy.ActiveContext().AppIfConfigured("gatehouse"); err == nil && running == any(a) {
				a.rt.LogReady(a.siteAddresses(), a.log)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
}

// validating reports whether a configuration is only validated. A store that cannot be reached is an error then, and
// at a start it is not; Caddy provisions both in the same way and tells a module nothing of the difference, so this
// looks at who called. A test holds it to Caddy's own `validate`.
func validating() bool {
	const validate = "github.com/caddyserver/caddy/v2.Validate"
	pcs := make([]uintptr, 512)
	frames := goruntime.CallersFrames(pcs[:goruntime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		if frame.Function == validate {
			return true
		}
		if !more {
			return false
		}
	}
}

// errNotReady: the gate has no store yet, or never will.
var errNotReady = errors.New("gatehouse has not started")

// readyWait is how long a request waits for the app of its configuration to start: Caddy starts apps in no order,
// so at a reload requests can arrive some milliseconds early, and none should be lost for that.
const readyWait = 2 * time.Second

// await returns the running parts of the app.
func (a *App) await(ctx context.Context) (*live, error) {
	if l := a.live.Load(); l != nil {
		return l, nil
	}
	timer := time.NewTimer(readyWait)
	defer timer.Stop()
	select {
	case <-a.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	if l := a.live.Load(); l != nil {
		return l, nil
	}
	return nil, errNotReady
}
