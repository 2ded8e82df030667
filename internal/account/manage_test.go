package account_test

import (
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestACancelledLinkIsOfNoUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	_, _, admin := w.signIn("root", goodPass)
	_, _, user := w.signIn("ada", goodPass)
	link, err := w.ResetPassword(w.ctx, admin, ada.ID, account.Reset{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.CancelLink(w.ctx, user, ada.ID); code(err) != account.CodeRole {
		t.Errorf("by a user: %v", err)
	}
	if info, err := w.LinkStatus(w.ctx, link.Token); err != nil || info.State != account.LinkValid {
		t.Fatalf("%+v %v", info, err)
	}
	if err := w.CancelLink(w.ctx, admin, ada.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.RedeemLink(w.ctx, browser, link.Token,
		account.LinkForm{Password: otherPass}); linkState(err) != account.LinkCanceled {
		t.Errorf("%v, want the state canceled", err)
	}
	if err := w.CancelLink(w.ctx, admin, ada.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
}

func TestADutyToChangeThePasswordLeavesItAsItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	token, _, _ := w.signIn("ada", goodPass)
	if err := w.RequirePasswordChange(w.ctx, operator, ada.ID); err != nil {
		t.Fatal(err)
	}
	if u := w.user(ada.ID); !u.MustChange || !w.passwordWorks(ada, goodPass) || !w.lives(token) {
		t.Errorf("%+v", u)
	}
	before := len(w.events(store.EventQuery{}))
	if err := w.RequirePasswordChange(w.ctx, operator, ada.ID); err != nil || len(w.events(store.EventQuery{})) != before {
		t.Errorf("a second time was audited: %v", err)
	}
}

func TestLookingNeedsAnAdministratorButNoFreshOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	w.add("ada", store.RoleUser)
	_, _, admin := w.signIn("root", goodPass)
	_, _, user := w.signIn("ada", goodPass)
	w.clock.Advance(account.FreshWindow)
	if err := w.AuthorizeRead(w.ctx, admin); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	if err := w.AuthorizeRead(w.ctx, user); code(err) != account.CodeRole {
		t.Errorf("a user: %v", err)
	}
	if err := w.AuditExport(w.ctx, user, "user.export", nil); code(err) != account.CodeRole {
		t.Errorf("a user's export: %v", err)
	}
	if err := w.AuditExport(w.ctx, admin, "user.export", map[string]string{"role": "admin"}); err != nil {
		t.Errorf("an export: %v", err)
	}
	if ev := w.events(store.EventQuery{Action: "user.export", Outcome: store.Success}); len(ev) != 1 ||
		ev[0].Details["role"] != "admin" {
		t.Errorf("%+v", ev)
	}
}

// TestAReadyHashIsForTheCommandLine: a page could otherwise set a password that the policy has not checked.
func TestAReadyHashIsForTheCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	_, _, admin := w.signIn("root", goodPass)
	hash, err := w.Hasher.Hash(w.ctx, otherPass)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ResetPassword(w.ctx, admin, ada.ID, account.Reset{Hash: hash}); err == nil ||
		!w.passwordWorks(ada, goodPass) {
		t.Errorf("by a person: %v", err)
	}
	if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{Hash: "plain text"}); err == nil ||
		!w.passwordWorks(ada, goodPass) {
		t.Errorf("no hash at all: %v", err)
	}
	if _, err := w.ResetPassword(w.ctx, operator, ada.ID, account.Reset{Hash: hash}); err != nil ||
		!w.passwordWorks(ada, otherPass) {
		t.Errorf("by the command line: %v", err)
	}
}
