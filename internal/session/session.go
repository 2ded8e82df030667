// Package session starts, resolves, rotates and ends sessions, and cuts the streams of those that ended.
//
// A session is a row in the store; the browser holds an opaque 256-bit token, the store its SHA-256. [Manager.Resolve]
// answers from a bounded cache when that is provably not stale (see cache.go) and from the store otherwise.
// Ending is done in the store, in the transaction that has the reason for it; the manager watches the store's
// changes and drops what it knows, so no caller can forget to.
package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrNone: there is no live session for this token. Any other error of Resolve is technical and must close the gate.
var ErrNone = errors.New("no live session")

// Limits are the lifetimes of new sessions, all positive.
type Limits struct {
	Idle     time.Duration // over when unused for this long; capped by the absolute lifetime
	Absolute time.Duration // over after this long, whatever happens
	Remember time.Duration // both, for "keep me signed in"
}

// DefaultLimits are the lifetimes when the configuration says nothing.
var DefaultLimits = Limits{Idle: 12 * time.Hour, Absolute: 7 * 24 * time.Hour, Remember: 30 * 24 * time.Hour}

// lifetimes returns idle and absolute lifetime of a new session.
func (l Limits) lifetimes(remember bool) (idle, absolute time.Duration) {
	if remember {
		return l.Remember, l.Remember
	}
	return min(l.Idle, l.Absolute), l.Absolute
}

// Live is a session that was live when it was resolved, with its user. It is shared by requests: read only.
type Live struct {
	Session store.Session
	User    store.User

	entry *entry
}

// IdleExpiresAt returns when the session is over if it is not used again.
func (l *Live) IdleExpiresAt() time.Time {
	t := l.lastSeen().Add(l.Session.Idle)
	if t.After(l.Session.ExpiresAt) {
		return l.Session.ExpiresAt
	}
	return t
}

// LastSeen returns the last known use of the session.
func (l *Live) LastSeen() time.Time { return l.lastSeen() }

func (l *Live) lastSeen() time.Time {
	if l.entry == nil {
		return l.Session.LastSeenAt
	}
	return time.UnixMilli(l.entry.lastSeen.Load()).UTC()
}

// Fresh reports whether the person proved who they are within the last window (10 minutes for admin writes).
func (l *Live) Fresh(now time.Time, window time.Duration) bool {
	age := now.Sub(l.Session.AuthAt)
	return age > -time.Minute && age < window // another Caddy's clock may be a little ahead
}

// Values returns what compute made for this session, computing it at most a few times per cached session: identity
// headers and decisions are kept beside the session they belong to and vanish with it. key must be comparable and
// stand for one configuration (a pointer to it).
func (l *Live) Values(key any, compute func(*Live) any) any {
	if l.entry == nil {
		return compute(l)
	}
	if v, ok := l.entry.memo(key); ok {
		return v
	}
	return l.entry.setMemo(key, compute(l))
}

// Known answers what [Live.Values] made for key before, without making anything.
func (l *Live) Known(key any) (v any, ok bool) {
	if l.entry == nil {
		return nil, false
	}
	return l.entry.memo(key)
}

// isLive judges a session against its user and the time. It is the only place that does.
func isLive(s *store.Session, u *store.User, lastSeen, now time.Time) bool {
	return s.UserID == u.ID && s.Epoch == u.Epoch &&
		u.Active && !u.Pending &&
		now.Before(s.ExpiresAt) &&
		now.Before(lastSeen.Add(s.Idle))
}

// Start says what session to make.
type Start struct {
	User     store.User
	Limits   Limits
	Remember bool
	Method   string // "password", "oidc", "link"
	Provider string
	Issuer   string
	Subject  string
	SID      string
	Claims   string
	Sealed   string
	// AuthAt is when the person proved who they are, zero when nobody knows: such a session is never fresh.
	AuthAt    time.Time
	IP        string
	UserAgent string
	Host      string
}

// maxUserAgent bounds what a client can make us keep.
const maxUserAgent = 512

// Create makes a session inside tx and returns the token for the cookie, which is kept nowhere.
// A new sign-in always gets a new token (session fixation).
func (m *Manager) Create(ctx context.Context, tx store.Tx, p Start) (token string, s store.Session, err error) {
	now := m.now().UTC()
	idle, absolute := p.Limits.lifetimes(p.Remember)
	token = store.NewToken()
	s = store.Session{
		ID: store.NewID(now), TokenHash: store.HashToken(token),
		UserID: p.User.ID, Epoch: p.User.Epoch,
		CreatedAt: now, AuthAt: notAfter(p.AuthAt, now), LastSeenAt: now, Idle: idle, ExpiresAt: now.Add(absolute), Remember: p.Remember,
		Method: p.Method, Provider: p.Provider, Issuer: p.Issuer, Subject: p.Subject, SID: p.SID, Claims: p.Claims, Sealed: p.Sealed,
		IP: p.IP, UserAgent: ClipUserAgent(p.UserAgent), Host: p.Host,
	}
	if err := tx.CreateSession(ctx, s); err != nil {
		return "", store.Session{}, fmt.Errorf("making a session: %w", err)
	}
	return token, s, nil
}

// notAfter returns at, or now when at is later: no proof is newer than what it is judged by.
func notAfter(at, now time.Time) time.Time {
	if at.After(now) {
		return now
	}
	return at
}

// Renew replaces a live session by one with a new id and a new token inside tx: after a password change or a
// re-authentication the old cookie is worth nothing. Lifetimes go on. old is the session as tx has read it, so that
// nothing that was replaced meanwhile comes back, with what the renewal changes about it; authAt is when the person
// proved who they are, and never moves back. It returns store.ErrNotFound when the session ended meanwhile.
func (m *Manager) Renew(ctx context.Context, tx store.Tx, old store.Session, epoch int64, authAt time.Time) (token string, s store.Session, err error) {
	now := m.now().UTC()
	token = store.NewToken()
	s = old
	s.ID, s.TokenHash, s.Epoch, s.LastSeenAt = store.NewID(now), store.HashToken(token), epoch, now
	if at := notAfter(authAt, now); at.After(s.AuthAt) {
		s.AuthAt = at
	}
	if err := tx.ReplaceSession(ctx, old.ID, s); err != nil {
		return "", store.Session{}, fmt.Errorf("renewing a session: %w", err)
	}
	return token, s, nil
}

// ClipUserAgent cuts a User-Agent to 512 bytes and drops what is not printable: it ends up in pages, logs and exports.
func ClipUserAgent(s string) string {
	if len(s) > maxUserAgent {
		s = s[:maxUserAgent]
	}
	b := make([]rune, 0, len(s))
	for _, r := range s {
		if r >= ' ' && r != 0x7f && r != 0xfffd {
			b = append(b, r)
		}
	}
	return string(b)
}
