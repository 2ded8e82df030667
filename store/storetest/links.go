package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
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
				l := store.Link{
					ID: store.NewID(at), Hash: store.HashToken(store.NewToken()), Purpose: store.LinkSetup,
					CreatedBy: "x",
					CreatedAt: at.Add(time.Duration(i/2) * time.Millisecond), ExpiresAt: at.Add(time.Hour),
				}
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
		if links := allLinks(t, s, store.LinkQuery{Purpose: store.LinkSetup, Now: now()}); len(links) != 2 ||
			links[0].CreatedAt.Before(links[1].CreatedAt) {
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
		good := store.Link{
			ID: store.NewID(at), Hash: store.HashToken("t"), Purpose: store.LinkPassword, CreatedAt: at,
			ExpiresAt: at.Add(time.Hour),
		}
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
			return errors.Join(tx.CreateIdentity(ctx, i), tx.CreateIdentity(ctx,
				store.Identity{Issuer: "j", Subject: "s", UserID: u.ID, CreatedAt: at.Add(time.Second)}))
		})
		edit := store.Identity{
			Issuer: "i", Subject: "s", UserID: "other", Email: "e", Name: "n", Groups: []string{"x"},
			LastLoginAt: at.Add(time.Hour), CreatedAt: at.Add(time.Hour),
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.UpdateIdentity(ctx, edit) })
		want := i
		want.Email, want.Name, want.Groups, want.LastLoginAt = "e", "n", []string{"x"}, edit.LastLoginAt
		list, err := s.Identities(t.Context(), u.ID)
		if err != nil || len(list) != 2 || !reflect.DeepEqual(list[0], want) {
			t.Fatalf("got %+v, %v\nwant %+v", list, err, want)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", "s") })
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", "s") }),
			store.ErrNotFound)
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.UpdateIdentity(ctx, edit) }),
			store.ErrNotFound)
	}},
}
