package admin

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// An administrator sees how many passkeys somebody has, and when one was used, before they are taken away.
func TestPasskeysOfAUserAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b := w.SignIn("ada")
	at := "/admin/users/" + tom.ID
	b.Get(at+"/sign-in").Want(t, 200).Shows(t, "Passkeys</dt>")
	now := w.Clock.Now()
	err := w.Store.Change(t.Context(), func(tx store.Tx) error { return addPasskey(t.Context(), tx, tom, now) })
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/sign-in", "/reset-mfa"} {
		b.Get(at+path).Want(t, 200).Shows(t, "1 passkey", now.UTC().Format("2006-01-02T15:04"))
	}
}

func addPasskey(ctx context.Context, tx store.Tx, u store.User, at time.Time) error {
	k := store.Passkey{
		ID: store.NewID(at), UserID: u.ID, RPID: "app.test", CredentialID: "AAEC", PublicKey: []byte{1}, Name: "Laptop",
		CreatedAt: at, Discoverable: "yes",
	}
	if err := tx.CreatePasskey(ctx, k); err != nil {
		return err
	}
	return tx.UsePasskey(ctx, u.ID, k.ID, k.PasskeyState, at)
}
