package account_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// accept changes whose passwords are accepted, as a reload does.
func (w *world) accept(p login.Passwords) { w.Passwords, w.Login.Passwords = p, p }

// holder is somebody with a password and a session from before the rule, and links to set another password.
type holder struct {
	*world
	ada, grace, root store.User
	live             *session.Live
	own, admin       account.Actor
	adminLink        *account.IssuedLink // to set a password, by an administrator
	invitation       *account.IssuedLink // likewise, of an account without one
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	w := newWorld(t)
	h := &holder{world: w, root: w.add("root", store.RoleAdmin), ada: w.add("ada", store.RoleUser)}
	_, h.live, h.own = w.signIn("ada", goodPass)
	_, _, h.admin = w.signIn("root", goodPass)
	var err error
	if h.grace, h.invitation, err = w.Create(w.ctx, h.admin, account.NewUser{Username: "grace", Active: true}); err != nil {
		t.Fatal(err)
	}
	if h.adminLink, err = w.ResetPassword(w.ctx, h.admin, h.ada.ID, account.Reset{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// waysToSetAPassword are all of them.
var waysToSetAPassword = map[string]func(h *holder) error{
	"a new account, by an administrator": func(h *holder) error {
		_, _, err := h.Create(h.ctx, h.admin, account.NewUser{Username: "eve", Password: otherPass, Active: true})
		return err
	},
	"a new account, on the command line": func(h *holder) error {
		_, _, err := h.Create(h.ctx, operator, account.NewUser{Username: "eve", Password: otherPass, Active: true})
		return err
	},
	"a reset, by an administrator": func(h *holder) error {
		_, err := h.ResetPassword(h.ctx, h.admin, h.ada.ID, account.Reset{Password: otherPass})
		return err
	},
	"a reset, on the command line": func(h *holder) error {
		_, err := h.ResetPassword(h.ctx, operator, h.ada.ID, account.Reset{Password: otherPass})
		return err
	},
	"a ready hash, on the command line": func(h *holder) error {
		_, err := h.ResetPassword(h.ctx, operator, h.ada.ID, account.Reset{Hash: h.user(h.root.ID).PasswordHash})
		return err
	},
	"a link to reset it, by an administrator": func(h *holder) error {
		_, err := h.ResetPassword(h.ctx, h.admin, h.ada.ID, account.Reset{})
		return err
	},
	"a link to reset it that was there before": func(h *holder) error {
		_, err := h.RedeemLink(h.ctx, browser, h.adminLink.Token, account.LinkForm{Password: otherPass})
		return err
	},
	"an invitation": func(h *holder) error {
		_, err := h.RedeemLink(h.ctx, browser, h.invitation.Token, account.LinkForm{Password: otherPass})
		return err
	},
	"one's own password": func(h *holder) error {
		_, err := h.ChangeOwnPassword(h.ctx, h.own, h.live, goodPass, otherPass, true)
		return err
	},
	"a change that is required": func(h *holder) error {
		return h.RequirePasswordChange(h.ctx, h.admin, h.ada.ID)
	},
}

func TestNobodyGetsAPasswordThatIsNotAccepted(t *testing.T) {
	t.Parallel()
	for name, way := range waysToSetAPassword {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, rule := range []login.Passwords{login.NoPasswords, login.ManagedPasswords, 99} {
				h := newHolder(t)
				before := map[string]store.User{}
				for _, u := range []store.User{h.ada, h.grace, h.root} {
					before[u.ID] = h.user(u.ID)
				}
				h.accept(rule)
				if err := way(h); code(err) != account.CodePasswordsOff {
					t.Errorf("rule %d: %v, want %s", rule, err, account.CodePasswordsOff)
				}
				page, err := h.Store.Users(h.ctx, store.UserQuery{Limit: 10})
				if err != nil || len(page.Items) != len(before) {
					t.Errorf("rule %d: %d accounts, %v", rule, len(page.Items), err)
				}
				for _, u := range page.Items {
					if was := before[u.ID]; u.PasswordHash != was.PasswordHash || u.MustChange != was.MustChange {
						t.Errorf("rule %d: the password of %s changed", rule, u.Username)
					}
				}
			}
		})
	}
}

func TestEveryWayToSetAPasswordWorksWherePasswordsAreAccepted(t *testing.T) {
	t.Parallel()
	for name, way := range waysToSetAPassword {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := way(newHolder(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWithoutPasswordsALinkFromTheCommandLineSignsInOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	had := w.user(ada.ID).PasswordHash
	w.accept(login.ManagedPasswords)
	link := w.resetLink(ada.ID, account.Reset{})
	if info, err := w.LinkStatus(w.ctx, link.Token); err != nil || info.Use != account.LinkSignsIn {
		t.Fatalf("%+v %v", info, err)
	}
	proof, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{Password: otherPass})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Login.SignIn(w.ctx, browser, proof, login.SignInOptions{Method: "link"}); err != nil {
		t.Error(err)
	}
	if w.user(ada.ID).PasswordHash != had {
		t.Error("a password was set")
	}
	if _, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{}); linkState(err) != account.LinkUsed {
		t.Errorf("once more: %v", err)
	}
}

func TestWithoutPasswordsASetUpLinkMakesAnAdministratorWithoutOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.accept(login.ManagedPasswords)
	link, err := w.IssueSetupLink(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := w.RedeemLink(w.ctx, browser, link.Token, account.LinkForm{Username: "boss", Password: goodPass})
	if err != nil {
		t.Fatal(err)
	}
	if u := w.user(proof.User.ID); !u.IsActiveAdmin() || u.PasswordHash != "" {
		t.Errorf("%+v", u)
	}
}

// An administrator cannot choose a name that makes their links those of the command line.
func TestNoAdministratorsLinkPassesForOneOfTheCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	root := w.add("root", store.RoleAdmin)
	_, _, admin := w.signIn("root", goodPass)
	for _, name := range []string{"command line", "Command Line", "start-up"} {
		w.edit(root.ID, func(u *store.User) { u.Username = name })
		admin.Name = name
		w.accept(login.AllPasswords)
		link, err := w.ResetPassword(w.ctx, admin, ada.ID, account.Reset{})
		if err != nil {
			t.Fatal(err)
		}
		w.accept(login.ManagedPasswords)
		if info, err := w.LinkStatus(w.ctx, link.Token); err != nil || info.Use != account.LinkToProviders {
			t.Errorf("%s: %+v %v", name, info, err)
		}
	}
}
