package account_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// adminActs is every action that only an administrator may do, on a victim.
var adminActs = map[string]func(ctx context.Context, s *account.Service, a account.Actor, victim store.User,
	victimSession string) error{
	"create": func(ctx context.Context, s *account.Service, a account.Actor, _ store.User, _ string) error {
		_, _, err := s.Create(ctx, a, account.NewUser{
			Username: "intruder", Password: goodPass, Role: store.RoleAdmin,
			Active: true,
		})
		return err
	},
	"create by link": func(ctx context.Context, s *account.Service, a account.Actor, _ store.User, _ string) error {
		_, _, err := s.Create(ctx, a, account.NewUser{Username: "intruder", Active: true})
		return err
	},
	"update": func(ctx context.Context, s *account.Service, a account.Actor, v store.User, _ string) error {
		_, err := s.Update(ctx, a, v.ID, account.Patch{Role: ptr(store.RoleAdmin)})
		return err
	},
	"delete": func(ctx context.Context, s *account.Service, a account.Actor, v store.User, _ string) error {
		return s.Delete(ctx, a, v.ID)
	},
	"reset": func(ctx context.Context, s *account.Service, a account.Actor, v store.User, _ string) error {
		_, err := s.ResetPassword(ctx, a, v.ID, account.Reset{Password: otherPass})
		return err
	},
	"reset link": func(ctx context.Context, s *account.Service, a account.Actor, v store.User, _ string) error {
		_, err := s.ResetPassword(ctx, a, v.ID, account.Reset{})
		return err
	},
	"require change": func(ctx context.Context, s *account.Service, a account.Actor, v store.User, _ string) error {
		return s.RequirePasswordChange(ctx, a, v.ID)
	},
	"authorize": func(ctx context.Context, s *account.Service, a account.Actor, v store.User, _ string) error {
		return s.Authorize(ctx, a, "user.update", v.ID)
	},
	"end sessions": func(ctx context.Context, s *account.Service, a account.Actor, v store.User, _ string) error {
		_, err := s.EndSessions(ctx, a, v.ID)
		return err
	},
	"end session": func(ctx context.Context, s *account.Service, a account.Actor, _ store.User, id string) error {
		return s.EndSession(ctx, a, id)
	},
	"end everyone": func(ctx context.Context, s *account.Service, a account.Actor, _ store.User, _ string) error {
		_, err := s.EndAllSessions(ctx, a)
		return err
	},
}

// TestOnlyAFreshAdministratorActsOnOthers tries every administrator's action as everybody who must not, and checks that
// nothing changed and that the refusal was audited.
func TestOnlyAFreshAdministratorActsOnOthers(t *testing.T) {
	t.Parallel()
	actors := map[string]struct {
		want string
		make func(w *world) account.Actor
	}{
		"nobody": {account.CodeSignedOut, func(*world) account.Actor { return account.Actor{} }},
		"an unknown kind": {account.CodeRole, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			a.Kind = 99
			return a
		}},
		"an API token of an admin": {account.CodeSignedOut, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			a.SessionID = ""
			return a
		}},
		"a user": {account.CodeRole, func(w *world) account.Actor {
			_, _, a := w.signIn("plain", goodPass)
			return a
		}},
		"a user with an admin's session": {account.CodeSignedOut, func(w *world) account.Actor {
			_, _, a := w.signIn("plain", goodPass)
			_, _, b := w.signIn("root", goodPass)
			a.SessionID = b.SessionID
			return a
		}},
		"an admin ten minutes later": {account.CodeReauth, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			w.clock.Advance(account.FreshWindow)
			return a
		}},
		"a session from the future": {account.CodeReauth, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			w.clock.Advance(-account.FreshWindow)
			return a
		}},
		"an admin whose caller claims a fresh sign-in": {account.CodeReauth, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			a.AuthAt = w.clock.Advance(time.Hour)
			return a
		}},
		"an admin who signed out": {account.CodeSignedOut, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			if err := w.SignOut(w.ctx, a); err != nil {
				w.t.Fatal(err)
			}
			return a
		}},
		"an admin whose epoch moved": {account.CodeSignedOut, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			w.change(func(tx store.Tx) error { return tx.BumpEpoch(w.ctx, a.UserID) })
			return a
		}},
		"an admin just demoted": {account.CodeRole, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			w.edit(a.UserID, func(u *store.User) { u.Role = store.RoleUser })
			return a
		}},
		"an admin just turned off": {account.CodeSignedOut, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			w.edit(a.UserID, func(u *store.User) { u.Active = false })
			return a
		}},
		"an admin who has to change the password": {account.CodeMustChange, func(w *world) account.Actor {
			_, _, a := w.signIn("root", goodPass)
			u := w.user(a.UserID)
			w.change(func(tx store.Tx) error {
				return tx.SetPassword(w.ctx, u.ID, store.PasswordChange{Hash: u.PasswordHash, MustChange: true, At: w.clock.Now()})
			})
			return a
		}},
	}
	for who, who2 := range actors {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add("root", store.RoleAdmin)
			w.add("second", store.RoleAdmin)
			w.add("plain", store.RoleUser)
			victim := w.add("victim", store.RoleUser)
			token, live, _ := w.signIn("victim", goodPass)
			a := who2.make(w)
			before := fmt.Sprint(w.user(victim.ID))
			for act, do := range adminActs {
				refusals := len(w.events(store.EventQuery{Outcome: store.Denied}))
				if err := do(w.ctx, w.Service, a, victim, live.Session.ID); code(err) != who2.want {
					t.Errorf("%s: %v, want code %q", act, err, who2.want)
				}
				if got := len(w.events(store.EventQuery{Outcome: store.Denied})); got != refusals+1 {
					t.Errorf("%s: %d refusals in the audit log, want %d", act, got, refusals+1)
				}
			}
			if after := fmt.Sprint(w.user(victim.ID)); after != before {
				t.Errorf("the victim changed:\n%s\n%s", before, after)
			}
			if _, err := w.Store.UserByUsername(w.ctx, "intruder"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an account was made: %v", err)
			}
			if links, err := w.Store.Links(w.ctx, store.LinkQuery{Now: w.clock.Now()}); err != nil || len(links.Items) != 0 {
				t.Errorf("links were made: %v %v", links, err)
			}
			if live.User.Active && who != "a session from the future" && !w.lives(token) {
				t.Error("the victim's session ended")
			}
		})
	}
}

func TestAFreshAdministratorAndTheCommandLineMayDoEverything(t *testing.T) {
	t.Parallel()
	for act, do := range adminActs {
		for _, who := range []string{"admin", "command line"} {
			t.Run(act+" by "+who, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.add("root", store.RoleAdmin)
				victim := w.add("victim", store.RoleUser)
				_, live, _ := w.signIn("victim", goodPass)
				a := operator
				if who == "admin" {
					_, _, a = w.signIn("root", goodPass)
					w.clock.Advance(account.FreshWindow - time.Second)
				}
				if err := do(w.ctx, w.Service, a, victim, live.Session.ID); err != nil {
					t.Error(err)
				}
				if denied := w.events(store.EventQuery{Outcome: store.Denied}); len(denied) != 0 {
					t.Errorf("refusals in the audit log: %v", denied)
				}
			})
		}
	}
}

func TestNobodyTakesAwayTheirOwnAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.add("root", store.RoleAdmin)
	w.add("second", store.RoleAdmin)
	_, _, a := w.signIn("root", goodPass)
	acts := map[string]func() error{
		"demote": func() error {
			_, err := w.Update(w.ctx, a, root.ID, account.Patch{Role: ptr(store.RoleUser)})
			return err
		},
		"turn off": func() error {
			_, err := w.Update(w.ctx, a, root.ID, account.Patch{Active: ptr(false)})
			return err
		},
		"delete": func() error { return w.Delete(w.ctx, a, root.ID) },
		"reset": func() error {
			_, err := w.ResetPassword(w.ctx, a, root.ID, account.Reset{Password: otherPass})
			return err
		},
		"reset link": func() error {
			_, err := w.ResetPassword(w.ctx, a, root.ID, account.Reset{})
			return err
		},
	}
	for name, act := range acts {
		if err := act(); code(err) != account.CodeSelf {
			t.Errorf("%s: %v, want code self", name, err)
		}
	}
	if u := w.user(root.ID); !u.IsActiveAdmin() || !w.passwordWorks(root, goodPass) {
		t.Errorf("the administrator changed: %+v", u)
	}
	if _, err := w.Update(w.ctx, a, root.ID, account.Patch{Name: ptr("Root"), Groups: ptr([]string{"ops"})}); err != nil {
		t.Errorf("the rest of one's own account: %v", err)
	}
}

func TestTheManagedRootIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.add("root", store.RoleAdmin)
	w.add("second", store.RoleAdmin)
	root = w.edit(root.ID, func(u *store.User) { u.Managed = true })
	_, _, admin := w.signIn("second", goodPass)
	for _, a := range []account.Actor{admin, operator} {
		locked := map[string]account.Patch{
			"e-mail":      {Email: ptr("evil@example.com")},
			"e-mail case": {Email: ptr("ROOT@example.com")},
			"no e-mail":   {Email: ptr("")},
			"role":        {Role: ptr(store.RoleUser)},
			"state":       {Active: ptr(false)},
			"mixed":       {Name: ptr("Evil"), Active: ptr(false)},
		}
		for name, p := range locked {
			if _, err := w.Update(w.ctx, a, root.ID, p); code(err) != account.CodeManaged {
				t.Errorf("%s: %v, want code managed", name, err)
			}
		}
		if err := w.Delete(w.ctx, a, root.ID); code(err) != account.CodeManaged {
			t.Errorf("delete: %v", err)
		}
		for name, r := range map[string]account.Reset{
			"password": {Password: otherPass}, "link": {},
			"block": {BlockNow: true},
		} {
			if _, err := w.ResetPassword(w.ctx, a, root.ID, r); code(err) != account.CodeManaged {
				t.Errorf("reset by %s: %v", name, err)
			}
		}
	}
	if got := w.user(root.ID); fmt.Sprint(got) != fmt.Sprint(root) {
		t.Errorf("the managed root changed:\n%v\n%v", root, got)
	}
	// The form sends every field: unchanged ones are no change.
	same := account.Patch{Email: &root.Email, Role: &root.Role, Active: &root.Active, Name: ptr("The Root")}
	if u, err := w.Update(w.ctx, admin, root.ID, same); err != nil || u.Name != "The Root" {
		t.Errorf("a new display name: %v %v", u.Name, err)
	}
	_, live, own := w.signIn("root", goodPass)
	if _, err := w.ChangeOwnPassword(w.ctx, own, live, goodPass, otherPass, true); code(err) != account.CodeManaged {
		t.Errorf("own password: %v", err)
	}
	if n, err := w.EndSessions(w.ctx, admin, root.ID); err != nil || n == 0 {
		t.Errorf("ending its sessions: %d %v", n, err)
	}
}

func TestTheLastAdministratorStaysWhoeverAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.add("root", store.RoleAdmin)
	w.add("plain", store.RoleUser)
	off := w.add("off", store.RoleAdmin)
	if _, err := w.Update(w.ctx, operator, off.ID, account.Patch{Active: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	acts := map[string]func() error{
		"demote": func() error {
			_, err := w.Update(w.ctx, operator, root.ID, account.Patch{Role: ptr(store.RoleUser)})
			return err
		},
		"turn off": func() error {
			_, err := w.Update(w.ctx, operator, root.ID, account.Patch{Active: ptr(false)})
			return err
		},
		"delete": func() error { return w.Delete(w.ctx, operator, root.ID) },
	}
	for name, act := range acts {
		err := act()
		if code(err) != account.CodeLastAdmin || !errors.Is(err, store.ErrLastAdmin) {
			t.Errorf("%s: %v, want code last-admin", name, err)
		}
	}
	if !w.user(root.ID).IsActiveAdmin() {
		t.Error("the last administrator is gone")
	}
	if denied := w.events(store.EventQuery{Outcome: store.Denied, Actor: "command line"}); len(denied) != len(acts) {
		t.Errorf("%d refusals in the audit log, want %d", len(denied), len(acts))
	}
}

// TestOfTwoAdministratorsWhoRemoveEachOtherOneSucceeds checks the last-admin rule and the role check in a race: the
// second one is no administrator any more.
func TestOfTwoAdministratorsWhoRemoveEachOtherOneSucceeds(t *testing.T) {
	t.Parallel()
	for round := range 8 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			users := []store.User{w.add("one", store.RoleAdmin), w.add("two", store.RoleAdmin)}
			errs := make([]error, 2)
			var wg sync.WaitGroup
			actors := make([]account.Actor, 2)
			for i, u := range users {
				_, _, actors[i] = w.signIn(u.Username, goodPass)
			}
			for i := range users {
				wg.Go(func() {
					switch round % 3 {
					case 0:
						_, errs[i] = w.Update(w.ctx, actors[i], users[1-i].ID, account.Patch{Role: ptr(store.RoleUser)})
					case 1:
						_, errs[i] = w.Update(w.ctx, actors[i], users[1-i].ID, account.Patch{Active: ptr(false)})
					default:
						errs[i] = w.Delete(w.ctx, actors[i], users[1-i].ID)
					}
				})
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Errorf("want exactly one success: %v, %v", errs[0], errs[1])
			}
			if admins, err := w.Store.ActiveAdmins(w.ctx, 0); err != nil || len(admins) != 1 {
				t.Errorf("%d administrators left, %v", len(admins), err)
			}
		})
	}
}
