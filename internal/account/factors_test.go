package account_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

// code returns the code that an app shows now.
func (w *world) code(secret []byte) string { return totp.Code(secret, totp.Step(w.clock.Now())) }

// enroll signs a person in and gives them an authenticator app. It returns the session after that, the secret and the
// recovery codes.
func (w *world) enroll(username string) (a account.Actor, app store.TOTP, secret []byte, codes []string) {
	w.t.Helper()
	_, _, a = w.signIn(username, goodPass)
	app, secret, err := w.Factors.BeginTOTP(w.ctx, a)
	if err != nil {
		w.t.Fatal(err)
	}
	done, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, w.code(secret), "phone", false)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.actorOf(done.SignedIn), app, secret, done.Codes
}

func (w *world) actorOf(in login.SignedIn) account.Actor {
	w.t.Helper()
	live, err := w.Sessions.Peek(w.ctx, in.Token)
	if err != nil {
		w.t.Fatal(err)
	}
	return actor(live)
}

// second signs in with a password and a second step.
func (w *world) second(username string, step func(token string) (login.SignedIn, error)) account.Actor {
	w.t.Helper()
	p, err := w.Login.CheckPassword(w.ctx, browser, username, goodPass)
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := w.Login.SignIn(w.ctx, browser, p, login.SignInOptions{Method: "password"})
	if err != nil || in.Step == nil {
		w.t.Fatalf("no second step: %+v %v", in, err)
	}
	if in, err = step(in.Step.Token); err != nil {
		w.t.Fatal(err)
	}
	return w.actorOf(in)
}

func (w *world) byCode(username string, secret []byte) account.Actor {
	w.t.Helper()
	w.clock.Advance(totp.Period) // a code counts once
	return w.second(username, func(token string) (login.SignedIn, error) {
		return w.Login.VerifyCode(w.ctx, browser, token, w.code(secret))
	})
}

func (w *world) byRecoveryCode(username, text string) account.Actor {
	w.t.Helper()
	return w.second(username, func(token string) (login.SignedIn, error) {
		return w.Login.VerifyRecoveryCode(w.ctx, browser, token, text)
	})
}

func (w *world) methods(a account.Actor) assurance.Methods {
	w.t.Helper()
	sess, _, err := w.Store.Session(w.ctx, a.SessionID)
	if err != nil {
		w.t.Fatal(err)
	}
	return assurance.Methods(sess.Methods)
}

func (w *world) codes(userID string) store.RecoveryCodes {
	w.t.Helper()
	c, err := w.Store.RecoveryCodes(w.ctx, userID)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestAConfirmedAppIsProofInThisSessionAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	_, _, other := w.signIn("tom", goodPass)
	a, app, secret, codes := w.enroll("tom")
	if got := w.methods(a); !got.Level().Satisfies(assurance.Two) || got.Shown() != "pwd otp mfa" {
		t.Errorf("methods are %q", got)
	}
	sess, _, err := w.Store.Session(w.ctx, a.SessionID)
	if err != nil || !sess.MFAAt.Equal(w.clock.Now()) || !sess.AuthAt.Equal(w.clock.Now()) {
		t.Errorf("proved at %v and %v, %v", sess.MFAAt, sess.AuthAt, err)
	}
	if got := w.methods(other); got.Level() != assurance.One {
		t.Errorf("another session has %q", got)
	}
	if len(codes) != recovery.Count || w.codes(tom.ID).Left != recovery.Count {
		t.Errorf("%d recovery codes", len(codes))
	}
	if f := w.user(tom.ID).Factors; f.TOTPs != 1 || !f.Ask || f.CodesSaved {
		t.Errorf("factors: %+v", f)
	}
	events := w.events(store.EventQuery{Action: "factor."})
	if len(events) != 1 || events[0].Action != "factor.add" || events[0].TargetID != tom.ID || events[0].Details["name"] != "phone" {
		t.Errorf("events: %+v", events)
	}
	// The code that confirmed it has been used, and the app cannot be confirmed again.
	if _, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, w.code(secret), "again", false); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("confirmed twice: %v", err)
	}
	p, err := w.Login.CheckPassword(w.ctx, browser, "tom", goodPass)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.Login.SignIn(w.ctx, browser, p, login.SignInOptions{Method: "password"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Login.VerifyCode(w.ctx, browser, in.Step.Token, w.code(secret)); !errors.Is(err, login.ErrWrongCode) {
		t.Errorf("the confirming code signs in: %v", err)
	}
}

func TestOtherSessionsEndWithANewAppWhereAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("tom", store.RoleUser)
	token, _, _ := w.signIn("tom", goodPass)
	_, _, a := w.signIn("tom", goodPass)
	app, secret, err := w.Factors.BeginTOTP(w.ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	done, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, w.code(secret), "", true)
	if err != nil || w.lives(token) || !w.lives(done.SignedIn.Token) {
		t.Errorf("%v: the other lives: %v, this one: %v", err, w.lives(token), w.lives(done.SignedIn.Token))
	}
}

func TestASecretIsShownOnlyToTheSessionThatSetsItUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	w.add("eve", store.RoleAdmin)
	_, _, a := w.signIn("tom", goodPass)
	app, secret, err := w.Factors.BeginTOTP(w.ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same on reload
		again, same, err := w.Factors.TOTPSetup(w.ctx, a, app.ID)
		if err != nil || again.ID != app.ID || string(same) != string(secret) {
			t.Fatalf("set-up changed: %v", err)
		}
	}
	if again, same, err := w.Factors.BeginTOTP(w.ctx, a); err != nil || again.ID != app.ID || string(same) != string(secret) {
		t.Errorf("begun again: another app, %v", err)
	}
	w.clock.Advance(time.Second)
	_, _, other := w.signIn("tom", goodPass)
	_, _, eve := w.signIn("eve", goodPass)
	for name, who := range map[string]account.Actor{"another session": other, "an administrator": eve} {
		if _, got, err := w.Factors.TOTPSetup(w.ctx, who, app.ID); !errors.Is(err, store.ErrNotFound) || got != nil {
			t.Errorf("%s sees a secret: %v", name, err)
		}
		if _, err := w.Factors.ConfirmTOTP(w.ctx, who, app.ID, w.code(secret), "", false); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s confirms it: %v", name, err)
		}
	}
	// Authenticating again rotates the session, which goes on with the same app.
	w.clock.Advance(time.Second)
	_, live, _ := w.signIn("tom", goodPass)
	mine, _, err := w.Factors.BeginTOTP(w.ctx, actor(live))
	if err != nil || mine.ID == app.ID {
		t.Fatalf("another session goes on with it: %v", err)
	}
	proof, err := w.Login.Reverify(w.ctx, browser, live.User, goodPass)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.Login.StepUp(w.ctx, browser, proof, live)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := w.Factors.TOTPSetup(w.ctx, w.actorOf(in), mine.ID); err != nil || again.ID != mine.ID {
		t.Errorf("lost after a step-up: %v", err)
	}
	w.clock.Advance(store.TOTPSetupTTL)
	if _, _, err := w.Factors.TOTPSetup(w.ctx, w.actorOf(in), mine.ID); code(err) == "" && !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after ten minutes: %v", err)
	}
	if n := len(w.events(store.EventQuery{TargetID: tom.ID, Action: "factor."})); n != 0 {
		t.Errorf("%d events before anything was confirmed", n)
	}
}

// What changes factors needs a recent proof, and a second factor of whoever has one.
func TestWhoMayChangeFactors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	w.add("ann", store.RoleUser)
	mine, app, secret, _ := w.enroll("tom")
	_, _, ann := w.signIn("ann", goodPass)
	signedOut := mine
	signedOut.SessionID = store.NewID(w.clock.Now())
	acts := map[string]func(account.Actor) error{
		"add":    func(a account.Actor) error { _, _, err := w.Factors.BeginTOTP(w.ctx, a); return err },
		"codes":  func(a account.Actor) error { _, err := w.Factors.MakeRecoveryCodes(w.ctx, a, ""); return err },
		"switch": func(a account.Actor) error { _, err := w.Factors.SetAsk(w.ctx, a, true); return err },
		"remove": func(a account.Actor) error { return w.Factors.RemoveTOTP(w.ctx, a, store.NewID(w.clock.Now())) },
		"rename": func(a account.Actor) error { return w.Factors.RenameTOTP(w.ctx, a, app.ID, "mine now") },
		"delete": func(a account.Actor) error { return w.Factors.RemoveTOTP(w.ctx, a, app.ID) },
		"confirm": func(a account.Actor) error {
			_, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, "000000", "", false)
			return err
		},
	}
	for name, act := range acts {
		for who, a := range map[string]account.Actor{
			"nobody": {}, "signed out": signedOut, "somebody else's session": {UserID: tom.ID, SessionID: ann.SessionID, AuthAt: w.clock.Now()},
			"the command line": operator,
		} {
			if err := act(a); code(err) != account.CodeSignedOut {
				t.Errorf("%s by %s: %v", name, who, err)
			}
		}
		want := map[string]string{"codes": account.CodeNoFactor, "switch": account.CodeNoFactor}[name]
		if err := act(ann); name != "add" && code(err) != want || name != "add" && want == "" && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s by another person: %v", name, err)
		}
	}
	w.clock.Advance(account.FreshWindow)
	for _, name := range []string{"add", "codes", "switch", "remove", "delete"} {
		if err := acts[name](mine); code(err) != account.CodeReauth {
			t.Errorf("%s after ten minutes: %v", name, err)
		}
	}
	if f := w.user(tom.ID).Factors; f.TOTPs != 1 {
		t.Errorf("factors: %+v", f)
	}
	if err := acts["delete"](w.byCode("tom", secret)); err != nil {
		t.Errorf("with a second factor: %v", err)
	}
}

func TestWithTheLastAppSessionsLoseItsLevelAndCodesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	_, first, secret, codes := w.enroll("tom")
	other := w.byCode("tom", secret)
	spare := w.byRecoveryCode("tom", codes[0])
	mine := w.byCode("tom", secret)
	second, secret2, err := w.Factors.BeginTOTP(w.ctx, mine)
	if err != nil {
		t.Fatal(err)
	}
	done, err := w.Factors.ConfirmTOTP(w.ctx, mine, second.ID, w.code(secret2), "tablet", false)
	if err != nil || done.Codes != nil || w.codes(tom.ID).Left != recovery.Count-1 {
		t.Fatalf("a further app brings codes: %v %v", done.Codes, err)
	}
	mine = w.actorOf(done.SignedIn)
	if err := w.Factors.RemoveTOTP(w.ctx, mine, first.ID); err != nil {
		t.Fatal(err)
	}
	// Which of the two a session was proved by nobody knows: it may be the one that is lost. This one is here.
	if m := w.methods(other); m.Level() != assurance.One {
		t.Errorf("one app was removed, and another session has %q", m)
	}
	if m := w.methods(mine); !m.Has(assurance.TOTP) || m.Level() != assurance.Two {
		t.Errorf("one app is left, and the session that removed the other has %q", m)
	}
	if err := w.Factors.RemoveTOTP(w.ctx, mine, second.ID); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]account.Actor{"another": other, "of a recovery code": spare, "this": mine} {
		if m := w.methods(a); m.Level() != assurance.One || m.Has(assurance.TOTP) || m.Has(assurance.RecoveryCode) {
			t.Errorf("%s session has %q", name, m)
		}
	}
	if f, c := w.user(tom.ID).Factors, w.codes(tom.ID); f.Any() || f.Ask || c.Left+c.Used != 0 {
		t.Errorf("left are %+v and %+v", f, c)
	}
	if _, _, a := w.signIn("tom", goodPass); a.SessionID == "" {
		t.Error("a second step is still asked for")
	}
}

func TestWhoHasToHaveAFactorKeepsTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	mine, first, _, _ := w.enroll("tom")
	w.Login.Second.Mode = login.MFARequired
	err := w.Factors.RemoveTOTP(w.ctx, mine, first.ID)
	if code(err) != account.CodeLastFactor || w.user(tom.ID).Factors.TOTPs != 1 || w.codes(tom.ID).Left != recovery.Count {
		t.Errorf("the last one: %v", err)
	}
	if m := w.methods(mine); !m.Level().Satisfies(assurance.Two) {
		t.Errorf("after the refusal the session has %q", m)
	}
	if _, err := w.Factors.SetAsk(w.ctx, mine, false); code(err) != account.CodeAskLocked {
		t.Errorf("the switch: %v", err)
	}
	second, secret, err := w.Factors.BeginTOTP(w.ctx, mine)
	if err != nil {
		t.Fatal(err)
	}
	done, err := w.Factors.ConfirmTOTP(w.ctx, mine, second.ID, w.code(secret), "", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Factors.RemoveTOTP(w.ctx, w.actorOf(done.SignedIn), first.ID); err != nil {
		t.Errorf("one of two: %v", err)
	}
}

func TestThereAreThreeAppsAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("tom", store.RoleUser)
	a, _, _, _ := w.enroll("tom")
	for range store.MaxTOTPs - 1 {
		app, secret, err := w.Factors.BeginTOTP(w.ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		done, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, w.code(secret), "", false)
		if err != nil {
			t.Fatal(err)
		}
		a = w.actorOf(done.SignedIn)
	}
	if _, _, err := w.Factors.BeginTOTP(w.ctx, a); code(err) != account.CodeFactorLimit {
		t.Errorf("a fourth: %v", err)
	}
}

func TestNamesAndCodesOfAppsAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("tom", store.RoleUser)
	_, _, a := w.signIn("tom", goodPass)
	app, secret, err := w.Factors.BeginTOTP(w.ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	now := totp.Step(w.clock.Now())
	for typed, off := range map[string]time.Duration{
		"": 0, "12345": 0, "abcdef": 0, totp.Code(secret, now+4): 2 * time.Minute, totp.Code(secret, now-5): -150 * time.Second,
		totp.Code(secret, now+400): 0,
	} {
		var wrong *login.WrongCodeError
		if _, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, typed, "", false); !errors.As(err, &wrong) || wrong.ClockOff != off {
			t.Errorf("%q: %v %+v", typed, err, wrong)
		}
	}
	bad := []string{"a\nb", "a\u202eb", strings.Repeat("ö", 65)}
	for _, name := range bad {
		if _, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, w.code(secret), name, false); field(err, "name") == "" {
			t.Errorf("named %q: %v", name, err)
		}
	}
	done, err := w.Factors.ConfirmTOTP(w.ctx, a, app.ID, " "+w.code(secret)[:3]+" "+w.code(secret)[3:], " "+strings.Repeat("ö", 64), false)
	if err != nil {
		t.Fatal(err)
	}
	a = w.actorOf(done.SignedIn)
	for _, name := range bad {
		if err := w.Factors.RenameTOTP(w.ctx, a, app.ID, name); field(err, "name") == "" {
			t.Errorf("renamed %q: %v", name, err)
		}
	}
	if err := w.Factors.RenameTOTP(w.ctx, a, app.ID, " phone "); err != nil {
		t.Fatal(err)
	}
	v, err := w.Factors.Overview(w.ctx, w.user(a.UserID))
	if err != nil || len(v.Apps) != 1 || v.Apps[0].Name != "phone" || v.Apps[0].Secret != "" {
		t.Errorf("%+v %v", v.Apps, err)
	}
	if e := w.events(store.EventQuery{Action: "factor.rename"}); len(e) != 1 || e[0].Details["after.name"] != "phone" {
		t.Errorf("events %+v", e)
	}
}

func TestWhereSecondFactorsAreOffNobodyHasAny(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	a, app, _, _ := w.enroll("tom")
	w.Login.Second.Mode = login.MFAOff
	_, _, begin := w.Factors.BeginTOTP(w.ctx, a)
	_, codes := w.Factors.MakeRecoveryCodes(w.ctx, a, "")
	_, ask := w.Factors.SetAsk(w.ctx, a, true)
	for i, err := range []error{begin, codes, ask, w.Factors.RemoveTOTP(w.ctx, a, app.ID), w.Factors.RenameTOTP(w.ctx, a, app.ID, "x")} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if w.user(tom.ID).Factors.TOTPs != 1 {
		t.Error("the app is gone")
	}
	if _, err := w.Factors.ResetMFA(w.ctx, operator, tom.ID, account.ResetMFA{TOTP: true}); err != nil {
		t.Errorf("the command line: %v", err)
	}
}

func TestNoSecretIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("tom", store.RoleUser)
	a, app, secret, codes := w.enroll("tom")
	more, err := w.Factors.MakeRecoveryCodes(w.ctx, a, "")
	if err != nil || len(more) != recovery.Count || slices.Equal(more, codes) {
		t.Fatalf("%v %v", more, err)
	}
	if err := w.Factors.RemoveTOTP(w.ctx, a, app.ID); err != nil {
		t.Fatal(err)
	}
	for _, e := range w.events(store.EventQuery{}) {
		for _, v := range e.Details {
			for _, s := range append(append(codes, more...), totp.Encode(secret), string(secret)) {
				if strings.Contains(v, s) || strings.Contains(v, strings.ReplaceAll(s, "-", "")) {
					t.Errorf("%s has a secret: %+v", e.Action, e.Details)
				}
			}
		}
	}
}
