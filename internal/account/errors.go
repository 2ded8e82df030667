package account

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/store"
)

// FieldError is the problem with one field. Text says in English what to do; Message is the same for translation. If
// Message is zero, Text has been translated already.
type FieldError struct {
	// as in forms and JSON: "username", "email", "name", "role", "groups", "password", "new_password", "expires", "active"
	Field   string
	Text    string
	Message i18n.Text
}

// InvalidError means that the input is invalid. Nothing was changed.
type InvalidError struct{ Fields []FieldError }

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + ": " + f.Text
	}
	return strings.Join(parts, " ")
}

// Field returns the text for a field, "" if it is valid.
func (e *InvalidError) Field(name string) string {
	for _, f := range e.Fields {
		if f.Field == name {
			return f.Text
		}
	}
	return ""
}

// newFieldError returns the error of a field from a text id and its arguments.
func newFieldError(field, id string, args ...any) FieldError {
	t := i18n.New(id, args...)
	return FieldError{Field: field, Text: t.String(), Message: t}
}

func invalid(field, id string, args ...any) *InvalidError {
	return &InvalidError{Fields: []FieldError{newFieldError(field, id, args...)}}
}

// Codes of a [ForbiddenError].
const (
	CodeRole         = "role"            // the actor is not an administrator
	CodeReauth       = "reauth-required" // a step-up is needed
	CodeMFA          = "mfa-required"    // a step-up with a second factor is needed
	CodeSelf         = "self"            // the actor's own access would be removed
	CodeManaged      = "managed"         // the deployment's root administrator is locked
	CodeLastAdmin    = "last-admin"      // no active administrator would be left
	CodeSignedOut    = "signed-out"      // the actor's session ended meanwhile
	CodeMustChange   = "must-change"     // the actor has to choose a new password first
	CodeNoPassword   = "no-password"     // the account has no password that could be changed
	CodePasswordsOff = "passwords-off"   // the password would not be accepted
	CodeSetupDone    = "setup-done"      // an administrator exists already
	CodeTokensOff    = "tokens-off"      // the configuration has no tokens
	CodeTokenLimit   = "token-limit"     // the account has as many tokens as it may
	CodeNotService   = "not-service"     // a person makes their own tokens
	CodeLastWayIn    = "last-way-in"     // no way to sign in would be left
	CodeService      = "service"         // a service account has no password and no role
	CodeFactorLimit  = "factor-limit"    // the account has as many authenticator apps as it may
	CodeLastFactor   = "last-factor"     // the account has to have a second factor
	CodeNoFactor     = "no-factor"       // the account has no second factor, so that what goes with one is of no use
	CodeAskLocked    = "ask-locked"      // the account is asked for a second factor anyway
)

// ForbiddenError means that a guard refused the action. Nothing was changed; the refusal is audited.
type ForbiddenError struct {
	Code    string    // one of the Code constants
	Text    string    // says in English what to do
	Message i18n.Text // the same for translation; zero if Text has been translated already
}

// refuse returns a refusal from a text id and its arguments.
func refuse(code, id string, args ...any) *ForbiddenError {
	t := i18n.New(id, args...)
	return &ForbiddenError{Code: code, Text: t.String(), Message: t}
}

func (e *ForbiddenError) Error() string { return e.Text }

// AsksProof reports whether the actor may do it after a step-up.
func (e *ForbiddenError) AsksProof() bool { return e.Code == CodeReauth || e.Code == CodeMFA }

// Is makes errors.Is(err, store.ErrLastAdmin) true for the last-admin rule.
func (e *ForbiddenError) Is(target error) bool {
	return target == store.ErrLastAdmin && e.Code == CodeLastAdmin
}

func errLastAdmin() *ForbiddenError { return refuse(CodeLastAdmin, "refused.last_admin") }

func errSignedOut() *ForbiddenError { return refuse(CodeSignedOut, "refused.signed_out") }

// errManaged refuses to change what the deployment manages: email, role, state or password.
func (s *core) errManaged(what string) *ForbiddenError {
	return refuse(CodeManaged, "refused.managed_"+what, "env", s.EnvPrefix)
}

// LinkError means that a one-time link cannot be used (any more). It matches [store.ErrNotFound].
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
