package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Provided roles and groups, and what ends with an identity.
var providedTests = []test{
	{"provided roles and groups are cleared where they cannot hold", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u", asAdmin, func(u *store.User) {
			u.RoleProvided, u.Groups, u.ProvidedGroups = true, []string{"a", "b", "c"}, []string{"b", "c", "gone"}
		})
		if !u.RoleProvided || !slices.Equal(u.ProvidedGroups, []string{"b", "c"}) {
			t.Fatalf("made as %+v", u)
		}
		for name, c := range map[string]struct {
			edit     func(*store.User)
			provided bool
			groups   []string
		}{
			"groups are taken":       {func(u *store.User) { u.Groups = []string{"a", "c"} }, true, []string{"c"}},
			"the role is given here": {func(u *store.User) { u.RoleGranted = true }, false, []string{"b", "c"}},
			"the role is another":    {func(u *store.User) { u.Role = store.RoleUser }, false, []string{"b", "c"}},
			"the root is managed":    {func(u *store.User) { u.Managed = true }, false, []string{"b", "c"}},
		} {
			edit := u
			edit.ID, edit.Username, edit.Version = store.NewID(now()), "u "+name, 1
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				if err := tx.CreateUser(ctx, edit); err != nil {
					return err
				}
				edit.Version = 1
				c.edit(&edit)
				_, err := tx.UpdateUser(ctx, edit)
				return err
			})
			if got := getUser(t, s, edit.ID); got.RoleProvided != c.provided || !slices.Equal(got.ProvidedGroups, c.groups) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}},
	{"an ungranted role of an account from a provider is provided", func(t *testing.T, s store.Store) {
		// As written by an older version during an update: without the origin of the role.
		bare := func(u *store.User) { u.RoleGranted, u.RoleProvided, u.Origin = false, false, store.OriginOIDC }
		own := addUser(t, s, "own", asAdmin)
		if u := addUser(t, s, "theirs", asAdmin, bare); !getUser(t, s, u.ID).RoleProvided {
			t.Error("it counts as granted")
		}
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, own.ID) }),
			store.ErrLastAdmin)
		for name, set := range map[string]func(*store.User){
			"given here":   func(u *store.User) { u.RoleGranted = true },
			"the root":     func(u *store.User) { u.Managed = true },
			"made here":    func(u *store.User) { u.Origin = store.OriginLocal },
			"no such role": func(u *store.User) { u.Role = store.RoleUser },
		} {
			if u := addUser(t, s, name, asAdmin, bare, set); getUser(t, s, u.ID).RoleProvided {
				t.Errorf("%s: it counts as provided", name)
			}
		}
	}},
	{"a provided administrator does not count as the last one", func(t *testing.T, s store.Store) {
		own := addUser(t, s, "own", asAdmin)
		provided := addUser(t, s, "provided", asAdmin, func(u *store.User) { u.RoleProvided = true })
		demote := func(u store.User) error {
			u.Role = store.RoleUser
			return try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err })
		}
		wantErr(t, demote(own), store.ErrLastAdmin)
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, own.ID) }),
			store.ErrLastAdmin)
		if err := demote(provided); err != nil {
			t.Fatalf("a provided role cannot be removed: %v", err)
		}
	}},
	{"the last provided administrator stays if none was granted", func(t *testing.T, s store.Store) {
		provided := func(name string) store.User {
			u := addUser(t, s, name, func(u *store.User) {
				u.Role, u.RoleProvided, u.Local, u.Origin = store.RoleAdmin, true, false, store.OriginOIDC
			})
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: name, UserID: u.ID})
			})
			return u
		}
		one, two := provided("one"), provided("two")
		ends := func(u store.User) map[string]func(ctx context.Context, tx store.Tx) error {
			edit := func(fn func(*store.User)) func(ctx context.Context, tx store.Tx) error {
				return func(ctx context.Context, tx store.Tx) error { fn(&u); _, err := tx.UpdateUser(ctx, u); return err }
			}
			return map[string]func(ctx context.Context, tx store.Tx) error{
				"demoted":  edit(func(u *store.User) { u.Role = store.RoleUser }),
				"off":      edit(func(u *store.User) { u.Active = false }),
				"deleted":  func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, u.ID) },
				"unlinked": func(ctx context.Context, tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", u.Username) },
			}
		}
		change(t, s, ends(two)["off"])
		for name, end := range ends(one) {
			if err := try(t, s, end); !errors.Is(err, store.ErrLastAdmin) {
				t.Errorf("%s: %v, and nobody is an administrator", name, err)
			}
		}
		invited := addUser(t, s, "invited", func(u *store.User) { u.Role, u.RoleGranted = store.RoleAdmin, true })
		if err := try(t, s, ends(one)["off"]); !errors.Is(err, store.ErrLastAdmin) {
			t.Errorf("an invited administrator who never signed in counts: %v", err)
		}
		change(t, s, ends(invited)["deleted"]) // allowed: they could not sign in, and others can
		addUser(t, s, "own", asAdmin)
		change(t, s, ends(one)["off"])
	}},
	{"a session ends by every provider session id, even if replaced", func(t *testing.T, s store.Store) {
		for name, sel := range map[string]store.SessionSelector{
			"first": {Issuer: "i", SID: "1"}, "second": {Issuer: "i", SID: "2"}, "named": {Issuer: "j", SID: "3"},
			"person": {Issuer: "j", Subject: "t"}, "both": {Issuer: "i", Subject: "s", SID: "1"},
		} {
			u := addUser(t, s, "of "+name)
			of := func(sid string) func(*store.Session) {
				return func(x *store.Session) { x.Issuer, x.Subject, x.SID = "i", "s", sid }
			}
			first := addSession(t, s, u, of("1"))
			second, _ := newSession(u)
			of("2")(&second)
			third := second
			third.ID, third.TokenHash = store.NewID(now()), store.HashToken(store.NewToken())
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				return errors.Join(tx.ReplaceSession(ctx, first.ID, second), tx.AddSessionName(ctx, second.ID, "j", "t", "3"),
					tx.ReplaceSession(ctx, second.ID, third))
			})
			for _, miss := range []store.SessionSelector{
				{Issuer: "j", SID: "1"},
				{Issuer: "i", SID: "3"},
				{Issuer: "i", Subject: "t"},
				{Issuer: "i", Subject: "t", SID: "1"},
			} {
				if ended := endSessions(t, s, miss); len(ended) != 0 {
					t.Errorf("%+v ends %d sessions", miss, len(ended))
				}
			}
			if ended := endSessions(t, s, sel); len(ended) != 1 || ended[0].ID != third.ID || lives(t, s, third) {
				t.Errorf("%s: ended %+v", name, ended)
			}
		}
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.AddSessionName(ctx, "nobody", "i", "s",
				"1")
		}), store.ErrNotFound)
	}},
	{"a mark lasts until its expiry, and a later expiry counts", func(t *testing.T, s store.Store) {
		at := now()
		marked := func(key string, at time.Time) (is bool) {
			change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
				is, err = tx.Marked(ctx, "kind", key, at)
				return err
			})
			return is
		}
		for _, until := range []time.Duration{time.Minute, time.Hour, time.Second} {
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.Mark(ctx, "kind", "key", at.Add(until)) })
		}
		if !marked("key", at) || !marked("key", at.Add(59*time.Minute)) || marked("key", at.Add(time.Hour)) ||
			marked("other", at) {
			t.Error("the mark is missing, or lasts too long")
		}
		u := addUser(t, s, "u")
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.BumpEpoch(ctx, u.ID) })
		is := false
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			is, err = tx.Marked(ctx, store.MarkEnded, u.ID, time.Now().Add(store.EndedMarkTTL-time.Minute))
			return err
		})
		if !is {
			t.Error("the end of all sessions of a user leaves no mark")
		}
	}},
}
