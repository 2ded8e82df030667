package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestAPasswordChangeEndsTheOthersAndGoesOnHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	other, _, _ := w.signIn("ada", goodPass)
	here, live, a := w.signIn("ada", goodPass)
	w.clock.Advance(time.Hour) // the session need not be fresh: the password is required
	in, err := w.ChangeOwnPassword(w.ctx, a, live, goodPass, otherPass, true)
	if err != nil {
		t.Fatal(err)
	}
	if w.lives(other) || w.lives(here) || !w.lives(in.Token) {
		t.Errorf("lives: other %v, old %v, new %v; want only the new one", w.lives(other), w.lives(here), w.lives(in.Token))
	}
	if w.passwordWorks(ada, goodPass) || !w.passwordWorks(ada, otherPass) {
		t.Error("not exactly the new password works")
	}
	if in.Session.ID == live.Session.ID || in.Session.Epoch != w.user(ada.ID).Epoch || in.User.Epoch != ada.Epoch+1 {
		t.Errorf("%+v", in)
	}
	if !in.Session.AuthAt.Equal(w.clock.Now()) || !in.Session.ExpiresAt.Equal(live.Session.ExpiresAt) {
		t.Errorf("the change does not count as a proof, or moved the end: %+v", in.Session)
	}
	if ev := w.events(store.EventQuery{Action: "password.change"}); len(ev) != 1 ||
		ev[0].Details["sessions_ended"] != "1" || ev[0].Actor != "ada" {
		t.Errorf("audit: %+v", ev)
	}
}

func TestAPasswordChangeMayLeaveTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleUser)
	other, _, _ := w.signIn("ada", goodPass)
	here, live, a := w.signIn("ada", goodPass)
	in, err := w.ChangeOwnPassword(w.ctx, a, live, goodPass, otherPass, false)
	if err != nil {
		t.Fatal(err)
	}
	if !w.lives(other) || w.lives(here) || !w.lives(in.Token) {
		t.Errorf("lives: other %v, old %v, new %v; want true, false, true", w.lives(other), w.lives(here), w.lives(in.Token))
	}
}

func TestAPasswordChangeEndsTheDutyToChangeIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{
		Password:   otherPass,
		MustChange: true,
	}); err != nil {
		t.Fatal(err)
	}
	_, live, a := w.signIn("ada", otherPass)
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, otherPass, goodPass, true); err != nil || w.user(ada.ID).MustChange {
		t.Errorf("%v %+v", err, w.user(ada.ID))
	}
}

func TestABadPasswordChangeChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	token, live, a := w.signIn("ada", goodPass)
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, goodPass, "short", true); field(err, "new_password") == "" {
		t.Errorf("policy: %v", err)
	}
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, goodPass, goodPass, true); field(err, "new_password") == "" {
		t.Errorf("the same again: %v", err)
	}
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, "wrong", otherPass, true); !errors.Is(err, login.ErrInvalidCredentials) {
		t.Errorf("wrong current password: %v", err)
	}
	if !w.lives(token) || !w.passwordWorks(ada, goodPass) {
		t.Error("something changed")
	}
}

// TestAStolenSessionIsNoWayToGuess: the current password is throttled like a sign-in.
func TestAStolenSessionIsNoWayToGuess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleUser)
	_, live, a := w.signIn("ada", goodPass)
	var throttled *login.ThrottledError
	for i := range 10 {
		_, err := w.ChangeOwnPassword(w.ctx, a, live, "wrong guess", otherPass, true)
		if errors.As(err, &throttled) {
			if i < login.DefaultLimits.FreeAttempts {
				t.Errorf("throttled after %d", i)
			}
			break
		}
	}
	if throttled == nil {
		t.Fatal("never throttled")
	}
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, goodPass, otherPass, true); !errors.As(err, &throttled) {
		t.Errorf("the right password slips through: %v", err)
	}
	w.clock.Advance(throttled.Wait + time.Second)
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, goodPass, otherPass, true); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestAPasswordChangeNeedsTheLiveSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleUser)
	w.add("eve", store.RoleUser)
	_, live, a := w.signIn("ada", goodPass)
	_, eves, eve := w.signIn("eve", goodPass)
	if _, err := w.ChangeOwnPassword(w.ctx, a, nil, goodPass, otherPass, true); code(err) != account.CodeSignedOut {
		t.Errorf("no session: %v", err)
	}
	if _, err := w.ChangeOwnPassword(w.ctx, eve, live, goodPass, otherPass, true); code(err) != account.CodeSignedOut {
		t.Errorf("someone else's session: %v", err)
	}
	if _, err := w.ChangeOwnPassword(w.ctx, a, eves, goodPass, otherPass, true); code(err) != account.CodeSignedOut {
		t.Errorf("someone else's session: %v", err)
	}
	if err := w.EndAllOwnSessions(w.ctx, a); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, goodPass, otherPass, true); code(err) != account.CodeSignedOut {
		t.Errorf("an ended session: %v", err)
	}
}

func TestAnAccountWithoutAPasswordHasNoneToChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	_, live, a := w.signIn("ada", goodPass)
	w.change(func(tx store.Tx) error {
		return tx.SetPassword(w.ctx, ada.ID, store.PasswordChange{At: w.clock.Now()})
	})
	if _, err := w.ChangeOwnPassword(w.ctx, a, live, "", otherPass, true); code(err) != account.CodeNoPassword {
		t.Errorf("%v", err)
	}
}

func TestTheCommandLineChangesNoOwnPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleUser)
	_, live, a := w.signIn("ada", goodPass)
	bare := account.New(account.Config{Store: w.Store, Hasher: w.Hasher, Clock: w.clock.Now})
	if _, err := bare.ChangeOwnPassword(w.ctx, a, live, goodPass, otherPass, true); err == nil {
		t.Error("it worked without sessions")
	}
}

func TestOneChangesOnlyOnesOwnName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	eve := w.add("eve", store.RoleUser)
	_, _, a := w.signIn("ada", goodPass)
	u, err := w.UpdateProfile(w.ctx, a, ada.ID, " Ada Lovelace ")
	if err != nil || u.Name != "Ada Lovelace" || w.user(ada.ID).Name != "Ada Lovelace" {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := w.UpdateProfile(w.ctx, a, eve.ID, "Pwned"); code(err) != account.CodeRole || w.user(eve.ID).Name != "" {
		t.Errorf("someone else's: %v", err)
	}
	if _, err := w.UpdateProfile(w.ctx, a, ada.ID, "a\nb"); field(err, "name") == "" {
		t.Errorf("a line break: %v", err)
	}
	before := len(w.events(store.EventQuery{}))
	if _, err := w.UpdateProfile(w.ctx, a, ada.ID, "Ada Lovelace"); err != nil ||
		len(w.events(store.EventQuery{})) != before {
		t.Errorf("the same name again was audited: %v", err)
	}
	if _, err := w.UpdateProfile(w.ctx, account.Actor{UserID: ada.ID}, ada.ID, "x"); code(err) != account.CodeSignedOut {
		t.Errorf("without a session: %v", err)
	}
}

func TestEndingOwnSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleUser)
	w.add("eve", store.RoleUser)
	one, _, a := w.signIn("ada", goodPass)
	two, second, _ := w.signIn("ada", goodPass)
	three, _, _ := w.signIn("ada", goodPass)
	eves, live, eve := w.signIn("eve", goodPass)

	if err := w.EndOwnSession(w.ctx, a, live.Session.ID); !errors.Is(err, store.ErrNotFound) || !w.lives(eves) {
		t.Errorf("someone else's session: %v", err)
	}
	if err := w.EndOwnSession(w.ctx, a, second.Session.ID); err != nil || w.lives(two) || !w.lives(one) {
		t.Errorf("one of one's own: %v", err)
	}
	if n, err := w.EndOtherSessions(w.ctx, a); err != nil || n != 1 || w.lives(three) || !w.lives(one) {
		t.Errorf("the others: %d %v", n, err)
	}
	if err := w.EndAllOwnSessions(w.ctx, a); err != nil || w.lives(one) {
		t.Errorf("all: %v", err)
	}
	if _, err := w.EndOtherSessions(w.ctx, a); code(err) != account.CodeSignedOut {
		t.Errorf("with an ended session: %v", err)
	}
	if err := w.SignOut(w.ctx, eve); err != nil || w.lives(eves) {
		t.Errorf("sign-out: %v", err)
	}
	if err := w.SignOut(w.ctx, eve); err != nil {
		t.Errorf("twice: %v", err)
	}
	if ev := w.events(store.EventQuery{Action: "session.sign_out"}); len(ev) != 1 {
		t.Errorf("%d sign-outs in the audit log, want 1", len(ev))
	}
}

func TestEndingEverybodysSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	one, live, _ := w.signIn("ada", goodPass)
	two, _, _ := w.signIn("ada", goodPass)
	root, _, a := w.signIn("root", goodPass)
	if err := w.EndSession(w.ctx, a, live.Session.ID); err != nil || w.lives(one) || !w.lives(two) {
		t.Errorf("one: %v", err)
	}
	if err := w.EndSession(w.ctx, a, live.Session.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that is over: %v", err)
	}
	if n, err := w.EndSessions(w.ctx, a, ada.ID); err != nil || n != 1 || w.lives(two) {
		t.Errorf("a user's: %d %v", n, err)
	}
	if n, err := w.EndAllSessions(w.ctx, a); err != nil || n != 1 || w.lives(root) {
		t.Errorf("everyone's: %d %v", n, err)
	}
}
