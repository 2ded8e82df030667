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

// newToken returns a token of the user without an end, not yet stored.
func newToken(u store.User) store.Token {
	at := now()
	return store.Token{
		ID: store.NewID(at), Hash: store.HashToken(store.NewToken()), UserID: u.ID, Name: "laptop", Hint: "abcd",
		Hosts: []string{"app.test"}, Methods: store.TokenAll, CreatedBy: u.Username, CreatedAt: at,
	}
}

func addToken(t *testing.T, s store.Store, u store.User, with ...func(*store.Token)) store.Token {
	t.Helper()
	token := newToken(u)
	for _, w := range with {
		w(&token)
	}
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateToken(ctx, token) })
	return token
}

func addService(t *testing.T, s store.Store, name string) store.User {
	t.Helper()
	return addUser(t, s, name, func(u *store.User) { u.Kind, u.Local = store.KindService, false })
}

// hasToken reports whether the token is found by its hash.
func hasToken(t *testing.T, s store.Reader, token store.Token) bool {
	t.Helper()
	_, _, err := s.TokenByHash(t.Context(), token.Hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("resolve the token: %v", err)
	}
	return err == nil
}

func deleteTokens(t *testing.T, s store.Store, sel store.TokenSelector) (ids []string) {
	t.Helper()
	change(t, s, func(ctx context.Context, tx store.Tx) error {
		deleted, err := tx.DeleteTokens(ctx, sel)
		for _, token := range deleted {
			ids = append(ids, token.ID)
		}
		return err
	})
	slices.Sort(ids)
	return ids
}

var tokenTests = []test{
	{"a token is returned as stored, with its owner", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		want := addToken(t, s, u, func(token *store.Token) {
			token.Hosts, token.Paths, token.Methods = []string{"b.test", "*.a.test"}, []string{"/x/*", "/y"}, store.TokenRead
			token.ExpiresAt, token.Level = token.CreatedAt.Add(time.Hour), "aal1"
			token.Provider, token.Issuer, token.Subject, token.Claims = "corp", "https://i", "s", `{"a":1}`
		})
		byHash, owner, err := s.TokenByHash(t.Context(), want.Hash)
		if err != nil || !reflect.DeepEqual(byHash, want) || owner.ID != u.ID {
			t.Fatalf("got %+v of %q, %v", byHash, owner.Username, err)
		}
		byID, owner, err := s.Token(t.Context(), want.ID)
		if err != nil || !reflect.DeepEqual(byID, want) || owner.ID != u.ID {
			t.Fatalf("got %+v of %q, %v", byID, owner.Username, err)
		}
		_, _, err = s.TokenByHash(t.Context(), store.HashToken("other"))
		wantErr(t, err, store.ErrNotFound)
	}},
	{"a token without an owner, a hash, a host or methods is refused", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		for name, edit := range map[string]func(*store.Token){
			"unknown user": func(token *store.Token) { token.UserID = "nobody" },
			"no hash":      func(token *store.Token) { token.Hash = store.TokenHash{} },
			"no host":      func(token *store.Token) { token.Hosts = nil },
			"empty host":   func(token *store.Token) { token.Hosts = []string{""} },
			"no methods":   func(token *store.Token) { token.Methods = "" },
			"odd methods":  func(token *store.Token) { token.Methods = "write" },
			"bad text":     func(token *store.Token) { token.Paths = []string{"/a\x00"} },
		} {
			token := newToken(u)
			edit(&token)
			if try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateToken(ctx, token) }) == nil {
				t.Errorf("%s: stored", name)
			}
		}
	}},
	{"tokens end with their owner, and a person's with deactivation and a reset", func(t *testing.T, s store.Store) {
		person, service := addUser(t, s, "person"), addService(t, s, "service")
		setActive := func(u store.User, active bool) {
			u = getUser(t, s, u.ID)
			u.Active = active
			change(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err })
		}
		setPassword := func(p store.PasswordChange) {
			p.At = now()
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.SetPassword(ctx, person.ID, p) })
		}
		token, resting := addToken(t, s, person), addToken(t, s, service)
		setPassword(store.PasswordChange{Hash: "a", KeepTokens: true})
		setPassword(store.PasswordChange{Hash: "b", Rehash: true, IfHash: "a"})
		if !hasToken(t, s, token) {
			t.Error("the person's own change deleted a token")
		}
		setPassword(store.PasswordChange{Hash: "c"})
		if hasToken(t, s, token) {
			t.Error("a token outlives a reset of the password")
		}
		token = addToken(t, s, person)
		for _, u := range []store.User{person, service} {
			setActive(u, false)
			setActive(u, true)
		}
		if hasToken(t, s, token) || !hasToken(t, s, resting) {
			t.Error("a person's token outlives deactivation, or a service account's does not")
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, service.ID) })
		if hasToken(t, s, resting) {
			t.Error("a token outlives its owner")
		}
	}},
	{"a service account has no password, identity, session, link or admin role", func(t *testing.T, s store.Store) {
		u, at := addService(t, s, "service"), now()
		if u.Kind != store.KindService {
			t.Fatalf("the kind is %q", u.Kind)
		}
		i := store.Identity{Issuer: "i", Subject: "s", UserID: addUser(t, s, "person").ID, CreatedAt: at}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateIdentity(ctx, i) })
		sess, _ := newSession(u)
		for name, fn := range map[string]func(ctx context.Context, tx store.Tx) error{
			"password": func(ctx context.Context, tx store.Tx) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "x", At: at})
			},
			"session":        func(ctx context.Context, tx store.Tx) error { return tx.CreateSession(ctx, sess) },
			"moved identity": func(ctx context.Context, tx store.Tx) error { return tx.MoveIdentity(ctx, "i", "s", u.ID) },
			"identity": func(ctx context.Context, tx store.Tx) error {
				return tx.CreateIdentity(ctx, store.Identity{Issuer: "j", Subject: "s", UserID: u.ID, CreatedAt: at})
			},
			"link": func(ctx context.Context, tx store.Tx) error {
				return tx.CreateLink(ctx, store.Link{
					ID: store.NewID(at), Hash: store.HashToken("x"), Purpose: store.LinkPassword, UserID: u.ID, CreatedAt: at,
					ExpiresAt: at.Add(time.Hour),
				})
			},
			"role": func(ctx context.Context, tx store.Tx) error {
				admin := u
				admin.Role = store.RoleAdmin
				_, err := tx.UpdateUser(ctx, admin)
				return err
			},
			"kind": func(ctx context.Context, tx store.Tx) error {
				person := u
				person.Kind = store.KindPerson
				_, err := tx.UpdateUser(ctx, person)
				return err
			},
		} {
			if try(t, s, fn) == nil {
				t.Errorf("a service account has a %s", name)
			}
		}
		page, err := s.Users(t.Context(), store.UserQuery{Kind: store.KindService})
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != u.ID {
			t.Errorf("listed %+v, %v", page.Items, err)
		}
	}},
	{"a token is replaced once, and ends with the one that replaced it", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		replace := func(old store.Token, ends time.Time, next store.Token) error {
			return try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.ReplaceToken(ctx, old.ID, ends, next) })
		}
		first, at := addToken(t, s, u), now()
		second, third := newToken(u), newToken(u)
		if err := replace(first, at.Add(time.Hour), second); err != nil {
			t.Fatal(err)
		}
		got, _, err := s.TokenByHash(t.Context(), first.Hash)
		if err != nil || got.ReplacedBy != second.ID || !got.ExpiresAt.Equal(at.Add(time.Hour)) {
			t.Fatalf("the old one is %+v, %v", got, err)
		}
		wantErr(t, replace(first, at.Add(time.Hour), third), store.ErrStale)
		wantErr(t, replace(newToken(u), at.Add(time.Hour), third), store.ErrNotFound)
		if err := replace(second, at.Add(time.Hour), third); err != nil {
			t.Fatal(err)
		}
		if n, err := s.CountTokens(t.Context(), u.ID, at); err != nil || n != 1 {
			t.Errorf("counted %d, %v", n, err)
		}
		other := addToken(t, s, u)
		want := []string{first.ID, second.ID, third.ID}
		slices.Sort(want)
		if ids := deleteTokens(t, s, store.TokenSelector{ID: third.ID}); !slices.Equal(ids, want) {
			t.Errorf("deleted %v, want %v", ids, want)
		}
		if hasToken(t, s, first) || !hasToken(t, s, other) {
			t.Error("the wrong tokens are gone")
		}
		short := addToken(t, s, u, func(token *store.Token) { token.ExpiresAt = at.Add(time.Minute) })
		if err := replace(short, at.Add(time.Hour), newToken(u)); err != nil {
			t.Fatal(err)
		}
		if got, _, err := s.Token(t.Context(), short.ID); err != nil || !got.ExpiresAt.Equal(short.ExpiresAt) {
			t.Errorf("a replaced token lives longer: %+v, %v", got.ExpiresAt, err)
		}
		over := addToken(t, s, u, func(token *store.Token) { token.ExpiresAt = at.Add(-time.Minute) })
		wantErr(t, replace(over, at.Add(time.Hour), newToken(u)), store.ErrNotFound)
		for _, sel := range []store.TokenSelector{{}, {ID: "a", UserID: "b"}} {
			if try(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.DeleteTokens(ctx, sel); return err }) == nil {
				t.Errorf("the selector %+v was accepted", sel)
			}
		}
	}},
	{"tokens are listed newest first, by owner, with the owner's name", func(t *testing.T, s store.Store) {
		u, v, at := addUser(t, s, "u"), addService(t, s, "v"), now()
		var want []string
		for i := range 7 {
			owner := u
			if i == 3 {
				owner = v
			}
			token := addToken(t, s, owner, func(token *store.Token) { token.CreatedAt = at.Add(time.Duration(i/2) * time.Second) })
			want = append(want, token.ID)
		}
		list := func(userID string) (ids []string) {
			q := store.TokenQuery{UserID: userID, Limit: 2}
			for range 20 {
				page, err := s.Tokens(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range page.Items {
					if (row.Kind == store.KindService) != (row.Username == "v") {
						t.Errorf("%q is a %s", row.Username, row.Kind)
					}
					ids = append(ids, row.ID)
				}
				if q.Cursor = page.Next; q.Cursor == "" {
					return ids
				}
			}
			t.Fatal("the list has no end")
			return nil
		}
		if got := list(v.ID); !slices.Equal(got, want[3:4]) {
			t.Errorf("tokens of one: %v", got)
		}
		got := list("")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		_, err := s.Tokens(t.Context(), store.TokenQuery{Cursor: "x"})
		wantErr(t, err, store.ErrBadCursor)
	}},
	{"uses are recorded and expiries noted once", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		token := addToken(t, s, u, func(token *store.Token) { token.ExpiresAt = at.Add(-time.Second) })
		addToken(t, s, u)
		for _, use := range []store.TokenUse{
			{TokenID: token.ID, At: at, IP: "192.0.2.1"}, {TokenID: token.ID, At: at.Add(-time.Minute), IP: "192.0.2.2"}, {TokenID: "gone", At: at},
		} {
			if err := s.RecordTokenUses(t.Context(), []store.TokenUse{use}); err != nil {
				t.Fatal(err)
			}
		}
		if got, _, err := s.Token(t.Context(), token.ID); err != nil || !got.LastUsedAt.Equal(at) || got.LastUsedIP != "192.0.2.1" {
			t.Errorf("got %+v, %v", got, err)
		}
		expired, err := s.ExpiredTokens(t.Context(), at, 10)
		if err != nil || len(expired) != 1 || expired[0].ID != token.ID || expired[0].Username != "u" {
			t.Fatalf("expired %+v, %v", expired, err)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.NoteExpired(ctx, token.ID) })
		if expired, err := s.ExpiredTokens(t.Context(), at, 10); err != nil || len(expired) != 0 {
			t.Errorf("noted ones are listed again: %+v, %v", expired, err)
		}
	}},
}
