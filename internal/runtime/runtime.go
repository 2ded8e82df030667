package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/assertion"
	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Runtime is everything that belongs to one store. New changes nothing; Store, Sessions, Throttle and Assertions are
// nil until Open has returned.
type Runtime struct {
	Metrics    *Metrics
	Store      store.Store
	Sessions   *session.Manager
	Throttle   *login.Throttle
	Assertions *assertion.Keys
	// BadTokens counts tokens that are none.
	BadTokens *credential.AddressLimit
	// Device bounds what programs ask of the device sign-in.
	Device *device.Limits

	mu           sync.Mutex
	opened       bool
	oidc         *oidc.Pool // nil until a configuration has a provider
	slots        map[password.Params]*password.Slots
	setupExpires time.Time       // when the set-up link in the log expires
	announced    map[string]bool // origins of sites that the log has called ready

	turns     turns
	retention retention
	stop      chan struct{}
	work      sync.WaitGroup
}

// New returns the runtime of a store that is opened later.
func New() *Runtime {
	return &Runtime{
		Metrics: newMetrics(), BadTokens: credential.NewBadTokens(time.Now),
		Device: device.NewLimits(time.Now),
		slots:  make(map[password.Params]*password.Slots), retention: newRetention(),
		stop: make(chan struct{}), announced: make(map[string]bool),
	}
}

// Engine is a store as its engine opens it.
type Engine interface {
	store.Store
	// CompleteEvent sets the time and the id of an event that is written later.
	CompleteEvent(e store.Event) store.Event
}

// Open opens the store unless an earlier configuration did.
func (rt *Runtime) Open(ctx context.Context, open func(context.Context) (Engine, error), log *zap.Logger) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.opened {
		return nil
	}
	log.Info("opening the store") // the last line of a start that waits for a locked store
	db, err := open(ctx)
	if err != nil {
		return err
	}
	info := db.Info()
	log.Info("opened the store",
		zap.String("engine", info.Engine), zap.String("location", info.Location), zap.Int64("schema", info.Schema))
	timed := &timedStore{Store: db, latency: rt.Metrics.latency}
	rt.Store = newBatchedEvents(timed, db.CompleteEvent, log.Named("audit"))
	rt.Sessions = session.NewManager(rt.Store, session.Options{Log: log.Named("session")})
	rt.Throttle = login.NewThrottle(rt.Store, time.Now)
	rt.Assertions = assertion.NewKeys(rt.Store, time.Now)
	rt.Metrics.attach(rt.Store, rt.Sessions)
	rt.opened = true
	rt.work.Go(func() { rt.sweepExpired(log) })
	return nil
}

// HashSlots returns the slots in which password hashes of that cost are computed, shared by all configurations: a
// reload must not double the memory that a flood of sign-ins can take.
func (rt *Runtime) HashSlots(p password.Params) *password.Slots {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	s := rt.slots[p]
	if s == nil {
		s = password.DefaultSlots(p)
		rt.slots[p] = s
	}
	return s
}

// OIDCPool returns what is cached of providers, created when it is first needed.
func (rt *Runtime) OIDCPool(log *zap.Logger) *oidc.Pool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.oidc == nil {
		rt.oidc = oidc.NewPool(oidc.PoolOptions{Log: log})
	}
	return rt.oidc
}

// Background runs f until it is done or the runtime is closed.
func (rt *Runtime) Background(f func(context.Context)) {
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

// LogSetupLink logs a one-time link that makes the first administrator, on the first of the gated sites, whose origins
// are given where they are known. Reloads do not log another one while the last is valid.
func (rt *Runtime) LogSetupLink(ctx context.Context, accounts *account.Service, sites []string, prefix string,
	log *zap.Logger,
) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if time.Until(rt.setupExpires) > time.Hour {
		return nil
	}
	link, err := accounts.IssueSetupLink(ctx)
	if err != nil {
		return fmt.Errorf("making a set-up link: %w", err)
	}
	rt.setupExpires = link.ExpiresAt
	site, where := "", "on one of your sites"
	if len(sites) > 0 {
		site, where = sites[0], "in a browser"
	}
	log.Warn("there is no administrator yet and every gated site is closed: open the one-time set-up link "+where+
		" until "+link.ExpiresAt.UTC().Format("2006-01-02 15:04 MST")+", or set "+
		accounts.EnvPrefix+"ADMIN_PASSWORD and restart",
		zap.String("setup_link", site+link.Path(prefix)), zap.Int64("expires", link.ExpiresAt.Unix()))
	return nil
}

// LogReady logs each of the gated sites, whose origins are given, once: a reload says nothing new.
func (rt *Runtime) LogReady(sites []string, log *zap.Logger) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, site := range sites {
		if !rt.announced[site] {
			rt.announced[site] = true
			log.Info("ready: " + site + "/")
		}
	}
}

// Close closes the store when no configuration uses it any more. Requests of the last one may still be under way; to
// them the store is unavailable.
func (rt *Runtime) Close() error {
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
	rt.Sessions.Close()
	rt.Assertions.Close()
	if err := rt.Store.Close(); err != nil && !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}
