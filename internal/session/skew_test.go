package session_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// skew is the difference of the clocks of two Caddys: half of what docs/operations.md tolerates.
const skew = 30 * time.Second

// twoClocks are two managers of one store; the second one's clock is behind.
func twoClocks(t *testing.T) (ahead, behind *fixture) {
	t.Helper()
	place := testenv.NewPlace(t)
	now := time.Now()
	open := func(at time.Time) *fixture {
		f := &fixture{clock: testenv.NewClock(at)}
		f.Store = place.Open(t, func(o *sqlstore.Options) { o.Clock = f.clock.Now })
		f.m = session.NewManager(f.Store, session.Options{Clock: f.clock.Now})
		t.Cleanup(f.m.Close)
		return f
	}
	ahead, behind = open(now), open(now.Add(-skew))
	ahead.user = ahead.addUser(t, "ada")
	behind.user = ahead.user
	return ahead, behind
}

func (f *fixture) both(o *fixture, d time.Duration) {
	f.clock.Advance(d)
	o.clock.Advance(d)
}

func TestClocksThatAreApartMakeNoWrongDecision(t *testing.T) {
	t.Parallel()
	ahead, behind := twoClocks(t)
	for name, pair := range map[string][2]*fixture{
		"signed in ahead":  {ahead, behind},
		"signed in behind": {behind, ahead},
	} {
		here, there := pair[0], pair[1]
		token, s := here.start(t, here.user, false)
		for _, f := range pair {
			l, err := f.m.Resolve(t.Context(), token)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !l.AuthenticatedWithin(f.clock.Now(), 10*time.Minute) {
				t.Errorf("%s: the sign-in does not count as recent at once", name)
			}
		}
		// An end takes effect through its change, independent of clocks.
		there.change(t, func(tx store.Tx) error {
			_, err := tx.EndSessions(t.Context(), store.SessionSelector{ID: s.ID})
			return err
		})
		if there.alive(t, token) {
			t.Errorf("%s: the session goes on where it was ended", name)
		}
		for deadline := time.Now().Add(10 * time.Second); here.alive(t, token); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the ending does not arrive", name)
			}
		}
	}
}

// Lifetimes are off by the difference, and by no more.
func TestClocksThatAreApartMisjudgeLifetimesByTheDifference(t *testing.T) {
	t.Parallel()
	ahead, behind := twoClocks(t)
	for name, f := range map[string]*fixture{"ahead": ahead, "behind": behind} {
		token, _ := f.start(t, f.user, false)
		ahead.both(behind, time.Hour-2*skew)
		for _, other := range []*fixture{ahead, behind} {
			if _, err := other.m.Peek(t.Context(), token); err != nil {
				t.Errorf("signed in %s: over long before its idle time: %v", name, err)
			}
		}
		ahead.both(behind, 4*skew)
		for _, other := range []*fixture{ahead, behind} {
			if _, err := other.m.Peek(t.Context(), token); err == nil {
				t.Errorf("signed in %s: it goes on long after its idle time", name)
			}
		}
	}
}

// A throttle's wait is shorter or longer by the difference, but the counts are shared: using the Caddy whose clock is
// ahead saves half a minute of a wait that doubles each time.
func TestClocksThatAreApartLiftNoThrottle(t *testing.T) {
	t.Parallel()
	ahead, behind := twoClocks(t)
	const longest = 15 * time.Minute
	for wait := time.Duration(0); wait < longest-time.Second; {
		behind.both(ahead, wait)
		var err error
		if wait, err = behind.BeginAttempt(t.Context(), "ada", 1, longest, behind.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if w, err := ahead.BeginAttempt(t.Context(), "ada", 1, longest, ahead.clock.Now()); err != nil ||
		w < longest-skew-time.Second {
		t.Errorf("the Caddy whose clock is ahead asks to wait %v, %v", w, err)
	}
}
