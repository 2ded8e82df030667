package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

func listByFactors(t *testing.T, s store.Store) {
	in := func(groups ...string) func(*store.User) { return func(u *store.User) { u.Groups = groups } }
	addTOTP(t, s, addUser(t, s, "armed", asAdmin, in("staff")))
	addUser(t, s, "boss", asAdmin)
	addUser(t, s, "clerk", in("other", "staff"))
	addUser(t, s, "guest", in("staffing"), func(u *store.User) { u.Active = false })
	addService(t, s, "bot")
	change(t, s, func(ctx context.Context, tx store.Tx) error { // not confirmed
		return tx.PutTOTP(ctx, newTOTP(addIn(ctx, t, tx, "half")))
	})
	demand := func(d store.MFADemand) store.UserQuery { return store.UserQuery{MFA: store.MFANone, MFAFor: &d} }
	for _, c := range []struct {
		q    store.UserQuery
		want string
	}{
		{store.UserQuery{}, "armed boss bot clerk guest half"},
		{store.UserQuery{MFA: store.MFAAny}, "armed"},
		{store.UserQuery{MFA: store.MFANone}, "boss clerk guest half"},
		{store.UserQuery{MFA: store.MFANone, Status: "active"}, "boss clerk half"},
		{store.UserQuery{MFA: store.MFANone, Text: "ler"}, "clerk"},
		{store.UserQuery{MFA: store.MFAAny, Role: store.RoleAdmin, Sort: store.SortCreated}, "armed"},
		{demand(store.MFADemand{All: true}), "boss clerk guest half"},
		{demand(store.MFADemand{Admins: true}), "boss"},
		{demand(store.MFADemand{Groups: []string{"staff", "none"}}), "clerk"},
		{demand(store.MFADemand{Admins: true, Groups: []string{"staff", "other", ""}}), "boss clerk"},
		{demand(store.MFADemand{}), ""},
		{demand(store.MFADemand{Groups: []string{""}}), ""},
	} {
		c.q.Limit = 2
		var names []string
		for _, u := range allUsers(t, s, c.q) {
			names = append(names, u.Username)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.q, got, c.want)
		}
		c.q.Limit = 0
		if n, err := s.CountUsers(t.Context(), c.q); err != nil || n != len(names) {
			t.Errorf("%+v: counted %d, %v, want %d", c.q, n, err, len(names))
		}
	}
	for _, q := range []store.UserQuery{
		{MFA: "some"}, {MFAFor: &store.MFADemand{All: true}}, {MFA: store.MFAAny, MFAFor: &store.MFADemand{}},
	} {
		if _, err := s.Users(t.Context(), q); err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%+v: got %v, want a refusal of the query", q, err)
		}
	}
}

// addIn stores a user in a change in progress.
func addIn(ctx context.Context, t *testing.T, tx store.Tx, name string) store.User {
	t.Helper()
	u := newUser(name)
	if err := tx.CreateUser(ctx, u); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return u
}
