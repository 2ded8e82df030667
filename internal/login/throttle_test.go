package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// All names and spellings of an account share one count, from every address (CVE-2025-24806, CVE-2026-47203).
func TestAllSpellingsOfAnAccountShareOneCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, name := range []string{"ada", "ADA", " ada@Example.com "} {
		if got := w.try(from(fmt.Sprintf("192.0.2.%d", i+1)), name, wrong); got != "wrong" {
			t.Fatalf("attempt %d as %q: %s", i+1, name, got)
		}
	}
	for i, name := range []string{"ada", "ａｄａ", "ada@example.com"} {
		if got := w.try(from(fmt.Sprintf("198.51.100.%d", i+1)), name, right); got != "throttled" {
			t.Errorf("after the free attempts, as %q: %s", name, got)
		}
	}
}

// Each further wrong attempt doubles the wait, up to the maximum; a success clears the count.
func TestTheWaitDoublesAndASuccessForgets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := from("192.0.2.1")
	for range 3 {
		w.try(c, "ada", wrong)
	}
	for wait := store.FirstWait; wait < time.Minute; wait *= 2 {
		if got := w.try(c, "ada", right); got != "throttled" {
			t.Fatalf("at once: %s", got)
		}
		w.clock.Advance(wait - time.Millisecond)
		if got := w.try(c, "ada", right); got != "throttled" {
			t.Fatalf("just before %v: %s", wait, got)
		}
		w.clock.Advance(time.Millisecond)
		if got := w.try(c, "ada", wrong); got != "wrong" {
			t.Fatalf("after %v: %s", wait, got)
		}
	}
	w.clock.Advance(time.Minute)
	w.signIn(c, "ada")
	if got := w.try(c, "ada", wrong); got != "wrong" {
		t.Errorf("after a success: %s", got)
	}
	if got := w.try(c, "ada", right); got != "ok" {
		t.Errorf("after a success and one wrong attempt: %s", got)
	}
}

// Strangers cannot lock the owner out: a browser that signed in before has its own count, which is limited, too.
func TestAKnownBrowserHasItsOwnCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner := from("192.0.2.1")
	in := w.signIn(owner, "ada")
	owner.Devices = login.ParseDevices(in.Devices)
	if len(owner.Devices) != 1 {
		t.Fatalf("devices %q", in.Devices)
	}
	for range 10 {
		w.try(from("203.0.113.5"), "ada", wrong)
	}
	if got := w.try(from("203.0.113.5"), "ada", right); got != "throttled" {
		t.Fatalf("the stranger: %s", got)
	}
	if got := w.try(owner, "ada", right); got != "ok" {
		t.Errorf("the owner: %s", got)
	}
	w.signIn(owner, "ada")
	for range 3 {
		w.try(owner, "ada", wrong)
	}
	if got := w.try(owner, "ada", right); got != "throttled" {
		t.Errorf("a stolen browser guesses without end: %s", got)
	}
	// A device token of one account is unknown for another, and one that was planted is not adopted.
	bob := w.add("bob", "")
	for range 3 {
		w.try(from("203.0.113.9"), "bob", wrong)
	}
	if got := w.try(owner, "bob", right); got != "throttled" {
		t.Errorf("ada's browser at bob's account: %s", got)
	}
	planted := store.NewToken()
	carol := from("192.0.2.77")
	carol.Devices = []string{planted}
	w.add("carol", "")
	if in := w.signIn(carol, "carol"); in.Devices == "" || strings.HasPrefix(in.Devices, planted) {
		t.Errorf("a planted device token was adopted: %q", in.Devices)
	}
	if known, _ := w.Store.KnownDevice(t.Context(), store.HashToken(planted), bob.ID); known {
		t.Error("a planted token is known")
	}
}

// Strangers who keep guessing do not block the step-up of a signed-in user, whatever the sign-in method was; and stolen
// sessions, one or many, cannot be used to guess.
func TestStrangersKeepNobodyFromConfirmingASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		w.try(from("203.0.113.5"), "ada", wrong)
		w.try(from("203.0.113.5"), "ada@example.com", wrong)
	}
	in, err := w.SignIn(t.Context(), from("192.0.2.1"), login.Proof{User: w.user},
		login.SignInOptions{Method: "oidc", Provider: "corp"})
	if err != nil {
		t.Fatal(err)
	}
	owner := from("192.0.2.1")
	owner.Session = in.Token
	again := func(c login.Client, pass string) error {
		_, err := w.Reverify(t.Context(), c, w.user, pass)
		return err
	}
	if err := again(owner, right); err != nil {
		t.Fatalf("the owner: %v", err)
	}
	stolen, checked := from("198.51.100.1"), 0
	for range 50 {
		stolen.Session = store.NewToken()
		for range 2 {
			if errors.Is(again(stolen, wrong), login.ErrInvalidCredentials) {
				checked++
			}
		}
	}
	if checked > 2*w.Limits.FreeAttempts {
		t.Errorf("%d guesses behind sessions", checked)
	}
	if err := again(stolen, right); !errors.As(err, new(*login.ThrottledError)) {
		t.Errorf("the wait of whoever is signed in is not told: %v", err)
	}
	w.change(func(tx store.Tx) error { return login.ClearAttempts(t.Context(), tx, w.user) })
	if err := again(owner, right); err != nil {
		t.Errorf("after another password: %v", err)
	}
}

// A browser that set a password through a one-time link becomes known, like one that signed in with it.
func TestABrowserThatCameByALinkIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner := from("192.0.2.1")
	in, err := w.SignIn(t.Context(), owner, login.Proof{User: w.user}, login.SignInOptions{Method: "link"})
	if err != nil {
		t.Fatal(err)
	}
	owner.Devices = login.ParseDevices(in.Devices)
	for range 10 {
		w.try(from("203.0.113.5"), "ada", wrong)
	}
	if got := w.try(owner, "ada", right); got != "ok" {
		t.Errorf("strangers lock the owner out: %s", got)
	}
	other, err := w.SignIn(t.Context(), owner, login.Proof{User: w.user}, login.SignInOptions{Method: "oidc", Provider: "corp"})
	if err != nil || other.Devices != "" {
		t.Errorf("through a provider: %q, %v", other.Devices, err)
	}
}

// A recovery that happens during a sign-in prevents the session, for every sign-in method.
func TestASignInFailsIfTheAccountIsResetMeanwhile(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"password", "link"} {
		for name, act := range map[string]func(w *world, tx store.Tx) error{
			"sessions ended": func(w *world, tx store.Tx) error { return tx.BumpEpoch(t.Context(), w.user.ID) },
			"another password": func(w *world, tx store.Tx) error {
				return tx.SetPassword(t.Context(), w.user.ID, store.PasswordChange{Hash: "another", At: w.clock.Now()})
			},
		} {
			w := newWorld(t)
			proof := login.Proof{User: w.user}
			w.change(func(tx store.Tx) error { return act(w, tx) })
			if _, err := w.SignIn(t.Context(), from("192.0.2.1"), proof, login.SignInOptions{Method: method}); !errors.Is(err,
				login.ErrInvalidCredentials) {
				t.Errorf("by %s, %s meanwhile: %v", method, name, err)
			}
		}
	}
}

// Race: a hundred guesses in parallel get no more attempts than the free ones.
func TestParallelGuessesGainNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var checked atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			_, err := w.CheckPassword(t.Context(), from(fmt.Sprintf("192.0.2.%d", i)), "ada", wrong)
			for errors.Is(err, password.ErrBusy) { // a slow machine: retry
				_, err = w.CheckPassword(t.Context(), from(fmt.Sprintf("192.0.2.%d", i)), "ada", wrong)
			}
			if errors.Is(err, login.ErrInvalidCredentials) {
				checked.Add(1)
			} else if !errors.As(err, new(*login.ThrottledError)) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := checked.Load(); n != 3 {
		t.Errorf("%d guesses were checked, want 3", n)
	}
}

// User enumeration: an unknown name gets the same responses and waits as a known one.
func TestUnknownNamesAreThrottledLikeKnownOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 8 {
		known := w.try(from("192.0.2.1"), "ada", wrong)
		unknown := w.try(from("192.0.2.2"), "nobody-of-that-name", wrong)
		if known != unknown {
			t.Fatalf("attempt %d: known %s, unknown %s", i+1, known, unknown)
		}
	}
}

// A flood of made-up names and addresses does not affect real users (CVE-2026-77561), and adds a limited number of
// rows.
func TestAFloodOfBogusNamesLocksNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 600 {
		w.try(from(fmt.Sprintf("2001:db8:%x::1", i)), fmt.Sprintf("bogus-%d", i), wrong)
	}
	if got := w.try(from("192.0.2.1"), "ada", right); got != "ok" {
		t.Errorf("a real user: %s", got)
	}
}

// A client address is limited across all names; an IPv6 /64 is one address.
func TestOneClientAddressIsLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limits.Client, w.Limits.Window = 5, time.Minute
	for i := range 5 {
		if got := w.try(from(fmt.Sprintf("2001:db8:1:1::%x", i+1)), fmt.Sprintf("name%d", i), wrong); got != "wrong" {
			t.Fatalf("attempt %d: %s", i+1, got)
		}
	}
	if got := w.try(from("2001:db8:1:1:ffff::1"), "ada", right); got != "throttled" {
		t.Errorf("another address of the same /64: %s", got)
	}
	if got := w.try(from("2001:db8:1:2::1"), "ada", right); got != "ok" {
		t.Errorf("another /64: %s", got)
	}
	w.clock.Advance(time.Minute)
	if got := w.try(from("2001:db8:1:1::1"), "ada", right); got != "ok" {
		t.Errorf("a minute later: %s", got)
	}
	// Clients without an address (unix sockets) share no count.
	for range 10 {
		w.signIn(login.Client{}, "ada")
	}
}

// Each block of an address is audited once, however many requests are concurrent.
func TestEveryBlockOfAnAddressIsAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limits.Client = 1
	for period := range 3 {
		w.try(from("192.0.2.1"), "ada", right)
		var crowd sync.WaitGroup
		for range 8 {
			crowd.Go(func() {
				if got := w.try(from("192.0.2.1"), "ada", right); got != "throttled" {
					t.Errorf("in period %d: %s", period+1, got)
				}
			})
		}
		crowd.Wait()
		w.clock.Advance(time.Hour)
	}
	page, err := w.Store.Events(t.Context(), store.EventQuery{Action: "session.throttle", Limit: 100})
	if err != nil || len(page.Items) != 3 {
		t.Errorf("audited %d times, %v", len(page.Items), err)
	}
}

// A client that disconnects while the password is checked has not guessed: impatience must not lock a user out.
func TestADisconnectIsNotCountedAsAGuess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slots := password.NewSlots(1, 8)
	w.Hasher = password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, slots)
	release, err := slots.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var counted []string
	w.Count = func(method, outcome string) { counted = append(counted, method+" "+outcome) }
	for range 3 * w.Limits.FreeAttempts {
		ctx, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := w.CheckPassword(ctx, from("192.0.2.1"), "ada", right); err == nil || ctx.Err() == nil {
			t.Errorf("left, and got %v", err)
		}
		leave()
	}
	release()
	if got := w.try(from("192.0.2.1"), "ada", right); got != "ok" {
		t.Errorf("afterwards: %s", got)
	}
	if len(counted) > 0 {
		t.Errorf("counted %v", counted)
	}
}

// Guesses with a stolen session count for the address, too, and are audited, once.
func TestStepUpAttemptsAreCountedAndAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limits.Client = 2
	c := from("192.0.2.1")
	for i := range 4 {
		_, err := w.Reverify(t.Context(), c, w.user, wrong)
		if throttled := errors.As(err, new(*login.ThrottledError)); throttled != (i >= 2) || !throttled &&
			!errors.Is(err, login.ErrInvalidCredentials) {
			t.Errorf("attempt %d: %v", i+1, err)
		}
	}
	if got := w.try(c, "ada", right); got != "throttled" {
		t.Errorf("a sign-in from there: %s", got)
	}
	page, err := w.Store.Events(t.Context(), store.EventQuery{Action: "session.throttle", Limit: 10})
	if err != nil || len(page.Items) != 1 || page.Items[0].IP != "192.0.2.1" {
		t.Errorf("audited %v, %v", page.Items, err)
	}
}

// Where clients have no address, as on a unix socket, strangers who guess are stopped together, and nobody else is.
func TestWithoutAddressesOnlyWrongPasswordsOfStrangersCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limits.Client, w.Limits.FreeAttempts = 2, 100
	nowhere := from("192.0.2.1")
	nowhere.IP = netip.Addr{}
	known := login.ParseDevices(w.signIn(nowhere, "ada").Devices)
	for range 3 * 10 * w.Limits.Client { // right passwords of a whole office
		if got := w.try(nowhere, "ada", right); got != "ok" {
			t.Fatalf("a right password: %s", got)
		}
	}
	for i := range 10 * w.Limits.Client {
		if got := w.try(nowhere, fmt.Sprint("somebody", i), wrong); got != "wrong" {
			t.Fatalf("wrong password %d: %s", i+1, got)
		}
	}
	if got := w.try(nowhere, "ada", wrong); got != "wrong" {
		t.Errorf("the one beyond the limit: %s", got)
	}
	if got := w.try(nowhere, "ada", right); got != "throttled" {
		t.Errorf("a stranger after too many wrong ones: %s", got)
	}
	browser := nowhere
	browser.Devices = known
	if got := w.try(browser, "ada", right); got != "ok" {
		t.Errorf("a browser that ada has signed in with: %s", got)
	}
	browser.Devices = []string{store.NewToken()}
	if got := w.try(browser, "ada", right); got != "throttled" {
		t.Errorf("a made-up device: %s", got)
	}
	if got := w.try(from("192.0.2.7"), "ada", right); got != "ok" {
		t.Errorf("somebody with an address: %s", got)
	}
	w.clock.Advance(w.Limits.Window)
	if got := w.try(nowhere, "ada", right); got != "ok" {
		t.Errorf("after the window: %s", got)
	}
	page, err := w.Store.Events(t.Context(), store.EventQuery{Action: "session.throttle", Limit: 10})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("audited %v, %v", page.Items, err)
	}
}

func TestClientKeys(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1": "c:192.0.2.1", "::ffff:192.0.2.1": "c:192.0.2.1",
		"2001:db8::5": "c:2001:db8::/64", "fe80::1%eth0": "c:fe80::/64",
	} {
		if got := login.ClientKey(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %q, want %q", ip, got, want)
		}
	}
	if login.ClientKey(netip.Addr{}) != "" || login.NetworkKey(netip.Addr{}) != "" {
		t.Error("no address has a key")
	}
	for ip, want := range map[string]string{
		"192.0.2.1": "c:192.0.2.1", "::ffff:192.0.2.1": "c:192.0.2.1",
		"2001:db8:1:2::5": "c:2001:db8:1::/48", "2001:db8:1:ff3::5": "c:2001:db8:1::/48", "fe80::1%eth0": "c:fe80::/48",
	} {
		if got := login.NetworkKey(netip.MustParseAddr(ip)); got != want {
			t.Errorf("the network of %s: %q, want %q", ip, got, want)
		}
	}
}

// Counts survive a restart.
func TestCountsSurviveARestart(t *testing.T) {
	t.Parallel()
	place := testenv.NewPlace(t)
	w := worldOn(t, place)
	for range 3 {
		w.try(from("192.0.2.1"), "ada", wrong)
		w.try(from("192.0.2.1"), "nobody", wrong)
	}
	again := worldOn(t, place)
	again.clock.Set(w.clock.Now())
	for _, name := range []string{"ada", "nobody"} {
		if got := again.try(from("192.0.2.9"), name, wrong); got != "throttled" {
			t.Errorf("%s after a restart: %s", name, got)
		}
	}
}
