package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

func newTrust(u store.User, token string) store.TrustedBrowser {
	at := now()
	return store.TrustedBrowser{
		ID: store.NewID(at), Hash: store.HashToken(token), UserID: u.ID, MFAAt: at.Add(-time.Second), CreatedAt: at,
		ExpiresAt: at.Add(time.Hour), SeenAt: at, IP: "192.0.2.7", UserAgent: "Firefox",
	}
}

func addTrust(t *testing.T, s store.Store, u store.User, token string) store.TrustedBrowser {
	t.Helper()
	b := newTrust(u, token)
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateTrustedBrowser(ctx, b) })
	return b
}

func trusts(t *testing.T, s store.Reader, token string) bool {
	t.Helper()
	_, err := s.TrustedBrowser(t.Context(), store.HashToken(token))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func trustedOf(t *testing.T, s store.Reader, u store.User) []store.TrustedBrowser {
	t.Helper()
	list, err := s.TrustedBrowsers(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// trustEnds are what ends the trust in every browser of a user who has an authenticator app and a passkey, named "app"
// and "key" with the user's name after it.
var trustEnds = map[string]func(ctx context.Context, tx store.Tx, u store.User) error{
	"the password is changed": func(ctx context.Context, tx store.Tx, u store.User) error {
		return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "new", At: now(), KeepTokens: true})
	},
	"the password is removed": func(ctx context.Context, tx store.Tx, u store.User) error {
		return tx.SetPassword(ctx, u.ID, store.PasswordChange{At: now()})
	},
	"an app is confirmed": func(ctx context.Context, tx store.Tx, u store.User) error {
		app := store.TOTP{ID: "2" + u.ID, UserID: u.ID, Secret: "s", CreatedAt: now()}
		return errors.Join(tx.PutTOTP(ctx, app), tx.ConfirmTOTP(ctx, u.ID, app.ID, "", 1, now()))
	},
	"an app is removed": func(ctx context.Context, tx store.Tx, u store.User) error {
		_, err := tx.DeleteTOTPs(ctx, u.ID, "app"+u.ID)
		return err
	},
	"a passkey is added": func(ctx context.Context, tx store.Tx, u store.User) error {
		return tx.CreatePasskey(ctx, newPasskey(u, "b.test", "c"))
	},
	"passkeys are removed": func(ctx context.Context, tx store.Tx, u store.User) error {
		_, err := tx.DeletePasskeys(ctx, u.ID, "")
		return err
	},
	"the user becomes an administrator": func(ctx context.Context, tx store.Tx, u store.User) error {
		u, err := tx.User(ctx, u.ID)
		u.Role, u.RoleGranted = store.RoleAdmin, true
		_, failed := tx.UpdateUser(ctx, u)
		return errors.Join(err, failed)
	},
	"it is forgotten": func(ctx context.Context, tx store.Tx, u store.User) error {
		_, err := tx.ForgetTrustedBrowsers(ctx, u.ID)
		return err
	},
	"no trust may last": func(ctx context.Context, tx store.Tx, _ store.User) error {
		_, err := tx.LimitTrust(ctx, 0)
		return err
	},
}

// withTrust adds a user with a password, an app, a passkey, a trusted browser, and a session that stands on it.
func withTrust(t *testing.T, s store.Store, name string) (u store.User, stands store.Session) {
	t.Helper()
	u = addUser(t, s, name, func(u *store.User) { u.PasswordHash = "h" })
	change(t, s, func(ctx context.Context, tx store.Tx) error {
		app := store.TOTP{ID: "app" + u.ID, UserID: u.ID, Secret: "s", CreatedAt: now()}
		return errors.Join(tx.PutTOTP(ctx, app), tx.ConfirmTOTP(ctx, u.ID, app.ID, "", 1, now()))
	})
	addPasskey(t, s, u, "a.test", "key"+u.ID)
	addTrust(t, s, u, name)
	stands = addSession(t, s, u, func(x *store.Session) { x.Methods, x.MFAAt = "pwd trusted mfa", now() })
	return u, stands
}

func methodsOf(t *testing.T, s store.Store, x store.Session) (string, time.Time) {
	t.Helper()
	got, _, err := s.Session(t.Context(), x.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got.Methods, got.MFAAt
}

var trustTests = []test{
	{"a trusted browser is returned as stored", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		a, b := addTrust(t, s, u, "a"), addTrust(t, s, u, "b")
		addTrust(t, s, addUser(t, s, "v"), "c")
		if got, err := s.TrustedBrowser(t.Context(), a.Hash); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v, %v", got, err)
		}
		if got := trustedOf(t, s, u); len(got) != 2 || got[0].ID != b.ID && got[0].ID != a.ID {
			t.Errorf("%+v", got)
		}
		at := now().Add(time.Minute)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.UseTrustedBrowser(ctx, a.Hash, at, "2001:db8::1%eth0", "Chrome")
		})
		a.SeenAt, a.IP, a.UserAgent = at, "2001:db8::1", "Chrome"
		if got, err := s.TrustedBrowser(t.Context(), a.Hash); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("after a use: %+v, %v", got, err)
		}
		for name, bad := range map[string]func(b *store.TrustedBrowser){
			"without an id":          func(b *store.TrustedBrowser) { b.ID = "" },
			"without a hash":         func(b *store.TrustedBrowser) { b.Hash = store.TokenHash{} },
			"of nobody":              func(b *store.TrustedBrowser) { b.UserID = "nobody" },
			"without a proof":        func(b *store.TrustedBrowser) { b.MFAAt = time.Time{} },
			"with a proof afterward": func(b *store.TrustedBrowser) { b.MFAAt = b.CreatedAt.Add(time.Second) },
			"without an end":         func(b *store.TrustedBrowser) { b.ExpiresAt = b.CreatedAt },
		} {
			x := newTrust(u, "bad")
			bad(&x)
			err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateTrustedBrowser(ctx, x) })
			if err == nil || trusts(t, s, "bad") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}},
	{"of too many trusted browsers the oldest goes", func(t *testing.T, s store.Store) {
		u, other := addUser(t, s, "u"), addUser(t, s, "v")
		addTrust(t, s, other, "other")
		for i := range store.MaxTrustedBrowsers + 2 {
			b := newTrust(u, strconv.Itoa(i))
			b.CreatedAt = b.CreatedAt.Add(time.Duration(i) * time.Second)
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateTrustedBrowser(ctx, b) })
		}
		if n := len(trustedOf(t, s, u)); n != store.MaxTrustedBrowsers || trusts(t, s, "0") || trusts(t, s, "1") ||
			!trusts(t, s, "2") || !trusts(t, s, "other") {
			t.Errorf("%d are left", n)
		}
	}},
	{"trust ends with what it stands on", func(t *testing.T, s store.Store) {
		addUser(t, s, "root", func(u *store.User) { u.Role, u.RoleGranted, u.PasswordHash = store.RoleAdmin, true, "h" })
		for what, end := range trustEnds {
			u, stands := withTrust(t, s, "u"+what)
			other, theirs := withTrust(t, s, "v"+what)
			proved := addSession(t, s, u, func(x *store.Session) { x.Methods, x.MFAAt = "pwd otp trusted mfa", now() })
			if !trusts(t, s, u.Username) {
				t.Fatalf("%s: no trust to begin with", what)
			}
			change(t, s, func(ctx context.Context, tx store.Tx) error { return end(ctx, tx, u) })
			if trusts(t, s, u.Username) || len(trustedOf(t, s, u)) > 0 {
				t.Errorf("%s: the trust lives on", what)
			}
			if m, at := methodsOf(t, s, stands); m != "pwd" || !at.IsZero() {
				t.Errorf("%s: a session has %q, %v", what, m, at)
			}
			if m, at := methodsOf(t, s, proved); m != "pwd otp mfa" || at.IsZero() {
				t.Errorf("%s: a session with a proof of its own has %q, %v", what, m, at)
			}
			if m, _ := methodsOf(t, s, theirs); trusts(t, s, other.Username) != (m == "pwd trusted mfa") ||
				trusts(t, s, other.Username) == (what == "no trust may last") {
				t.Errorf("%s: the trust of another: %q", what, m)
			}
		}
	}},
	{"trust ends with a user who is turned off or deleted", func(t *testing.T, s store.Store) {
		u, _ := withTrust(t, s, "u")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			x := userOf(t, tx, u)
			x.Active = false
			x, err := tx.UpdateUser(ctx, x)
			x.Active = true
			_, on := tx.UpdateUser(ctx, x)
			return errors.Join(err, on)
		})
		if trusts(t, s, "u") {
			t.Error("the trust was there again when the user was turned on again")
		}
		v, _ := withTrust(t, s, "v")
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, v.ID) })
		if trusts(t, s, "v") {
			t.Error("the trust outlived its user")
		}
	}},
	{"trust outlives what it does not stand on", func(t *testing.T, s store.Store) {
		u, stands := withTrust(t, s, "u")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			app := store.TOTP{ID: "waits", UserID: u.ID, Secret: "s", CreatedAt: now()}
			_, removed := tx.DeleteTOTPs(ctx, u.ID, "app that is not there")
			err := errors.Join(
				removed, tx.PutTOTP(ctx, app), tx.RenameTOTP(ctx, u.ID, "app"+u.ID, "x"),
				tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "again", Rehash: true, IfHash: "h", At: now()}),
				tx.SetLastLogin(ctx, u.ID, now()), tx.SetFactors(ctx, u.ID, store.Factors{Failures: 3}))
			_, given := tx.DeleteTOTPs(ctx, u.ID, "waits")
			x := userOf(t, tx, u)
			x.Name = "another"
			_, renamed := tx.UpdateUser(ctx, x)
			return errors.Join(err, given, renamed)
		})
		if m, _ := methodsOf(t, s, stands); !trusts(t, s, "u") || m != "pwd trusted mfa" {
			t.Errorf("the trust has ended: %q", m)
		}
	}},
	{"trusted browsers are forgotten one by one, and all but some", func(t *testing.T, s store.Store) {
		u, stands := withTrust(t, s, "u")
		v, theirs := withTrust(t, s, "v")
		a, b := addTrust(t, s, u, "a"), addTrust(t, s, u, "b")
		forget := func(u store.User, id string) error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ForgetTrustedBrowser(ctx, u.ID, id) })
		}
		for _, id := range []string{"", "x", a.ID} {
			if err := forget(v, id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q of another: %v", id, err)
			}
		}
		var n int
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			n, err = tx.ForgetTrustedBrowsers(ctx, u.ID, a.Hash, b.Hash)
			return err
		})
		if m, _ := methodsOf(t, s, stands); n != 1 || trusts(t, s, "u") || !trusts(t, s, "a") || m != "pwd trusted mfa" {
			t.Errorf("%d were forgotten; a session has %q", n, m)
		}
		if err := forget(u, a.ID); err != nil || trusts(t, s, "a") || !trusts(t, s, "b") {
			t.Errorf("forgetting one: %v", err)
		}
		if m, _ := methodsOf(t, s, stands); m != "pwd" {
			t.Errorf("no session says which browser it stands on, and one has %q", m)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			n, err = tx.ForgetTrustedBrowsers(ctx, store.AllUsers)
			return err
		})
		if m, _ := methodsOf(t, s, theirs); n != 2 || trusts(t, s, "b") || trusts(t, s, "v") || m != "pwd" {
			t.Errorf("%d of all; a session has %q", n, m)
		}
	}},
	{"trust can be made shorter, and not longer", func(t *testing.T, s store.Store) {
		u, stands := withTrust(t, s, "u")
		b, err := s.TrustedBrowser(t.Context(), store.HashToken("u"))
		if err != nil {
			t.Fatal(err)
		}
		old := newTrust(u, "old")
		old.CreatedAt, old.MFAAt = old.CreatedAt.Add(-30*time.Minute), old.MFAAt.Add(-30*time.Minute)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateTrustedBrowser(ctx, old) })
		for _, c := range []struct {
			lasts, until time.Duration
			n            int
			methods      string
		}{
			{2 * time.Hour, time.Hour, 0, "pwd trusted mfa"},
			{45 * time.Minute, 45 * time.Minute, 2, "pwd trusted mfa"},
			{20 * time.Minute, 20 * time.Minute, 2, "pwd"}, // the old one is over by that
			{time.Hour, 20 * time.Minute, 0, "pwd"},
		} {
			var n int
			change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
				n, err = tx.LimitTrust(ctx, c.lasts)
				return err
			})
			got, err := s.TrustedBrowser(t.Context(), b.Hash)
			if err != nil || n != c.n || !got.ExpiresAt.Equal(b.CreatedAt.Add(c.until)) {
				t.Errorf("%v: %d, %v, %v", c.lasts, n, got.ExpiresAt, err)
			}
			if m, _ := methodsOf(t, s, stands); m != c.methods {
				t.Errorf("%v: a session has %q", c.lasts, m)
			}
		}
		sweepAll(t, s, now().Add(21*time.Minute), 0, 10)
		if trusts(t, s, "u") {
			t.Error("a browser that is trusted no more was kept")
		}
	}},
	{"a session that is renewed has no more trust than it had", func(t *testing.T, s store.Store) {
		u, old := withTrust(t, s, "u")
		replace := func(old store.Session) store.Session {
			x := old
			x.ID, x.TokenHash, x.Methods = store.NewID(now()), store.HashToken(store.NewToken()), "pwd trusted mfa"
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ReplaceSession(ctx, old.ID, x) })
			return x
		}
		old = replace(old)
		if m, at := methodsOf(t, s, old); m != "pwd trusted mfa" || at.IsZero() {
			t.Errorf("%q, %v", m, at)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.ForgetTrustedBrowsers(ctx, u.ID)
			return err
		})
		if m, at := methodsOf(t, s, replace(old)); m != "pwd" || !at.IsZero() {
			t.Errorf("after the trust has ended: %q, %v", m, at)
		}
	}},
	{"caches hear of trust that ends", func(t *testing.T, s store.Store) {
		_, stands := withTrust(t, s, "u")
		r := Watch(t, s)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.ForgetTrustedBrowsers(ctx, stands.UserID)
			return err
		})
		if c := (store.Change{Kind: store.ChangeSession, Subject: stands.ID}); !slices.Contains(r.Take(), c) {
			t.Error("nobody was told of the session")
		}
	}},
}
