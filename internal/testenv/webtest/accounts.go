package webtest

import (
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Passwords that every policy accepts. Accounts have GoodPass at first.
const (
	GoodPass  = "seven quiet otters 42"
	OtherPass = "a lamp under the stairs"
)

// Operator is the actor of what tests do on the command line.
var Operator = account.Actor{Kind: account.CommandLine}

// Add creates an active account with GoodPass.
func (s *Services) Add(username string, r store.Role) store.User {
	s.T.Helper()
	return s.Create(account.NewUser{
		Username: username, Email: username + "@example.com", Role: r, Password: GoodPass, Active: true,
	})
}

// Create creates an account.
func (s *Services) Create(n account.NewUser) store.User {
	s.T.Helper()
	u, _, err := s.Accounts.Create(s.T.Context(), Operator, n)
	if err != nil {
		s.T.Fatal(err)
	}
	return u
}

// User returns the account with an id.
func (s *Services) User(id string) store.User {
	s.T.Helper()
	u, err := s.Store.User(s.T.Context(), id)
	if err != nil {
		s.T.Fatal(err)
	}
	return u
}

// Edit changes an account in the store alone, without the account service.
func (s *Services) Edit(id string, fn func(u *store.User)) store.User {
	s.T.Helper()
	var out store.User
	err := s.Store.Change(s.T.Context(), func(tx store.Tx) error {
		u, err := tx.User(s.T.Context(), id)
		if err != nil {
			return err
		}
		fn(&u)
		out, err = tx.UpdateUser(s.T.Context(), u)
		return err
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return out
}

// Events returns the audit log's entries of an action, newest first.
func (s *Services) Events(action string) []store.Event {
	s.T.Helper()
	page, err := s.Store.Events(s.T.Context(), store.EventQuery{Action: action, Limit: 1000})
	if err != nil {
		s.T.Fatal(err)
	}
	return page.Items
}

// AllEvents returns the audit log, newest first.
func (s *Services) AllEvents() []store.Event {
	s.T.Helper()
	return s.Events("")
}
