package assurance

import "time"

// Need is what is asked of a session beside a sign-in. The zero value asks for nothing.
type Need struct {
	Level  Level         // at least; "" for any
	Within time.Duration // the last proof of any kind is no older than this; 0 for any age
	// MFAWithin is that of the last second factor; see [FreshFactor].
	MFAWithin time.Duration
}

// Fresh asks for a proof of any kind within a time.
func Fresh(within time.Duration) Need { return Need{Within: within} }

// FreshFactor asks for a second factor within a time, and so for the level that it amounts to.
func FreshFactor(within time.Duration) Need { return Need{Level: Two, MFAWithin: within} }

// IsZero reports whether nothing is asked for.
func (n Need) IsZero() bool { return n == Need{} }

// And returns what n and o ask for together.
func (n Need) And(o Need) Need {
	if n.Level == "" || o.Level.Satisfies(n.Level) {
		n.Level = o.Level
	}
	n.Within, n.MFAWithin = shorter(n.Within, o.Within), shorter(n.MFAWithin, o.MFAWithin)
	return n
}

// shorter returns the shorter of two windows, where 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// MaxAge is how old a proof may be at most, 0 for any age: for people and programs, which prove it once.
func (n Need) MaxAge() time.Duration { return shorter(n.Within, n.MFAWithin) }

// Proof is what a session has proved.
type Proof struct {
	Level  Level
	AuthAt time.Time // of the last proof of any kind; zero: nobody knows
	MFAAt  time.Time // of the last second factor; zero: never
}

// Lack is why a proof does not meet a need. The zero value is the gravest.
type Lack int

// Lacks.
const (
	LacksLevel Lack = iota // it proves less
	LacksAge               // it is too old
	LacksNothing
)

// Lacks returns what a proof lacks at a time.
func (n Need) Lacks(p Proof, now time.Time) Lack {
	switch {
	case n.Level != "" && !p.Level.Satisfies(n.Level):
		return LacksLevel
	case n.Within != 0 && !within(p.AuthAt, now, n.Within), n.MFAWithin != 0 && !within(p.MFAAt, now, n.MFAWithin):
		return LacksAge
	}
	return LacksNothing
}

// within reports whether a proof at a time is no older than a window. One in the future counts as one of now, because
// the clocks of two machines differ and a clock may be set back; but not for ever: one that is further off than the
// window is none.
func within(at, now time.Time, window time.Duration) bool {
	age := now.Sub(at)
	return !at.IsZero() && age < window && age > -window
}
