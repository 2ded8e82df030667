package assertion_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/assertion"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

func rotate(t *testing.T, st store.Store, now time.Time) assertion.Rotation {
	t.Helper()
	got, err := assertion.Rotate(t.Context(), st, now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func kids(set jose.JSONWebKeySet) (list []string) {
	for _, k := range set.Keys {
		list = append(list, k.KeyID)
	}
	return list
}

// verifier is an app that caches the published keys.
type verifier struct {
	cache   time.Duration
	fetched time.Time
	set     jose.JSONWebKeySet
}

// Whatever the moment at which an app fetched the keys, for as long as it keeps them: a rotation fails nowhere. The
// clocks of the machines differ.
func TestAVerifierThatCachesKeysSeesNoFailureOverARotation(t *testing.T) {
	t.Parallel()
	st := testenv.Store(t)
	clock := testenv.NewClock(t0)
	ahead, behind := testenv.NewClock(t0), testenv.NewClock(t0)
	caddys := []*assertion.Keys{watch(t, st, clock), watch(t, st, ahead), watch(t, st, behind)}
	var apps []*verifier
	for _, cache := range []time.Duration{5 * time.Minute, time.Hour, 23 * time.Hour} {
		for range 3 { // each fetches at other times, and from another Caddy
			apps = append(apps, &verifier{cache: cache})
		}
	}
	seen := make(map[string]bool)
	step, rotations := 7*time.Minute, 0
	for now := t0; now.Before(t0.Add(9 * 24 * time.Hour)); now = now.Add(step) {
		clock.Set(now)
		ahead.Set(now.Add(3 * time.Minute))
		behind.Set(now.Add(-3 * time.Minute))
		if now.Sub(t0) >= time.Duration(rotations)*50*time.Hour {
			rotate(t, st, now)
			rotations++
		}
		for i, k := range caddys {
			at := []*testenv.Clock{clock, ahead, behind}[i].Now()
			text := signAt(t, k, at)
			kid := kidOf(t, text)
			if !seen[kid] {
				seen[kid] = true
				if err := check(text, publicKeys(t, k), at); err != nil {
					t.Fatal(err)
				}
			}
			for j, app := range apps {
				if now.Sub(app.fetched) >= app.cache+time.Duration(j)*time.Minute {
					app.set, app.fetched = publicKeys(t, caddys[j%3]), now
				}
				if len(app.set.Key(kid)) != 1 {
					t.Fatalf("%v after the start, an app that caches for %v does not know the key %s", now.Sub(t0), app.cache, kid)
				}
			}
		}
	}
	if len(seen) < 4 {
		t.Errorf("signed with %d keys in %d rotations: nothing was tested", len(seen), rotations)
	}
}

func TestANewKeyIsPublishedADayBeforeItSignsAndTheOldOneADayAfter(t *testing.T) {
	t.Parallel()
	st, clock := testenv.Store(t), testenv.NewClock(t0)
	k := watch(t, st, clock)
	old := kidOf(t, signAt(t, k, t0))
	got := rotate(t, st, t0)
	if got.Pending || got.Signing != old || got.Key == old || !got.From.Equal(t0.Add(24*time.Hour)) {
		t.Fatalf("rotated to %+v", got)
	}
	for _, c := range []struct {
		after     time.Duration
		signs     string
		published []string
	}{
		{0, old, []string{old, got.Key}},
		{24*time.Hour - time.Millisecond, old, []string{old, got.Key}},
		{24 * time.Hour, got.Key, []string{old, got.Key}},
		{48*time.Hour - time.Millisecond, got.Key, []string{old, got.Key}},
		{48 * time.Hour, got.Key, []string{got.Key}},
		{1000 * time.Hour, got.Key, []string{got.Key}},
		// A clock that was turned back: what signs is published, to before there was any key.
		{30 * time.Hour, got.Key, []string{old, got.Key}},
		{time.Hour, old, []string{old, got.Key}},
		{-1000 * time.Hour, old, []string{old, got.Key}},
	} {
		now := t0.Add(c.after)
		clock.Set(now)
		if kid := kidOf(t, signAt(t, k, now)); kid != c.signs {
			t.Errorf("%v: signed by %s, want %s", c.after, kid, c.signs)
		}
		if got := kids(publicKeys(t, k)); !slices.Equal(got, c.published) {
			t.Errorf("%v: published %v, want %v", c.after, got, c.published)
		}
	}
}

// A rotation that is repeated, because it was interrupted or by a second administrator, is one rotation.
func TestARotationWhileOneIsPendingChangesNothing(t *testing.T) {
	t.Parallel()
	place, clock := testenv.NewPlace(t), testenv.NewClock(t0)
	st := place.Open(t)
	k := watch(t, st, clock)
	signAt(t, k, t0)
	var wg sync.WaitGroup
	all := make([]assertion.Rotation, 4)
	for i := range all {
		other := place.Open(t)
		wg.Go(func() {
			var err error
			if all[i], err = assertion.Rotate(t.Context(), other, t0.Add(time.Duration(i)*time.Millisecond)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	made := 0
	for _, r := range all {
		if !r.Pending {
			made++
		}
		if r.Key != all[0].Key {
			t.Errorf("two new keys: %+v", all)
		}
	}
	if made != 1 {
		t.Errorf("%d rotations made a key: %+v", made, all)
	}
	before, _ := st.Setting(t.Context(), "assertion.keys")
	if again := rotate(t, st, t0.Add(23*time.Hour)); !again.Pending || again.Key != all[0].Key {
		t.Errorf("again: %+v", again)
	}
	if after, _ := st.Setting(t.Context(), "assertion.keys"); after != before {
		t.Error("the stored keys have changed")
	}
	if next := rotate(t, st, t0.Add(25*time.Hour)); next.Pending || next.Key == all[0].Key {
		t.Errorf("after the new key signs, the next rotation: %+v", next)
	}
}

// By a clock that is behind, a new key would sign before anybody knows it.
func TestARotationByAClockThatIsBehindIsRefused(t *testing.T) {
	t.Parallel()
	st := testenv.Store(t)
	rotate(t, st, t0)
	_, err := assertion.Rotate(t.Context(), st, t0.Add(-time.Hour))
	if err == nil || !strings.Contains(err.Error(), "2027-03-01T11:00:00Z") || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("got %v", err)
	}
	if _, err := assertion.Replace(t.Context(), st, t0.Add(-time.Hour)); err != nil {
		t.Error(err)
	}
}

// A leaked key is gone at once, here and in every other process within a second; so is one that waits for its turn.
func TestALeakedKeyIsGoneEverywhereAtOnce(t *testing.T) {
	t.Parallel()
	place, clock := testenv.NewPlace(t), testenv.NewClock(t0)
	st := place.Open(t)
	here, there := watch(t, st, clock), watch(t, place.Open(t), clock)
	leaked := signAt(t, here, t0)
	pending := rotate(t, st, t0)
	eventually(t, "the rotation to arrive", func() bool { return len(publicKeys(t, there).Keys) == 2 })
	ring := ringOf(t, there)

	got, err := assertion.Replace(t.Context(), st, t0.Add(time.Hour))
	if err != nil || got.Pending || got.Signing != got.Key || got.Key == pending.Key || got.Key == kidOf(t, leaked) {
		t.Fatalf("replaced by %+v, %v", got, err)
	}
	clock.Set(t0.Add(time.Hour))
	if set := publicKeys(t, here); !slices.Equal(kids(set), []string{got.Key}) || check(leaked, set, t0) == nil {
		t.Errorf("published here: %v", kids(set))
	}
	begin := time.Now()
	eventually(t, "the new key to arrive", func() bool {
		return slices.Equal(kids(publicKeys(t, there)), []string{got.Key}) && !there.Current(ring)
	})
	t.Logf("it took %v", time.Since(begin).Round(time.Millisecond))
	for _, at := range []time.Duration{-1000 * time.Hour, 0, 1000 * time.Hour} { // whatever the clock says later
		clock.Set(t0.Add(at))
		if kid := kidOf(t, signAt(t, there, clock.Now())); kid != got.Key {
			t.Errorf("at %v %s signs", at, kid)
		}
	}
}

func TestAKeyThatWasReplacedStaysOurs(t *testing.T) {
	t.Parallel()
	place, clock := testenv.NewPlace(t), testenv.NewClock(t0)
	st := place.Open(t)
	keys := watch(t, st, clock)
	ours := []string{kidOf(t, signAt(t, keys, t0))}
	for i := range 80 { // days, far beyond what a ring keeps
		now := t0.Add(time.Duration(3*i) * 24 * time.Hour)
		ours = append(ours, rotate(t, st, now).Key)
		if i%10 == 9 {
			got, err := assertion.Replace(t.Context(), st, now.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			ours = append(ours, got.Key)
		}
	}
	for i, kid := range ours[len(ours)-60:] {
		if is, err := keys.Has(t.Context(), kid); err != nil || !is {
			t.Errorf("key %d of the last 60 is ours: %v, %v", i, is, err)
		}
	}
	if is, err := keys.Has(t.Context(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"); err != nil || is {
		t.Errorf("the key of a stranger is ours: %v, %v", is, err)
	}
	if got := len(publicKeys(t, keys).Keys); got > 3 {
		t.Errorf("%d keys are published", got)
	}
}
