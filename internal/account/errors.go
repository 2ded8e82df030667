package account

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

// FieldError is what is wrong with one field. Text is a sentence for people that says what to do.
type FieldError struct {
	Field string // as in forms and JSON: "username", "email", "name", "role", "groups", "password", "new_password", "expires", "active"
	Text  string
}

// InvalidError: the input is refused. Nothing was changed.
type InvalidError struct{ Fields []FieldError }

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + ": " + f.Text
	}
	return strings.Join(parts, " ")
}

// Field answers the text for a field, "" when nothing is wrong with it.
func (e *InvalidError) Field(name string) string {
	for _, f := range e.Fields {
		if f.Field == name {
			return f.Text
		}
	}
	return ""
}

func invalid(field, text string) *InvalidError {
	return &InvalidError{Fields: []FieldError{{field, text}}}
}

// Codes of a [ForbiddenError].
const (
	CodeRole       = "role"            // the actor is not an administrator
	CodeReauth     = "reauth-required" // the last sign-in is too long ago for this
	CodeSelf       = "self"            // nobody takes away their own access
	CodeManaged    = "managed"         // the deployment's root administrator is locked
	CodeLastAdmin  = "last-admin"      // no active administrator would be left
	CodeSignedOut  = "signed-out"      // the actor's session ended meanwhile
	CodeMustChange = "must-change"     // the actor has to choose a new password first
	CodeNoPassword = "no-password"     // the account has no password that could be changed
	CodeSetupDone  = "setup-done"      // there is an administrator already
)

// ForbiddenError: a guard refused the act. Nothing was changed; the refusal is in the audit log.
type ForbiddenError struct {
	Code string // one of the Code constants
	Text string // a sentence for people that says what to do
}

func (e *ForbiddenError) Error() string { return e.Text }

// Is makes errors.Is(err, store.ErrLastAdmin) true for the last-admin rule.
func (e *ForbiddenError) Is(target error) bool {
	return target == store.ErrLastAdmin && e.Code == CodeLastAdmin
}

func errLastAdmin() *ForbiddenError {
	return &ForbiddenError{CodeLastAdmin,
		"This is the only active administrator. Make someone else an administrator first."}
}

func errSignedOut() *ForbiddenError {
	return &ForbiddenError{CodeSignedOut, "Your session has ended. Sign in again."}
}

func errManaged(what string) *ForbiddenError {
	return &ForbiddenError{CodeManaged, "This account is managed by the deployment: its " + what +
		" can only be changed there (ADMIN_EMAIL and ADMIN_PASSWORD, then restart or reload)."}
}

// LinkError: a one-time link is of no use (any more). It matches [store.ErrNotFound].
type LinkError struct{ State LinkState }

func (e *LinkError) Error() string {
	switch e.State {
	case LinkUsed:
		return "this link has been used already; ask an administrator for a new one"
	case LinkExpired:
		return "this link has expired; ask an administrator for a new one"
	case LinkCancelled:
		return "this link was withdrawn; ask an administrator for a new one"
	default:
		return "this link is not known; check that the whole address was copied, or ask an administrator for a new one"
	}
}

// Is makes errors.Is(err, store.ErrNotFound) true.
func (e *LinkError) Is(target error) bool { return target == store.ErrNotFound }
