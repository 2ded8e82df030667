// Package session starts, resolves, rotates and ends sessions, and cancels the requests and streams of ended ones.
//
// A session is a row in the store; the browser has an opaque 256-bit token, the store its SHA-256. [Manager.Resolve]
// reads from a bounded cache if that is provably not stale (see cache.go), otherwise from the store. Sessions are ended
// in the store, in the transaction of the change that ends them; the manager watches the store's changes and
// invalidates its cache, so that no caller can forget to.
package session

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrNone means that there is no live session for a token. For any other error of Resolve, which is technical, the gate
// has to deny.
var ErrNone = errors.New("no live session")

// Limits are the lifetimes of new sessions, all positive.
type Limits struct {
	Idle     time.Duration // maximum time without use; capped by Absolute
	Absolute time.Duration // maximum lifetime
	Remember time.Duration // replaces both for "keep me signed in"
}

// DefaultLimits are the lifetimes if the configuration sets none.
var DefaultLimits = Limits{Idle: 12 * time.Hour, Absolute: 7 * 24 * time.Hour, Remember: 30 * 24 * time.Hour}

// lifetimes returns idle and absolute lifetime of a new session.
func (l Limits) lifetimes(remember bool) (idle, absolute time.Duration) {
	if remember {
		return l.Remember, l.Remember
	}
	return min(l.Idle, l.Absolute), l.Absolute
}

// Live is a session that was live when it was resolved, with its user. It is shared by requests and must not be
// changed.
type Live struct {
	Session store.Session
	User    store.User
	// Token is the token of a program that acts, nil for a browser. Session is then made from it, and is in no list.
	Token *store.Token
	// Held means that User would be an administrator at a higher level of the session; see login.SecondFactors.
	Held bool

	external *External // what Token was made from, nil for a token of the store
	entry    *entry
}

// credential is what a session is looked up by: the token of a browser's session, or that of a program.
type credential struct {
	cacheKey
	ip       netip.Addr // of who presents it; recorded for programs
	external *External  // a program's that is not in the store
}

// MethodToken is the method of what acts with a token of a program.
const MethodToken = "token"

// forever is the lifetime of what does not expire, far from the limits of dates and durations.
const forever = 100 * 365 * 24 * time.Hour

// tokenSession returns the session as which a token acts: of its owner as read with it, not fresh, and over when the
// token is.
func tokenSession(t *store.Token, u *store.User) store.Session {
	s := store.Session{
		ID: t.ID, UserID: t.UserID, Epoch: u.Epoch, CreatedAt: t.CreatedAt, LastSeenAt: t.LastUsedAt, Idle: forever,
		ExpiresAt: t.ExpiresAt, Method: MethodToken, Provider: t.Provider, Issuer: t.Issuer, Subject: t.Subject,
		Claims: t.Claims,
	}
	if s.LastSeenAt.IsZero() {
		s.LastSeenAt = t.CreatedAt
	}
	if s.ExpiresAt.IsZero() {
		s.ExpiresAt = t.CreatedAt.Add(forever)
	}
	return s
}

// IdleExpiresAt returns when the session expires if it is not used again.
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

// Memoize memoizes compute for this session: concurrent first calls may each compute, and all get the same result.
// Identity headers and decisions are cached with the session they belong to, and are dropped with it. key must be
// comparable and stand for one configuration (a pointer to it).
func (l *Live) Memoize(key any, compute func(*Live) any) any {
	if l.entry == nil {
		return compute(l)
	}
	if v, ok := l.entry.memo(key); ok {
		return v
	}
	return l.entry.setMemo(key, compute(l))
}

// Memoized returns what [Live.Memoize] memoized for key, without computing anything.
func (l *Live) Memoized(key any) (v any, ok bool) {
	if l.entry == nil {
		return nil, false
	}
	return l.entry.memo(key)
}

// isLive reports whether a session is live: same epoch as its user, who is active, and not expired. It is the only
// place that decides it.
func isLive(s *store.Session, u *store.User, lastSeen, now time.Time) bool {
	return s.UserID == u.ID && s.Epoch == u.Epoch &&
		u.Active && !u.Pending &&
		now.Before(s.ExpiresAt) &&
		now.Before(lastSeen.Add(s.Idle))
}

// StartOptions holds the parameters of a new session.
type StartOptions struct {
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
	// AuthAt is when the user authenticated, zero if unknown: such a session is never fresh.
	AuthAt    time.Time
	Methods   string    // as [store.Session].Methods
	MFAAt     time.Time // when a second factor was proved, zero for never
	IP        string
	UserAgent string
	Host      string
}

// maxUserAgent limits what a client can make us store.
const maxUserAgent = 512

// Start starts a session inside tx and returns the token for the cookie, which is stored nowhere. Every sign-in gets a
// new token (session fixation).
func (m *Manager) Start(ctx context.Context, tx store.Tx, p StartOptions) (token string, s store.Session, err error) {
	now := m.now().UTC()
	idle, absolute := p.Limits.lifetimes(p.Remember)
	token = store.NewToken()
	s = store.Session{
		ID: store.NewID(now), TokenHash: store.HashToken(token),
		UserID: p.User.ID, Epoch: p.User.Epoch,
		CreatedAt: now, AuthAt: notAfter(p.AuthAt, now), LastSeenAt: now, Idle: idle, ExpiresAt: now.Add(absolute),
		Remember: p.Remember,
		Method:   p.Method, Provider: p.Provider, Issuer: p.Issuer, Subject: p.Subject, SID: p.SID, Claims: p.Claims,
		Sealed: p.Sealed, Methods: p.Methods, MFAAt: notAfter(p.MFAAt, now),
		IP: p.IP, UserAgent: ClipUserAgent(p.UserAgent), Host: p.Host,
	}
	if err := tx.CreateSession(ctx, s); err != nil {
		return "", store.Session{}, fmt.Errorf("creating a session: %w", err)
	}
	return token, s, nil
}

// notAfter returns at, or now if at is in the future.
func notAfter(at, now time.Time) time.Time {
	if at.After(now) {
		return now
	}
	return at
}

// Rotate rotates a live session inside tx: it gets a new id and a new token, so that the old cookie is worthless after
// a password change or a step-up. Its lifetimes continue. old is the session as read in tx, with the caller's changes,
// so that concurrent changes are not undone; authAt is when the user authenticated, and never moves back but from the
// future. It returns store.ErrNotFound if the session has ended meanwhile.
func (m *Manager) Rotate(ctx context.Context, tx store.Tx, old store.Session, epoch int64,
	authAt time.Time,
) (token string, s store.Session, err error) {
	now := m.now().UTC()
	token = store.NewToken()
	s = old
	s.ID, s.TokenHash, s.Epoch, s.LastSeenAt = store.NewID(now), store.HashToken(token), epoch, now
	s.AuthAt, s.MFAAt = laterOf(authAt, s.AuthAt, now), notAfter(s.MFAAt, now)
	if err := tx.ReplaceSession(ctx, old.ID, s); err != nil {
		return "", store.Session{}, fmt.Errorf("rotating a session: %w", err)
	}
	return token, s, nil
}

// ClipUserAgent truncates a User-Agent to 512 bytes and drops control characters: it is shown in pages, logs and
// exports.
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
