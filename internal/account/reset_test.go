package account_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestAResetPasswordEndsEverySession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	one, _, _ := w.signIn("ada", goodPass)
	two, _, _ := w.signIn("ada", goodPass)
	_, _, a := w.signIn("root", goodPass)
	link, err := w.ResetPassword(w.ctx, a, ada.ID, account.Reset{
		Password: otherPass, MustChange: true,
		KeepSessions: true,
	})
	if err != nil || link != nil {
		t.Fatal(link, err)
	}
	if w.lives(one) || w.lives(two) {
		t.Error("a session outlived the reset")
	}
	if w.passwordWorks(ada, goodPass) || !w.passwordWorks(ada, otherPass) {
		t.Error("not exactly the new password works")
	}
	if u := w.user(ada.ID); !u.MustChange || u.Epoch == ada.Epoch {
		t.Errorf("%+v", u)
	}
	ev := w.events(store.EventQuery{Action: "password.reset"})
	if len(ev) != 1 || ev[0].Details["sessions_ended"] != "2" || ev[0].Target != "ada" {
		t.Errorf("audit: %+v", ev)
	}
}

func TestAResetForgetsStrangersGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	var throttled *login.ThrottledError
	for range 10 {
		if _, err := w.Login.CheckPassword(w.ctx, browser, "ada", "wrong"); errors.As(err, &throttled) {
			break
		}
	}
	if throttled == nil {
		t.Fatal("guessing was not throttled")
	}
	if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{Password: otherPass}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Login.CheckPassword(w.ctx, browser, "ada", otherPass); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

func TestAResetLinkLeavesThePasswordUntilItIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	token, _, _ := w.signIn("ada", goodPass)
	link, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{Expires: time.Hour})
	if err != nil || !link.ExpiresAt.Equal(w.clock.Now().Add(time.Hour)) {
		t.Fatal(link, err)
	}
	if !w.lives(token) || !w.passwordWorks(ada, goodPass) {
		t.Error("making the link changed something")
	}
	proof, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{Password: otherPass})
	if err != nil || proof.User.ID != ada.ID {
		t.Fatal(proof, err)
	}
	if w.lives(token) || w.passwordWorks(ada, goodPass) || !w.passwordWorks(ada, otherPass) {
		t.Error("using the link did not replace the password and end the sessions")
	}
	in, err := w.Login.SignIn(w.ctx, browser, proof, login.SignInOptions{Method: "link"})
	if err != nil || !w.lives(in.Token) {
		t.Errorf("signing in by link: %v", err)
	}
}

func TestALinkMayKeepSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	token, _, _ := w.signIn("ada", goodPass)
	link := w.resetLink(ada.ID, account.Reset{KeepSessions: true})
	w.redeem(link.Token, otherPass)
	if !w.lives(token) {
		t.Error("the session ended")
	}
}

func TestBlockNowTakesThePasswordAwayAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	token, _, _ := w.signIn("ada", goodPass)
	link := w.resetLink(ada.ID, account.Reset{BlockNow: true})
	if w.lives(token) || w.passwordWorks(ada, goodPass) {
		t.Error("the old access still works")
	}
	if _, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{Password: otherPass}); err != nil {
		t.Errorf("the link: %v", err)
	}
}

func TestNoLinkForAnAccountThatIsTurnedOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Active: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{}); field(err, "active") == "" {
		t.Errorf("%v, want the field active", err)
	}
	if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{Password: otherPass}); err != nil {
		t.Errorf("a password: %v", err)
	}
	if w.user(ada.ID).Active {
		t.Error("a reset turned the account on")
	}
}

// TestEachReasonAgainstALinkAlone checks every reason why a link cannot be used, by itself.
func TestEachReasonAgainstALinkAlone(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		want  account.LinkState
		spoil func(w *world, ada store.User, token string) string
	}{
		"malformed": {account.LinkUnknown, func(_ *world, _ store.User, token string) string { return token[1:] }},
		"empty":     {account.LinkUnknown, func(*world, store.User, string) string { return "" }},
		"unknown":   {account.LinkUnknown, func(*world, store.User, string) string { return store.NewToken() }},
		"used": {account.LinkUsed, func(w *world, _ store.User, token string) string {
			if _, err := w.RedeemLink(w.ctx, browser, token, account.LinkForm{Password: otherPass}); err != nil {
				w.t.Fatal(err)
			}
			return token
		}},
		"expired": {account.LinkExpired, func(w *world, _ store.User, token string) string {
			w.clock.Advance(account.DefaultLinkTTL)
			return token
		}},
		"replaced": {account.LinkCanceled, func(w *world, ada store.User, token string) string {
			if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{}); err != nil {
				w.t.Fatal(err)
			}
			return token
		}},
		"password set by an administrator": {account.LinkCanceled, func(w *world, ada store.User, token string) string {
			if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{Password: "four other words here"}); err != nil {
				w.t.Fatal(err)
			}
			return token
		}},
		"turned off": {account.LinkCanceled, func(w *world, ada store.User, token string) string {
			if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Active: ptr(false)}); err != nil {
				w.t.Fatal(err)
			}
			return token
		}},
		"turned off and on": {account.LinkCanceled, func(w *world, ada store.User, token string) string {
			for _, on := range []bool{false, true} {
				if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Active: &on}); err != nil {
					w.t.Fatal(err)
				}
			}
			return token
		}},
		"pending": {account.LinkCanceled, func(w *world, ada store.User, token string) string {
			w.edit(ada.ID, func(u *store.User) { u.Pending = true })
			return token
		}},
		"managed meanwhile": {account.LinkCanceled, func(w *world, ada store.User, token string) string {
			w.edit(ada.ID, func(u *store.User) { u.Managed = true })
			return token
		}},
		"deleted": {account.LinkUnknown, func(w *world, ada store.User, token string) string {
			if err := w.Delete(w.ctx, operator, ada.ID); err != nil {
				w.t.Fatal(err)
			}
			return token
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add("root", store.RoleAdmin)
			ada := w.add("ada", store.RoleUser)
			link := w.resetLink(ada.ID, account.Reset{})
			token := c.spoil(w, ada, link.Token)
			info, err := w.LinkStatus(w.ctx, token)
			if err != nil || info.State != c.want {
				t.Errorf("status %q %v, want %q", info.State, err, c.want)
			}
			const mine = "my own words at last"
			if _, err := w.RedeemLink(w.ctx, browser, token, account.LinkForm{Password: mine}); linkState(err) != c.want ||
				!errors.Is(err, store.ErrNotFound) {
				t.Errorf("use: %v, want the state %q", err, c.want)
			}
			if u, err := w.Store.User(w.ctx, ada.ID); err == nil && w.passwordWorks(u, mine) {
				t.Error("the password was set all the same")
			}
		})
	}
}

func TestLookingAndARefusedFormDoNotSpendALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	link := w.resetLink(ada.ID, account.Reset{})
	for range 3 {
		if info, err := w.LinkStatus(w.ctx, link.Token); err != nil || info.State != account.LinkValid {
			t.Fatal(info, err)
		}
		for _, bad := range []string{"", "short", "ada@example.com", strings.Repeat("x", 2000)} {
			if _, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{Password: bad}); field(err, "password") == "" {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
	}
	if _, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{Password: otherPass}); err != nil {
		t.Errorf("the link was spent: %v", err)
	}
}

func TestOfManyAtOnceOneGetsTheLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	link := w.resetLink(ada.ID, account.Reset{})
	const callers = 12
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			_, errs[i] = w.RedeemLink(w.ctx, browser, link.Token,
				account.LinkForm{Password: fmt.Sprintf("number %d of the callers", i)})
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("both %d and %d won", winner, i)
		case linkState(err) != account.LinkUsed:
			t.Errorf("%d: %v", i, err)
		}
	}
	if winner < 0 || !w.passwordWorks(ada, fmt.Sprintf("number %d of the callers", winner)) {
		t.Errorf("winner %d, and the password is another", winner)
	}
}

func TestTheSetupLinkMakesTheFirstAdministratorOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.IssueSetupLink(w.ctx)
	if err != nil || !first.ExpiresAt.Equal(w.clock.Now().Add(24*time.Hour)) {
		t.Fatal(first, err)
	}
	second, err := w.IssueSetupLink(w.ctx) // another Caddy's
	if err != nil {
		t.Fatal(err)
	}
	form := account.LinkForm{Username: "boss", Email: "boss@example.com", Name: "The Boss", Password: goodPass}
	for name, bad := range map[string]account.LinkForm{
		"username": {Password: goodPass},
		"email":    {Username: "boss", Email: "boss", Password: goodPass},
		"password": {Username: "boss", Password: "boss"},
	} {
		if _, err := w.RedeemLink(w.ctx, browser, first.Token, bad); field(err, name) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := w.LinkStatus(w.ctx, second.Token); err != nil || info.State != account.LinkValid ||
		info.Purpose != store.LinkSetup {
		t.Fatal(info, err)
	}
	proof, err := w.RedeemLink(w.ctx, browser, first.Token, form)
	if err != nil {
		t.Fatal(err)
	}
	u := w.user(proof.User.ID)
	if !u.IsActiveAdmin() || !u.RoleGranted || !u.Local || u.Username != "boss" || !w.passwordWorks(u, goodPass) {
		t.Errorf("%+v", u)
	}
	for _, token := range []string{first.Token, second.Token} {
		if _, err := w.RedeemLink(w.ctx, browser, token, account.LinkForm{
			Username: "eve",
			Password: goodPass,
		}); linkState(err) == "" {
			t.Errorf("set-up goes on: %v", err)
		}
	}
	if _, err := w.IssueSetupLink(w.ctx); code(err) != account.CodeSetupDone {
		t.Errorf("another set-up link: %v", err)
	}
	if n, err := w.Store.CountUsers(w.ctx, store.UserQuery{}); err != nil || n != 1 {
		t.Errorf("%d users, %v", n, err)
	}
}

func TestOfTwoSetupLinksAtOnceOneMakesTheAdministrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const callers = 6
	errs := make([]error, callers)
	links := make([]account.IssuedLink, callers)
	for i := range callers {
		var err error
		if links[i], err = w.IssueSetupLink(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			_, errs[i] = w.RedeemLink(w.ctx, browser, links[i].Token, account.LinkForm{
				Username: fmt.Sprint("boss", i),
				Password: goodPass,
			})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if linkState(err) == "" {
			t.Error(err)
		}
	}
	if n, err := w.Store.CountUsers(w.ctx, store.UserQuery{}); err != nil || n != 1 || won != 1 {
		t.Errorf("%d users, %d winners, %v", n, won, err)
	}
}

// TestASetupLinkDiesWithTheFirstAdministrator: a link is void once there is an administrator by other means
// (environment, command line).
func TestASetupLinkDiesWithTheFirstAdministrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link, err := w.IssueSetupLink(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.add("root", store.RoleAdmin)
	if info, err := w.LinkStatus(w.ctx, link.Token); err != nil || info.State != account.LinkCanceled {
		t.Errorf("%+v %v", info, err)
	}
	if _, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{
		Username: "eve",
		Password: goodPass,
	}); linkState(err) != account.LinkCanceled {
		t.Errorf("%v", err)
	}
}

// TestNoSecretReachesTheStoreOrTheAuditLog searches every file of the store for canary secrets.
func TestNoSecretReachesTheStoreOrTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	link := w.resetLink(ada.ID, account.Reset{})
	w.redeem(link.Token, otherPass)
	token, live, a := w.signIn("ada", otherPass)
	in, err := w.ChangeOwnPassword(w.ctx, a, live, otherPass, "and one more password", true)
	if err != nil {
		t.Fatal(err)
	}
	stored := w.place.Rows(t)
	if !strings.Contains(stored, w.user(ada.ID).PasswordHash) {
		t.Fatal("the store was not looked at")
	}
	for _, secret := range []string{goodPass, otherPass, "and one more password", link.Token, token, in.Token} {
		if strings.Contains(stored, secret) {
			t.Errorf("the store holds %q", secret)
		}
	}
	for _, e := range w.events(store.EventQuery{}) {
		if s := fmt.Sprint(e); strings.Contains(s, "argon2id$") || strings.Contains(s, w.user(ada.ID).PasswordHash) {
			t.Errorf("an event holds a hash: %s", s)
		}
	}
}
