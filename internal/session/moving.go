package session

import "time"

// Stream is the connection of a followed request.
type Stream interface {
	// Abort makes all further reads and writes fail, for a request that ignores the cancelation of its context, such as
	// one that serves a file. It may be called more than once, and never after Release.
	Abort()
	// Moved reports whether bytes were read or written since it was last called. It is never called after Release.
	Moved() bool
}

// Bytes that move in an open request are uses of its session: nobody who uploads for an hour, or works in a terminal
// over a WebSocket, is idle. The path of the bytes only sets a flag; the janitor looks at the flags as often as uses
// are written, so that a session lives at most a tenth of its idle time longer than its last byte allows.

// lookSlack is how late a look may be, for the janitor to run again and for a loaded machine.
const lookSlack = time.Second

// movingSession is a session on whose requests bytes have moved.
type movingSession struct {
	id   string
	at   time.Time // when, or a little later
	live *Live
}

// useMovingStreams records a use of each session on whose requests bytes have moved.
func (m *Manager) useMovingStreams(now time.Time) {
	for _, s := range m.streams.moving(now) {
		if s.live.Token != nil {
			continue // its use was recorded when it began, and it does not end for want of one
		}
		m.touches.add(s.id, s.at)
		if e := s.live.entry; e != nil {
			e.seenAt(s.at)
		}
	}
}

// moving looks at the sessions that are due for it, and returns those on whose requests bytes have moved since.
func (s *streams) moving(now time.Time) (moving []movingSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, g := range s.byID {
		l := g.first.live
		if now.Before(g.expiresAt) && now.Before(g.lookedAt.Add(touchInterval(l.Session.Idle))) {
			continue
		}
		moved := false
		for f := g.first; f != nil; f = f.next { // each is asked: its next answer is about the time from now on
			if f.Stream != nil && f.Stream.Moved() {
				moved = true
			}
		}
		at := g.latestUse(now)
		if g.lookedAt = now; !moved {
			continue
		}
		g.expiresAt = earlier(at.Add(l.Session.Idle), l.Session.ExpiresAt)
		moving = append(moving, movingSession{id, at, l})
	}
	return moving
}

// latestUse returns the time of a use that is noticed now: before the session expires, for then it has happened. A look
// that is much later than it should be tells nothing of when the bytes moved: a machine that slept for a day must not
// revive the sessions that expired meanwhile.
func (g *group) latestUse(now time.Time) time.Time {
	due := g.lookedAt.Add(touchInterval(g.first.live.Session.Idle))
	return earlier(earlier(now, due.Add(lookSlack)), g.expiresAt.Add(-time.Millisecond))
}
