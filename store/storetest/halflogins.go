package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// newHalfLogin returns a half-login of a browser that is not known, not yet stored.
func newHalfLogin(u store.User) store.HalfLogin {
	at := now()
	return store.HalfLogin{
		ID: store.NewID(at), Hash: store.HashToken(store.NewToken()), UserID: u.ID, Purpose: store.HalfLoginVerify,
		Epoch: u.Epoch, Password: "fingerprint", Host: "app.test", Data: "s1.1.sealed",
		CreatedAt: at, ExpiresAt: at.Add(5 * time.Minute),
	}
}

func addHalfLogin(t *testing.T, s store.Store, u store.User, with ...func(*store.HalfLogin)) store.HalfLogin {
	t.Helper()
	h := newHalfLogin(u)
	for _, w := range with {
		w(&h)
	}
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateHalfLogin(ctx, h) })
	return h
}

func takeHalfLogin(t *testing.T, s store.Store, h store.HalfLogin, at time.Time) error {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx store.Tx) error {
		got, err := tx.TakeHalfLogin(ctx, h.Hash, at)
		if err == nil && !reflect.DeepEqual(got, h) {
			t.Errorf("took %+v, want %+v", got, h)
		}
		return err
	})
}

// open reports whether a half-login is found.
func open(t *testing.T, s store.Reader, h store.HalfLogin) bool {
	t.Helper()
	_, _, err := s.HalfLogin(t.Context(), h.Hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

var halfLoginTests = []test{
	{"a half-login is read often and taken once, before it expires", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		h := addHalfLogin(t, s, u)
		for range 2 {
			got, user, err := s.HalfLogin(t.Context(), h.Hash)
			if err != nil || !reflect.DeepEqual(got, h) || user.ID != u.ID || user.Username != "u" {
				t.Fatalf("%+v of %+v, %v, want %+v", got, user, err, h)
			}
		}
		wantErr(t, takeHalfLogin(t, s, h, h.ExpiresAt), store.ErrNotFound)
		if !open(t, s, h) {
			t.Fatal("one that is over is not found, and its page can't say whose it was")
		}
		if err := takeHalfLogin(t, s, h, h.ExpiresAt.Add(-time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		wantErr(t, takeHalfLogin(t, s, h, now()), store.ErrNotFound)
		if open(t, s, h) {
			t.Fatal("it is still there")
		}
	}},
	{"strangers replace the oldest half-login of a stranger", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		theirs := addHalfLogin(t, s, v)
		var list []store.HalfLogin
		for i := range store.MaxHalfLogins + 2 {
			list = append(list, addHalfLogin(t, s, u, func(h *store.HalfLogin) {
				h.CreatedAt = h.CreatedAt.Add(time.Duration(i) * time.Second)
			}))
		}
		for i, h := range list {
			if got := open(t, s, h); got != (i >= 2) {
				t.Errorf("number %d is open: %t", i, got)
			}
		}
		if !open(t, s, theirs) {
			t.Error("that of another user was replaced")
		}
		late := addHalfLogin(t, s, u, func(h *store.HalfLogin) { h.CreatedAt = h.CreatedAt.Add(-time.Hour) })
		if !open(t, s, late) {
			t.Error("a new one is gone because of the clock of whoever wrote it")
		}
	}},
	{"strangers never replace the half-login of a known browser", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		from := func(browser string) func(*store.HalfLogin) {
			return func(h *store.HalfLogin) { h.Browser = browser }
		}
		home, work := addHalfLogin(t, s, u, from("home")), addHalfLogin(t, s, u, from("work"))
		stranger := addHalfLogin(t, s, u, func(h *store.HalfLogin) { h.CreatedAt = h.CreatedAt.Add(-time.Second) })
		for range 3 * store.MaxHalfLogins {
			addHalfLogin(t, s, u)
		}
		if !open(t, s, home) || !open(t, s, work) || open(t, s, stranger) {
			t.Fatal("the wrong ones were replaced")
		}
		again := addHalfLogin(t, s, u, from("home"))
		if open(t, s, home) || !open(t, s, again) || !open(t, s, work) {
			t.Fatal("a browser has a half-login, and others theirs")
		}
		other := addHalfLogin(t, s, addUser(t, s, "v"), from("home"))
		if !open(t, s, other) || !open(t, s, again) {
			t.Fatal("a browser that two people use has one for each")
		}
	}},
	{"half-logins end with whatever ends sign-ins in progress", func(t *testing.T, s store.Store) {
		for name, c := range map[string]struct {
			fn   func(ctx context.Context, tx store.Tx, u store.User) error
			ends bool
		}{
			"inactive": {func(ctx context.Context, tx store.Tx, u store.User) error {
				u.Active = false
				_, err := tx.UpdateUser(ctx, u)
				return err
			}, true},
			"renamed": {func(ctx context.Context, tx store.Tx, u store.User) error {
				u.Name = "x"
				_, err := tx.UpdateUser(ctx, u)
				return err
			}, false},
			"password": {func(ctx context.Context, tx store.Tx, u store.User) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "n", At: now(), KeepTokens: true})
			}, true},
			"no password": {func(ctx context.Context, tx store.Tx, u store.User) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{At: now()})
			}, true},
			"re-hash": {func(ctx context.Context, tx store.Tx, u store.User) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "n", Rehash: true, IfHash: "h", At: now()})
			}, false},
			"epoch": {func(ctx context.Context, tx store.Tx, u store.User) error { return tx.BumpEpoch(ctx, u.ID) }, true},
			"all sessions": {func(ctx context.Context, tx store.Tx, _ store.User) error {
				_, err := tx.EndSessions(ctx, store.SessionSelector{All: true})
				return err
			}, true},
			"asked for": {func(ctx context.Context, tx store.Tx, u store.User) error {
				return tx.EndHalfLogins(ctx, u.ID)
			}, true},
			"nobody's": {func(ctx context.Context, tx store.Tx, _ store.User) error {
				return errors.Join(tx.EndHalfLogins(ctx, ""), tx.EndHalfLogins(ctx, "\x00"))
			}, false},
		} {
			u := addUser(t, s, name, func(u *store.User) { u.PasswordHash = "h" })
			h := addHalfLogin(t, s, u)
			known := addHalfLogin(t, s, u, func(h *store.HalfLogin) { h.Browser = "known" })
			other := addHalfLogin(t, s, addUser(t, s, name+" too"))
			change(t, s, func(ctx context.Context, tx store.Tx) error { return c.fn(ctx, tx, u) })
			if open(t, s, h) == c.ends || open(t, s, known) == c.ends {
				t.Errorf("%s: open %t, %t", name, open(t, s, h), open(t, s, known))
			}
			if open(t, s, other) == (name == "all sessions") {
				t.Errorf("%s: that of another user is open: %t", name, open(t, s, other))
			}
		}
	}},
	{"a malformed half-login is refused", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		for name, spoil := range map[string]func(h *store.HalfLogin){
			"no id":      func(h *store.HalfLogin) { h.ID = "" },
			"no hash":    func(h *store.HalfLogin) { h.Hash = store.TokenHash{} },
			"no purpose": func(h *store.HalfLogin) { h.Purpose = "" },
			"purpose":    func(h *store.HalfLogin) { h.Purpose = "login" },
			"no end":     func(h *store.HalfLogin) { h.ExpiresAt = time.Time{} },
			"past":       func(h *store.HalfLogin) { h.ExpiresAt = h.CreatedAt },
			"no time":    func(h *store.HalfLogin) { h.CreatedAt = time.Time{} },
			"NUL":        func(h *store.HalfLogin) { h.Browser = "\x00" },
			"long":       func(h *store.HalfLogin) { h.Browser = incompressible(6000) },
			"long data":  func(h *store.HalfLogin) { h.Data = incompressible(100_000) },
		} {
			h := newHalfLogin(u)
			spoil(&h)
			err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateHalfLogin(ctx, h) })
			if err == nil || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, host := range hostileTexts { // it comes from the client
			h := newHalfLogin(u)
			h.Host = host
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateHalfLogin(ctx, h) })
		}
	}},
	{"sweeping deletes half-logins and apps that nobody finished", func(t *testing.T, s store.Store) {
		u, v, at := addUser(t, s, "u"), addUser(t, s, "v"), now()
		confirmed, fresh, stale := addTOTP(t, s, u), newTOTP(u), newTOTP(v)
		stale.CreatedAt = at.Add(-store.TOTPSetupTTL)
		code := addCodes(t, s, u, 1)[0]
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.PutTOTP(ctx, fresh), tx.PutTOTP(ctx, stale), tx.UseRecoveryCode(ctx, u.ID, code, at))
		})
		ended := func(d time.Duration) func(*store.HalfLogin) {
			return func(h *store.HalfLogin) { h.CreatedAt, h.ExpiresAt = at.Add(-24*time.Hour), at.Add(-d) }
		}
		live, over, gone := addHalfLogin(t, s, u), addHalfLogin(t, s, u, ended(0)), addHalfLogin(t, s, u, ended(time.Hour))
		if n := sweepAll(t, s, at, 0, 1); n != 2 {
			t.Errorf("swept %d rows, want 2", n)
		}
		if !open(t, s, live) || !open(t, s, over) || open(t, s, gone) {
			t.Error("the wrong half-logins were deleted")
		}
		if got := totps(t, s, u); len(got) != 2 || len(totps(t, s, v)) != 0 {
			t.Errorf("apps that are left: %+v", got)
		}
		sweepAll(t, s, at.Add(365*24*time.Hour), 0, 100)
		if got := totps(t, s, u); len(got) != 1 || got[0].ID != confirmed.ID || codes(t, s, u).Used != 1 {
			t.Errorf("after a year: %+v", got)
		}
	}},
	{"a session keeps what was proved in it", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		with := func(x *store.Session) { x.Methods, x.MFAAt = "pwd otp mfa", at }
		sess, plain := addSession(t, s, u, with), addSession(t, s, u)
		next, _ := newSession(u)
		with(&next)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ReplaceSession(ctx, plain.ID, next) })
		for _, want := range []store.Session{sess, next} {
			got, _, err := s.SessionByToken(t.Context(), want.TokenHash)
			if err != nil || got.Methods != "pwd otp mfa" || !got.MFAAt.Equal(at) {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		page, err := s.Sessions(t.Context(), store.SessionQuery{UserID: u.ID, Now: now()})
		if err != nil || len(page.Items) != 2 || page.Items[0].Methods != "pwd otp mfa" {
			t.Fatalf("listed %+v, %v", page.Items, err)
		}
	}},
	{"the levels of a user's sessions are set where they differ", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		with := func(x *store.Session) { x.Methods, x.MFAAt = "pwd otp mfa", at }
		strong, weak := addSession(t, s, u, with), addSession(t, s, u, func(x *store.Session) { x.Methods = "pwd" })
		other := addSession(t, s, addUser(t, s, "v"), with)
		r := Watch(t, s)
		var seen []string
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.SetSessionLevels(ctx, u.ID, func(x store.Session) store.SessionLevel {
				seen = append(seen, x.ID)
				return store.SessionLevel{Methods: "pwd"}
			})
		})
		if got := r.Take(); !slices.Equal(got, []store.Change{{Kind: store.ChangeSession, Subject: strong.ID}}) {
			t.Fatalf("delivered %v", got)
		}
		if len(seen) != 2 {
			t.Fatalf("asked about %v", seen)
		}
		for _, x := range []store.Session{strong, weak} {
			got, _, err := s.SessionByToken(t.Context(), x.TokenHash)
			if err != nil || got.Methods != "pwd" || !got.MFAAt.IsZero() {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		got, _, err := s.SessionByToken(t.Context(), other.TokenHash)
		if err != nil || got.Methods != "pwd otp mfa" {
			t.Fatalf("somebody else's: %+v, %v", got, err)
		}
		err = try(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.SetSessionLevels(ctx, u.ID, func(store.Session) store.SessionLevel {
				return store.SessionLevel{Methods: "\x00"}
			})
		})
		if err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("malformed: %v", err)
		}
	}},
}
