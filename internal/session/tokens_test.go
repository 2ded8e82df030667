package session_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

var tokenClient = netip.MustParseAddr("192.0.2.1")

// token stores a token of the user.
func (f *fixture) token(t testing.TB, u store.User, with ...func(*store.Token)) (text string, token store.Token) {
	t.Helper()
	text = "token of " + u.Username + store.NewToken()
	token = store.Token{
		ID: store.NewID(f.clock.Now()), Hash: store.HashToken(text), UserID: u.ID, Hosts: []string{"*"}, Methods: store.TokenAll,
		CreatedAt: f.clock.Now(),
	}
	for _, w := range with {
		w(&token)
	}
	f.change(t, func(tx store.Tx) error { return tx.CreateToken(context.Background(), token) })
	return text, token
}

func (f *fixture) acts(t testing.TB, text string) bool {
	t.Helper()
	l, _, err := f.m.ResolveToken(context.Background(), text, tokenClient, 0)
	if err != nil && !errors.Is(err, session.ErrNone) {
		t.Fatal(err)
	}
	if err == nil && (l.Token == nil || l.Session.Method != session.MethodToken || l.Session.ID != l.Token.ID || l.AuthenticatedWithin(f.clock.Now(), time.Hour)) {
		t.Fatalf("what acts is %+v", l)
	}
	return err == nil
}

func TestATokenIsOverOnTheNextRequestAfterEveryWayOfEndingIt(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(ctx context.Context, f *fixture, tx store.Tx, token store.Token) error{
		"revoked": func(ctx context.Context, _ *fixture, tx store.Tx, token store.Token) error {
			_, err := tx.DeleteTokens(ctx, store.TokenSelector{ID: token.ID})
			return err
		},
		"replaced": func(ctx context.Context, f *fixture, tx store.Tx, token store.Token) error {
			next := token
			next.ID, next.Hash = store.NewID(f.clock.Now()), store.HashToken("next")
			return tx.ReplaceToken(ctx, token.ID, f.clock.Now(), next)
		},
		"owner deactivated": func(ctx context.Context, _ *fixture, tx store.Tx, token store.Token) error {
			return changeUser(ctx, tx, token.UserID, func(u *store.User) { u.Active = false })
		},
		"owner pending": func(ctx context.Context, _ *fixture, tx store.Tx, token store.Token) error {
			return changeUser(ctx, tx, token.UserID, func(u *store.User) { u.Pending = true })
		},
		"owner deleted": func(ctx context.Context, _ *fixture, tx store.Tx, token store.Token) error {
			return tx.DeleteUser(ctx, token.UserID)
		},
		"password reset": func(ctx context.Context, f *fixture, tx store.Tx, token store.Token) error {
			return tx.SetPassword(ctx, token.UserID, store.PasswordChange{Hash: "x", At: f.clock.Now()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			text, token := f.token(t, f.addUser(t, "u"))
			other, _ := f.token(t, f.addUser(t, "v"))
			l, _, err := f.m.ResolveToken(t.Context(), text, tokenClient, 0)
			if err != nil || !f.acts(t, text) {
				t.Fatal(err)
			}
			var stream session.Follower
			open := f.m.Follow(t.Context(), l, &stream)
			defer stream.Release()
			f.change(t, func(tx store.Tx) error { return end(t.Context(), f, tx, token) })
			if f.acts(t, text) {
				t.Error("it still acts")
			}
			if !f.acts(t, other) {
				t.Error("somebody else's token is over, too")
			}
			select {
			case <-open.Done():
				if !errors.Is(context.Cause(open), session.ErrEnded) {
					t.Error(context.Cause(open))
				}
			case <-time.After(time.Second):
				t.Error("its stream is open after a second")
			}
		})
	}
}

func TestATokenExpiresOnTimeAndNeedsNoUse(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	u := f.addUser(t, "u")
	short, _ := f.token(t, u, func(token *store.Token) { token.ExpiresAt = token.CreatedAt.Add(24 * time.Hour) })
	never, _ := f.token(t, u)
	f.clock.Advance(24*time.Hour - time.Millisecond)
	if !f.acts(t, short) {
		t.Error("over too early")
	}
	f.clock.Advance(time.Millisecond)
	if f.acts(t, short) {
		t.Error("it outlives its end")
	}
	f.clock.Advance(10 * 365 * 24 * time.Hour)
	if !f.acts(t, never) {
		t.Error("a token without an end is over")
	}
}

// A session's token and a program's are never taken for each other, whatever they resolve to in the cache.
func TestTokensOfSessionsAndProgramsAreApart(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	u := f.addUser(t, "u")
	text, _ := f.token(t, u)
	cookie, _ := f.start(t, u, false)
	if !f.acts(t, text) || !f.alive(t, cookie) {
		t.Fatal("they do not work at all")
	}
	if f.acts(t, cookie) {
		t.Error("a session's token acts as a program's")
	}
	if f.alive(t, text) {
		t.Error("a program's token is a session")
	}
	// One that has the form of the other, from the cache and from the store.
	odd := store.NewToken()
	f.change(t, func(tx store.Tx) error {
		return tx.CreateToken(t.Context(), store.Token{
			ID: store.NewID(f.clock.Now()), Hash: store.HashToken(odd), UserID: u.ID, Hosts: []string{"*"}, Methods: store.TokenAll,
			CreatedAt: f.clock.Now(),
		})
	})
	if f.alive(t, odd) {
		t.Error("a program's token in the form of a cookie is a session")
	}
	if !f.acts(t, odd) || f.alive(t, odd) {
		t.Error("what is cached of a program's token is a session")
	}
}

func TestUsesOfATokenAreWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	text, token := f.token(t, f.addUser(t, "u"))
	used := func() store.Token {
		t.Helper()
		got, _, err := f.Token(t.Context(), token.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	f.clock.Advance(time.Second)
	first := f.clock.Now()
	f.acts(t, text)
	for deadline := time.Now().Add(5 * time.Second); used().LastUsedAt.IsZero(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("its first use is not written")
		}
	}
	if got := used(); got.LastUsedIP != "192.0.2.1" || !got.LastUsedAt.Equal(first.Truncate(time.Millisecond)) {
		t.Errorf("written %v from %q", got.LastUsedAt, got.LastUsedIP)
	}
	f.clock.Advance(59 * time.Second)
	f.acts(t, text)
	f.m.Close() // writes what is pending
	if got := used(); !got.LastUsedAt.Equal(first.Truncate(time.Millisecond)) {
		t.Errorf("written again after less than a minute: %v", got.LastUsedAt)
	}
}
