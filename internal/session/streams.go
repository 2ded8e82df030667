package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrEnded is the cause with which the context of a request is canceled when its session ends.
var ErrEnded = errors.New("the session has ended")

// streamGrace is how long an open stream may continue while its session cannot be checked.
const streamGrace = 10 * time.Second

// Follow binds a request to its session: the returned context is canceled, with cause [ErrEnded], within a second of
// the session's end, also if another process ends it. The caller provides f, which must not be copied, and calls its
// Release when the request is done.
//
// Every request is followed, not only what looks like a stream: a response may turn out to be a download that takes an
// hour, and registering costs less than telling the two apart.
func (m *Manager) Follow(ctx context.Context, l *Live, f *Follower) context.Context {
	ctx, f.cancel = context.WithCancelCause(ctx)
	f.live, f.streams = l, m.streams
	m.streams.add(f)
	// The session may have ended between Resolve and here, before f was registered.
	if l.entry != nil && !m.cache.isCurrent(l.entry) {
		m.streams.markStale(l.Session.ID)
	}
	return ctx
}

// StreamCount returns the number of followed requests.
func (m *Manager) StreamCount() int { return m.streams.count() }

// Follower is one followed request. Those of one session form a linked list.
type Follower struct {
	// Stream is the request's connection; nil for one that neither moves bytes nor can be aborted.
	Stream Stream
	// Refresher is called every second while the request is open. It may be nil.
	Refresher Refresher
	// Level is what the session has to keep while the request is open; "" for any. How fresh it is, is judged when a
	// request begins.
	Level assurance.Level

	live       *Live
	streams    *streams
	cancel     context.CancelCauseFunc
	prev, next *Follower

	mu       sync.Mutex
	released bool
}

// abortAfter is the time a request has to notice that its context is canceled, and to respond.
const abortAfter = 400 * time.Millisecond

// Release stops following. It may be called without Follow, and more than once.
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

// end cancels the request, and aborts it if it does not stop.
func (f *Follower) end(cause error) {
	f.cancel(cause)
	if f.Stream == nil {
		return
	}
	time.AfterFunc(abortAfter, func() { f.abort(abortRetry) })
}

// abortRetry is when a request that still continues is aborted again; the interval doubles each time.
const abortRetry = 100 * time.Millisecond

func (f *Follower) abort(again time.Duration) {
	f.mu.Lock() // Release waits: its connection may serve another request afterwards
	defer f.mu.Unlock()
	if f.released {
		return
	}
	f.Stream.Abort()
	time.AfterFunc(again, func() { f.abort(min(2*again, streamGrace)) })
}

// group holds the followed requests of one session.
type group struct {
	first        *Follower
	userID       string
	program      bool      // it acts with a token
	external     *External // which is this one, if it is not in the store
	stale        bool      // something changed: check the session in the store
	generation   uint64    // when it last became stale: a change during a check is not lost
	priority     bool      // the change was about this session or its user: checked before others
	staleSince   time.Time // when it became stale
	expiresAt    time.Time // idle or absolute expiry, as far as known
	lookedAt     time.Time // when it was last looked whether bytes have moved
	unverifiedAt time.Time // when it was last marked by markUnverified
}

type streams struct {
	mu             sync.Mutex
	byID           map[string]*group
	total          int
	lastGeneration uint64
	spare          *group // a free group for reuse: most sessions have one request at a time
	wakeup         chan struct{}
}

func newStreams() *streams {
	return &streams{byID: make(map[string]*group), wakeup: make(chan struct{}, 1)}
}

func (s *streams) add(f *Follower) {
	id := f.live.Session.ID
	due, seen := f.live.IdleExpiresAt(), f.live.lastSeen()
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
		g.userID, g.generation, g.lookedAt = f.live.User.ID, s.nextGeneration(), seen
		g.program, g.external = f.live.Token != nil, f.live.external
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
		return // already canceled
	}
	g.unlink(f)
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

// markStale marks a session to be checked and wakes the janitor.
func (s *streams) markStale(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.byID[id]; g != nil {
		s.markGroup(g, true)
	}
}

// markGroup marks a session to be checked. s.mu is held.
func (s *streams) markGroup(g *group, priority bool) {
	g.generation, g.priority = s.nextGeneration(), g.priority || priority
	if !g.stale {
		g.stale, g.staleSince = true, time.Now()
	}
	s.wake()
}

// nextGeneration returns a number that was not used before.
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
		case store.ChangeSession, store.ChangeToken:
			if g := s.byID[c.Subject]; g != nil {
				s.markGroup(g, true)
			}
		default:
			one := c.Kind == store.ChangeUser
			for _, g := range s.byID {
				if !one || g.userID == c.Subject {
					s.markGroup(g, one)
				}
			}
		}
	}
}

// markUnverified marks all sessions to be checked if the last poll of the store is older than streamGrace, for an end
// elsewhere would not have been reported. If the store cannot be read either, the streams are canceled.
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

// pendingCheck is a session to check, and its generation when the check began.
type pendingCheck struct {
	id         string
	userID     string
	program    bool
	external   *External
	generation uint64
}

// due returns the sessions to check now: first those with priority, then other stale ones and those that may have
// expired.
func (s *streams) due(now time.Time) []pendingCheck {
	s.mu.Lock()
	defer s.mu.Unlock()
	var priority, others []pendingCheck
	for id, g := range s.byID {
		switch {
		case g.priority:
			priority = append(priority, pendingCheck{id, g.userID, g.program, g.external, g.generation})
		case g.stale || !now.Before(g.expiresAt):
			others = append(others, pendingCheck{id, g.userID, g.program, g.external, g.generation})
		}
	}
	return append(priority, others...)
}

// markLive records that a check found the session live until due. It stays stale if it was marked again during the
// check.
func (s *streams) markLive(j pendingCheck, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.byID[j.id]; g != nil && g.generation == j.generation {
		g.stale, g.priority, g.expiresAt = false, false, due
	}
}

// cancel cancels the requests of a session.
func (s *streams) cancel(id string, cause error) {
	s.cancelIf(id, cause, func(*Follower) bool { return true })
}

// cancelBelow cancels the requests of a session that need more than its level.
func (s *streams) cancelBelow(id string, level assurance.Level, cause error) {
	s.cancelIf(id, cause, func(f *Follower) bool { return f.Level != "" && !level.Satisfies(f.Level) })
}

func (s *streams) cancelIf(id string, cause error, which func(*Follower) bool) {
	s.mu.Lock()
	g := s.byID[id]
	var ended []*Follower
	if g != nil {
		for f := g.first; f != nil; {
			next := f.next
			if which(f) {
				g.unlink(f)
				ended = append(ended, f)
			}
			f = next
		}
		if s.total -= len(ended); g.first == nil {
			delete(s.byID, id)
		}
	}
	s.mu.Unlock()
	for _, f := range ended {
		f.end(cause)
	}
}

// unlink takes a request out of the list.
func (g *group) unlink(f *Follower) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		g.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
}

func (s *streams) cancelAll(cause error) {
	for _, j := range s.due(time.Unix(1<<40, 0)) {
		s.cancel(j.id, cause)
	}
}

// staleSince returns since when a session could not be checked, beginning with the first call.
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
