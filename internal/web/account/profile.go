package account

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Profile is the page of name and address.
type Profile struct{ *web.Deps }

// profilePage is the data of the "profile" page.
type profilePage struct {
	User   store.User
	Fields []ui.Field
	Why    string // why username and e-mail cannot be changed here
}

func (h *Profile) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	q.UI.Write(w, r, h.page(q, q.Live.User.Name, nil))
	return nil
}

func (h *Profile) page(q *web.Request, name string, errs []ui.FieldError) ui.Page {
	u := q.Live.User
	d := profilePage{User: u, Why: q.LockedText(u), Fields: []ui.Field{
		{
			ID: "name", Name: "name", Label: q.Text("profile.name"), Hint: q.Text("profile.hint"), Value: name,
			Autocomplete: "name", Optional: true, Key: "go",
		},
	}}
	page := accountPage(h.Deps, q, "profile", "profile", nil)
	web.MarkErrors(&page, d.Fields, errs)
	page.Data = d
	return page
}

// lockedFields are those of an account that its own page and address do not change.
var lockedFields = []string{"username", "email", "role", "groups", "active"}

// refuseLocked returns an error when a form has a field that the profile does not change: it is not to hear that all of
// it was saved.
func (h *Profile) refuseLocked(q *web.Request, form ui.Form, u store.User) error {
	secret := form.Has("password") || form.Has("new_password")
	switch {
	case slices.ContainsFunc(lockedFields, form.Has), secret && u.Managed:
		return q.LockedError(u)
	case secret:
		return &account.ForbiddenError{Code: account.CodeSelf, Message: i18n.New("refused.self_password")}
	}
	return nil
}

// post changes the display name. A form without it leaves it alone.
func (h *Profile) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("name")
	}
	if err == nil {
		err = h.refuseLocked(q, form, q.Live.User)
	}
	if err != nil {
		return err
	}
	if !form.Has("name") { // all fields are locked
		web.Redirect(w, r, q.At("/account/profile"))
		return nil
	}
	if _, err = h.Accounts.UpdateProfile(r.Context(), q.Actor(), q.Live.User.ID, form.Get("name")); err != nil {
		if fields, status := problem.FieldErrors(q.UI, err); len(fields) > 0 {
			page := h.page(q, form.Get("name"), fields)
			page.Status = status
			q.UI.Write(w, r, page)
			return nil
		}
		return err
	}
	q.UI.Flash(w, r, "saved")
	web.Redirect(w, r, q.At("/account/profile"))
	return nil
}
