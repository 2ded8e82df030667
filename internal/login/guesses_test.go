package login_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A step that was used with one app is still good with another: each app has steps of its own.
func TestAStepOfOneAppIsNotSpentByAnother(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	phone, _ := w.addApp(w.user)
	tablet, _ := w.addApp(w.user)
	code := w.code(phone)
	if _, got := w.verify(c, w.begin(c, "ada"), code); got != "in" {
		t.Fatalf("the phone: %s", got)
	}
	if _, got := w.verify(c, w.begin(c, "ada"), totp.Code(tablet, totp.Step(w.clock.Now()))); got != "in" {
		t.Errorf("the tablet in the same step: %s", got)
	}
	if _, got := w.verify(c, w.begin(c, "ada"), code); got != "wrong" {
		t.Errorf("the phone's code once more: %s", got)
	}
}

// Nobody locks somebody's codes who does not know the password.
func TestWithoutThePasswordNobodyUsesUpTheTriesOfACode(t *testing.T) {
	t.Parallel()
	w, stranger := newWorld(t), from("198.51.100.7")
	w.Limits.Client = 0
	secret, _ := w.addApp(w.user)
	for range 2 * store.MaxHalfLogins {
		w.try(stranger, "ada", wrong)
		if _, got := w.verify(stranger, store.NewToken(), wrongCode(w, secret)); got == "in" || got == "wrong" {
			t.Fatalf("a code without a first step: %s", got)
		}
		w.clock.Advance(w.Limits.MaxWait + time.Second)
	}
	if u, err := w.Store.User(t.Context(), w.user.ID); err != nil || u.Factors.Failures != 0 {
		t.Errorf("%d wrong codes are counted, %v", u.Factors.Failures, err)
	}
	owner := from("192.0.2.1")
	if _, got := w.verify(owner, w.begin(owner, "ada"), w.code(secret)); got != "in" {
		t.Errorf("the owner: %s", got)
	}
}

// Sign-ins and step-ups have one count of wrong codes together.
func TestGuessesAtSignInsAndStepUpsEndAtAHundredTogether(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	w.Limits.Client, w.Limits.FreeAttempts = 0, 1000
	in := w.signIn(c, "ada") // before there was a second factor
	secret, _ := w.addApp(w.user)
	l, err := w.Sessions.Resolve(t.Context(), in.Token)
	if err != nil {
		t.Fatal(err)
	}
	atSignIn, atStepUp := 0, 0
	for range store.MaxMFAFailures {
		if _, got := w.verify(c, w.begin(c, "ada"), wrongCode(w, secret)); got == "wrong" {
			atSignIn++
		}
		if _, err := w.StepUpCode(t.Context(), c, l, wrongCode(w, secret)); w.outcome(err) == "wrong" {
			atStepUp++
		}
	}
	// The try that reaches the limit may be answered as locked already.
	if n := atSignIn + atStepUp; n > store.MaxMFAFailures || n < store.MaxMFAFailures-1 || atSignIn == 0 || atStepUp == 0 {
		t.Errorf("%d guesses were judged at sign-ins, %d at step-ups", atSignIn, atStepUp)
	}
	if _, err := w.StepUpCode(t.Context(), c, l, w.code(secret)); w.outcome(err) != "locked" {
		t.Errorf("a right code at a step-up: %v", err)
	}
	if _, got := w.verify(c, w.begin(c, "ada"), w.code(secret)); got != "locked" {
		t.Errorf("a right code at a sign-in: %s", got)
	}
}

// Codes are no passwords to hash: a flood of them takes no slot of somebody who types a password.
func TestSecondStepsTakeNoHashingSlot(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	slots := password.NewSlots(1, 0)
	w.Hasher = password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, slots)
	secret, codes := w.addApp(w.user)
	byCode, byRecovery := w.begin(c, "ada"), w.begin(c, "ada")
	release, err := slots.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, code := range []string{wrongCode(w, secret), "no code"} {
		if _, got := w.verify(c, byCode, code); got != "wrong" {
			t.Errorf("%q without a free slot: %s", code, got)
		}
	}
	if _, got := w.verify(c, byCode, w.code(secret)); got != "in" {
		t.Errorf("a code without a free slot: %s", got)
	}
	if _, err := w.VerifyRecoveryCode(t.Context(), c, byRecovery, codes[1]); err != nil {
		t.Errorf("a recovery code without a free slot: %v", err)
	}
}
