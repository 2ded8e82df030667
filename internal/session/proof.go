package session

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
)

// Level returns how surely the session belongs to its person. A token proves what was proved when it was made, and no
// more than two factors: it can be stolen like a password, and no phishing resistance is left in it. What no person has
// made proves nothing.
func (l *Live) Level() assurance.Level {
	switch {
	case l.Token == nil:
		return assurance.Methods(l.Session.Methods).Level()
	case !l.User.IsService() && assurance.Level(l.Token.Level).Satisfies(assurance.Two):
		return assurance.Two
	}
	return assurance.One
}

// Proof returns what the session has proved. A token is never fresh: nobody was there when it was shown.
func (l *Live) Proof() assurance.Proof {
	p := assurance.Proof{Level: l.Level()}
	if l.Token == nil {
		p.AuthAt, p.MFAAt = l.Session.AuthAt, l.Session.MFAAt
	}
	return p
}

// AuthenticatedWithin reports whether there was a proof of any kind within a time.
func (l *Live) AuthenticatedWithin(now time.Time, window time.Duration) bool {
	return assurance.Fresh(window).Lacks(l.Proof(), now) == assurance.LacksNothing
}

// Methods returns how somebody has authenticated in the session, for people and programs, in the words of RFC 8176
// where it has one; never nil. Of a session of before there were levels all that is known is whether it began with a
// password.
func (l *Live) Methods() []string {
	switch {
	case l.Token != nil:
		return []string{MethodToken}
	case l.Session.Methods == "" && l.Session.Method == methodLocal:
		return []string{assurance.Password}
	}
	return assurance.Methods(l.Session.Methods).List()
}

// methodLocal is [store.Session].Method of a sign-in with a password.
const methodLocal = "password"

// laterOf returns the later of two times, neither of which is in the future: a clock that was set back must not leave
// a session with a proof that nobody can renew.
func laterOf(a, b, now time.Time) time.Time {
	a, b = notAfter(a, now), notAfter(b, now)
	if a.After(b) {
		return a
	}
	return b
}
