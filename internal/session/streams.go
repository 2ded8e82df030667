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
	if l.entry != nil && !m.cache.current(l.entry) {
		m.streams.suspect(l.Session.ID)
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

// breakAfter is what a request has to notice that its context is canceled, and to be answered for that.
const breakAfter = 400 * time.Millisecond

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
	time.AfterFunc(breakAfter, func() { f.breakUp(breakAgain) })
}

// breakAgain is when a request that was broken and still goes on is broken again; then half as often each time.
const breakAgain = 100 * time.Millisecond

func (f *Follower) breakUp(again time.Duration) {
	f.mu.Lock() // Release waits: its connection may serve another request afterwards
	defer f.mu.Unlock()
	if f.released {
		return
	}
	f.Breaker.Break()
	time.AfterFunc(again, func() { f.breakUp(min(2*again, streamGrace)) })
}

// group holds the followers of one session.
type group struct {
	first   *Follower
	userID  string
	suspect bool      // something changed: ask the store
	mark    uint64    // when it last became suspect, or was made: a change told during a judgment is not lost
	named   bool      // the change named this session or its user: it is judged before others
	since   time.Time // when it became suspect
	dueAt   time.Time // idle or absolute expiry, as far as known
	doubted time.Time // when it was last asked for because there were no news
}

type streams struct {
	mu    sync.Mutex
	byID  map[string]*group
	total int
	marks uint64 // the last mark
	spare *group // of the last session that has no request any more: most requests come one at a time
	wake  chan struct{}
}

func newStreams() *streams {
	return &streams{byID: make(map[string]*group), wake: make(chan struct{}, 1)}
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
		g.userID, g.mark = f.live.User.ID, s.next()
		s.byID[id] = g
	}
	if f.next = g.first; f.next != nil {
		f.next.prev = f
	}
	g.first = f
	g.dueAt = due
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

// suspect marks a session for judgment and wakes the janitor.
func (s *streams) suspect(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.byID[id]; g != nil {
		s.mark(g, true)
	}
}

func (s *streams) mark(g *group, named bool) {
	g.mark, g.named = s.next(), g.named || named
	if !g.suspect {
		g.suspect, g.since = true, time.Now()
	}
	s.stir()
}

// next returns a mark that none has had.
func (s *streams) next() uint64 {
	s.marks++
	return s.marks
}

// stir wakes the janitor.
func (s *streams) stir() {
	select {
	case s.wake <- struct{}{}:
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
				s.mark(g, true)
			}
		default:
			one := c.Kind == store.ChangeUser
			for _, g := range s.byID {
				if !one || g.userID == c.Subject {
					s.mark(g, one)
				}
			}
		}
	}
}

// doubt marks every session for judgment for which there have been no news for longer than it may go on without: an
// ending elsewhere would not have been told. The store is asked, and when it does not answer the streams are cut.
func (s *streams) doubt(age time.Duration) {
	if age <= streamGrace {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, g := range s.byID {
		if g.suspect || now.Sub(g.doubted) < streamGrace/2 {
			continue
		}
		g.mark = s.next()
		g.suspect, g.since, g.doubted = true, now.Add(-age), now
	}
}

// judgment is a session to judge, and its mark when that began.
type judgment struct {
	id   string
	mark uint64
}

// due returns the sessions to judge now: those that a change has named, then other suspects and those whose known expiry
// has passed.
func (s *streams) due(now time.Time) []judgment {
	s.mu.Lock()
	defer s.mu.Unlock()
	var named, others []judgment
	for id, g := range s.byID {
		switch {
		case g.named:
			named = append(named, judgment{id, g.mark})
		case g.suspect || !now.Before(g.dueAt):
			others = append(others, judgment{id, g.mark})
		}
	}
	return append(named, others...)
}

// clear notes that a session was found live until due; it stays suspect if it became so again meanwhile.
func (s *streams) clear(j judgment, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.byID[j.id]; g != nil && g.mark == j.mark {
		g.suspect, g.named, g.dueAt = false, false, due
	}
}

// cut cancels the requests of a session.
func (s *streams) cut(id string, cause error) {
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

func (s *streams) cutAll(cause error) {
	for _, j := range s.due(time.Unix(1<<40, 0)) {
		s.cut(j.id, cause)
	}
}

// unknownSince returns since when a session could not be judged; it starts to count at the first call.
func (s *streams) unknownSince(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byID[id]
	if g == nil {
		return time.Now()
	}
	if !g.suspect {
		g.suspect, g.since = true, time.Now()
	}
	return g.since
}

// judgeTime is for how long one round of judgments goes on while others wait. The next round begins with what changes
// have named meanwhile, so that an ending is not late when all streams are doubted at once.
const judgeTime = 250 * time.Millisecond

// judgeStreams asks the store about the sessions that may have ended and cuts the streams of those that did. It reports
// whether that was all.
func (m *Manager) judgeStreams(ctx context.Context) (all bool) {
	now, began, answered := m.now(), time.Now(), false
	for _, j := range m.streams.due(now) {
		if answered && time.Since(began) > judgeTime {
			return false
		}
		id := j.id
		s, u, err := m.store.Session(ctx, id)
		answered = answered || err == nil || errors.Is(err, store.ErrNotFound)
		seen := s.LastSeenAt
		if p := m.touches.pending(id); p.After(seen) {
			seen = p
		}
		switch {
		case err == nil && alive(&s, &u, seen, now):
			m.streams.clear(j, earlier(seen.Add(s.Idle), s.ExpiresAt))
		case err == nil || errors.Is(err, store.ErrNotFound):
			m.streams.cut(id, ErrEnded)
		case time.Since(m.streams.unknownSince(id)) > streamGrace:
			m.log.Warn("cutting streams: the store does not say whether their session lives", zap.Error(err))
			m.streams.cut(id, ErrEnded)
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
