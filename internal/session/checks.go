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

// checkStreams checks the due sessions in the store and cancels the streams of those that have ended. It reports
// whether all due ones were checked.
func (m *Manager) checkStreams(ctx context.Context) (all bool) {
	now, began, storeAnswered := m.now(), time.Now(), false
	for _, j := range m.streams.due(now) {
		if storeAnswered && time.Since(began) > checkBudget {
			return false
		}
		id := j.id
		s, u, err := m.readByID(ctx, j)
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
			m.log.Warn("store unavailable: canceling the streams of a session that cannot be checked", zap.Error(err))
			m.streams.cancel(id, ErrEnded)
		}
	}
	return true
}

// readByID reads a session, or a token as the session as which it acts.
func (m *Manager) readByID(ctx context.Context, j pendingCheck) (store.Session, store.User, error) {
	switch {
	case j.external != nil:
		l, err := m.readExternal(ctx, j.external)
		if err == nil && l.User.ID != j.userID { // another account has its name now
			err = store.ErrNotFound
		}
		return l.Session, l.User, err
	case !j.program:
		return m.store.Session(ctx, j.id)
	}
	t, u, err := m.store.Token(ctx, j.id)
	if err != nil {
		return store.Session{}, store.User{}, err
	}
	s := tokenSession(&t, &u)
	return s, u, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
