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

// ResolveWithGrace is Resolve with a grace period for store outages (store_grace): graced reports that the session is
// the last known one. It is returned only
//
//   - while the last successful poll is too long ago for the cache to be used, and a read of this session fails, too;
//   - until grace after the last successful poll (0: never, this is Resolve);
//   - for a session that was read before that poll, so that its end before then would have been reported;
//   - if it is not known to have ended: by a change of this process, a reported change, or a read of the store;
//   - within its idle and absolute lifetime.
//
// The trade-off: a session that another process ends during the outage continues here for that long.
func (m *Manager) ResolveWithGrace(ctx context.Context, token string,
	grace time.Duration,
) (l *Live, graced bool, err error) {
	if !store.ValidToken(token) {
		return nil, false, ErrNone
	}
	return m.findWithGrace(ctx, credential{cacheKey: cacheKey{hash: store.HashToken(token)}}, grace)
}

func (m *Manager) findWithGrace(ctx context.Context, c credential,
	grace time.Duration,
) (l *Live, graced bool, err error) {
	if grace <= 0 || !m.cache.syncStale() {
		l, err = m.find(ctx, c, true)
		return l, false, err
	}
	now := m.now()
	e := m.cache.lastKnown(c.cacheKey, grace)
	if e == nil || !isLive(&e.live.Session, &e.live.User, e.seen(), now) {
		l, err = m.load(ctx, c, now, true)
		return l, false, err
	}
	if available := m.outage.whileAvailable(); available != nil {
		if l, err = m.loadDuringOutage(ctx, available, c, now); err == nil || !isUnavailable(err) {
			return l, false, err
		}
		m.outage.start(grace)
	}
	switch {
	case !m.cache.syncStale(): // a poll has succeeded meanwhile
		l, err = m.find(ctx, c, true)
		return l, false, err
	case m.cache.lastKnown(c.cacheKey, grace) != e: // the session has ended meanwhile, or the grace period has
		return nil, false, fmt.Errorf("looking up a session: %w", store.ErrUnavailable)
	}
	m.used(e, c, now)
	m.outage.served.Add(1)
	return &e.live, true, nil
}

// outageLoadTimeout limits how long a request with a last known session waits for a store that hangs. Only the first
// requests wait: afterwards the store is known to be unavailable.
const outageLoadTimeout = time.Second

// errStoreUnavailable is the cause with which waiting requests are canceled once another one has found the store
// unavailable.
var errStoreUnavailable = fmt.Errorf("%w: other requests have timed out", store.ErrUnavailable)

// loadDuringOutage reads a session from the store, but gives up once another request has found it unavailable.
func (m *Manager) loadDuringOutage(ctx, available context.Context, c credential, now time.Time) (*Live, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, outageLoadTimeout, errStoreUnavailable)
	defer cancel()
	bounded, abandon := context.WithCancelCause(bounded)
	defer abandon(nil)
	defer context.AfterFunc(available, func() { abandon(errStoreUnavailable) })()
	l, err := m.load(bounded, c, now, true)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(bounded), errStoreUnavailable) {
		return nil, errStoreUnavailable
	}
	return l, err
}

// isUnavailable reports whether err means that the store could not be reached.
func isUnavailable(err error) bool { return errors.Is(err, store.ErrUnavailable) }

// outage is the state of store outages.
type outage struct {
	served atomic.Uint64 // requests served from the grace period

	mu        sync.Mutex
	available context.Context // canceled when an outage begins; nil during one
	cancel    context.CancelFunc
	grace     time.Duration
	started   chan struct{} // wakes watchOutages
}

func newOutage() *outage {
	o := &outage{started: make(chan struct{}, 1)}
	o.available, o.cancel = context.WithCancel(context.Background())
	return o
}

// whileAvailable returns nil during an outage, otherwise a context that is canceled when one begins.
func (o *outage) whileAvailable() context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.available
}

func (o *outage) start(grace time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.available == nil {
		return
	}
	o.cancel()
	o.available, o.grace = nil, grace
	o.started <- struct{}{} // never blocks: it was received before the last outage could end
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.available, o.cancel = context.WithCancel(context.Background())
}

// GraceStatus returns how many requests were served from the grace period since the manager was created, and whether it
// applies now.
func (m *Manager) GraceStatus() (served uint64, active bool) {
	m.outage.mu.Lock()
	defer m.outage.mu.Unlock()
	return m.outage.served.Load(), m.outage.available == nil && m.cache.syncAge() <= m.outage.grace
}

// pingInterval is how often the store is pinged during an outage, off the request path.
const pingInterval = 500 * time.Millisecond

// watchOutages pings an unavailable store until it is available again.
func (m *Manager) watchOutages() {
	for {
		select {
		case <-m.done:
			return
		case <-m.outage.started:
		}
		m.awaitStore()
	}
}

func (m *Manager) awaitStore() {
	m.log.Warn("store unavailable: sessions in use continue for store_grace, sign-ins are denied",
		zap.Duration("store_grace", m.outage.grace))
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for over := false; ; {
		select {
		case <-m.done:
			return
		case <-tick.C:
		}
		if !m.cache.syncStale() || m.ping() {
			m.outage.end()
			m.log.Info("store available again", zap.Uint64("graced_requests", m.outage.served.Load()))
			return
		}
		if !over && m.cache.syncAge() > m.outage.grace {
			over = true
			m.log.Warn("store unavailable for longer than store_grace: requests are denied",
				zap.Duration("store_grace", m.outage.grace))
		}
	}
}

func (m *Manager) ping() bool {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	return m.store.Ping(ctx) == nil
}
