package login_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

// addApp gives a user a confirmed authenticator app, and returns its secret and the recovery codes that came with it.
// The code that confirmed it is of the present step.
func (w *world) addApp(u store.User) (secret []byte, codes []string) {
	w.t.Helper()
	app, secret, err := w.NewTOTP(w.t.Context(), u)
	if err != nil {
		w.t.Fatal(err)
	}
	w.change(func(tx store.Tx) error {
		if err := tx.PutTOTP(w.t.Context(), app); err != nil {
			return err
		}
		u, err := tx.User(w.t.Context(), u.ID)
		if err != nil {
			return err
		}
		codes, err = login.AddTOTP(w.t.Context(), tx, u, app, "phone", totp.Step(w.clock.Now()), w.clock.Now())
		return err
	})
	return secret, codes
}

// code returns the code of a secret at the present time, and moves the clock to the next step first, so that it is new.
func (w *world) code(secret []byte) string {
	return totp.Code(secret, totp.Step(w.clock.Advance(totp.Period)))
}

// begin signs in with a password, and returns the token of the second step.
func (w *world) begin(c login.Client, name string) string {
	w.t.Helper()
	in := w.signIn(c, name)
	if in.Step == nil || in.Token != "" {
		w.t.Fatalf("%s is signed in without a second step", name)
	}
	return in.Step.Token
}

// outcome names what a second step came to.
func (w *world) outcome(err error) string {
	w.t.Helper()
	var over *login.HalfLoginOverError
	var throttled *login.ThrottledError
	var inactive *login.InactiveError
	switch {
	case err == nil:
		return "in"
	case errors.As(err, &over):
		return "over"
	case errors.As(err, &throttled):
		return "throttled"
	case errors.As(err, &inactive):
		return "inactive"
	case errors.Is(err, login.ErrWrongCode):
		return "wrong"
	case errors.Is(err, login.ErrCodesLocked):
		return "locked"
	case errors.Is(err, login.ErrNoHalfLogin):
		return "none"
	case errors.Is(err, login.ErrFactorExists):
		return "exists"
	case errors.Is(err, store.ErrNotFound):
		return "not found"
	}
	w.t.Fatal(err)
	return ""
}

func (w *world) verify(c login.Client, token, code string) (login.SignedIn, string) {
	w.t.Helper()
	in, err := w.VerifyCode(context.Background(), c, token, code)
	return in, w.outcome(err)
}

func TestTheSecondStepStartsTheSession(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	secret, _ := w.addApp(w.user)
	token := w.begin(c, "ada")
	if n, err := w.Store.CountSessions(t.Context(), w.clock.Now(), 0); err != nil || n != 0 {
		t.Fatalf("%d sessions before the second step, %v", n, err)
	}
	if _, err := w.Sessions.Resolve(t.Context(), token); err == nil {
		t.Fatal("the token of the step is that of a session")
	}
	if u, _ := w.Store.User(t.Context(), w.user.ID); !u.LastLoginAt.IsZero() {
		t.Error("a sign-in is recorded before the second step")
	}
	in, got := w.verify(c, token, w.code(secret))
	if got != "in" || in.Token == token || in.Devices == "" {
		t.Fatalf("%s, with a token of its own: %v, a known browser: %v", got, in.Token != token, in.Devices != "")
	}
	if m := assurance.Methods(in.Session.Methods); m.Shown() != "pwd otp mfa" || m.Level() != assurance.Two {
		t.Errorf("methods %q", m)
	}
	now := w.clock.Now().UTC().Truncate(time.Millisecond)
	if l, err := w.Sessions.Resolve(t.Context(), in.Token); err != nil || !l.Session.MFAAt.Equal(now) || !l.Session.AuthAt.Equal(now) {
		t.Errorf("the session: %v, a second factor at %v, want %v", err, l.Session.MFAAt, now)
	}
	if _, got := w.verify(c, token, w.code(secret)); got != "over" {
		t.Errorf("the half-login used again: %s", got)
	}
}

func TestACodeIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	confirmed := totp.Step(w.clock.Now())
	secret, _ := w.addApp(w.user)
	if _, got := w.verify(c, w.begin(c, "ada"), totp.Code(secret, confirmed)); got != "wrong" {
		t.Errorf("the code that confirmed the app: %s", got)
	}
	code := w.code(secret)
	if _, got := w.verify(c, w.begin(c, "ada"), code); got != "in" {
		t.Fatalf("a new code: %s", got)
	}
	if _, got := w.verify(c, w.begin(c, "ada"), code); got != "wrong" {
		t.Errorf("the same code: %s", got)
	}
	later := totp.Code(secret, totp.Step(w.clock.Now())+1)
	if _, got := w.verify(c, w.begin(c, "ada"), later); got != "in" {
		t.Errorf("the code of the next step: %s", got)
	}
	w.clock.Advance(totp.Period)
	if _, got := w.verify(c, w.begin(c, "ada"), code); got != "wrong" {
		t.Errorf("an earlier code after a later one: %s", got)
	}
	// Each app counts by itself.
	other, codes := w.addApp(w.user)
	if codes != nil {
		t.Error("a second app makes recovery codes of the first useless")
	}
	if _, got := w.verify(c, w.begin(c, "ada"), w.code(other)); got != "in" {
		t.Errorf("the code of another app: %s", got)
	}
}

// race runs f n times at once, and returns how many returned true.
func race(n int, f func(i int) bool) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := 0
	for i := range n {
		wg.Go(func() {
			if f(i) {
				mu.Lock()
				count++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return count
}

func TestOfParallelSecondStepsOneSucceeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limits.FreeAttempts = 1000
	secret, codes := w.addApp(w.user)
	var tokens []string
	for range store.MaxHalfLogins {
		tokens = append(tokens, w.begin(from("192.0.2.1"), "ada"))
	}
	code := w.code(secret)
	if n := race(20, func(i int) bool {
		_, err := w.VerifyCode(context.Background(), from("192.0.2.1"), tokens[i%len(tokens)], code)
		return err == nil
	}); n != 1 {
		t.Errorf("one code started %d sessions", n)
	}
	for _, try := range []string{codes[0], strings.ToLower(codes[1])} {
		for i := range tokens {
			tokens[i] = w.begin(from("192.0.2.1"), "ada")
		}
		if n := race(20, func(i int) bool {
			_, err := w.VerifyRecoveryCode(context.Background(), from("192.0.2.1"), tokens[i%len(tokens)], try)
			return err == nil
		}); n != 1 {
			t.Errorf("one recovery code started %d sessions", n)
		}
	}
	if have, err := w.Store.RecoveryCodes(t.Context(), w.user.ID); err != nil || have.Left != 8 || have.Used != 2 {
		t.Errorf("recovery codes: %+v, %v", have, err)
	}
}

func TestARecoveryCodeIsNoRecentSecondFactor(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	_, codes := w.addApp(w.user)
	in, err := w.VerifyRecoveryCode(t.Context(), c, w.begin(c, "ada"), codes[3])
	if err != nil {
		t.Fatal(err)
	}
	if m := assurance.Methods(in.Session.Methods); m.Level() != assurance.Two || !m.Has(assurance.RecoveryCode) ||
		!in.Session.MFAAt.IsZero() {
		t.Errorf("methods %q, a second factor at %v", m, in.Session.MFAAt)
	}
	for _, again := range []string{codes[3], "", "no code", strings.Repeat("0", 24)} {
		if _, err := w.VerifyRecoveryCode(t.Context(), c, w.begin(c, "ada"), again); w.outcome(err) != "wrong" {
			t.Errorf("%q: %v", again, err)
		}
	}
	if _, err := w.VerifyRecoveryCode(t.Context(), c, "", codes[4]); w.outcome(err) != "none" {
		t.Errorf("without a first step: %v", err)
	}
}

func TestWhatAFirstStepProvedDiesWithIt(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	secret, _ := w.addApp(w.user)
	for name, change := range map[string]func(tx store.Tx) error{
		"password": func(tx store.Tx) error {
			hash, err := w.Hasher.Hash(t.Context(), right)
			if err != nil {
				return err
			}
			return tx.SetPassword(t.Context(), w.user.ID, store.PasswordChange{Hash: hash, At: w.clock.Now()})
		},
		"epoch": func(tx store.Tx) error { return tx.BumpEpoch(t.Context(), w.user.ID) },
		"all ended": func(tx store.Tx) error {
			_, err := tx.EndSessions(t.Context(), store.SessionSelector{All: true})
			return err
		},
		"canceled": func(tx store.Tx) error { return tx.EndHalfLogins(t.Context(), w.user.ID) },
		"time":     func(store.Tx) error { w.clock.Advance(5 * time.Minute); return nil },
	} {
		token := w.begin(c, "ada")
		w.change(change)
		if _, got := w.verify(c, token, w.code(secret)); got != "over" {
			t.Errorf("%s: %s", name, got)
		}
		w.clock.Advance(time.Minute) // past the mark of the sessions that were ended
	}
	token := w.begin(c, "ada")
	w.change(func(tx store.Tx) error {
		u, err := tx.User(t.Context(), w.user.ID)
		if err != nil {
			return err
		}
		u.Active = false
		_, err = tx.UpdateUser(t.Context(), u)
		return err
	})
	if _, got := w.verify(c, token, w.code(secret)); got != "over" {
		t.Errorf("turned off: %s", got)
	}
}

func TestGuessingCodesEndsAtAHundredWhateverIsProvedInBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limits.Client = 0
	secret, codes := w.addApp(w.user)
	checked, throttled := 0, 0
	for i := 0; checked < 3*store.MaxMFAFailures && i < 2000; i++ {
		c := from("192.0.2." + string(rune('1'+i%9)))
		token := w.begin(c, "ada")
		for range 3 {
			switch _, got := w.verify(c, token, wrongCode(w, secret)); got {
			case "wrong":
				checked++
			case "throttled":
				throttled++
				w.clock.Advance(w.Limits.MaxWait + time.Second)
				token = w.begin(c, "ada")
			case "locked":
				checked = 10 * store.MaxMFAFailures
			}
		}
	}
	u, err := w.Store.User(t.Context(), w.user.ID)
	if err != nil || u.Factors.Failures != store.MaxMFAFailures || throttled == 0 {
		t.Fatalf("%d wrong codes were checked, %d throttled, %v", u.Factors.Failures, throttled, err)
	}
	c := from("198.51.100.7")
	w.clock.Advance(time.Hour)
	if _, got := w.verify(c, w.begin(c, "ada"), w.code(secret)); got != "locked" {
		t.Errorf("a right code when codes are locked: %s", got)
	}
	if _, err := w.VerifyRecoveryCode(t.Context(), c, w.begin(c, "ada"), codes[0]); err != nil {
		t.Fatalf("a recovery code when codes are locked: %v", err)
	}
	w.clock.Advance(time.Hour)
	if _, got := w.verify(c, w.begin(c, "ada"), w.code(secret)); got != "in" {
		t.Errorf("a right code after a recovery code: %s", got)
	}
}

// wrongCode returns a code that none of the steps around the present one has.
func wrongCode(w *world, secret []byte) string {
	for _, code := range []string{"000000", "111111", "222222", "333333"} {
		if _, ok := totp.Match(secret, code, w.clock.Now()); !ok {
			return code
		}
	}
	return "444444"
}

func TestARightCodeDuringAWaitIsAnsweredLikeAWrongOne(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	secret, codes := w.addApp(w.user)
	token := w.begin(c, "ada")
	for w.clock.Advance(time.Millisecond); ; {
		if _, got := w.verify(c, token, wrongCode(w, secret)); got == "throttled" {
			break
		}
	}
	step := totp.Step(w.clock.Now())
	if _, got := w.verify(c, token, totp.Code(secret, step+1)); got != "throttled" {
		t.Errorf("a right code during a wait: %s", got)
	}
	// Whoever knows the password makes nobody wait who has a recovery code, or a browser that is known.
	if _, err := w.VerifyRecoveryCode(t.Context(), from("198.51.100.7"), w.begin(from("198.51.100.7"), "ada"),
		codes[0]); err != nil {
		t.Errorf("a recovery code during a wait: %v", err)
	}
}

func TestABrowserThatIsKnownDoesNotWaitForStrangers(t *testing.T) {
	t.Parallel()
	w, owner, stranger := newWorld(t), from("192.0.2.1"), from("198.51.100.7")
	secret, _ := w.addApp(w.user)
	in, got := w.verify(owner, w.begin(owner, "ada"), w.code(secret))
	if got != "in" {
		t.Fatal(got)
	}
	owner.Devices = login.ParseDevices(in.Devices)
	mine := w.begin(owner, "ada")
	for range 2 * store.MaxHalfLogins { // strangers who know the password, and have browsers without number
		token := w.begin(stranger, "ada")
		w.verify(stranger, token, wrongCode(w, secret))
	}
	if _, got := w.verify(owner, mine, w.code(secret)); got != "in" {
		t.Errorf("the owner in a known browser: %s", got)
	}
}

func TestAHalfLoginHasTenTries(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	w.Limits.FreeAttempts = 1000
	secret, _ := w.addApp(w.user)
	token := w.begin(c, "ada")
	for i := range 10 {
		if _, got := w.verify(c, token, wrongCode(w, secret)); got != "wrong" {
			t.Fatalf("try %d: %s", i, got)
		}
		if _, got := w.verify(c, token, "no code"); got != "wrong" {
			t.Fatalf("what is no code: %s", got)
		}
	}
	if _, got := w.verify(c, token, w.code(secret)); got != "over" {
		t.Errorf("the eleventh try: %s", got)
	}
	if u, _ := w.Store.User(t.Context(), w.user.ID); u.Factors.Failures != 10 {
		t.Errorf("%d wrong codes are counted: what is no code is no guess", u.Factors.Failures)
	}
}

func TestAStepUpWithACodeRaisesTheLevel(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	in := w.signIn(c, "ada") // before there was a second factor
	secret, _ := w.addApp(w.user)
	l, err := w.Sessions.Resolve(t.Context(), in.Token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.StepUpCode(t.Context(), c, l, wrongCode(w, secret)); w.outcome(err) != "wrong" {
		t.Errorf("a wrong code: %v", err)
	}
	up, err := w.StepUpCode(t.Context(), c, l, w.code(secret))
	if err != nil || up.Token == in.Token {
		t.Fatalf("%v, a new token: %v", err, up.Token != in.Token)
	}
	if m := assurance.Methods(up.Session.Methods); m.Level() != assurance.Two || !up.Session.MFAAt.Equal(w.clock.Now().UTC()) {
		t.Errorf("methods %q at %v", m, up.Session.MFAAt)
	}
	if _, err := w.StepUpCode(t.Context(), c, l, w.code(secret)); w.outcome(err) != "not found" {
		t.Errorf("with the session of before: %v", err)
	}
	w.change(func(tx store.Tx) error { return login.RemoveMethods(t.Context(), tx, w.user.ID, assurance.TOTP) })
	if l, err = w.Sessions.Resolve(t.Context(), up.Token); err != nil || l.Session.Methods != "pwd" ||
		!l.Session.MFAAt.IsZero() {
		t.Errorf("after the app was removed: %+v, %v", l, err)
	}
}

// A right password in between brings a session a new token, and no new guesses at the code.
func TestGuessesOfASessionAreCountedOverItsTokens(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	in := w.signIn(c, "ada") // before there was a second factor
	secret, _ := w.addApp(w.user)
	checked := 0
	for range 5 {
		l, err := w.Sessions.Resolve(t.Context(), in.Token)
		if err != nil {
			t.Fatal(err)
		}
		for range w.Limits.FreeAttempts + 1 {
			if _, err := w.StepUpCode(t.Context(), c, l, wrongCode(w, secret)); w.outcome(err) == "wrong" {
				checked++
			}
		}
		proof, err := w.Reverify(t.Context(), c, l.User, right)
		if err != nil {
			t.Fatal(err)
		}
		if in, err = w.StepUp(t.Context(), c, proof, l); err != nil {
			t.Fatal(err)
		}
	}
	if checked != w.Limits.FreeAttempts {
		t.Errorf("%d guesses were checked without a wait, want %d", checked, w.Limits.FreeAttempts)
	}
}
