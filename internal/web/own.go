package web

import (
	"net/http"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// LockedText says who changes what a person can't change about the own account.
func (q *Request) LockedText(u store.User) string {
	if u.Managed {
		return q.Text("profile.managed", "env", q.deps.Accounts.EnvPrefix)
	}
	return q.Text("profile.by_admin")
}

// LockedError refuses to change a field of the own account that is for others to change.
func (q *Request) LockedError(u store.User) error {
	code := account.CodeRole
	if u.Managed {
		code = account.CodeManaged
	}
	return &account.ForbiddenError{Code: code, Text: q.LockedText(u)}
}

// WrongPassword is a wrong current password: a refused field and not a 401, because the person is signed in.
func (q *Request) WrongPassword() ui.FieldError {
	return ui.FieldError{Field: "current_password", Detail: q.Text("error.wrong-password.text")}
}

// NewPasswordField returns the field for a password to be set.
func (q *Request) NewPasswordField(name, label string) ui.Field {
	least := q.deps.Accounts.Policy.Min()
	return ui.Field{
		ID: name, Name: name, Label: label, Type: "password", Autocomplete: "new-password", Plain: true,
		Reveal: true,
		Hint:   q.Text("password.rules", "n", least), Rules: "minlength: " + strconv.Itoa(least) + ";", Key: "go",
	}
}

// MarkErrors puts errors beside their fields; what is about no field of the form goes above it.
func MarkErrors(page *ui.Page, fields []ui.Field, errs []ui.FieldError) {
	if len(errs) == 0 {
		return
	}
	page.Failed = true
	page.Status = http.StatusUnprocessableEntity
	if rest := ui.WithErrors(fields, errs); len(rest) > 0 {
		page.Notice = &ui.Notice{Kind: ui.Bad, Text: rest[0].Detail}
	}
}

// OwnSession returns the session that the address names, if it is the person's own. Somebody else's is not found.
func (q *Request) OwnSession(r *http.Request) (store.Session, error) {
	id := r.PathValue("id")
	if !store.ValidID(id) {
		return store.Session{}, store.ErrNotFound
	}
	s, u, err := q.deps.Store.Session(r.Context(), id)
	if err == nil && u.ID != q.Live.User.ID {
		err = store.ErrNotFound
	}
	return s, err
}

// UnknownLanguage refuses a language that there is not.
func (q *Request) UnknownLanguage() error {
	return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: q.Text("appearance.language_unknown")}
}
