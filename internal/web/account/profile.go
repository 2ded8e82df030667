package account

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
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
	Named  *namedPasskeys
}

// namedPasskeys is what the browser's password manager is told after its owner has changed the name: what to show
// beside the passkeys of the account.
type namedPasskeys struct{ RPID, Handle, Name, DisplayName string }

// namedKind is what is handed over of a changed name.
const namedKind = "n"

func (h *Profile) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	named, err := h.named(w, r, q)
	if err != nil {
		return err
	}
	page := h.page(q, q.Live.User.Name, nil)
	if d, ok := page.Data.(profilePage); ok {
		d.Named = named
		page.Data = d
	}
	q.UI.Write(w, r, page)
	return nil
}

// named returns what the password manager is told once, in the browser that has just changed the name; nil for nothing.
func (h *Profile) named(w http.ResponseWriter, r *http.Request, q *web.Request) (*namedPasskeys, error) {
	u := q.Live.User
	if kind, _ := q.Handover(u.ID); kind != namedKind {
		return nil, nil //nolint:nilnil // there is nothing to say, which is no error
	}
	q.EndHandover(w)
	k, err := h.passkeyHere(r, q)
	if err != nil || k.ID == "" {
		return nil, err
	}
	return &namedPasskeys{
		RPID: k.RPID, Handle: k.Handle, Name: u.Username, DisplayName: passkey.DisplayName(u),
	}, nil
}

// passkeyHere returns a passkey of the person that works on this site, the zero one for none.
func (h *Profile) passkeyHere(r *http.Request, q *web.Request) (store.Passkey, error) {
	rpID := q.PasskeyRPID()
	if rpID == "" || !h.Login.PasskeysOn() || q.Live.User.Factors.Passkeys == 0 {
		return store.Passkey{}, nil
	}
	list, err := h.Store.Passkeys(r.Context(), q.Live.User.ID)
	if err != nil {
		return store.Passkey{}, err
	}
	for _, k := range store.PasskeysOf(list, rpID) {
		return k, nil
	}
	return store.Passkey{}, nil
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
	after, err := h.Accounts.UpdateProfile(r.Context(), q.Actor(), q.Live.User.ID, form.Get("name"))
	if err != nil {
		if fields, status := problem.FieldErrors(q.UI, err); len(fields) > 0 {
			page := h.page(q, form.Get("name"), fields)
			page.Status = status
			q.UI.Write(w, r, page)
			return nil
		}
		return err
	}
	if after.Name != q.Live.User.Name && after.Factors.Passkeys > 0 {
		q.SetHandover(w, after.ID, namedKind, "")
	}
	q.UI.Flash(w, r, "saved")
	web.Redirect(w, r, q.At("/account/profile"))
	return nil
}
