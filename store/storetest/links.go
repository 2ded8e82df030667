package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

func takeLink(t *testing.T, s store.Store, l store.Link) error {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.TakeLink(ctx, l.Hash, now()); return err })
}

func newFlow(purpose, userID string) store.Flow {
	at := now()
	return store.Flow{
		Hash: store.HashToken(store.NewToken()), Browser: store.HashToken(store.NewToken()), Provider: "corp",
		UserID: userID, Purpose: purpose, Data: "sealed", CreatedAt: at, ExpiresAt: at.Add(10 * time.Minute),
	}
}

func takeFlow(t *testing.T, s store.Store, f store.Flow) error {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.TakeFlow(ctx, f.Hash, now()); return err })
}

// allLinks returns the links of all pages of a query.
func allLinks(t *testing.T, s store.Reader, q store.LinkQuery) (links []store.Link) {
	t.Helper()
	for range 10_000 {
		page, err := s.Links(t.Context(), q)
		if err != nil {
			t.Fatalf("list links: %v", err)
		}
		links = append(links, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return links
		}
	}
	t.Fatal("the list has no end")
	return nil
}

var linkTests = []test{
	{"links are listed newest first, however many there are", func(t *testing.T, s store.Store) {
		at := now()
		var want []string
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			for i := range 1203 { // more than a page can hold; two of each millisecond
				l := store.Link{ID: store.NewID(at), Hash: store.HashToken(store.NewToken()), Purpose: store.LinkSetup, CreatedBy: "x",
					CreatedAt: at.Add(time.Duration(i/2) * time.Millisecond), ExpiresAt: at.Add(time.Hour)}
				if i%3 == 0 {
					l.ExpiresAt = at.Add(-time.Second)
				} else {
					want = append(want, fmt.Sprintf("%020d%s", l.CreatedAt.UnixMilli(), l.ID))
				}
				if err := tx.CreateLink(ctx, l); err != nil {
					return err
				}
			}
			return nil
		})
		slices.Sort(want)
		slices.Reverse(want)
		for _, limit := range []int{100, 2000} {
			var got []string
			for _, l := range allLinks(t, s, store.LinkQuery{Now: at, Limit: limit}) {
				got = append(got, fmt.Sprintf("%020d%s", l.CreatedAt.UnixMilli(), l.ID))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d a page: %d links, want %d in order", limit, len(got), len(want))
			}
		}
		for limit, want := range map[int]int{0: len(want), 10: 11, 5000: len(want)} {
			if n, err := s.CountLinks(t.Context(), store.LinkQuery{Now: at, Limit: limit}); err != nil || n != want {
				t.Errorf("counted %d with limit %d, %v, want %d", n, limit, err, want)
			}
		}
		if _, err := s.Links(t.Context(), store.LinkQuery{Now: at, Cursor: "x"}); !errors.Is(err, store.ErrBadCursor) {
			t.Errorf("a cursor that is none: %v", err)
		}
	}},
	{"a link is returned as stored and is not used by reading", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		at := now()
		want := store.Link{
			ID: store.NewID(at), Hash: store.HashToken("t"), Purpose: store.LinkPassword, UserID: u.ID, CreatedBy: "admin",
			EndSessions: true, CreatedAt: at, ExpiresAt: at.Add(time.Hour),
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateLink(ctx, want) })
		for range 2 {
			if got, err := s.Link(t.Context(), want.Hash); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
	}},
	{"a link can be used once, in time, and not when canceled", func(t *testing.T, s store.Store) {
		// Each reason for refusal alone.
		u := addUser(t, s, "u")
		spent := addLink(t, s, store.LinkPassword, u.ID)
		var got store.Link
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			got, err = tx.TakeLink(ctx, spent.Hash, now())
			return err
		})
		if got.ID != spent.ID || got.UsedAt.IsZero() {
			t.Fatalf("got %+v", got)
		}
		wantErr(t, takeLink(t, s, spent), store.ErrNotFound)

		late := addLink(t, s, store.LinkPassword, u.ID)
		for _, at := range []time.Time{late.ExpiresAt, late.ExpiresAt.Add(time.Hour)} {
			wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.TakeLink(ctx, late.Hash, at); return err }), store.ErrNotFound)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			n, err := tx.CancelLinks(ctx, store.LinkPassword, u.ID)
			if n != 1 {
				t.Errorf("canceled %d", n)
			}
			return err
		})
		wantErr(t, takeLink(t, s, late), store.ErrNotFound)
		if got, err := s.Link(t.Context(), late.Hash); err != nil || got.CancelledAt.IsZero() {
			t.Fatalf("the page cannot say that it was canceled: %+v, %v", got, err)
		}
		wantErr(t, takeLink(t, s, store.Link{Hash: store.HashToken("unknown")}), store.ErrNotFound)
	}},
	{"a link taken in a failed change is unused again", func(t *testing.T, s store.Store) {
		l, fail := addLink(t, s, store.LinkSetup, ""), errors.New("refused password")
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error {
			if _, err := tx.TakeLink(ctx, l.Hash, now()); err != nil {
				t.Error(err)
			}
			return fail
		}), fail)
		if err := takeLink(t, s, l); err != nil {
			t.Fatal(err)
		}
	}},
	{"a new link cancels the earlier ones of its purpose and user only", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		first, other := addLink(t, s, store.LinkPassword, u.ID), addLink(t, s, store.LinkPassword, v.ID)
		setup1, setup2 := addLink(t, s, store.LinkSetup, ""), addLink(t, s, store.LinkSetup, "")
		second := addLink(t, s, store.LinkPassword, u.ID)
		if links := allLinks(t, s, store.LinkQuery{Now: now()}); len(links) != 4 {
			t.Fatalf("%d open links", len(links))
		}
		if links := allLinks(t, s, store.LinkQuery{Purpose: store.LinkSetup, Now: now()}); len(links) != 2 || links[0].CreatedAt.Before(links[1].CreatedAt) {
			t.Fatalf("set-up links %+v", links)
		}
		if links := allLinks(t, s, store.LinkQuery{UserID: u.ID, Now: now()}); len(links) != 1 || links[0].ID != second.ID {
			t.Fatalf("links of a user %+v", links)
		}
		if links := allLinks(t, s, store.LinkQuery{Now: now().Add(2 * time.Hour)}); len(links) != 0 {
			t.Fatalf("%d expired links listed", len(links))
		}
		wantErr(t, takeLink(t, s, first), store.ErrNotFound)
		for _, l := range []store.Link{second, other, setup1} {
			if err := takeLink(t, s, l); err != nil {
				t.Errorf("%s: %v", l.Purpose, err)
			}
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			n, err := tx.CancelLinks(ctx, store.LinkSetup, "")
			if n != 1 {
				t.Errorf("canceled %d set-up links", n)
			}
			return err
		})
		wantErr(t, takeLink(t, s, setup2), store.ErrNotFound)
	}},
	{"a link without a user or an expiry is refused", func(t *testing.T, s store.Store) {
		at := now()
		good := store.Link{ID: store.NewID(at), Hash: store.HashToken("t"), Purpose: store.LinkPassword, CreatedAt: at, ExpiresAt: at.Add(time.Hour)}
		for name, edit := range map[string]func(*store.Link){
			"unknown user": func(l *store.Link) { l.UserID = "nobody" },
			"no end":       func(l *store.Link) { l.ExpiresAt = time.Time{} },
			"no token":     func(l *store.Link) { l.Hash = store.TokenHash{} },
			"no purpose":   func(l *store.Link) { l.Purpose = "" },
		} {
			l := good
			edit(&l)
			if err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateLink(ctx, l) }); err == nil {
				t.Errorf("%s: stored", name)
			}
		}
	}},
}

var flowTests = []test{
	{"a flow can be taken once, in time", func(t *testing.T, s store.Store) {
		// A state can be taken only once.
		want := newFlow("login", "")
		late := newFlow("login", "")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.CreateFlow(ctx, want), tx.CreateFlow(ctx, late))
		})
		var got store.Flow
		change(t, s, func(ctx context.Context, tx store.Tx) (err error) {
			got, err = tx.TakeFlow(ctx, want.Hash, now())
			return err
		})
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		wantErr(t, takeFlow(t, s, want), store.ErrNotFound)
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.TakeFlow(ctx, late.Hash, late.ExpiresAt)
			return err
		}), store.ErrNotFound)
		if err := try(t, s, func(ctx context.Context, tx store.Tx) error {
			f := newFlow("login", "")
			f.Browser = store.TokenHash{}
			return tx.CreateFlow(ctx, f)
		}); err == nil {
			t.Error("a flow without a browser was stored")
		}
	}},
}

var identityTests = []test{
	{"an identity is returned as stored and links once", func(t *testing.T, s store.Store) {
		u, v, at := addUser(t, s, "u"), addUser(t, s, "v"), now()
		want := store.Identity{
			Issuer: "https://i", Subject: "Sub", UserID: u.ID, Provider: "corp", Email: "a@b", Name: "N", Groups: []string{"g"},
			CreatedAt: at, LastLoginAt: at.Add(time.Minute),
		}
		create := func(i store.Identity) error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateIdentity(ctx, i) })
		}
		if err := create(want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Identity(t.Context(), want.Issuer, want.Subject); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v", got, err)
		}
		stolen := want
		stolen.UserID = v.ID
		wantConflict(t, create(stolen), "identity")
		// Issuer and subject are compared exactly (OpenID Connect Core 1.0, section 2): a different case is a different
		// person.
		_, err := s.Identity(t.Context(), want.Issuer, "sub")
		wantErr(t, err, store.ErrNotFound)
		nobodys := want
		nobodys.Subject, nobodys.UserID = "x", "nobody"
		wantErr(t, create(nobodys), store.ErrNotFound)
		for _, bad := range []string{"", "a\x00", "\xff"} {
			i := want
			i.Subject = bad
			if err := create(i); err == nil {
				t.Errorf("subject %q was stored", bad)
			}
			if _, err := s.Identity(t.Context(), want.Issuer, bad); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("subject %q: %v", bad, err)
			}
		}
	}},
	{"an identity is updated and unlinked", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		i := store.Identity{Issuer: "i", Subject: "s", UserID: u.ID, Provider: "corp", CreatedAt: at}
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.CreateIdentity(ctx, i), tx.CreateIdentity(ctx, store.Identity{Issuer: "j", Subject: "s", UserID: u.ID, CreatedAt: at.Add(time.Second)}))
		})
		edit := store.Identity{Issuer: "i", Subject: "s", UserID: "other", Email: "e", Name: "n", Groups: []string{"x"}, LastLoginAt: at.Add(time.Hour), CreatedAt: at.Add(time.Hour)}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.UpdateIdentity(ctx, edit) })
		want := i
		want.Email, want.Name, want.Groups, want.LastLoginAt = "e", "n", []string{"x"}, edit.LastLoginAt
		list, err := s.Identities(t.Context(), u.ID)
		if err != nil || len(list) != 2 || !reflect.DeepEqual(list[0], want) {
			t.Fatalf("got %+v, %v\nwant %+v", list, err, want)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", "s") })
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", "s") }), store.ErrNotFound)
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.UpdateIdentity(ctx, edit) }), store.ErrNotFound)
	}},
}

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
			_, err := tx.ForgetDevices(ctx, store.Everybody)
			return err
		})
		if ok, err := s.KnownDevice(t.Context(), a, v.ID); err != nil || ok {
			t.Fatalf("everybody's: %v, %v", ok, err)
		}
	}},
	{"EndFlows ends the flows of that user only", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		mine, other, nobodys := newFlow("link", u.ID), newFlow("link", v.ID), newFlow("login", "")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.CreateFlow(ctx, mine), tx.CreateFlow(ctx, other), tx.CreateFlow(ctx, nobodys))
		})
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.EndFlows(ctx, u.ID), tx.EndFlows(ctx, ""))
		})
		wantErr(t, takeFlow(t, s, mine), store.ErrNotFound)
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
				first, err = tx.Once(ctx, kind, key, at, until)
				return err
			})
			return first, err
		}
		for i, c := range []struct {
			kind, key string
			at        time.Duration
			want      bool
		}{
			{"jti", "a", 0, true}, {"jti", "a", 0, false}, {"jti", "b", 0, true}, {"other", "a", 0, true},
			{"jti", "a", time.Minute - time.Millisecond, false}, {"jti", "a", time.Minute, true}, {"jti", "a", time.Minute, false},
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
