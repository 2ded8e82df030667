package caddyauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// runtimes holds what outlives a configuration: Caddy runs the new one before it lets go of the old one, so with the
// same store both meet on the same runtime, and a reload loses no session, stream, count or open file.
var runtimes = caddy.NewUsagePool()

// runtime is everything that belongs to one store. It is made in Provision, which must change nothing, and opened in
// Start.
type runtime struct {
	key     string
	metrics *metrics

	mu       sync.Mutex
	opened   bool
	store    store.Store
	sessions *session.Manager
	throttle *login.Throttle
	oidc     *oidc.Pool // nil until a configuration has a provider
	slots    map[password.Params]*password.Slots
	setup    time.Time // until when the announced set-up link can be used

	// How long each living configuration wants audit events to stay; 0: for ever. It has a lock of its own, because the
	// end of the runtime waits for the sweep under mu.
	keeping sync.Mutex
	kept    map[*App]time.Duration

	sweepNow chan struct{} // asks for a sweep at once
	stop     chan struct{}
	work     sync.WaitGroup
}

// acquireRuntime returns the runtime of a store; release it once.
func acquireRuntime(o storeOptions, log *zap.Logger) (*runtime, error) {
	v, _, err := runtimes.LoadOrNew(o.key(), func() (caddy.Destructor, error) {
		return &runtime{key: o.key(), metrics: newMetrics(), slots: make(map[password.Params]*password.Slots), kept: make(map[*App]time.Duration), sweepNow: make(chan struct{}, 1), stop: make(chan struct{})}, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*runtime), nil
}

func releaseRuntime(rt *runtime) error {
	_, err := runtimes.Delete(rt.key)
	return err
}

// open opens the store unless an earlier configuration did.
func (rt *runtime) open(ctx context.Context, o *options, log *zap.Logger) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.opened {
		return nil
	}
	db, err := sqlstore.Open(ctx, o.store.sql(log))
	if err != nil {
		return err
	}
	info := db.Info()
	log.Info("opened the store", zap.String("engine", info.Engine), zap.String("location", info.Location), zap.Int64("schema", info.Schema))
	rt.store = newBatchedEvents(rt.metrics.timed(db), db.CompleteEvent, log.Named("audit"))
	rt.sessions = session.NewManager(rt.store, session.Options{Log: log.Named("session")})
	rt.throttle = login.NewThrottle(rt.store, time.Now)
	rt.metrics.attach(rt.store, rt.sessions)
	rt.opened = true
	rt.work.Go(func() { rt.sweep(log) })
	return nil
}

// hashSlots returns the places in which password hashes of that cost are made, shared by all configurations: a
// reload must not double the memory that a flood can take.
func (rt *runtime) hashSlots(p password.Params) *password.Slots {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	s := rt.slots[p]
	if s == nil {
		s = password.DefaultSlots(p)
		rt.slots[p] = s
	}
	return s
}

const (
	sweepEvery = time.Minute
	sweepStep  = 500 // rows of a kind per transaction, so that no request waits long behind it
)

// keep notes how long a configuration wants audit events to stay, until leave. It acts at once, but of several living
// configurations the longest time counts: one that Caddy goes on to refuse has deleted nothing.
func (rt *runtime) keep(a *App, d time.Duration) {
	rt.keeping.Lock()
	rt.kept[a] = d
	rt.keeping.Unlock()
	rt.askSweep()
}

// leave forgets a configuration.
func (rt *runtime) leave(a *App) {
	rt.keeping.Lock()
	_, was := rt.kept[a]
	delete(rt.kept, a)
	rt.keeping.Unlock()
	if was {
		rt.askSweep()
	}
}

func (rt *runtime) askSweep() {
	select {
	case rt.sweepNow <- struct{}{}:
	default: // one is asked for already
	}
}

// retention returns how long audit events stay, 0 for ever. It is not known while no configuration lives: when the last
// one goes, nothing has changed.
func (rt *runtime) retention() (longest time.Duration, known bool) {
	rt.keeping.Lock()
	defer rt.keeping.Unlock()
	for _, d := range rt.kept {
		if d == 0 {
			return 0, true
		}
		longest = max(longest, d)
	}
	return longest, len(rt.kept) > 0
}

// sweep deletes what has expired, in small steps. That the audit log is kept for another time is in it before anything
// of it goes.
func (rt *runtime) sweep(log *zap.Logger) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-rt.stop:
			return
		case <-tick.C:
		case <-rt.sweepNow:
		}
		keep, known := rt.retention()
		if !known {
			continue
		}
		if err := rt.noteRetention(keep); err != nil {
			log.Warn("could not note how long the audit log is kept, so nothing was deleted; will try again", zap.Error(err))
			continue
		}
		for n := sweepStep; n >= sweepStep; {
			if now, known := rt.retention(); !known || now != keep {
				break // another sweep is asked for, with what counts now
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			began := time.Now()
			var err error
			n, err = rt.store.Sweep(ctx, began, keep, sweepStep)
			cancel()
			if err != nil {
				log.Warn("could not delete expired rows; will try again", zap.Error(err))
				break
			}
			// A million old rows are thousands of steps: between them, everybody else has the store for as long.
			select {
			case <-rt.stop:
				return
			case <-time.After(min(time.Since(began), time.Second)):
			}
		}
	}
}

// background runs f until it is done or the runtime ends.
func (rt *runtime) background(f func(context.Context)) {
	rt.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			select {
			case <-rt.stop:
				cancel()
			case <-done:
			}
		}()
		f(ctx)
		close(done)
	})
}

// announceSetup logs a one-time link that makes the first administrator. Reloads do not log another one while the
// last can still be used.
func (rt *runtime) announceSetup(ctx context.Context, accounts *account.Service, prefix string, log *zap.Logger) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if time.Until(rt.setup) > time.Hour {
		return nil
	}
	link, err := accounts.IssueSetupLink(ctx)
	if err != nil {
		return fmt.Errorf("making a set-up link: %w", err)
	}
	rt.setup = link.ExpiresAt
	log.Warn("there is no administrator yet and every gated site is closed: open the one-time set-up link on one of your sites, or set "+
		accounts.EnvPrefix+"ADMIN_PASSWORD and restart",
		zap.String("setup_link", prefix+"/link/"+link.Token), zap.Time("expires", link.ExpiresAt))
	return nil
}

// Destruct implements caddy.Destructor: no configuration uses this store any more. Requests of the last one may
// still be under way; they find the store closed and answer 503.
func (rt *runtime) Destruct() error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	close(rt.stop)
	rt.work.Wait()
	if !rt.opened {
		return nil
	}
	rt.opened = false
	if rt.oidc != nil {
		rt.oidc.Close()
	}
	rt.sessions.Close()
	if err := rt.store.Close(); err != nil && !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// oidcPool returns what is known of providers, made when it is first needed. It outlives configurations.
func (rt *runtime) oidcPool(log *zap.Logger) *oidc.Pool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.oidc == nil {
		rt.oidc = oidc.NewPool(oidc.PoolOptions{Log: log})
	}
	return rt.oidc
}
