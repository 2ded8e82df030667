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

// ResolveWithin is Resolve for requests that may go on for a while when the store cannot be reached: graced says that
// the answer is what the store said before. It is given only
//
//   - while no poll of the store has succeeded for longer than the cache may answer, and the store, asked for this
//     session, does not answer either;
//   - until grace after the last poll that did (0: never, this is Resolve);
//   - for a session that was read before that poll, so that an ending of until then would have been told;
//   - when nothing is known to have ended it: a change of this process, one that was told, an answer of the store;
//   - within its idle and absolute lifetime.
//
// What is given up: an ending elsewhere during the outage is not seen for that long.
func (m *Manager) ResolveWithin(ctx context.Context, token string, grace time.Duration) (l *Live, graced bool, err error) {
	if grace <= 0 || !m.cache.syncStale() || !store.ValidToken(token) {
		l, err = m.Resolve(ctx, token)
		return l, false, err
	}
	hash, now := store.HashToken(token), m.now()
	e := m.cache.lastKnown(hash, grace)
	if e == nil || !isLive(&e.live.Session, &e.live.User, e.seen(), now) {
		l, err = m.load(ctx, hash, now, true)
		return l, false, err
	}
	if available := m.outage.whileAvailable(); available != nil {
		if l, err = m.loadDuringOutage(ctx, available, hash, now); err == nil || !isUnavailable(err) {
			return l, false, err
		}
		m.outage.start(grace)
	}
	switch {
	case !m.cache.syncStale(): // there were news meanwhile
		l, err = m.Resolve(ctx, token)
		return l, false, err
	case m.cache.lastKnown(hash, grace) != e: // over meanwhile, or the time is
		return nil, false, fmt.Errorf("looking up a session: %w", store.ErrUnavailable)
	}
	m.used(e, now)
	m.outage.served.Add(1)
	return &e.live, true, nil
}

// outageLoadTimeout bounds how long a request with a session that may go on waits for a store that hangs. It is asked once:
// afterwards it is known to be away.
const outageLoadTimeout = time.Second

// errStoreUnavailable tells requests that wait for the store that another one waited in vain.
var errStoreUnavailable = fmt.Errorf("%w: it does not answer others either", store.ErrUnavailable)

// loadDuringOutage asks the store for a session, no longer than until another request has found it away.
func (m *Manager) loadDuringOutage(ctx, available context.Context, hash store.TokenHash, now time.Time) (*Live, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, outageLoadTimeout, errStoreUnavailable)
	defer cancel()
	bounded, abandon := context.WithCancelCause(bounded)
	defer abandon(nil)
	defer context.AfterFunc(available, func() { abandon(errStoreUnavailable) })()
	l, err := m.load(bounded, hash, now, true)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(bounded), errStoreUnavailable) {
		return nil, errStoreUnavailable
	}
	return l, err
}

// isUnavailable reports whether err means that the store could not be reached, and not that it said something.
func isUnavailable(err error) bool { return errors.Is(err, store.ErrUnavailable) }

// outage is what is known of a store that does not answer.
type outage struct {
	served atomic.Uint64 // requests that went on

	mu        sync.Mutex
	available context.Context // ends when the store is found away; nil while it is
	cancel    context.CancelFunc
	grace     time.Duration
	started   chan struct{} // wakes the one who waits for the end
}

func newOutage() *outage {
	o := &outage{started: make(chan struct{}, 1)}
	o.available, o.cancel = context.WithCancel(context.Background())
	return o
}

// whileAvailable answers nil while the store is known to be away, otherwise what ends when it becomes known.
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
	o.started <- struct{}{} // empty: it was taken before the last outage could end
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.available, o.cancel = context.WithCancel(context.Background())
}

// Graced returns how many requests went on without the store since the manager began, and whether such may go on now.
func (m *Manager) Graced() (served uint64, active bool) {
	m.outage.mu.Lock()
	defer m.outage.mu.Unlock()
	return m.outage.served.Load(), m.outage.available == nil && m.cache.syncAge() <= m.outage.grace
}

// pingInterval is how often the store is asked, off the request path, whether it is back.
const pingInterval = 500 * time.Millisecond

// watchOutages asks a store that is away until it answers.
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
	m.log.Warn("the store cannot be reached: sessions that were in use go on for as long as store_grace says; nobody can sign in",
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
			m.log.Info("the store answers again", zap.Uint64("graced_requests", m.outage.served.Load()))
			return
		}
		if !over && m.cache.syncAge() > m.outage.grace {
			over = true
			m.log.Warn("the store has been away for longer than store_grace: the gate is closed", zap.Duration("store_grace", m.outage.grace))
		}
	}
}

func (m *Manager) ping() bool {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	return m.store.Ping(ctx) == nil
}
