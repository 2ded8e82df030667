package webtest

import (
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Scene is an administrator, "ada", and an account to act on: the active user "tom" with a session and an open link.
type Scene struct {
	Admin    store.User
	Target   store.User
	Session  string         // the id of the target's
	Identity store.Identity // of the target at a provider
}

// NewScene creates the accounts of a Scene. The World must be empty, and served.
func (w *World) NewScene() Scene {
	w.T.Helper()
	ctx := w.T.Context()
	s := Scene{Admin: w.Add("ada", store.RoleAdmin), Target: w.Add("tom", store.RoleUser)}
	w.Add("walter", store.RoleAdmin) // so that nothing is about the last administrator
	if _, err := w.Accounts.ResetPassword(ctx, Operator, s.Target.ID, account.Reset{}); err != nil {
		w.T.Fatal(err)
	}
	s.Identity = store.Identity{
		Issuer: "https://idp", Subject: "tom", UserID: s.Target.ID, Provider: "acme", CreatedAt: w.Clock.Now(),
	}
	if err := w.Store.Change(ctx, func(tx store.Tx) error { return tx.CreateIdentity(ctx, s.Identity) }); err != nil {
		w.T.Fatal(err)
	}
	w.SignIn("tom")
	page, err := w.Store.Sessions(ctx, store.SessionQuery{UserID: s.Target.ID, Now: w.Clock.Now()})
	if err != nil || len(page.Items) != 1 {
		w.T.Fatal(len(page.Items), err)
	}
	s.Session = page.Items[0].ID
	s.Target = w.User(s.Target.ID)
	return s
}
