package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Manager resolves the sessions of one store. It outlives configurations: there is one per store and process.
type Manager struct {
	store   store.Store
	now     func() time.Time
	log     *zap.Logger
	cache   *cache
	streams *streams
	touches *touches
	uses    *tokenUses
	outage  *outage
	stop    func() // stops watching the store

	markKey     atomic.Pointer[[]byte] // of the cookies' marks, once it was needed
	cookieNotes notes

	done    chan struct{}
	wg      sync.WaitGroup
	closing sync.Once
}

// Options of a Manager. The zero value is the default of each.
type Options struct {
	Clock    func() time.Time // default time.Now; for expiry
	Log      *zap.Logger      // default none
	Capacity int              // resolved sessions in the cache; default 10,000
}

// NewManager starts a manager for st. Call Close to stop it.
func NewManager(st store.Store, o Options) *Manager {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Capacity <= 0 {
		o.Capacity = 10_000
	}
	m := &Manager{
		store: st, now: o.Clock, log: o.Log,
		cache: newCache(o.Capacity), streams: newStreams(), touches: newTouches(), uses: newTokenUses(), outage: newOutage(),
		done: make(chan struct{}),
	}
	m.stop = st.Watch(m)
	m.wg.Go(m.janitor)
	m.wg.Go(m.watchOutages)
	m.wg.Go(m.refreshStreams)
	return m
}

// Close writes pending last uses, cancels every stream and stops the manager. The store stays open.
func (m *Manager) Close() {
	m.closing.Do(func() {
		m.stop()
		close(m.done)
		m.wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		m.flush(ctx)
		m.streams.cancelAll(ErrEnded)
	})
}

// unavailableAfter is the age of the last poll after which the store counts as unavailable for requests that do not
// read it. Normally there are several polls a second.
const unavailableAfter = 2 * time.Second

// StoreUnavailable reports whether the store has been unavailable for a while, so that nobody can sign in.
func (m *Manager) StoreUnavailable() bool {
	return m.cache.syncedAt.Load() != neverSynced && m.cache.syncAge() > unavailableAfter
}

// Resolve returns the live session of a token and records a use of it. It returns ErrNone if there is none. Any other
// error means that the lookup failed, and the gate has to deny.
func (m *Manager) Resolve(ctx context.Context, token string) (*Live, error) {
	return m.resolve(ctx, token, true)
}

// Peek is Resolve without recording a use.
func (m *Manager) Peek(ctx context.Context, token string) (*Live, error) {
	return m.resolve(ctx, token, false)
}

func (m *Manager) resolve(ctx context.Context, token string, use bool) (*Live, error) {
	if !store.ValidToken(token) {
		return nil, ErrNone
	}
	return m.find(ctx, credential{cacheKey: cacheKey{hash: store.HashToken(token)}}, use)
}

// find returns what is live by a credential.
func (m *Manager) find(ctx context.Context, c credential, use bool) (*Live, error) {
	now := m.now()
	if e := m.cache.get(c.cacheKey); e != nil && isLive(&e.live.Session, &e.live.User, e.seen(), now) {
		if use {
			m.used(e, c, now)
		}
		return &e.live, nil
	}
	return m.load(ctx, c, now, use)
}

// loadTimeout limits how long a request waits for a store that hangs before it gets a 503.
const loadTimeout = 3 * time.Second

// load reads the session from the store, and caches it if it is live. Unknown tokens are not cached: a flood of them
// must not evict real sessions.
func (m *Manager) load(ctx context.Context, c credential, now time.Time, use bool) (*Live, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	seq, readAt := m.cache.snapshot() // before the read: see cache.go
	l, err := m.read(ctx, c)
	if errors.Is(err, store.ErrNotFound) {
		m.cache.markEnded(c.cacheKey)
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a session: %w", err)
	}
	seen := l.Session.LastSeenAt
	if p := m.touches.pending(l.Session.ID); p.After(seen) {
		seen = p // used, but not yet written
	}
	if !isLive(&l.Session, &l.User, seen, now) {
		m.cache.markEnded(c.cacheKey)
		return nil, ErrNone
	}
	e := newEntry(l, seen, seq, readAt)
	m.cache.put(c.cacheKey, e)
	if use {
		m.used(e, c, now)
	}
	return &e.live, nil
}

// read reads a session or a token with its user from the store.
func (m *Manager) read(ctx context.Context, c credential) (l Live, err error) {
	switch {
	case c.external != nil:
		return m.readExternal(ctx, c.external)
	case !c.program:
		l.Session, l.User, err = m.store.SessionByToken(ctx, c.hash)
		return l, err
	}
	t, u, err := m.store.TokenByHash(ctx, c.hash)
	if err != nil {
		return Live{}, err
	}
	return Live{Session: tokenSession(&t, &u), User: u, Token: &t}, nil
}

// used records a use in memory; the janitor writes it (touches.go).
func (m *Manager) used(e *entry, c credential, now time.Time) {
	if c.external != nil {
		return // there is no row to write it to
	}
	ms := now.UnixMilli()
	last := e.lastSeen.Load()
	if ms <= last || !e.lastSeen.CompareAndSwap(last, ms) {
		return
	}
	interval := touchInterval(e.live.Session.Idle)
	if c.program {
		interval = tokenUseInterval
	}
	if w := e.written.Load(); ms-w < interval.Milliseconds() || !e.written.CompareAndSwap(w, ms) {
		return
	}
	if c.program {
		m.uses.add(store.TokenUse{TokenID: e.live.Session.ID, At: now.UTC(), IP: addressText(c.ip)})
		return
	}
	m.touches.add(e.live.Session.ID, now)
}

// Changed implements store.Watcher: it invalidates what was read before about the changed subjects.
func (m *Manager) Changed(changes []store.Change) {
	m.cache.changed(changes)
	m.streams.changed(changes)
}

// InvalidateAll empties the cache, when a configuration is replaced: memos that the old one keyed by its own objects
// must not keep those in memory.
func (m *Manager) InvalidateAll() { m.cache.changed([]store.Change{{Kind: store.ChangeAll}}) }

// Synced implements store.Watcher.
func (m *Manager) Synced(at time.Time) { m.cache.synced(at) }

// janitor looks at open streams, checks them and writes last uses, off the request path.
func (m *Manager) janitor() {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	lastFlush := time.Now()
	for {
		select {
		case <-m.done:
			return
		case <-m.streams.wakeup:
		case <-tick.C:
		}
		m.useMovingStreams(m.now())
		m.streams.markUnverified(m.cache.syncAge())
		m.withTimeout(func(ctx context.Context) {
			if !m.checkStreams(ctx) {
				m.streams.wake()
			}
		})
		if m.touches.due(time.Since(lastFlush)) || m.uses.due(time.Since(lastFlush)) {
			m.withTimeout(m.flush)
			lastFlush = time.Now()
		}
	}
}

// withTimeout runs a part of the janitor's work, for two seconds at the most.
func (m *Manager) withTimeout(work func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	work(ctx)
}

// janitorEvery limits how late an expired session's streams are canceled.
const janitorEvery = 250 * time.Millisecond

// flush writes the recorded uses. Those that could not be written are retried.
func (m *Manager) flush(ctx context.Context) {
	m.flushTokenUses(ctx)
	batch := m.touches.drain()
	if len(batch) == 0 {
		return
	}
	if err := m.store.Touch(ctx, batch); err != nil {
		m.touches.putBack(batch)
		m.log.Warn("could not write the last use of sessions; will retry", zap.Int("sessions", len(batch)), zap.Error(err))
	}
}
