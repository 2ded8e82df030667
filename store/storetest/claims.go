package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

// claimTests are about what a provider has said, as it is kept with sessions and tokens.
var claimTests = []test{
	{"unlinking an identity clears the claims of its sessions", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		of := addSession(t, s, u, func(x *store.Session) { x.Issuer, x.Subject, x.Claims = "i", "s", "claims" })
		other := addSession(t, s, u, func(x *store.Session) { x.Issuer, x.Subject, x.Claims = "i", "t", "claims" })
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			err := tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "s", UserID: u.ID, CreatedAt: now()})
			return errors.Join(err, tx.DeleteIdentity(ctx, "i", "s"))
		})
		if got, _, err := s.Session(t.Context(), of.ID); err != nil || got.Claims == of.Claims || got.Claims == "" {
			t.Errorf("claims %q, %v", got.Claims, err)
		}
		if got, _, err := s.Session(t.Context(), other.ID); err != nil || got.Claims != other.Claims {
			t.Errorf("claims of another identity %q, %v", got.Claims, err)
		}
	}},
	{"claims of tokens follow their identity at their provider, and end with it", func(t *testing.T, s store.Store) {
		u, v, at := addUser(t, s, "u"), addUser(t, s, "v"), now()
		i := store.Identity{Issuer: "i", Subject: "s", UserID: u.ID, Provider: "corp", CreatedAt: at}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateIdentity(ctx, i) })
		const old, said, empty = `{"old":true}`, `{"new":true}`, "{}"
		made := func(u store.User, provider, subject string) store.Token {
			return addToken(t, s, u, func(token *store.Token) {
				token.Provider, token.Issuer, token.Subject, token.Claims = provider, "i", subject, old
			})
		}
		token, others := made(u, "corp", "s"), []store.Token{made(u, "corp", "t"), made(u, "app", "s"), made(v, "corp", "s"), addToken(t, s, u)}
		claims := func(token store.Token) string {
			got, _, err := s.Token(t.Context(), token.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Claims
		}
		renew := func(claims string) {
			change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.RenewTokenClaims(ctx, i, claims) })
		}
		for _, says := range []string{said, empty, said} { // a person of whom nothing is said is not unlinked
			if renew(says); claims(token) != says {
				t.Errorf("the provider says %s, the token %s", says, claims(token))
			}
		}
		for _, other := range others {
			if claims(other) != other.Claims {
				t.Errorf("a token of %q and %q of %s has the claims, too", other.Provider, other.Subject, other.UserID)
			}
		}
		// What a session has kept is older than what was said since.
		sess := addSession(t, s, u, func(sess *store.Session) {
			sess.Provider, sess.Issuer, sess.Subject, sess.Claims, sess.Sealed = "corp", "i", "s", old, "x"
		})
		kept := func(sealed string) {
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.SetSessionTokens(ctx, sess.ID, sess.Sealed, store.SessionTokens{Sealed: sealed, Claims: old})
			})
			sess.Sealed = sealed
		}
		if kept("y"); claims(token) != said {
			t.Errorf("claims %s by an older session", claims(token))
		}
		for name, cut := range map[string]func(ctx context.Context, tx store.Tx) error{
			"moved":    func(ctx context.Context, tx store.Tx) error { return tx.MoveIdentity(ctx, "i", "s", v.ID) },
			"unlinked": func(ctx context.Context, tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", "s") },
		} {
			token := made(u, "corp", "s")
			change(t, s, cut)
			none := claims(token)
			if none == old || none == "" {
				t.Errorf("claims %q outlive an identity that was %s", none, name)
			}
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				_ = tx.DeleteIdentity(ctx, "i", "s")
				return tx.CreateIdentity(ctx, i)
			})
			if renew(said); claims(token) != none {
				t.Errorf("claims come back with an identity that was %s", name)
			}
		}
		for _, odd := range []store.Identity{{}, {Issuer: "i", Subject: "s", Provider: "corp"}, {Issuer: "i", Subject: "s", UserID: u.ID}} {
			if try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.RenewTokenClaims(ctx, odd, said) }) == nil {
				t.Errorf("the identity %+v was accepted", odd)
			}
		}
	}},
}
