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

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

const right, wrong = "the right passphrase", "a wrong passphrase"

// world is a service on a real store, with a clock to move and cheap hashes.
type world struct {
	*login.Service
	t      *testing.T
	clock  *testenv.Clock
	user   store.User
	counts sync.Map
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, testenv.NewPlace(t))
}

func worldOn(t *testing.T, place testenv.Place) *world {
	t.Helper()
	st := place.Open(t)
	w := &world{t: t, clock: testenv.NewClock(time.Now())}
	m := session.NewManager(st, session.Options{Clock: w.clock.Now})
	t.Cleanup(m.Close)
	w.Service = &login.Service{
		Store: st, Sessions: m, Hasher: password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, nil),
		Throttle: login.NewThrottle(st, w.clock.Now),
		Limits:   login.Limits{FreeAttempts: 3, MaxWait: time.Minute, Client: 1000, Window: time.Minute},
		Lifetime: session.DefaultLimits, Clock: w.clock.Now, Log: zap.NewNop(), Passwords: login.AllPasswords,
		Sealer: seal.New(st),
		Count: func(method, outcome string) {
			n, _ := w.counts.LoadOrStore(method+" "+outcome, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		},
	}
	u, err := st.UserByUsername(t.Context(), "ada")
	if errors.Is(err, store.ErrNotFound) {
		u = w.add("ada", "ada@example.com")
	}
	w.user = u
	return w
}

func (w *world) add(name, email string) store.User {
	w.t.Helper()
	hash, err := w.Hasher.Hash(w.t.Context(), right)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.addWith(name, email, hash)
}

func (w *world) addWith(name, email, hash string) store.User {
	w.t.Helper()
	now := w.clock.Now()
	u := store.User{
		ID: store.NewID(now), Username: name, Email: email, Role: store.RoleUser, Active: true, Local: true,
		Origin: store.OriginLocal, PasswordHash: hash, CreatedAt: now, UpdatedAt: now,
	}
	w.change(func(tx store.Tx) error { return tx.CreateUser(w.t.Context(), u) })
	u, err := w.Store.User(w.t.Context(), u.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) change(fn func(store.Tx) error) {
	w.t.Helper()
	if err := w.Store.Change(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func from(ip string) login.Client { return login.Client{IP: netip.MustParseAddr(ip), RequestID: "r"} }

// try checks a password and returns "ok", "wrong", "throttled" or "disabled".
func (w *world) try(c login.Client, name, pass string) string {
	w.t.Helper()
	_, err := w.CheckPassword(context.Background(), c, name, pass)
	var throttled *login.ThrottledError
	var disabled *login.InactiveError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, login.ErrInvalidCredentials):
		return "wrong"
	case errors.As(err, &throttled):
		if throttled.RetryAfter() < 1 {
			w.t.Errorf("throttled for %d seconds", throttled.RetryAfter())
		}
		return "throttled"
	case errors.As(err, &disabled):
		return "disabled"
	}
	w.t.Fatal(err)
	return ""
}

func (w *world) signIn(c login.Client, name string) login.SignedIn {
	w.t.Helper()
	p, err := w.CheckPassword(context.Background(), c, name, right)
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := w.SignIn(context.Background(), c, p, login.SignInOptions{Method: "password"})
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

// User enumeration: an unknown name, an account without a password and an inactive one cost a hash each, like a known
// one.
func TestEveryFailureCostsOneHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Hasher = password.NewHasher(password.Params{MemoryKiB: 8 * 1024, Time: 2, Threads: 1}, nil)
	w.addWith("oidc-only", "", "")
	hash, err := w.Hasher.Hash(t.Context(), right)
	if err != nil {
		t.Fatal(err)
	}
	w.addWith("known", "", hash)
	w.Limits.FreeAttempts = 100
	// The fastest of several interleaved runs, so that other load on the machine affects all of them.
	best := map[string]time.Duration{"known": time.Hour, "nobody": time.Hour, "oidc-only": time.Hour}
	for range 7 {
		for name := range best {
			begin := time.Now()
			w.try(from("192.0.2.1"), name, wrong)
			best[name] = min(best[name], time.Since(begin))
		}
	}
	for name, d := range best {
		if d < best["known"]/3 {
			t.Errorf("%s is refused in %v, a known user in %v", name, d, best["known"])
		}
	}
}

// Session fixation: signing in ends the session of the request and never adopts its token (GHSA-f24x-5g9q-753f).
func TestSigningInEndsThePresentedSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := from("192.0.2.1")
	first := w.signIn(c, "ada")
	c.Session = first.Token
	second := w.signIn(c, "ada")
	if second.Token == first.Token || second.Session.ID == first.Session.ID {
		t.Fatal("the token was kept")
	}
	if _, err := w.Sessions.Resolve(t.Context(), first.Token); !errors.Is(err, session.ErrNone) {
		t.Errorf("the earlier session: %v", err)
	}
	planted := store.NewToken()
	c.Session = planted
	if third := w.signIn(c, "ada"); third.Token == planted {
		t.Error("a planted token became a session")
	}
}

// Only someone who knows the password learns that an account is inactive. It is checked again at the sign-in.
func TestAccountStateIsCheckedAfterThePasswordAndAgainAtSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := from("192.0.2.1")
	proof, err := w.CheckPassword(t.Context(), c, "ada", right)
	if err != nil {
		t.Fatal(err)
	}
	w.change(func(tx store.Tx) error {
		u, err := tx.User(t.Context(), w.user.ID)
		if err != nil {
			return err
		}
		u.Active = false
		_, err = tx.UpdateUser(t.Context(), u)
		return err
	})
	var disabled *login.InactiveError
	if _, err := w.SignIn(t.Context(), c, proof, login.SignInOptions{Method: "password"}); !errors.As(err, &disabled) {
		t.Errorf("deactivated between proof and sign-in: %v", err)
	}
	if got := w.try(c, "ada", wrong); got != "wrong" {
		t.Errorf("a wrong password at a deactivated account: %s", got)
	}
	for range 6 { // a correct password is never counted as a guess
		if got := w.try(c, "ada", right); got != "disabled" {
			t.Fatalf("the right password at a deactivated account: %s", got)
		}
	}
}

// A proof is void once the password has been changed.
func TestAProofIsVoidAfterAPasswordChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proof, err := w.CheckPassword(t.Context(), from("192.0.2.1"), "ada", right)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := w.Hasher.Hash(t.Context(), wrong)
	if err != nil {
		t.Fatal(err)
	}
	w.change(func(tx store.Tx) error {
		return tx.SetPassword(t.Context(), w.user.ID, store.PasswordChange{Hash: hash, At: w.clock.Now()})
	})
	if _, err := w.SignIn(t.Context(), from("192.0.2.1"), proof, login.SignInOptions{Method: "password"}); !errors.Is(err,
		login.ErrInvalidCredentials) {
		t.Errorf("%v", err)
	}
}

// Imported hashes work at once and are replaced at the first sign-in; a managed root's hash stays as the deployment set
// it.
func TestForeignHashesAreRehashedQuietlyUnlessManaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const imported = "$2b$12$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq"
	for _, managed := range []bool{false, true} {
		u := w.addWith(fmt.Sprintf("imported-%v", managed), "", imported)
		if managed {
			u.Managed = true
			w.change(func(tx store.Tx) error { _, err := tx.UpdateUser(t.Context(), u); return err })
		}
		p, err := w.CheckPassword(t.Context(), from("192.0.2.1"), u.Username, "testuse123")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.SignIn(t.Context(), from("192.0.2.1"), p, login.SignInOptions{Method: "password"}); err != nil {
			t.Fatal(err)
		}
		after, err := w.Store.User(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		if replaced := strings.HasPrefix(after.PasswordHash, "$argon2id$"); replaced == managed {
			t.Errorf("managed=%v: the hash is now %.12s…", managed, after.PasswordHash)
		}
		if _, err := w.CheckPassword(t.Context(), from("192.0.2.1"), u.Username, "testuse123"); err != nil {
			t.Errorf("the second sign-in: %v", err)
		}
	}
}

// A password is compared after NFC, so that it does not matter how a keyboard composes its letters.
func TestPasswordsAreComparedComposed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hash, err := w.Hasher.Hash(t.Context(), password.Normalize("pa\u0308sswo\u0308rter u\u0308ber"))
	if err != nil {
		t.Fatal(err)
	}
	w.addWith("umlaut", "", hash)
	for _, typed := range []string{"p\u00e4ssw\u00f6rter \u00fcber", "pa\u0308sswo\u0308rter u\u0308ber"} {
		if got := w.try(from("192.0.2.1"), "umlaut", typed); got != "ok" {
			t.Errorf("%q: %s", typed, got)
		}
	}
}

// Step-up gives a new token, ends the old one, and is throttled like a sign-in.
func TestStepUpRotatesTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := from("192.0.2.1")
	in := w.signIn(c, "ada")
	w.clock.Advance(time.Hour)
	live, err := w.Sessions.Resolve(t.Context(), in.Token)
	if err != nil {
		t.Fatal(err)
	}
	if live.AuthenticatedWithin(w.clock.Now(), 10*time.Minute) {
		t.Fatal("fresh after an hour")
	}
	if _, err := w.Reverify(t.Context(), c, live.User, wrong); !errors.Is(err, login.ErrInvalidCredentials) {
		t.Fatalf("a wrong password: %v", err)
	}
	proof, err := w.Reverify(t.Context(), c, live.User, right)
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.StepUp(t.Context(), c, proof, live)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Sessions.Resolve(t.Context(), in.Token); !errors.Is(err, session.ErrNone) {
		t.Errorf("the old token: %v", err)
	}
	live, err = w.Sessions.Resolve(t.Context(), out.Token)
	if err != nil || !live.AuthenticatedWithin(w.clock.Now(), 10*time.Minute) || !live.Session.CreatedAt.Equal(in.Session.CreatedAt) {
		t.Errorf("the new session: %+v, %v", live, err)
	}
	for range 3 {
		_, _ = w.Reverify(t.Context(), c, live.User, wrong)
	}
	var throttled *login.ThrottledError
	if _, err := w.Reverify(t.Context(), c, live.User, right); !errors.As(err, &throttled) {
		t.Errorf("guessing behind a stolen session: %v", err)
	}
}

// The audit log says who, what and from where, but never contains an unknown name as typed: it may be a password.
func TestAttemptsAreAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := from("192.0.2.1")
	c.UserAgent = "Agent\x00" + strings.Repeat("x", 2000)
	w.try(c, "ada", wrong)
	w.try(c, "my secret typed as a name", wrong)
	w.signIn(c, "ada")
	page, err := w.Store.Events(t.Context(), store.EventQuery{Action: "session.sign_in", Limit: 100})
	if err != nil || len(page.Items) != 3 {
		t.Fatalf("%d events, %v", len(page.Items), err)
	}
	outcomes := map[store.Outcome]int{}
	for _, e := range page.Items {
		outcomes[e.Outcome]++
		if e.IP != "192.0.2.1" || e.RequestID != "r" || len(e.UserAgent) > 512 || strings.ContainsRune(e.UserAgent, 0) {
			t.Errorf("event %+v", e)
		}
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "my secret") || strings.Contains(text, right) ||
			strings.Contains(text, wrong) {
			t.Errorf("a secret is in the audit log: %s", text)
		}
	}
	if outcomes[store.Success] != 1 || outcomes[store.Failure] != 2 {
		t.Errorf("outcomes %v", outcomes)
	}
	for name, want := range map[string]int64{"password wrong": 2, "password success": 1} {
		n, ok := w.counts.Load(name)
		if !ok || n.(*atomic.Int64).Load() != want {
			t.Errorf("%s was not counted %d times", name, want)
		}
	}
}
