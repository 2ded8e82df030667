package login

import (
	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Asks reports whether a user who signs in with a password is asked for a second factor.
func (c SecondFactors) Asks(u store.User) bool {
	f := c.factorsOf(u)
	return c.Mode != MFAOff && (f.Asked() || f.Any() && c.Demands(u))
}

// HoldsBack reports whether the rights of an administrator wait for a second factor in a session of a level. It is the
// only place that decides it. u has the effective rights of the session, see [OIDC.Effective].
func (c SecondFactors) HoldsBack(u store.User, level assurance.Level) bool {
	return u.Role == store.RoleAdmin && c.Demands(u) && !level.Satisfies(assurance.Two)
}

// Acting returns a session with the rights that it has at its level. Where those of an administrator are held back, its
// user is none, and [session.Live.Held] says so.
func (c SecondFactors) Acting(l *session.Live) *session.Live {
	l = c.believed(l)
	if l.User.Role != store.RoleAdmin || !c.HoldsBack(l.User, l.Level()) {
		return l
	}
	acting := *l
	acting.User.Role, acting.Held = store.RoleUser, true
	return &acting
}

// Keeps returns the level that a session must not lose while a request of it is open: the app was told that an
// administrator asks.
func (c SecondFactors) Keeps(l *session.Live) assurance.Level {
	if l.User.Role == store.RoleAdmin && c.Demands(l.User) {
		return assurance.Two
	}
	return ""
}
