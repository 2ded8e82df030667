package storetest

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

var userTests = []test{
	{"a user is returned as stored", func(t *testing.T, s store.Store) {
		at := now()
		u := store.User{
			ID: store.NewID(at), Kind: store.KindPerson, Username: "Grüße.Ø", Email: "A@Example.com", EmailVerified: true, Name: "Zoë \"Z\" 🙂",
			Role: store.RoleAdmin, RoleGranted: true, Groups: []string{"a", "b"}, Active: true, Pending: true,
			Managed: true, Local: true, Origin: store.OriginEnv, PasswordHash: "$argon2id$x", MustChange: true,
			PasswordChangedAt: at.Add(-time.Hour), Epoch: 7, Version: 3, CreatedAt: at, UpdatedAt: at.Add(time.Second),
			LastLoginAt: at.Add(time.Minute),
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateUser(ctx, u) })
		if got := getUser(t, s, u.ID); !reflect.DeepEqual(got, u) {
			t.Fatalf("got  %+v\nwant %+v", got, u)
		}
		plain := addUser(t, s, "plain")
		if plain.Groups != nil || !plain.LastLoginAt.IsZero() || plain.Managed || plain.EmailVerified {
			t.Fatalf("a new user has provided roles or groups: %+v", plain)
		}
	}},
	{"a missing row is ErrNotFound, never nil", func(t *testing.T, s store.Store) {
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"user":     func() error { _, err := s.User(ctx, "nobody"); return err },
			"username": func() error { _, err := s.UserByUsername(ctx, "nobody"); return err },
			"login":    func() error { _, err := s.UserByLogin(ctx, "nobody"); return err },
			"empty":    func() error { _, err := s.UserByLogin(ctx, ""); return err },
			"blank":    func() error { _, err := s.UserByLogin(ctx, " \t"); return err },
			"email":    func() error { _, err := s.UserByLocalEmail(ctx, "nobody@x"); return err },
			"no email": func() error { _, err := s.UserByLocalEmail(ctx, ""); return err },
			"session":  func() error { _, _, err := s.Session(ctx, "x"); return err },
			"token":    func() error { _, _, err := s.SessionByToken(ctx, store.HashToken("x")); return err },
			"identity": func() error { _, err := s.Identity(ctx, "i", "s"); return err },
			"link":     func() error { _, err := s.Link(ctx, store.HashToken("x")); return err },
			"setting":  func() error { _, err := s.Setting(ctx, "x"); return err },
			"update": func() error {
				return s.Change(ctx, func(tx store.Tx) error { _, err := tx.UpdateUser(ctx, newUser("x")); return err })
			},
			"delete": func() error { return s.Change(ctx, func(tx store.Tx) error { return tx.DeleteUser(ctx, "x") }) },
			"password": func() error {
				return s.Change(ctx, func(tx store.Tx) error { return tx.SetPassword(ctx, "x", store.PasswordChange{Hash: "h"}) })
			},
			"login at": func() error {
				return s.Change(ctx, func(tx store.Tx) error { return tx.SetLastLogin(ctx, "x", now()) })
			},
			"epoch": func() error { return s.Change(ctx, func(tx store.Tx) error { return tx.BumpEpoch(ctx, "x") }) },
		} {
			if err := call(); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", name, err)
			}
		}
	}},
	{"two spellings of one name are one name", func(t *testing.T, s store.Store) {
		for _, pair := range [][2]string{
			{"Straße", "STRASSE"},
			{"ﬁsh", "FISH"},
			{"Ａlice", "alice"},
			{"Café", "cafe\u0301"},
			{"  Bob ", "bob"},
			{"ΣΊΣΥΦΟΣ", "σίσυφος"},
			{"K\u212A", "kk"},
		} {
			u := addUser(t, s, pair[0])
			got, err := s.UserByUsername(t.Context(), pair[1])
			if err != nil || got.ID != u.ID {
				t.Errorf("%q does not find %q: %v", pair[1], pair[0], err)
			}
			err = try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateUser(ctx, newUser(pair[1])) })
			wantConflict(t, err, "username")
		}
	}},
	{"a conflict names its field and leaves the transaction usable", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "first", withEmail("one@example.com"))
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			same := newUser("other")
			same.ID = u.ID
			wantConflict(t, tx.CreateUser(ctx, same), "id")
			mail := newUser("second")
			mail.Email = "ONE@example.COM"
			wantConflict(t, tx.CreateUser(ctx, mail), "email")
			return tx.CreateUser(ctx, newUser("third")) // an import goes on
		})
		if _, err := s.UserByUsername(t.Context(), "third"); err != nil {
			t.Fatal(err)
		}
	}},
	{"an e-mail is unique among local accounts only", func(t *testing.T, s store.Store) {
		remote := func(u *store.User) { u.Local = false }
		addUser(t, s, "r1", withEmail("x@example.com"), remote)
		addUser(t, s, "r2", withEmail("x@example.com"), remote)
		local := addUser(t, s, "l1", withEmail("x@example.com"))
		addUser(t, s, "l2")
		addUser(t, s, "l3") // two without any
		got, err := s.UserByLocalEmail(t.Context(), "X@EXAMPLE.com")
		if err != nil || got.ID != local.ID {
			t.Fatalf("got %v, %v", got.Username, err)
		}
		// An account from a provider cannot become local if a local account has its e-mail address.
		r1, err := s.UserByUsername(t.Context(), "r1")
		if err != nil {
			t.Fatal(err)
		}
		r1.Local = true
		wantConflict(t, try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, r1); return err }), "email")
		wantConflict(t, try(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.SetPassword(ctx, r1.ID, store.PasswordChange{Hash: "h", At: now()})
		}), "email")
	}},
	{"a login is a username first and a local e-mail second", func(t *testing.T, s store.Store) {
		byMail := addUser(t, s, "someone", withEmail("shared@example.com"))
		if got, err := s.UserByLogin(t.Context(), "Shared@Example.com"); err != nil || got.ID != byMail.ID {
			t.Fatalf("by e-mail: %v, %v", got.Username, err)
		}
		byName := addUser(t, s, "shared@example.com")
		if got, err := s.UserByLogin(t.Context(), "shared@example.com"); err != nil || got.ID != byName.ID {
			t.Fatalf("the username does not come first: %v, %v", got.Username, err)
		}
		root := addUser(t, s, "root", withEmail("root@example.com"), func(u *store.User) { u.Managed = true })
		addUser(t, s, "root@example.com")
		if got, err := s.UserByLogin(t.Context(), "Root@example.com"); err != nil || got.ID != root.ID {
			t.Fatalf("the managed administrator's e-mail does not precede a username: %v, %v", got.Username, err)
		}
		addUser(t, s, "remote", withEmail("remote@example.com"), func(u *store.User) { u.Local = false })
		_, err := s.UserByLogin(t.Context(), "remote@example.com")
		wantErr(t, err, store.ErrNotFound) // an e-mail never identifies a person who comes from a provider
	}},
	{"an invalid name finds nobody", func(t *testing.T, s store.Store) {
		addUser(t, s, "a\uFFFDb")
		for _, name := range []string{"a\xffb", "a\x00b"} {
			_, err := s.UserByLogin(t.Context(), name)
			wantErr(t, err, store.ErrNotFound)
			if err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateUser(ctx, newUser(name)) }); err == nil {
				t.Fatalf("%q became a username", name)
			}
		}
	}},
	{"a name whose folded form is too long is refused", func(t *testing.T, s store.Store) {
		for _, name := range []string{strings.Repeat("\uFDFA", 84), incompressible(3000)} {
			long := newUser(name)
			mail := newUser("short")
			mail.Email = name
			for _, u := range []store.User{long, mail} {
				err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateUser(ctx, u) })
				if err == nil || errors.Is(err, store.ErrUnavailable) {
					t.Errorf("got %v, want a refusal", err)
				}
			}
		}
	}},
	{"an update writes everything except password fields", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "before", func(u *store.User) { u.PasswordHash = "hash"; u.MustChange = true; u.Epoch = 4 })
		seen := now().Add(time.Minute)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.SetLastLogin(ctx, u.ID, seen) })
		edit := u
		edit.Username, edit.Email, edit.EmailVerified, edit.Name = "After", "a@example.com", true, "N"
		edit.Role, edit.RoleGranted, edit.Groups, edit.Pending = store.RoleAdmin, true, []string{"g"}, true
		edit.Managed, edit.Local, edit.Origin = true, false, store.OriginOIDC
		edit.PasswordHash, edit.MustChange, edit.Epoch, edit.CreatedAt = "other", false, 9, now().Add(-time.Hour)
		edit.PasswordChangedAt = now()
		var stored store.User
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) { stored, err = tx.UpdateUser(ctx, edit); return err })
		want := edit
		want.PasswordHash, want.MustChange, want.Epoch, want.CreatedAt = "hash", true, 4, u.CreatedAt
		want.PasswordChangedAt = u.PasswordChangedAt
		want.Version, want.UpdatedAt = u.Version+1, stored.UpdatedAt
		want.LastLoginAt = seen // a sign-in since the read is not forgotten
		if !reflect.DeepEqual(stored, want) || !reflect.DeepEqual(getUser(t, s, u.ID), want) {
			t.Fatalf("got  %+v\nwant %+v", stored, want)
		}
		if _, err := s.UserByUsername(t.Context(), "before"); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("the old name is still found: %v", err)
		}
	}},
	{"an update of a stale version is refused", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		first, second := u, u
		first.Name, second.Name = "first", "second"
		change(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, first); return err })
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, second); return err }), store.ErrStale)
		if got := getUser(t, s, u.ID).Name; got != "first" {
			t.Fatalf("the name is %q", got)
		}
	}},
	{"an inactive user loses every way to get in", func(t *testing.T, s store.Store) {
		// Sessions, links and flows end, and re-activation revives nothing.
		u := addUser(t, s, "u")
		sess := addSession(t, s, u)
		link := addLink(t, s, store.LinkPassword, u.ID)
		flow := newFlow("link", u.ID)
		device := store.HashToken("device")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.CreateFlow(ctx, flow), tx.PutDevice(ctx, device, u.ID, now(), now().Add(time.Hour)))
		})
		off := u
		off.Active = false
		var stored store.User
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) { stored, err = tx.UpdateUser(ctx, off); return err })
		if stored.Epoch != u.Epoch+1 || stored.Active {
			t.Fatalf("stored %+v", stored)
		}
		stored.Active = true
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			stored, err = tx.UpdateUser(ctx, stored)
			return err
		})
		if stored.Epoch != u.Epoch+1 {
			t.Fatalf("the epoch is %d after re-activation, want %d", stored.Epoch, u.Epoch+1)
		}
		if known, err := s.KnownDevice(t.Context(), device, u.ID); known || err != nil {
			t.Errorf("the device is known: %v, %v", known, err)
		}
		if lives(t, s, sess) {
			t.Error("the session lives")
		}
		wantErr(t, takeLink(t, s, link), store.ErrNotFound)
		wantErr(t, takeFlow(t, s, flow), store.ErrNotFound)
	}},
	{"deleting a user deletes everything of the user", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		sess, link, flow := addSession(t, s, u), addLink(t, s, store.LinkPassword, u.ID), newFlow("link", u.ID)
		device := store.HashToken("device")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.CreateFlow(ctx, flow),
				tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "s", UserID: u.ID}),
				tx.PutDevice(ctx, device, u.ID, now(), now().Add(time.Hour)))
		})
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, u.ID) })
		if lives(t, s, sess) {
			t.Error("the session lives")
		}
		_, err := s.Identity(t.Context(), "i", "s")
		wantErr(t, err, store.ErrNotFound)
		_, err = s.Link(t.Context(), link.Hash)
		wantErr(t, err, store.ErrNotFound)
		wantErr(t, takeFlow(t, s, flow), store.ErrNotFound)
		if known, err := s.KnownDevice(t.Context(), device, u.ID); known || err != nil {
			t.Errorf("the device is known: %v, %v", known, err)
		}
	}},
	{"hostile text is rejected in keys and cannot fail other writes", func(t *testing.T, s store.Store) {
		for _, text := range hostileTexts {
			u := addUser(t, s, "u"+store.NewID(now()), func(u *store.User) { u.Name = text; u.Groups = []string{text} })
			addSession(t, s, u, func(sess *store.Session) { sess.UserAgent, sess.IP, sess.Host = text, text, text })
			if _, err := s.UserByLogin(t.Context(), text); err == nil {
				t.Errorf("%q signs somebody in", text)
			}
			if _, err := s.Users(t.Context(), store.UserQuery{Text: text, Provider: text}); err != nil {
				t.Errorf("search for %q: %v", text, err)
			}
		}
	}},
}

func usernames(users []store.User) []string {
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.Username
	}
	return names
}

var passwordTests = []test{
	{"a new password cancels links and makes the account local", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u", func(u *store.User) { u.Local = false })
		link, setup := addLink(t, s, store.LinkPassword, u.ID), addLink(t, s, store.LinkSetup, "")
		sess, at := addSession(t, s, u), now().Add(time.Second)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "new", MustChange: true, At: at})
		})
		got := getUser(t, s, u.ID)
		if got.PasswordHash != "new" || !got.MustChange || !got.Local || !got.PasswordChangedAt.Equal(at) {
			t.Fatalf("got %+v", got)
		}
		wantErr(t, takeLink(t, s, link), store.ErrNotFound)
		if err := takeLink(t, s, setup); err != nil {
			t.Errorf("the set-up link was canceled, too: %v", err)
		}
		if !lives(t, s, sess) || got.Epoch != u.Epoch {
			t.Error("it ended a session, which EndSessions does")
		}
		// A concurrent edit cannot reset Local again.
		u.Name = "late"
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err }), store.ErrStale)
	}},
	{"an empty hash removes the password", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u", func(u *store.User) { u.PasswordHash = "old" })
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.SetPassword(ctx, u.ID, store.PasswordChange{At: now()})
		})
		if got := getUser(t, s, u.ID); got.PasswordHash != "" || !got.Local {
			t.Fatalf("got %+v", got)
		}
	}},
	{"a re-hash replaces only the hash it was computed from", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u", func(u *store.User) { u.PasswordHash = "v1"; u.MustChange = true })
		link := addLink(t, s, store.LinkPassword, u.ID)
		rehash := func(from, to string) error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: to, At: now(), Rehash: true, IfHash: from})
			})
		}
		if err := rehash("v1", "v2"); err != nil {
			t.Fatal(err)
		}
		want := u
		want.PasswordHash = "v2"
		if got := getUser(t, s, u.ID); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		// A password that was changed while the old one was being checked is not overwritten.
		wantErr(t, rehash("v1", "v3"), store.ErrStale)
		if err := rehash("", "v3"); err == nil {
			t.Error("it replaced another hash")
		}
		if got := getUser(t, s, u.ID).PasswordHash; got != "v2" {
			t.Fatalf("the hash is %q", got)
		}
		if err := takeLink(t, s, link); err != nil {
			t.Errorf("the link went: %v", err)
		}
	}},
	{"the last sign-in only moves forward and keeps the version", func(t *testing.T, s store.Store) {
		u, late := addUser(t, s, "u"), now().Add(time.Hour)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.SetLastLogin(ctx, u.ID, late), tx.SetLastLogin(ctx, u.ID, late.Add(-time.Minute)))
		})
		if got := getUser(t, s, u.ID); !got.LastLoginAt.Equal(late) || got.Version != u.Version {
			t.Fatalf("got %+v", got)
		}
	}},
}
