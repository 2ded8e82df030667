package login_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// answer is all that a stranger can observe of a wrong guess.
func (w *world) answer(c login.Client, name string) string {
	w.t.Helper()
	_, err := w.CheckPassword(w.t.Context(), c, name, wrong)
	var throttled *login.ThrottledError
	if errors.As(err, &throttled) {
		return fmt.Sprintf("throttled for %v", throttled.Wait)
	}
	if !errors.Is(err, login.ErrInvalidCredentials) {
		w.t.Fatal(err)
	}
	return err.Error()
}

// people are ways in which two names can be accounts.
func (w *world) people(kind string) {
	off := func(u store.User, change func(*store.User)) {
		w.change(func(tx store.Tx) error {
			u, err := tx.User(w.t.Context(), u.ID)
			if err != nil {
				return err
			}
			change(&u)
			_, err = tx.UpdateUser(w.t.Context(), u)
			return err
		})
	}
	switch kind {
	case "nobody":
	case "one account":
		w.add("bob", "bob@corp.test")
	case "one account, the address another one":
		w.add("bob", "robert@corp.test")
	case "two accounts":
		w.add("bob", "")
		w.add("bobby", "bob@corp.test")
		w.add("robert", "robert@corp.test")
	case "the address is a username":
		w.add("bob@corp.test", "")
	case "turned off":
		off(w.add("bob", "bob@corp.test"), func(u *store.User) { u.Active = false })
	case "waiting":
		off(w.add("bob", "bob@corp.test"), func(u *store.User) { u.Active, u.Pending = false, true })
	case "of a provider":
		w.addWith("bob", "bob@corp.test", "")
	default:
		w.t.Fatal(kind)
	}
}

var kinds = []string{
	"nobody", "one account", "one account, the address another one", "two accounts",
	"the address is a username",
	"turned off", "waiting", "of a provider",
}

// User enumeration: what a stranger observes depends on their own earlier attempts, and not on which accounts the names
// belong to, if any, for any order, spelling, address and pauses.
func TestGuessingTellsNothingAboutAccounts(t *testing.T) {
	t.Parallel()
	names := []string{
		"bob", "BOB", " ｂｏｂ ", "bob@corp.test", "Bob@Corp.Test", "bob＠corp.test", "robert@corp.test",
		"robert", "nobody", "bob@elsewhere.test",
	}
	for seed := range uint64(3) {
		var reported [][]string
		for _, kind := range kinds {
			w := newWorld(t)
			w.people(kind)
			r := rand.New(rand.NewPCG(seed, 2)) // a reproducible sequence for a test
			var list []string
			for step := range 80 {
				if r.IntN(3) == 0 {
					w.clock.Advance(time.Duration(r.IntN(5000)) * time.Millisecond)
				}
				name := names[r.IntN(len(names))]
				list = append(list, name+": "+w.answer(from(fmt.Sprintf("192.0.2.%d", step)), name))
			}
			reported = append(reported, list)
		}
		for i, kind := range kinds {
			for step := range reported[i] {
				if reported[i][step] != reported[0][step] {
					t.Errorf("seed %d, %s, step %d: %q, where nobody has the name %q", seed, kind, step, reported[i][step], reported[0][step])
					break
				}
			}
		}
		if !slices.ContainsFunc(reported[0], func(s string) bool { return strings.Contains(s, "throttled") }) {
			t.Error("nobody was ever throttled")
		}
	}
}

// Seven requests: six for the one name, one for the other.
func TestTwoNamesOfOneAccountWaitLikeTwoNamesOfNobody(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"bob", "bob@corp.test"},
		{"bob@corp.test", "bob"},
		{"bob", "robert@corp.test"},
		{"robert@corp.test", "bob"},
	} {
		var first []string
		for i, kind := range kinds {
			w := newWorld(t)
			w.people(kind)
			var list []string
			for n := range 7 {
				list = append(list, w.answer(from(fmt.Sprintf("192.0.2.%d", n)), pair[n/6]))
			}
			if i == 0 {
				first = list
			} else if !slices.Equal(list, first) {
				t.Errorf("%v, %s: %q, where nobody has the names %q", pair, kind, list, first)
			}
		}
	}
}

// User enumeration: when there are too many counts of typed names, the oldest are dropped, for existing and unknown
// names alike.
func TestSweepingCountsTellsNothingAboutAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.answer(from("192.0.2.1"), "ada")
		w.answer(from("192.0.2.2"), "nobody")
	}
	w.clock.Advance(time.Millisecond)
	for i := range 10_001 {
		if _, err := w.Store.BeginAttempt(t.Context(), fmt.Sprintf("n:%d", i), 3, time.Minute, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := w.Store.Sweep(t.Context(), w.clock.Now(), 0, 1000); err != nil {
			t.Fatal(err)
		}
	}
	known, unknown := w.answer(from("192.0.2.3"), "ada"), w.answer(from("192.0.2.4"), "nobody")
	if known != unknown {
		t.Errorf("a name that somebody has: %s, one that nobody has: %s", known, unknown)
	}
	if got := w.try(from("192.0.2.5"), "ada", right); got == "ok" {
		t.Error("whoever makes up ten thousand names has as many guesses again")
	}
}

// All names that resolve to an account share its guesses, also if their own waits differ.
func TestNoNameOfAnAccountHasGuessesOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people("one account, the address another one")
	for range 3 {
		w.try(from("192.0.2.1"), "bob", wrong)
	}
	if got := w.try(from("192.0.2.2"), "robert@corp.test", right); got == "ok" {
		t.Error("the address has guesses of its own")
	}
	w.clock.Advance(store.FirstWait)
	if got := w.try(from("192.0.2.3"), "robert@corp.test", right); got != "ok" {
		t.Errorf("after the wait: %s", got)
	}
}

// Concurrent sign-ins with the correct password all succeed: attempts in progress do not block each other.
func TestManyRightSignInsAtOnceAllSucceed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limits.FreeAttempts = 100
	var refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		c := from(fmt.Sprintf("192.0.2.%d", i))
		wg.Go(func() {
			if w.try(c, []string{"ada", "ada@example.com"}[i%2], right) != "ok" {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d of 40 were refused", n)
	}
}

// The known browsers of an account share their guesses, and their number is limited.
func TestKnownBrowsersGuessTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var browsers []login.Client
	for i := range 25 {
		c := from(fmt.Sprintf("192.0.2.%d", i))
		c.Devices = login.ParseDevices(w.signIn(c, "ada").Devices)
		browsers = append(browsers, c)
		w.clock.Advance(time.Second)
	}
	known := 0
	for _, c := range browsers {
		if ok, err := w.Store.KnownDevice(t.Context(), store.HashToken(c.Devices[0]), w.user.ID); err != nil {
			t.Fatal(err)
		} else if ok {
			known++
		}
	}
	if known != store.MaxDevices {
		t.Errorf("%d browsers are known, want %d", known, store.MaxDevices)
	}
	checked := 0
	for n := range 100 {
		if w.try(browsers[len(browsers)-1-n%known], "ada", wrong) == "wrong" {
			checked++
		}
	}
	if most := 2 * w.Limits.FreeAttempts; checked > most {
		t.Errorf("%d guesses were checked, want %d at most", checked, most)
	}
	if got := w.try(browsers[0], "ada", right); got != "ok" {
		t.Errorf("a browser that is no longer known, as a stranger: %s", got)
	}
}
