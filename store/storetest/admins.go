package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

var adminTests = []test{
	{"the last administrator stays", func(t *testing.T, s store.Store) {
		admin := addUser(t, s, "admin", asAdmin)
		addUser(t, s, "waiting", asAdmin, func(u *store.User) { u.Pending = true })
		addUser(t, s, "gone", asAdmin, func(u *store.User) { u.Active = false })
		for name, edit := range map[string]func(*store.User){
			"demote":     func(u *store.User) { u.Role = store.RoleUser },
			"no role":    func(u *store.User) { u.Role = "" },
			"deactivate": func(u *store.User) { u.Active = false },
			"suspend":    func(u *store.User) { u.Pending = true },
		} {
			u := admin
			edit(&u)
			err := try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err })
			if !errors.Is(err, store.ErrLastAdmin) {
				t.Errorf("%s: got %v, want ErrLastAdmin", name, err)
			}
		}
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, admin.ID) }),
			store.ErrLastAdmin)
		if got := getUser(t, s, admin.ID); !got.IsActiveAdmin() {
			t.Fatal("the last administrator is gone")
		}
		admin.Name = "renamed" // an unrelated edit succeeds
		change(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, admin); return err })
		addUser(t, s, "second", asAdmin)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, admin.ID) })
	}},
	{"an administrator who cannot sign in does not count", func(t *testing.T, s store.Store) {
		admin := addUser(t, s, "admin", asAdmin)
		invited := addUser(t, s, "invited", func(u *store.User) { u.Role = store.RoleAdmin })
		link := func(userID string) {
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "s", UserID: userID})
			})
		}
		demote := func(id string) error {
			u := getUser(t, s, id)
			u.Role = store.RoleUser
			return try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err })
		}
		unpassword := func(id string) error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.SetPassword(ctx, id,
					store.PasswordChange{})
			})
		}
		unlink := func() error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", "s") })
		}
		wantErr(t, demote(admin.ID), store.ErrLastAdmin)
		wantErr(t, unpassword(admin.ID), store.ErrLastAdmin)
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, admin.ID) }),
			store.ErrLastAdmin)
		link(invited.ID)
		if admins, err := s.ActiveAdmins(t.Context(), 0); err != nil || len(admins) != 2 {
			t.Fatalf("%v, %v", usernames(admins), err)
		}
		if err := unpassword(admin.ID); err != nil {
			t.Fatal(err)
		}
		wantErr(t, unlink(), store.ErrLastAdmin)
		wantErr(t, demote(invited.ID), store.ErrLastAdmin)
		plain := addUser(t, s, "plain")
		move := func(id string) error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.MoveIdentity(ctx, "i", "s", id) })
		}
		wantErr(t, move(plain.ID), store.ErrLastAdmin)
		wantErr(t, move("nobody"), store.ErrNotFound)
		if err := move(admin.ID); err != nil {
			t.Fatal(err)
		}
		if list, err := s.Identities(t.Context(), admin.ID); err != nil || len(list) != 1 {
			t.Fatalf("moved: %v, %v", list, err)
		}
		if err := demote(invited.ID); err != nil {
			t.Fatal(err)
		}
	}},
	{"former usernames are recorded with their last holder", func(t *testing.T, s store.Store) {
		former := func(name, issuer, subject string) bool {
			ok, err := s.FormerName(t.Context(), name, issuer, subject)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		u, v := addUser(t, s, "Bob"), addUser(t, s, "old")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "s", UserID: u.ID})
		})
		if former("bob", "", "") {
			t.Fatal("a name in use is not a former one")
		}
		v.Username = "new"
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.UpdateUser(ctx, v)
			return errors.Join(err, tx.DeleteUser(ctx, u.ID))
		})
		for _, c := range []struct {
			name, issuer, subject string
			want                  bool
		}{
			{"bob", "", "", true},
			{"ＢＯＢ", "i", "other", true},
			{"bob", "i", "s", false},
			{"old", "", "", true},
			{"old", "i", "s", true},
			{"new", "", "", false},
			{"nobody", "", "", false},
			{"", "", "", false},
			{"\x00", "", "", false},
		} {
			if got := former(c.name, c.issuer, c.subject); got != c.want {
				t.Errorf("%q, %q: %v", c.name, c.subject, got)
			}
		}
		again := addUser(t, s, "bob")
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, again.ID) })
		if !former("bob", "i", "s") {
			t.Error("another account had the name since")
		}
	}},
	{"a provider account cannot take over a local sign-in name", func(t *testing.T, s store.Store) {
		stranger := addUser(t, s, "boss@corp.test", func(u *store.User) { u.Local = false })
		if u, err := s.UserByLogin(t.Context(), "boss@corp.test"); err != nil || u.ID != stranger.ID {
			t.Fatalf("%v, %v", u, err)
		}
		boss := addUser(t, s, "boss", withEmail("boss@corp.test"))
		if u, err := s.UserByLogin(t.Context(), "Boss@corp.test"); err != nil || u.ID != boss.ID {
			t.Fatalf("%v, %v", u, err)
		}
	}},
	{"administrators are listed oldest first, active ones only", func(t *testing.T, s store.Store) {
		at := now()
		made := func(d time.Duration) func(*store.User) { return func(u *store.User) { u.CreatedAt = at.Add(d) } }
		addUser(t, s, "c", asAdmin, made(3*time.Hour))
		addUser(t, s, "a", asAdmin, made(time.Hour))
		addUser(t, s, "b", asAdmin, made(2*time.Hour))
		addUser(t, s, "pending", asAdmin, made(0), func(u *store.User) { u.Pending = true })
		addUser(t, s, "inactive", asAdmin, made(0), func(u *store.User) { u.Active = false })
		addUser(t, s, "user", made(0))
		admins, err := s.ActiveAdmins(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := usernames(admins); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Fatalf("got %v", got)
		}
		if admins, err = s.ActiveAdmins(t.Context(), 2); err != nil || len(admins) != 2 {
			t.Fatalf("with a limit of 2: %d, %v", len(admins), err)
		}
	}},
}
