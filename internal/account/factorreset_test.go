package account_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/store"
)

var all = account.ResetMFA{TOTP: true, Codes: true, Sessions: true}

func TestWhoMayTakeSecondFactors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, tom := w.add("ada", store.RoleAdmin), w.add("tom", store.RoleUser)
	root := w.add("root", store.RoleAdmin)
	w.edit(root.ID, func(u *store.User) { u.Managed = true })
	robot, _, err := w.Create(w.ctx, operator, account.NewUser{Kind: store.KindService, Username: "ci", Active: true})
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, _ = w.enroll("tom")
	_, _, admin := w.signIn("ada", goodPass)
	_, _, other := w.signIn("root", goodPass)
	stale := admin
	stale.AuthAt = w.clock.Now().Add(-account.FreshWindow)
	user := w.add("bob", store.RoleUser)
	_, _, bob := w.signIn("bob", goodPass)
	for name, c := range map[string]struct {
		actor  account.Actor
		target string
		want   string
	}{
		"nobody": {account.Actor{}, tom.ID, account.CodeSignedOut}, "a user": {bob, tom.ID, account.CodeRole},
		"a user, of the own": {bob, user.ID, account.CodeRole}, "an administrator, of the own": {admin, ada.ID, account.CodeSelf},
		"an administrator long after": {stale, tom.ID, account.CodeReauth}, "of the managed one": {admin, root.ID, account.CodeManaged},
		"the managed one, of the own": {other, root.ID, account.CodeManaged}, "of a program": {admin, robot.ID, account.CodeService},
	} {
		if _, err := w.Factors.ResetMFA(w.ctx, c.actor, c.target, all); code(err) != c.want {
			t.Errorf("reset by %s: %v, want %s", name, err, c.want)
		}
		if c.want == account.CodeManaged {
			continue // wrong codes of the managed one are forgotten
		}
		if err := w.Factors.UnlockMFA(w.ctx, c.actor, c.target); code(err) != c.want {
			t.Errorf("unlocked by %s: %v, want %s", name, err, c.want)
		}
	}
	if w.user(tom.ID).Factors.TOTPs != 1 {
		t.Fatal("the app is gone")
	}
	if _, err := w.Factors.ResetMFA(w.ctx, admin, store.NewID(w.clock.Now()), all); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := w.Factors.ResetMFA(w.ctx, operator, root.ID, all); err != nil {
		t.Errorf("the command line, of the managed one: %v", err)
	}
	if _, err := w.Factors.ResetMFA(w.ctx, admin, tom.ID, account.ResetMFA{Sessions: true}); field(err, "methods") == "" {
		t.Errorf("nothing: %v", err)
	}
	if _, err := w.Factors.ResetMFA(w.ctx, admin, tom.ID, all); err != nil {
		t.Errorf("an administrator: %v", err)
	}
}

// A reset takes factors, codes, sessions, half-logins and one-time links, and leaves what it was not asked for.
func TestAResetTakesWhatItIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]account.ResetMFA{
		"all": all, "apps": {TOTP: true, Sessions: true}, "codes": {Codes: true, Sessions: true}, "without sessions": {TOTP: true, Codes: true},
		"codes, without sessions": {Codes: true}, "with a link": {TOTP: true, Codes: true, Sessions: true, Link: true},
	} {
		w := newWorld(t)
		tom := w.add("tom", store.RoleUser)
		w.add("ada", store.RoleAdmin)
		_, _, secret, codes := w.enroll("tom")
		signedIn, spare := w.byCode("tom", secret), w.byRecoveryCode("tom", codes[0])
		p, err := w.Login.CheckPassword(w.ctx, browser, "tom", goodPass)
		if err != nil {
			t.Fatal(err)
		}
		half, err := w.Login.SignIn(w.ctx, browser, p, login.SignInOptions{Method: "password"})
		if err != nil {
			t.Fatal(err)
		}
		before, err := w.ResetPassword(w.ctx, operator, tom.ID, account.Reset{})
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Second)
		_, _, ada := w.signIn("ada", goodPass)
		done, err := w.Factors.ResetMFA(w.ctx, ada, tom.ID, r)
		if err != nil {
			t.Fatal(err)
		}
		if f, c := w.user(tom.ID).Factors, w.codes(tom.ID); (f.TOTPs == 0) != r.TOTP || (c.Left == 0) != (r.Codes || r.TOTP) || len(done.Apps) != 1-f.TOTPs {
			t.Errorf("%s: left are %+v %+v, told is %+v", name, f, c, done)
		}
		if info, err := w.LinkStatus(w.ctx, before.Token); err != nil || info.State == account.LinkValid {
			t.Errorf("%s: a link that was made before is %+v, %v", name, info, err)
		}
		if (done.Link != nil) != r.Link {
			t.Errorf("%s: link %v", name, done.Link)
		}
		for _, a := range []account.Actor{signedIn, spare} {
			sess, _, err := w.Store.Session(w.ctx, a.SessionID)
			if (err != nil) != r.Sessions {
				t.Errorf("%s: a session: %v", name, err)
			}
			if m := assurance.Methods(sess.Methods); err == nil && r.TOTP && (m.Level() != assurance.One || !sess.MFAAt.IsZero()) {
				t.Errorf("%s: a session has %q", name, m)
			}
		}
		if _, err := w.Login.HalfLogin(w.ctx, half.Step.Token); err == nil {
			t.Errorf("%s: the sign-in of before goes on", name)
		}
		e := w.events(store.EventQuery{Action: "mfa.reset"})
		if len(e) != 1 || e[0].Actor != "ada" || e[0].TargetID != tom.ID || e[0].Outcome != store.Success {
			t.Errorf("%s: events %+v", name, e)
		}
		n, err := w.Factors.Notices(w.ctx, w.user(tom.ID))
		if err != nil || len(n) == 0 || n[0].Action != "mfa.reset" {
			t.Errorf("%s: the person is told %+v, %v", name, n, err)
		}
	}
}

func TestAPasswordResetLeavesSecondFactors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	_, _, _, _ = w.enroll("tom")
	if _, err := w.ResetPassword(w.ctx, operator, tom.ID, account.Reset{Password: otherPass}); err != nil {
		t.Fatal(err)
	}
	link := w.resetLink(tom.ID, account.Reset{})
	w.redeem(link.Token, goodPass)
	p, err := w.Login.CheckPassword(w.ctx, browser, "tom", goodPass)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.Login.SignIn(w.ctx, browser, p, login.SignInOptions{Method: "link"})
	if err != nil || in.Step == nil || in.Token != "" || w.codes(tom.ID).Left != recovery.Count {
		t.Errorf("signed in without a second step: %+v %v", in, err)
	}
}

func TestTenPeopleWithOneCodeGetInOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("tom", store.RoleUser)
	_, _, secret, _ := w.enroll("tom")
	w.clock.Advance(time.Minute)
	var tokens []string
	for range 5 {
		p, err := w.Login.CheckPassword(w.ctx, browser, "tom", goodPass)
		if err != nil {
			t.Fatal(err)
		}
		in, err := w.Login.SignIn(w.ctx, browser, p, login.SignInOptions{Method: "password"})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, in.Step.Token)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for i := range 10 {
		wg.Go(func() {
			if _, err := w.Login.VerifyCode(w.ctx, browser, tokens[i%len(tokens)], w.code(secret)); err == nil {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if in != 1 {
		t.Errorf("%d got in", in)
	}
}

// The lock after many wrong codes ends by an administrator; the factors stay.
func TestAnUnlockForgetsWrongCodesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	_, _, secret, _ := w.enroll("tom")
	w.change(func(tx store.Tx) error {
		f := w.user(tom.ID).Factors
		f.Failures = store.MaxMFAFailures
		return tx.SetFactors(w.ctx, tom.ID, f)
	})
	if err := w.Factors.UnlockMFA(w.ctx, operator, tom.ID); err != nil {
		t.Fatal(err)
	}
	if f := w.user(tom.ID).Factors; f.Locked() || f.TOTPs != 1 || w.codes(tom.ID).Left != recovery.Count {
		t.Errorf("factors %+v", f)
	}
	if a := w.byCode("tom", secret); !w.methods(a).Has(assurance.TOTP) {
		t.Error("codes do not count")
	}
}

// Whoever found the sheet with the recovery codes must not get a new one.
func TestNewCodesNeedMoreThanACode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	_, _, secret, codes := w.enroll("tom")
	spare := w.byRecoveryCode("tom", codes[0])
	if got, err := w.Factors.MakeRecoveryCodes(w.ctx, spare, ""); field(err, "password") == "" || got != nil {
		t.Errorf("with nothing: %v", err)
	}
	if _, err := w.Factors.MakeRecoveryCodes(w.ctx, spare, otherPass); !errors.Is(err, login.ErrInvalidCredentials) {
		t.Errorf("with a wrong password: %v", err)
	}
	if c := w.codes(tom.ID); c.Left != recovery.Count-1 || c.Used != 1 {
		t.Errorf("codes changed: %+v", c)
	}
	got, err := w.Factors.MakeRecoveryCodes(w.ctx, spare, goodPass)
	if err != nil || len(got) != recovery.Count || w.codes(tom.ID).Used != 0 {
		t.Errorf("with the password: %v", err)
	}
	if _, err := w.Factors.MakeRecoveryCodes(w.ctx, w.byCode("tom", secret), ""); err != nil {
		t.Errorf("with the app: %v", err)
	}
	if err := w.Factors.MarkCodesSaved(w.ctx, spare); err != nil || !w.user(tom.ID).Factors.CodesSaved {
		t.Errorf("saved: %v", err)
	}
}

func TestNoticesAreShownUntilSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom := w.add("tom", store.RoleUser)
	a, app, _, _ := w.enroll("tom")
	list := func() []store.Event {
		t.Helper()
		n, err := w.Factors.Notices(w.ctx, w.user(tom.ID))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := list(); len(n) != 1 || n[0].Action != "factor.add" {
		t.Fatalf("told is %+v", n)
	}
	seen := list()[0].Time
	w.clock.Advance(time.Second)
	if err := w.Factors.RemoveTOTP(w.ctx, a, app.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.Factors.SeenNotices(w.ctx, a, seen); err != nil {
		t.Fatal(err)
	}
	if n := list(); len(n) != 1 || n[0].Action != "factor.remove" {
		t.Errorf("what came meanwhile: %+v", n)
	}
	if err := w.Factors.SeenNotices(w.ctx, a, w.clock.Now().Add(time.Hour)); err != nil || len(list()) != 0 {
		t.Errorf("%v: %+v", err, list())
	}
	if at := w.user(tom.ID).Factors.NoticesSeenAt; at.After(w.clock.Now()) {
		t.Errorf("seen in the future: %v", at)
	}
}

// With a link the password of before ends at once: whoever knows it could sign in, and add a factor to which the link
// would then lead its holder. That holds for the last administrator as well.
func TestAResetWithALinkEndsThePassword(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]bool{"with a link": true, "without one": false} {
		for _, last := range []bool{false, true} {
			w := newWorld(t)
			role := store.RoleUser
			if last {
				role = store.RoleAdmin
			}
			tom := w.add("tom", role)
			w.enroll("tom")
			r := all
			r.Link = link
			done, err := w.Factors.ResetMFA(w.ctx, operator, tom.ID, r)
			if err != nil {
				t.Fatalf("%s, the last administrator %t: %v", name, last, err)
			}
			if _, err := w.Login.CheckPassword(w.ctx, browser, "tom", goodPass); (err != nil) != link {
				t.Errorf("%s, the last administrator %t: the password of before: %v", name, last, err)
			}
			if !link {
				continue
			}
			info, err := w.LinkStatus(w.ctx, done.Link.Token)
			if err != nil || info.State != account.LinkValid {
				t.Errorf("%s, the last administrator %t: the link is %+v, %v", name, last, info, err)
			}
		}
	}
}
