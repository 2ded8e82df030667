package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrEnded is the cause with which the context of a request is canceled when its session is over.
var ErrEnded = errors.New("the session has ended")

// streamGrace is how long an open stream may go on while the store does not say whether its session lives.
const streamGrace = 10 * time.Second

// Follow binds a request to its session: the returned context is canceled, with cause [ErrEnded], within a second
// of the session's end, whatever ended it and wherever. The caller gives a Follower of its own, which must not move, and
// calls its Release when the request is over.
//
// Every request is followed, not only what looks like a stream: whether an answer turns out to be a download that
// takes an hour is not known before it begins, and registering costs less than telling the two apart.
func (m *Manager) Follow(ctx context.Context, l *Live, f *Follower) context.Context {
	ctx, f.cancel = context.WithCancelCause(ctx)
	f.live, f.streams = l, m.streams
	m.streams.add(f)
	// The session may have been ended between resolve and here, when nobody was listening yet.
	if l.entry != nil && !m.cache.isCurrent(l.entry) {
		m.streams.markStale(l.Session.ID)
	}
	return ctx
}

// Streams returns how many requests are being followed.
func (m *Manager) Streams() int { return m.streams.count() }

// Breaker makes all further reading and writing of a request fail. It may be told so again.
type Breaker interface{ Break() }

// Follower is one request under way. Those of one session form a list.
type Follower struct {
	// Breaker ends a request that goes on although its context is canceled, as one does that serves a file. It is
	// never called after Release. It may be nil.
	Breaker Breaker

	live       *Live
	streams    *streams
	cancel     context.CancelCauseFunc
	prev, next *Follower

	mu       sync.Mutex
	released bool
}

// abortAfter is what a request has to notice that its context is canceled, and to be answered for that.
const abortAfter = 400 * time.Millisecond

// Release ends the following; it may be called without Follow, and again.
func (f *Follower) Release() {
	if f.streams == nil {
		return
	}
	f.mu.Lock()
	f.released = true
	f.mu.Unlock()
	f.streams.remove(f)
	f.cancel(nil)
}

// end cancels the request, and breaks it if that does not help.
func (f *Follower) end(cause error) {
	f.cancel(cause)
	if f.Breaker == nil {
		return
	}
	time.AfterFunc(abortAfter, func() { f.abort(abortRetry) })
}

// abortRetry is when a request that was broken and still goes on is broken again; then half as often each time.
const abortRetry = 100 * time.Millisecond

func (f *Follower) abort(again time.Duration) {
	f.mu.Lock() // Release waits: its connection may serve another request afterwards
	defer f.mu.Unlock()
	if f.released {
		return
	}
	f.Breaker.Break()
	time.AfterFunc(again, func() { f.abort(min(2*again, streamGrace)) })
}

// group holds the followers of one session.
type group struct {
	first        *Follower
	userID       string
	stale        bool      // something changed: ask the store
	generation   uint64    // when it last became suspect, or was made: a change told during a judgment is not lost
	priority     bool      // the change named this session or its user: it is judged before others
	staleSince   time.Time // when it became suspect
	expiresAt    time.Time // idle or absolute expiry, as far as known
	unverifiedAt time.Time // when it was last asked for because there were no news
}

type streams struct {
	mu             sync.Mutex
	byID           map[string]*group
	total          int
	lastGeneration uint64 // the last mark
	spare          *group // of the last session that has no request any more: most requests come one at a time
	wakeup         chan struct{}
}

func newStreams() *streams {
	return &streams{byID: make(map[string]*group), wakeup: make(chan struct{}, 1)}
}

func (s *streams) add(f *Follower) {
	id := f.live.Session.ID
	due := f.live.IdleExpiresAt()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byID[id]
	if g == nil {
		if g = s.spare; g != nil {
			s.spare = nil
			*g = group{}
		} else {
			g = &group{}
		}
		g.userID, g.generation = f.live.User.ID, s.nextGeneration()
		s.byID[id] = g
	}
	if f.next = g.first; f.next != nil {
		f.next.prev = f
	}
	g.first = f
	g.expiresAt = due
	s.total++
}

func (s *streams) remove(f *Follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byID[f.live.Session.ID]
	if g == nil || (f.prev == nil && g.first != f) {
		return // cut already
	}
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		g.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
	s.total--
	if g.first == nil {
		delete(s.byID, f.live.Session.ID)
		s.spare = g
	}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// stale marks a session for judgment and wakes the janitor.
func (s *streams) markStale(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.byID[id]; g != nil {
		s.seq(g, true)
	}
}

func (s *streams) seq(g *group, priority bool) {
	g.generation, g.priority = s.nextGeneration(), g.priority || priority
	if !g.stale {
		g.stale, g.staleSince = true, time.Now()
	}
	s.wake()
}

// nextGeneration returns a mark that none has had.
func (s *streams) nextGeneration() uint64 {
	s.lastGeneration++
	return s.lastGeneration
}

// wake wakes the janitor.
func (s *streams) wake() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

func (s *streams) changed(changes []store.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) == 0 {
		return
	}
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeSetting:
		case store.ChangeSession:
			if g := s.byID[c.Subject]; g != nil {
				s.seq(g, true)
			}
		default:
			one := c.Kind == store.ChangeUser
			for _, g := range s.byID {
				if !one || g.userID == c.Subject {
					s.seq(g, one)
				}
			}
		}
	}
}

// markUnverified marks every session for judgment for which there have been no news for longer than it may go on without: an
// ending elsewhere would not have been told. The store is asked, and when it does not answer the streams are cut.
func (s *streams) markUnverified(age time.Duration) {
	if age <= streamGrace {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, g := range s.byID {
		if g.stale || now.Sub(g.unverifiedAt) < streamGrace/2 {
			continue
		}
		g.generation = s.nextGeneration()
		g.stale, g.staleSince, g.unverifiedAt = true, now.Add(-age), now
	}
}

// pendingCheck is a session to judge, and its mark when that began.
type pendingCheck struct {
	id         string
	generation uint64
}

// due returns the sessions to judge now: those that a change has named, then other suspects and those whose known expiry
// has passed.
func (s *streams) due(now time.Time) []pendingCheck {
	s.mu.Lock()
	defer s.mu.Unlock()
	var priority, others []pendingCheck
	for id, g := range s.byID {
		switch {
		case g.priority:
			priority = append(priority, pendingCheck{id, g.generation})
		case g.stale || !now.Before(g.expiresAt):
			others = append(others, pendingCheck{id, g.generation})
		}
	}
	return append(priority, others...)
}

// markLive notes that a session was found live until due; it stays suspect if it became so again meanwhile.
func (s *streams) markLive(j pendingCheck, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.byID[j.id]; g != nil && g.generation == j.generation {
		g.stale, g.priority, g.expiresAt = false, false, due
	}
}

// cancel cancels the requests of a session.
func (s *streams) cancel(id string, cause error) {
	s.mu.Lock()
	g := s.byID[id]
	delete(s.byID, id)
	var ended []*Follower
	if g != nil {
		for f := g.first; f != nil; {
			next := f.next
			f.prev, f.next = nil, nil
			ended = append(ended, f)
			f = next
		}
		g.first = nil
		s.total -= len(ended)
	}
	s.mu.Unlock()
	for _, f := range ended {
		f.end(cause)
	}
}

func (s *streams) cancelAll(cause error) {
	for _, j := range s.due(time.Unix(1<<40, 0)) {
		s.cancel(j.id, cause)
	}
}

// staleSince returns since when a session could not be judged; it starts to count at the first call.
func (s *streams) staleSince(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byID[id]
	if g == nil {
		return time.Now()
	}
	if !g.stale {
		g.stale, g.staleSince = true, time.Now()
	}
	return g.staleSince
}

// checkBudget is for how long one round of judgments goes on while others wait. The next round begins with what changes
// have named meanwhile, so that an ending is not late when all streams are doubted at once.
const checkBudget = 250 * time.Millisecond

// checkStreams asks the store about the sessions that may have ended and cuts the streams of those that did. It reports
// whether that was all.
func (m *Manager) checkStreams(ctx context.Context) (all bool) {
	now, began, storeAnswered := m.now(), time.Now(), false
	for _, j := range m.streams.due(now) {
		if storeAnswered && time.Since(began) > checkBudget {
			return false
		}
		id := j.id
		s, u, err := m.store.Session(ctx, id)
		storeAnswered = storeAnswered || err == nil || errors.Is(err, store.ErrNotFound)
		seen := s.LastSeenAt
		if p := m.touches.pending(id); p.After(seen) {
			seen = p
		}
		switch {
		case err == nil && isLive(&s, &u, seen, now):
			m.streams.markLive(j, earlier(seen.Add(s.Idle), s.ExpiresAt))
		case err == nil || errors.Is(err, store.ErrNotFound):
			m.streams.cancel(id, ErrEnded)
		case time.Since(m.streams.staleSince(id)) > streamGrace:
			m.log.Warn("cutting streams: the store does not say whether their session lives", zap.Error(err))
			m.streams.cancel(id, ErrEnded)
		}
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
