package session

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// checkBudget limits the time of one round of checks. The next round begins with the sessions that were changed
// meanwhile, so that their end is not noticed late while all streams are being checked.
const checkBudget = 250 * time.Millisecond

// checkStreams checks the due sessions in the store and cancels the streams of those that have ended, and those that
// need a level that theirs has lost. It reports whether all due ones were checked.
func (m *Manager) checkStreams(ctx context.Context) (all bool) {
	now, began, storeAnswered := m.now(), time.Now(), false
	for _, j := range m.streams.due(now) {
		if storeAnswered && time.Since(began) > checkBudget {
			return false
		}
		id := j.id
		l, err := m.readByID(ctx, j)
		s, u := l.Session, l.User
		storeAnswered = storeAnswered || err == nil || errors.Is(err, store.ErrNotFound)
		seen := s.LastSeenAt
		if p := m.touches.pending(id); p.After(seen) {
			seen = p
		}
		switch {
		case err == nil && isLive(&s, &u, seen, now):
			m.streams.cancelBelow(id, l.Level(), ErrEnded)
			m.streams.markLive(j, earlier(seen.Add(s.Idle), s.ExpiresAt))
		case err == nil || errors.Is(err, store.ErrNotFound):
			m.streams.cancel(id, ErrEnded)
		case time.Since(m.streams.staleSince(id)) > streamGrace:
			m.log.Warn("store unavailable: canceling the streams of a session that cannot be checked", zap.Error(err))
			m.streams.cancel(id, ErrEnded)
		}
	}
	return true
}

// readByID reads a session, or a token as the session as which it acts.
func (m *Manager) readByID(ctx context.Context, j pendingCheck) (l Live, err error) {
	switch {
	case j.external != nil:
		l, err = m.readExternal(ctx, j.external)
		if err == nil && l.User.ID != j.userID { // another account has its name now
			err = store.ErrNotFound
		}
		return l, err
	case !j.program:
		l.Session, l.User, err = m.store.Session(ctx, j.id)
		return l, err
	}
	t, u, err := m.store.Token(ctx, j.id)
	if err != nil {
		return Live{}, err
	}
	return Live{Session: tokenSession(&t, &u), User: u, Token: &t}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
