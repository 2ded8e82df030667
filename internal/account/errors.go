package account

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/store"
)

// FieldError is what is wrong with one field. Text is a sentence for people that says what to do: in English, with Say
// for those who answer in another language. Where Say is zero, Text has been put into a language already.
type FieldError struct {
	Field string // as in forms and JSON: "username", "email", "name", "role", "groups", "password", "new_password", "expires", "active"
	Text  string
	Say   i18n.Text
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

// Field returns the text for a field, "" when nothing is wrong with it.
func (e *InvalidError) Field(name string) string {
	for _, f := range e.Fields {
		if f.Field == name {
			return f.Text
		}
	}
	return ""
}

// newFieldError makes a refused field from the id of its sentence and what the sentence has room for.
func newFieldError(field, id string, args ...any) FieldError {
	t := i18n.New(id, args...)
	return FieldError{Field: field, Text: t.String(), Say: t}
}

func invalid(field, id string) *InvalidError {
	return &InvalidError{Fields: []FieldError{newFieldError(field, id)}}
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
	Code string    // one of the Code constants
	Text string    // a sentence for people that says what to do
	Say  i18n.Text // the same, to be put into a language; zero where Text is in one already
}

// refuse makes a refusal from the id of its sentence and what the sentence has room for.
func refuse(code, id string, args ...any) *ForbiddenError {
	t := i18n.New(id, args...)
	return &ForbiddenError{Code: code, Text: t.String(), Say: t}
}

func (e *ForbiddenError) Error() string { return e.Text }

// Is makes errors.Is(err, store.ErrLastAdmin) true for the last-admin rule.
func (e *ForbiddenError) Is(target error) bool {
	return target == store.ErrLastAdmin && e.Code == CodeLastAdmin
}

func errLastAdmin() *ForbiddenError { return refuse(CodeLastAdmin, "refused.last_admin") }

func errSignedOut() *ForbiddenError { return refuse(CodeSignedOut, "refused.signed_out") }

// errManaged refuses to change what the deployment decides: email, role, state or password.
func (s *Service) errManaged(what string) *ForbiddenError {
	return refuse(CodeManaged, "refused.managed_"+what, "env", s.EnvPrefix)
}

// LinkError: a one-time link is of no use (any more). It matches [store.ErrNotFound].
type LinkError struct{ State LinkState }

func (e *LinkError) Error() string {
	switch e.State {
	case LinkUsed:
		return "this link has been used already; ask an administrator for a new one"
	case LinkExpired:
		return "this link has expired; ask an administrator for a new one"
	case LinkCanceled:
		return "this link was withdrawn; ask an administrator for a new one"
	default:
		return "this link is not known; check that the whole address was copied, or ask an administrator for a new one"
	}
}

// Is makes errors.Is(err, store.ErrNotFound) true.
func (e *LinkError) Is(target error) bool { return target == store.ErrNotFound }
