package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// newTOTP returns an authenticator app that is not confirmed, not yet stored.
func newTOTP(u store.User) store.TOTP {
	at := now()
	return store.TOTP{ID: store.NewID(at), UserID: u.ID, Name: "phone", Secret: "s1.1.sealed", CreatedAt: at}
}

func addTOTP(t *testing.T, s store.Store, u store.User) store.TOTP {
	t.Helper()
	app := newTOTP(u)
	change(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tx.PutTOTP(ctx, app), tx.ConfirmTOTP(ctx, u.ID, app.ID, app.Name, 100, app.CreatedAt))
	})
	return app
}

func totps(t *testing.T, s store.Reader, u store.User) []store.TOTP {
	t.Helper()
	list, err := s.TOTPs(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func useStep(t *testing.T, s store.Store, app store.TOTP, step int64) error {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx store.Tx) error {
		return tx.UseTOTP(ctx, app.UserID, app.ID, step, now())
	})
}

// addCodes gives a user new recovery codes and returns their hashes.
func addCodes(t *testing.T, s store.Store, u store.User, n int) (hashes []store.TokenHash) {
	t.Helper()
	for range n {
		hashes = append(hashes, store.HashToken(store.NewToken()))
	}
	change(t, s, func(ctx context.Context, tx store.Tx) error {
		return tx.ReplaceRecoveryCodes(ctx, u.ID, hashes, now())
	})
	return hashes
}

func useCode(t *testing.T, s store.Store, u store.User, hash store.TokenHash) error {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.UseRecoveryCode(ctx, u.ID, hash, now()) })
}

func codes(t *testing.T, s store.Reader, u store.User) store.RecoveryCodes {
	t.Helper()
	c, err := s.RecoveryCodes(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var factorTests = []test{
	{"an authenticator app counts from its confirmation on", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		app := newTOTP(u)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, app) })
		if got := totps(t, s, u); len(got) != 1 || !reflect.DeepEqual(got[0], app) {
			t.Fatalf("stored %+v, want %+v", got, app)
		}
		if got := getUser(t, s, u.ID); got.Factors.Any() {
			t.Fatal("one counts that was not confirmed")
		}
		wantErr(t, useStep(t, s, app, 100), store.ErrNotFound)
		at := app.CreatedAt.Add(time.Minute)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.ConfirmTOTP(ctx, u.ID, app.ID, "tablet", 100, at)
		})
		app.Name, app.ConfirmedAt, app.LastUsedAt, app.LastStep = "tablet", at, at, 100
		if got := totps(t, s, u); len(got) != 1 || !reflect.DeepEqual(got[0], app) {
			t.Fatalf("confirmed %+v, want %+v", got, app)
		}
		got := getUser(t, s, u.ID)
		if got.Factors.TOTPs != 1 || !got.Factors.Asked() {
			t.Fatalf("%+v", got.Factors)
		}
		sess := addSession(t, s, u)
		if _, of, err := s.SessionByToken(t.Context(), sess.TokenHash); err != nil || of.Factors != got.Factors {
			t.Fatalf("the user of a session has %+v, %v", of.Factors, err)
		}
	}},
	{"a new authenticator app replaces the one that was not confirmed", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		kept, others, first, second := addTOTP(t, s, u), newTOTP(v), newTOTP(u), newTOTP(u)
		for _, app := range []store.TOTP{others, first, second} {
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, app) })
		}
		var ids []string
		for _, app := range totps(t, s, u) {
			ids = append(ids, app.ID)
		}
		slices.Sort(ids)
		want := []string{kept.ID, second.ID}
		slices.Sort(want)
		if !slices.Equal(ids, want) || len(totps(t, s, v)) != 1 {
			t.Fatalf("%v, want %v", ids, want)
		}
		wantErr(t, confirm(t, s, first, now()), store.ErrNotFound)
	}},
	{"only a person's own app is confirmed, once, and in time", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		app := newTOTP(u)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, app) })
		theirs := app
		theirs.UserID = v.ID
		wantErr(t, confirm(t, s, theirs, now()), store.ErrNotFound)
		wantErr(t, confirm(t, s, app, app.CreatedAt.Add(store.TOTPSetupTTL)), store.ErrNotFound)
		if err := confirm(t, s, app, now()); err != nil {
			t.Fatal(err)
		}
		wantErr(t, confirm(t, s, app, now()), store.ErrNotFound)
		for range store.MaxTOTPs - 1 {
			addTOTP(t, s, u)
		}
		more := newTOTP(u)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, more) })
		wantConflict(t, confirm(t, s, more, now()), "totp")
		if got := getUser(t, s, u.ID).Factors.TOTPs; got != store.MaxTOTPs {
			t.Fatalf("%d are counted", got)
		}
	}},
	{"a step is used once, and no earlier one after it", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		app, other := addTOTP(t, s, u), addTOTP(t, s, u)
		wantErr(t, useStep(t, s, app, 100), store.ErrStale) // that of the confirmation
		if err := useStep(t, s, app, 102); err != nil {
			t.Fatal(err)
		}
		for _, step := range []int64{102, 101, 1} {
			wantErr(t, useStep(t, s, app, step), store.ErrStale)
		}
		if err := errors.Join(useStep(t, s, app, 103), useStep(t, s, other, 101)); err != nil {
			t.Fatal(err)
		}
		theirs := app
		theirs.UserID = addUser(t, s, "v").ID
		wantErr(t, useStep(t, s, theirs, 200), store.ErrNotFound)
		if err := useStep(t, s, app, 0); err == nil {
			t.Fatal("no step was used")
		}
		if got := totps(t, s, u); got[0].LastStep+got[1].LastStep != 204 || got[0].LastUsedAt.IsZero() {
			t.Fatalf("%+v", got)
		}
	}},
	{"authenticator apps are renamed and deleted, alone or all", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		a, b, theirs, unconfirmed := addTOTP(t, s, u), addTOTP(t, s, u), addTOTP(t, s, v), newTOTP(u)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.PutTOTP(ctx, unconfirmed), tx.RenameTOTP(ctx, u.ID, a.ID, "new\x00"))
		})
		for _, id := range []string{theirs.ID, unconfirmed.ID, "\x00"} {
			err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.RenameTOTP(ctx, u.ID, id, "x") })
			wantErr(t, err, store.ErrNotFound)
		}
		remove := func(id string) (deleted []store.TOTP) {
			change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
				deleted, err = tx.DeleteTOTPs(ctx, u.ID, id)
				return err
			})
			return deleted
		}
		if got := append(remove(theirs.ID), remove("\x00")...); len(got) != 0 {
			t.Fatalf("deleted somebody else's: %v", got)
		}
		if got := remove(a.ID); len(got) != 1 || got[0].Name != "new\uFFFD" || getUser(t, s, u.ID).Factors.TOTPs != 1 {
			t.Fatalf("deleted %+v", got)
		}
		if got := remove(""); len(got) != 2 || !slices.ContainsFunc(got, func(x store.TOTP) bool { return x.ID == b.ID }) {
			t.Fatalf("deleted %+v", got)
		}
		if getUser(t, s, u.ID).Factors.Any() || getUser(t, s, v.ID).Factors.TOTPs != 1 || len(totps(t, s, u)) != 0 {
			t.Fatal("the wrong ones are left")
		}
	}},
	{"a recovery code is used once, by its owner", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		first, theirs := addCodes(t, s, u, 10), addCodes(t, s, v, 1)
		if err := useCode(t, s, u, first[3]); err != nil {
			t.Fatal(err)
		}
		for _, hash := range []store.TokenHash{first[3], theirs[0], {}} {
			wantErr(t, useCode(t, s, u, hash), store.ErrNotFound)
		}
		if c := codes(t, s, u); c.Left != 9 || c.Used != 1 || c.MadeAt.IsZero() || c.LastUsedAt.IsZero() {
			t.Fatalf("%+v", c)
		}
		err := try(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.UseRecoveryCode(ctx, u.ID, first[4], time.Time{})
		})
		if err == nil {
			t.Fatal("a code was used at no time, and so could be used again")
		}
		addCodes(t, s, u, 2)
		wantErr(t, useCode(t, s, u, first[0]), store.ErrNotFound)
		if c := codes(t, s, u); c.Left != 2 || c.Used != 0 || !c.LastUsedAt.IsZero() {
			t.Fatalf("new codes: %+v", c)
		}
		addCodes(t, s, u, 0)
		if c := codes(t, s, u); c != (store.RecoveryCodes{}) {
			t.Fatalf("none: %+v", c)
		}
		if c := codes(t, s, v); c.Left != 1 {
			t.Fatalf("somebody else's: %+v", c)
		}
	}},
	{"the state of factors is written by SetFactors alone", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u", func(u *store.User) { u.Factors = store.Factors{TOTPs: 3, Ask: true, CodesSaved: true} })
		if u.Factors != (store.Factors{}) {
			t.Fatalf("a new user has %+v", u.Factors)
		}
		addTOTP(t, s, u)
		want := store.Factors{
			TOTPs: 1, Ask: true, DueAt: now(), Failures: 7, CodesSaved: true, NoticesSeenAt: now().Add(time.Hour),
		}
		written := want
		written.TOTPs, written.Passkeys = 5, 5
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.SetFactors(ctx, u.ID, written) })
		u = getUser(t, s, u.ID)
		if u.Factors != want {
			t.Fatalf("stored %+v, want %+v", u.Factors, want)
		}
		u.Name, u.Factors = "other", store.Factors{}
		change(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err })
		if got := getUser(t, s, u.ID); got.Factors != want || got.Name != "other" {
			t.Fatalf("an update wrote %+v", got.Factors)
		}
	}},
	{"a change of factors changes the version and is announced", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		app, spare := addTOTP(t, s, u), newTOTP(u)
		code := addCodes(t, s, u, 1)[0]
		r := Watch(t, s)
		for _, c := range []struct {
			name string
			fn   func(ctx context.Context, tx store.Tx) error
			want bool
		}{
			{"state", func(ctx context.Context, tx store.Tx) error { return tx.SetFactors(ctx, u.ID, u.Factors) }, true},
			{"put", func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, spare) }, true},
			{"confirm", func(ctx context.Context, tx store.Tx) error {
				return tx.ConfirmTOTP(ctx, u.ID, spare.ID, "", 1, now())
			}, true},
			{"rename", func(ctx context.Context, tx store.Tx) error { return tx.RenameTOTP(ctx, u.ID, app.ID, "x") }, true},
			{"delete", func(ctx context.Context, tx store.Tx) error {
				_, err := tx.DeleteTOTPs(ctx, u.ID, spare.ID)
				return err
			}, true},
			{"use", func(ctx context.Context, tx store.Tx) error { return tx.UseTOTP(ctx, u.ID, app.ID, 200, now()) }, false},
			{"use a code", func(ctx context.Context, tx store.Tx) error {
				return tx.UseRecoveryCode(ctx, u.ID, code, now())
			}, false},
			{"codes", func(ctx context.Context, tx store.Tx) error {
				return tx.ReplaceRecoveryCodes(ctx, u.ID, nil, time.Time{})
			}, true},
		} {
			before := getUser(t, s, u.ID).Version
			change(t, s, c.fn)
			wantChanges, step := []store.Change(nil), int64(0)
			if c.want {
				wantChanges, step = []store.Change{{Kind: store.ChangeUser, Subject: u.ID}}, 1
			}
			if got := r.Take(); !slices.Equal(got, wantChanges) {
				t.Errorf("%s: delivered %v", c.name, got)
			}
			if after := getUser(t, s, u.ID).Version; after != before+step {
				t.Errorf("%s: the version went from %d to %d", c.name, before, after)
			}
		}
	}},
	{"a service account and nobody have no factors", func(t *testing.T, s store.Store) {
		service := addService(t, s, "bot")
		for _, id := range []string{service.ID, "nobody"} {
			app := newTOTP(service)
			app.UserID = id
			for name, fn := range map[string]func(ctx context.Context, tx store.Tx) error{
				"put":   func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, app) },
				"state": func(ctx context.Context, tx store.Tx) error { return tx.SetFactors(ctx, id, store.Factors{}) },
				"codes": func(ctx context.Context, tx store.Tx) error {
					return tx.ReplaceRecoveryCodes(ctx, id, []store.TokenHash{store.HashToken("x")}, now())
				},
				"half-login": func(ctx context.Context, tx store.Tx) error {
					h := newHalfLogin(service)
					h.UserID = id
					return tx.CreateHalfLogin(ctx, h)
				},
			} {
				err := try(t, s, fn)
				if err == nil || errors.Is(err, store.ErrUnavailable) || (id == "nobody") != errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s of %q: %v", name, id, err)
				}
			}
		}
	}},
	{"a malformed factor is refused, and a long name is truncated", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		for name, spoil := range map[string]func(app *store.TOTP){
			"no id":       func(app *store.TOTP) { app.ID = "" },
			"long id":     func(app *store.TOTP) { app.ID = incompressible(6000) },
			"no secret":   func(app *store.TOTP) { app.Secret = "" },
			"NUL":         func(app *store.TOTP) { app.Secret = "\x00" },
			"long secret": func(app *store.TOTP) { app.Secret = incompressible(6000) },
			"no time":     func(app *store.TOTP) { app.CreatedAt = time.Time{} },
			"confirmed":   func(app *store.TOTP) { app.ConfirmedAt = now() },
			"used":        func(app *store.TOTP) { app.LastStep = 1 },
		} {
			app := newTOTP(u)
			spoil(&app)
			err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, app) })
			if err == nil || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range hostileTexts {
			app := newTOTP(u)
			app.Name = name
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTOTP(ctx, app) })
			if got := totps(t, s, u)[0].Name; len(got) > 256 || strings.Contains(got, "\x00") {
				t.Errorf("%.20q is stored as %q", name, got)
			}
		}
		for name, hashes := range map[string][]store.TokenHash{"zero": {{}}, "many": make([]store.TokenHash, 1000)} {
			err := try(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.ReplaceRecoveryCodes(ctx, u.ID, hashes, now())
			})
			if err == nil || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}},
	{"the factors of a deleted user are gone", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		app, code, half := addTOTP(t, s, u), addCodes(t, s, u, 1)[0], addHalfLogin(t, s, u)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, u.ID) })
		if got := totps(t, s, u); len(got) != 0 || codes(t, s, u) != (store.RecoveryCodes{}) {
			t.Fatalf("%+v", got)
		}
		wantErr(t, useStep(t, s, app, 500), store.ErrNotFound)
		wantErr(t, useCode(t, s, u, code), store.ErrNotFound)
		wantErr(t, takeHalfLogin(t, s, half, now()), store.ErrNotFound)
	}},
	{"users are listed by their second factors", listByFactors},
}

func confirm(t *testing.T, s store.Store, app store.TOTP, at time.Time) error {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx store.Tx) error {
		return tx.ConfirmTOTP(ctx, app.UserID, app.ID, app.Name, 100, at)
	})
}
