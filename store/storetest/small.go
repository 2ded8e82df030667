package storetest

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

var smallTests = []test{
	{"a device is known to the user it signed in as, until it expires", func(t *testing.T, s store.Store) {
		u, v, hash := addUser(t, s, "u"), addUser(t, s, "v"), store.HashToken("d")
		put := func(expires time.Time) {
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutDevice(ctx, hash, u.ID, now(), expires) })
		}
		known := func(hash store.TokenHash, id string) bool {
			ok, err := s.KnownDevice(t.Context(), hash, id)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		put(now().Add(time.Hour))
		if !known(hash, u.ID) || known(hash, v.ID) || known(store.HashToken("e"), u.ID) || known(hash, "\x00") {
			t.Fatal("the wrong devices are known")
		}
		put(now().Add(-time.Second))
		if known(hash, u.ID) {
			t.Fatal("an expired device is known")
		}
	}},
	{"a user has a few known devices: the least recently seen is dropped", func(t *testing.T, s store.Store) {
		u, v, at := addUser(t, s, "u"), addUser(t, s, "v"), now()
		put := func(id, name string, seen time.Duration) {
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.PutDevice(ctx, store.HashToken(name), id, at.Add(seen), at.Add(time.Hour))
			})
		}
		put(v.ID, "0", 0)
		for i := range store.MaxDevices + 3 {
			put(u.ID, strconv.Itoa(i), time.Duration(i)*time.Second)
			put(u.ID, "kept", time.Duration(i)*time.Second)
		}
		known := func(id, name string) bool {
			ok, err := s.KnownDevice(t.Context(), store.HashToken(name), id)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		var list []string
		for i := range store.MaxDevices + 3 {
			if known(u.ID, strconv.Itoa(i)) {
				list = append(list, strconv.Itoa(i))
			}
		}
		if len(list) != store.MaxDevices-1 || list[0] != "4" || !known(u.ID, "kept") || !known(v.ID, "0") {
			t.Fatalf("known: %v", list)
		}
	}},
	{"devices are deleted except the given ones", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		a, b := store.HashToken("a"), store.HashToken("b")
		var counts [3]int
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			for _, id := range []string{u.ID, v.ID} {
				for _, hash := range []store.TokenHash{a, b, store.HashToken("c")} {
					err = errors.Join(err, tx.PutDevice(ctx, hash, id, now(), now().Add(time.Hour)))
				}
			}
			for i, fn := range []func() (int, error){
				func() (int, error) { return tx.ForgetDevices(ctx, u.ID, a, b) },
				func() (int, error) { return tx.ForgetDevices(ctx, u.ID) },
				func() (int, error) { return tx.ForgetDevices(ctx, "nobody") },
			} {
				n, ferr := fn()
				counts[i], err = n, errors.Join(err, ferr)
			}
			return err
		})
		if counts != [3]int{1, 2, 0} {
			t.Fatalf("forgotten: %v", counts)
		}
		if ok, err := s.KnownDevice(t.Context(), a, v.ID); err != nil || !ok {
			t.Fatalf("another user's: %v, %v", ok, err)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.ForgetDevices(ctx, store.AllUsers)
			return err
		})
		if ok, err := s.KnownDevice(t.Context(), a, v.ID); err != nil || ok {
			t.Fatalf("everybody's: %v, %v", ok, err)
		}
	}},
	{"EndFlows ends the flows of that user only", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		listed, other, nobodys := newFlow("link", u.ID), newFlow("link", v.ID), newFlow("login", "")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.CreateFlow(ctx, listed), tx.CreateFlow(ctx, other), tx.CreateFlow(ctx, nobodys))
		})
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.EndFlows(ctx, u.ID), tx.EndFlows(ctx, ""))
		})
		wantErr(t, takeFlow(t, s, listed), store.ErrNotFound)
		for _, f := range []store.Flow{other, nobodys} {
			if err := takeFlow(t, s, f); err != nil {
				t.Error(err)
			}
		}
	}},
	{"a one-time value counts once until it expires", func(t *testing.T, s store.Store) {
		at := now()
		once := func(kind, key string, at, until time.Time) (first bool, err error) {
			err = try(t, s, func(ctx context.Context, tx store.Tx) (err error) {
				first, err = tx.UseOnce(ctx, kind, key, at, until)
				return err
			})
			return first, err
		}
		for i, c := range []struct {
			kind, key string
			at        time.Duration
			want      bool
		}{
			{"jti", "a", 0, true},
			{"jti", "a", 0, false},
			{"jti", "b", 0, true},
			{"other", "a", 0, true},
			{"jti", "a", time.Minute - time.Millisecond, false},
			{"jti", "a", time.Minute, true},
			{"jti", "a", time.Minute, false},
		} {
			got, err := once(c.kind, c.key, at.Add(c.at), at.Add(c.at+time.Minute))
			if err != nil || got != c.want {
				t.Fatalf("step %d: %v, %v", i, got, err)
			}
		}
		if first, err := once("jti", "late", at, at); err == nil || first {
			t.Error("a value that expires at once was accepted")
		}
		if first, err := once("jti", "a\x00", at, at.Add(time.Hour)); err == nil || first {
			t.Error("a value that cannot be stored was accepted")
		}
	}},
	{"settings are written, or written once", func(t *testing.T, s store.Store) {
		var first, second string
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			if err := errors.Join(tx.SetSetting(ctx, "k", "1"), tx.SetSetting(ctx, "k", "2")); err != nil {
				return err
			}
			if first, err = tx.SetSettingOnce(ctx, "once", "a"); err != nil {
				return err
			}
			second, err = tx.SetSettingOnce(ctx, "once", "b")
			return err
		})
		if first != "a" || second != "a" {
			t.Fatalf("got %q and %q", first, second)
		}
		if v, err := s.Setting(t.Context(), "k"); err != nil || v != "2" {
			t.Fatalf("got %q, %v", v, err)
		}
	}},
	{"a store describes itself and responds to a ping", func(t *testing.T, s store.Store) {
		info := s.Info()
		if info.Engine == "" || info.Location == "" || info.Schema < 1 {
			t.Fatalf("got %+v", info)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}},
}
