package account_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// fromProvider creates a user whose provider gives n groups.
func (w *world) fromProvider(n int) store.User {
	w.t.Helper()
	groups := make([]string, n)
	for i := range groups {
		groups[i] = fmt.Sprintf("cn=%03d,ou=groups", i)
	}
	now := w.clock.Now()
	u := store.User{
		ID: store.NewID(now), Username: "kim", Email: "kim@corp.example", EmailVerified: true, Role: store.RoleUser,
		Groups: groups,
		Active: true, Origin: store.OriginOIDC, CreatedAt: now,
	}
	err := w.Store.Change(w.ctx, func(tx store.Tx) error {
		if err := tx.CreateUser(w.ctx, u); err != nil {
			return err
		}
		return tx.CreateIdentity(w.ctx, store.Identity{
			Issuer: "https://id.example", Subject: "s", UserID: u.ID,
			Provider: "test", Groups: groups, CreatedAt: now,
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.user(u.ID)
}

func TestAProvidersGroupsAreNotCheckedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.fromProvider(150)
	name, same := "Kim Renamed", slices.Clone(u.Groups)
	slices.Reverse(same)
	if got, err := w.Update(w.ctx, operator, u.ID, account.Patch{
		Name: &name, Username: &u.Username, Email: &u.Email,
		Groups: &same,
	}); err != nil || !slices.Equal(got.Groups, u.Groups) || got.Name != name {
		t.Fatalf("a form with everything as it was: %v", err)
	}
	more := append(slices.Clone(u.Groups), "given here")
	if got, err := w.Update(w.ctx, operator, u.ID, account.Patch{Groups: &more}); err != nil || len(got.Groups) != 151 {
		t.Errorf("one group more: %v", err)
	}
	forged := append(slices.Clone(u.Groups), "staff,admins")
	if _, err := w.Update(w.ctx, operator, u.ID, account.Patch{Groups: &forged}); field(err, "groups") == "" {
		t.Errorf("a comma that is typed here: %v", err)
	}
	many := slices.Clone(u.Groups)
	for i := range 101 {
		many = append(many, fmt.Sprint("given", i))
	}
	if _, err := w.Update(w.ctx, operator, u.ID, account.Patch{Groups: &many}); field(err, "groups") == "" {
		t.Errorf("more than may be given here: %v", err)
	}
}

// Accounts from before a rule became stricter can be edited; only new values are checked.
func TestAnOldNameThatIsRefusedNowCanStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.add("ada", store.RoleUser)
	old := "a\u200cda"
	if err := w.Store.Change(w.ctx, func(tx store.Tx) error {
		u.Username = old
		_, err := tx.UpdateUser(w.ctx, u)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	name := "Ada"
	if _, err := w.Update(w.ctx, operator, u.ID, account.Patch{Username: &old, Name: &name}); err != nil {
		t.Errorf("as it was: %v", err)
	}
	fresh := "a\u034fda"
	if _, err := w.Update(w.ctx, operator, u.ID, account.Patch{Username: &fresh}); field(err, "username") == "" {
		t.Errorf("an invisible character: %v", err)
	}
}
