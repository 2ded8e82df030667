package login

import "github.com/gatehouse-auth/gatehouse/store"

// Passwords says whose passwords are accepted. Whatever checks a password, sets one, or offers to, asks [Passwords.Of]:
// there is no other rule. The zero value accepts none, so that a service made without the rule refuses everybody.
type Passwords uint8

// The passwords that can be accepted.
const (
	NoPasswords      Passwords = iota
	ManagedPasswords           // only the managed root's, which is the way in when every provider is down
	AllPasswords
)

// Has reports whether u can sign in with a password: there is one, and it is accepted.
func (p Passwords) Has(u store.User) bool { return u.PasswordHash != "" && p.Of(u) }

// Of reports whether the password of u is accepted.
func (p Passwords) Of(u store.User) bool {
	if u.IsService() {
		return false
	}
	switch p {
	case AllPasswords:
		return true
	case ManagedPasswords:
		return u.Managed
	case NoPasswords:
	}
	return false
}
