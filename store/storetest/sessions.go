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

func endSessions(t *testing.T, s store.Store, sel store.SessionSelector) []store.Session {
	t.Helper()
	var ended []store.Session
	change(t, s, func(ctx context.Context, tx store.Tx) (err error) { ended, err = tx.EndSessions(ctx, sel); return err })
	return ended
}

var sessionTests = []test{
	{"a session is returned as stored, with its user", func(t *testing.T, s store.Store) {
		at := now()
		u := addUser(t, s, "u", asAdmin, func(u *store.User) { u.Groups = []string{"g"} })
		want := store.Session{
			ID: store.NewID(at), TokenHash: store.HashToken("t"), UserID: u.ID, Epoch: 5, CreatedAt: at.Add(-time.Hour),
			AuthAt: at.Add(-time.Minute), LastSeenAt: at, Idle: 90 * time.Minute, ExpiresAt: at.Add(time.Hour), Remember: true,
			Method: "oidc", Provider: "corp", Issuer: "https://i", Subject: "sub", SID: "sid", Claims: "claims",
			Sealed: "sealed",
			IP:     "2001:db8::1", UserAgent: "Mozilla/5.0 ☃", Host: "app.example.com",
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateSession(ctx, want) })
		for name, read := range map[string]func() (store.Session, store.User, error){
			"by token": func() (store.Session, store.User, error) { return s.SessionByToken(t.Context(), want.TokenHash) },
			"by id":    func() (store.Session, store.User, error) { return s.Session(t.Context(), want.ID) },
		} {
			got, user, err := read()
			if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(user, u) {
				t.Errorf("%s: got  %+v of %+v, %v\nwant %+v", name, got, user, err, want)
			}
		}
	}},
	{"a session needs a user, a token, an id and an expiry", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		for name, edit := range map[string]func(*store.Session){
			"token": func(x *store.Session) { x.TokenHash = store.TokenHash{} },
			"id":    func(x *store.Session) { x.ID = "" },
			"idle":  func(x *store.Session) { x.Idle = 0 },
			"end":   func(x *store.Session) { x.ExpiresAt = time.Time{} },
		} {
			sess, _ := newSession(u)
			edit(&sess)
			if err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateSession(ctx, sess) }); err == nil {
				t.Errorf("a session without %s was stored", name)
			}
		}
		sess, _ := newSession(store.User{ID: store.NewID(now())})
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateSession(ctx, sess) }),
			store.ErrNotFound)
		first := addSession(t, s, u)
		again, _ := newSession(u)
		again.TokenHash = first.TokenHash
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateSession(ctx, again) }),
			store.ErrConflict)
	}},
	{"a replaced session has ended, and an ended one cannot be replaced", func(t *testing.T, s store.Store) {
		// Rotating a session that has ended in the meantime must not revive it.
		u := addUser(t, s, "u")
		old := addSession(t, s, u)
		next, _ := newSession(u)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ReplaceSession(ctx, old.ID, next) })
		if lives(t, s, old) || !lives(t, s, next) {
			t.Fatal("the old one lives or the new one does not")
		}
		third, _ := newSession(u)
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ReplaceSession(ctx, old.ID, third) }),
			store.ErrNotFound)
		if lives(t, s, third) {
			t.Fatal("an ended session was replaced")
		}
	}},
	{"each selector ends its sessions and no others", func(t *testing.T, s store.Store) {
		u, v := addUser(t, s, "u"), addUser(t, s, "v")
		from := func(iss, sub, sid string) func(*store.Session) {
			return func(x *store.Session) { x.Issuer, x.Subject, x.SID = iss, sub, sid }
		}
		start := func() map[string]store.Session {
			endSessions(t, s, store.SessionSelector{All: true})
			return map[string]store.Session{
				"u1": addSession(t, s, u), "u2": addSession(t, s, u), "v1": addSession(t, s, v),
				"i1": addSession(t, s, v, from("I", "s1", "x1")), "i2": addSession(t, s, v, from("I", "s1", "x2")),
				"i3": addSession(t, s, v, from("I", "s2", "")), "j1": addSession(t, s, v, from("J", "s1", "x1")),
			}
		}
		for _, c := range []struct {
			name string
			sel  func(map[string]store.Session) store.SessionSelector
			want []string
		}{
			{
				"id", func(m map[string]store.Session) store.SessionSelector { return store.SessionSelector{ID: m["u1"].ID} },
				[]string{"u1"},
			},
			{
				"user", func(map[string]store.Session) store.SessionSelector { return store.SessionSelector{UserID: u.ID} },
				[]string{"u1", "u2"},
			},
			{"user but one", func(m map[string]store.Session) store.SessionSelector {
				return store.SessionSelector{UserID: u.ID, Except: m["u2"].ID}
			}, []string{"u1"}},
			{"subject", func(map[string]store.Session) store.SessionSelector {
				return store.SessionSelector{Issuer: "I", Subject: "s1"}
			}, []string{"i1", "i2"}},
			{"sid", func(map[string]store.Session) store.SessionSelector {
				return store.SessionSelector{Issuer: "I", SID: "x1"}
			}, []string{"i1"}},
			{"both", func(map[string]store.Session) store.SessionSelector {
				return store.SessionSelector{Issuer: "I", Subject: "s1", SID: "x2"}
			}, []string{"i2"}},
			{"without sid", func(map[string]store.Session) store.SessionSelector {
				return store.SessionSelector{Issuer: "I", Subject: "s2", NoSID: true}
			}, []string{"i3"}},
			{"without sid, and all have one", func(map[string]store.Session) store.SessionSelector {
				return store.SessionSelector{Issuer: "I", Subject: "s1", NoSID: true}
			}, nil},
			{"nobody", func(map[string]store.Session) store.SessionSelector { return store.SessionSelector{ID: "x"} }, nil},
			{
				"all", func(map[string]store.Session) store.SessionSelector { return store.SessionSelector{All: true} },
				[]string{"i1", "i2", "i3", "j1", "u1", "u2", "v1"},
			},
		} {
			m := start()
			ended := endSessions(t, s, c.sel(m))
			var got []string
			for name, sess := range m {
				if !lives(t, s, sess) {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) || len(ended) != len(c.want) {
				t.Errorf("%s: ended %v, returned %d, want %v", c.name, got, len(ended), c.want)
			}
		}
	}},
	{"an empty selector is refused and ends nothing", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		sess := addSession(t, s, u)
		for _, sel := range []store.SessionSelector{
			{},
			{Except: "x"},
			{Issuer: "I"},
			{Subject: "s"},
			{SID: "s"},
			{ID: "a", UserID: "b"},
			{UserID: u.ID, All: true},
			{ID: sess.ID, Issuer: "I", SID: "s"},
			{All: true, Except: sess.ID},
			{Issuer: "I", NoSID: true},
			{Issuer: "I", Subject: "s", SID: "s", NoSID: true},
		} {
			err := try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.EndSessions(ctx, sel); return err })
			if err == nil || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%+v: got %v, want a refusal", sel, err)
			}
		}
		if !lives(t, s, sess) {
			t.Fatal("a session ended")
		}
	}},
	{"touching only moves the last use forward and revives nothing", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		sess := addSession(t, s, u, func(x *store.Session) { x.LastSeenAt = at; x.Idle = time.Hour })
		dead := addSession(t, s, u)
		endSessions(t, s, store.SessionSelector{ID: dead.ID})
		touch := func(d time.Duration) {
			t.Helper()
			if err := s.Touch(t.Context(), []store.Touch{
				{SessionID: dead.ID, LastSeen: at.Add(d)}, {SessionID: sess.ID, LastSeen: at.Add(d)}, {SessionID: "\x00"},
			}); err != nil {
				t.Fatal(err)
			}
		}
		touch(10 * time.Minute)
		touch(5 * time.Minute)
		got, _, err := s.Session(t.Context(), sess.ID)
		if err != nil || !got.LastSeenAt.Equal(at.Add(10*time.Minute)) {
			t.Fatalf("last seen %v, %v", got.LastSeenAt, err)
		}
		if lives(t, s, dead) {
			t.Fatal("an ended session was revived")
		}
		// The use counts for the idle time of lists.
		if n, err := s.CountSessions(t.Context(), at.Add(65*time.Minute), 0); err != nil || n != 1 {
			t.Fatalf("counted %d, %v", n, err)
		}
		if err := s.Touch(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		many := make([]store.Touch, 1203)
		for i := range many {
			many[i] = store.Touch{SessionID: sess.ID, LastSeen: at.Add(time.Hour + time.Duration(i)*time.Millisecond)}
		}
		if err := s.Touch(t.Context(), many); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := s.Session(t.Context(), sess.ID); !got.LastSeenAt.Equal(many[1202].LastSeen) {
			t.Fatalf("last seen %v", got.LastSeenAt)
		}
	}},
	{"tokens replace only those from which they were refreshed", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		sess := addSession(t, s, u, func(x *store.Session) { x.Sealed = "one" })
		set := func(id, old, sealed string) error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.SetSessionTokens(ctx, id, old, store.SessionTokens{Sealed: sealed, Claims: "of " + sealed})
			})
		}
		if err := set(sess.ID, "one", "two"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, set(sess.ID, "one", "three"), store.ErrStale)
		wantErr(t, set("x", "one", "three"), store.ErrNotFound)
		if got, _, err := s.Session(t.Context(), sess.ID); err != nil || got.Sealed != "two" || got.Claims != "of two" {
			t.Fatalf("sealed %q, %q, %v", got.Sealed, got.Claims, err)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.SetSessionTokens(ctx, sess.ID, "two", store.SessionTokens{Sealed: "three"})
		})
		if got, _, err := s.Session(t.Context(), sess.ID); err != nil || got.Sealed != "three" || got.Claims != "of two" {
			t.Fatalf("without claims: sealed %q, %q, %v", got.Sealed, got.Claims, err)
		}
	}},
	{"a new epoch is visible in the next read", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		sess := addSession(t, s, u)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.BumpEpoch(ctx, u.ID) })
		got, user, err := s.SessionByToken(t.Context(), sess.TokenHash)
		if err != nil || user.Epoch != u.Epoch+1 || got.Epoch != u.Epoch {
			t.Fatalf("session %d, user %d, %v", got.Epoch, user.Epoch, err)
		}
	}},
}
