package caddyauth_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Passkeys of a host or a domain that no site has any more are named in the log, with their number, and keep nothing from
// starting: whoever has one signs in with the password.
func TestPasskeysThatNoSiteUsesAreNamedInTheLog(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	ctx, now := context.Background(), time.Now().UTC().Truncate(time.Millisecond)
	err := s.openStore().Change(ctx, func(tx store.Tx) error {
		u, err := tx.UserByUsername(ctx, adminName)
		if err != nil {
			return err
		}
		if _, err := tx.SetPasskeyHandleOnce(ctx, u.ID, store.NewToken()); err != nil {
			return err
		}
		return tx.CreatePasskey(ctx, store.Passkey{
			ID: store.NewID(now), UserID: u.ID, RPID: "former.example.org", CredentialID: "c", PublicKey: []byte{1},
			AAGUID: strings.Repeat("0", 32), Name: "Laptop", CreatedAt: now,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	s.global += "\nmfa"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	log := s.logs.waitFor(t, "passkeys belong to a domain that no site uses")
	for _, part := range []string{"former.example.org", `"passkeys":1`, "cookie_domain"} {
		if !strings.Contains(strings.ReplaceAll(log, ": 1", ":1"), part) {
			t.Errorf("the log does not say %s: %s", part, log)
		}
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	if a := b.page("/_auth/admin/settings"); !strings.Contains(a.body, "1 passkey belongs to former.example.org") {
		t.Error("the settings page does not name them")
	}
}
