package assurance_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// The window ends with its last second, clocks may differ, and a time far in the future is no proof.
func TestAProofIsFreshWithinItsWindowOnly(t *testing.T) {
	t.Parallel()
	const window = 15 * time.Minute
	for name, c := range map[string]struct {
		at    time.Time
		fresh bool
	}{
		"never":                  {time.Time{}, false},
		"now":                    {now, true},
		"a second before it":     {ago(window - time.Second), true},
		"at its end":             {ago(window), false},
		"a second after it":      {ago(window + time.Second), false},
		"another clock is ahead": {ago(-5 * time.Second), true},
		"the clock was set back": {ago(-window + time.Second), true},
		"further than that":      {ago(-window), false},
		"in a hundred years":     {now.AddDate(100, 0, 0), false},
		"before any clock":       {time.Unix(0, 0), false},
	} {
		want := assurance.LacksAge
		if c.fresh {
			want = assurance.LacksNothing
		}
		if got := assurance.Fresh(window).Lacks(assurance.Proof{AuthAt: c.at}, now); got != want {
			t.Errorf("any proof, %s: %v", name, got)
		}
		p := assurance.Proof{Level: assurance.Two, AuthAt: now, MFAAt: c.at}
		if got := assurance.FreshFactor(window).Lacks(p, now); got != want {
			t.Errorf("a second factor, %s: %v", name, got)
		}
	}
}

// The level comes first: whoever has to prove more is not asked to prove the same once more.
func TestALevelIsLackedBeforeAnAge(t *testing.T) {
	t.Parallel()
	const window = time.Hour
	levels := []assurance.Level{"", "aal0", assurance.One, assurance.Two, assurance.PhishingResistant}
	for _, asked := range levels[2:] {
		for i, has := range levels {
			for _, age := range []time.Duration{0, window} {
				n := assurance.Need{Level: asked, Within: window}
				want := assurance.LacksNothing
				switch {
				case i < indexOf(levels, asked):
					want = assurance.LacksLevel
				case age > 0:
					want = assurance.LacksAge
				}
				if got := n.Lacks(assurance.Proof{Level: has, AuthAt: ago(age)}, now); got != want {
					t.Errorf("%q for %q, %v old: %v, want %v", has, asked, age, got, want)
				}
			}
		}
	}
}

func indexOf(list []assurance.Level, l assurance.Level) int {
	for i := range list {
		if list[i] == l {
			return i
		}
	}
	return -1
}

// Together means each: whatever meets both meets the sum, and nothing else does.
func TestNeedsTogetherAreMetByWhatMeetsEach(t *testing.T) {
	t.Parallel()
	needs := []assurance.Need{
		{},
		{Level: assurance.Two},
		{Level: assurance.PhishingResistant},
		assurance.Fresh(time.Minute), assurance.Fresh(time.Hour),
		assurance.FreshFactor(time.Minute), assurance.FreshFactor(time.Hour),
	}
	var proofs []assurance.Proof
	for _, l := range []assurance.Level{assurance.One, assurance.Two, assurance.PhishingResistant} {
		for _, auth := range []time.Duration{0, 2 * time.Minute, 2 * time.Hour} {
			for _, mfa := range []time.Duration{0, 2 * time.Minute, 2 * time.Hour} {
				proofs = append(proofs, assurance.Proof{Level: l, AuthAt: ago(auth), MFAAt: ago(mfa)})
			}
		}
	}
	met := func(n assurance.Need, p assurance.Proof) bool { return n.Lacks(p, now) == assurance.LacksNothing }
	for _, a := range needs {
		for _, b := range needs {
			both := a.And(b)
			if both != b.And(a) {
				t.Errorf("%+v and %+v depend on their order", a, b)
			}
			for _, p := range proofs {
				if met(both, p) != (met(a, p) && met(b, p)) {
					t.Errorf("%+v and %+v: %+v", a, b, p)
				}
			}
			if age := both.MaxAge(); age != 0 && (a.MaxAge() == 0 || age > a.MaxAge()) && (b.MaxAge() == 0 || age > b.MaxAge()) {
				t.Errorf("%+v and %+v: max_age %v", a, b, age)
			}
		}
	}
	if !(assurance.Need{}).IsZero() || assurance.Fresh(1).IsZero() {
		t.Error("what asks for nothing is not told from what asks")
	}
}

// Whoever forgets to judge has judged that the level falls short.
func TestTheZeroLackDenies(t *testing.T) {
	t.Parallel()
	var l assurance.Lack
	if l != assurance.LacksLevel {
		t.Errorf("%v", l)
	}
}
