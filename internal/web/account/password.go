package account

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Password is the page on which people change their own password.
type Password struct{ *web.Deps }

// passwordForm is the data of the "password" page.
type passwordForm struct {
	Fields []ui.Field // nil: cannot be changed here
	Faults []ui.Field
	Why    string      // why not
	Must   bool        // nothing else is possible before
	End    bool        // the box "sign out other devices"
	Tokens string      // that these go on; "" where there are none
	Return []ui.Hidden // where to go afterwards, carried along
}

// exists reports whether there is a page for the person: not where their password is not accepted, unless they are held
// there with a session that one began.
func (h *Password) exists(q *web.Request) bool {
	return h.Login.Passwords.Of(q.Live.User) || q.Live.User.MustChange
}

func (h *Password) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if !h.exists(q) {
		return q.NotFound()
	}
	b, to := q.ReturnTo(nil), q.OwnPage(nil, "to")
	q.UI.Write(w, r, h.page(q, b, to, true, nil))
	return nil
}

func (h *Password) page(q *web.Request, b returnto.Target, to string, end bool, errs []ui.FieldError) ui.Page {
	u := q.Live.User
	d := passwordForm{Must: u.MustChange, End: end, Return: ui.HiddenFields(b.Query(to))}
	page := accountPage(h.Deps, q, "password", "password", nil)
	switch {
	case u.Managed:
		d.Why = q.Text("password.managed", "env", h.Accounts.EnvPrefix)
	case !h.Login.Passwords.Of(u):
		d.Why = q.Text("password.off")
	case u.PasswordHash == "":
		d.Why = q.Text("password.none")
	default:
		d.Fields = []ui.Field{
			{
				ID: "username", Name: "username", Label: q.Text("login.username"), Value: u.Username, Autocomplete: "username",
				ReadOnly: true, Plain: true,
			},
			{
				ID: "current_password", Name: "current_password", Label: q.Text("password.current"), Type: "password",
				Autocomplete: "current-password", Plain: true, Reveal: true, Key: "next",
			},
			q.NewPasswordField("new_password", q.Text("password.new")),
		}
		web.MarkErrors(&page, d.Fields, errs)
		d.Faults, d.Tokens = ui.Faults(d.Fields), q.TokensStay()
	}
	if d.Must {
		page.Nav = nil         // every other page leads back here
		page.FormGoesOn = true // and this one to the app
	}
	page.Data = d
	return page
}

// post changes the person's own password. The browser goes on with a new session; the others end, unless the
// person unticked that.
func (h *Password) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if !h.exists(q) {
		return q.NotFound()
	}
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("current_password", "new_password", "rt", "to", "back")
	}
	if err != nil {
		return err
	}
	b, to, end := q.ReturnTo(&form), q.OwnPage(&form, "to"), endOthers(form)
	in, err := h.Accounts.ChangeOwnPassword(r.Context(), q.Actor(), q.Live, form.Get("current_password"),
		form.Get("new_password"), end)
	if err != nil {
		return h.refuse(w, r, q, b, to, end, err)
	}
	q.SetSession(w, in)
	if !q.Live.User.MustChange {
		q.UI.Flash(w, r, "password_changed")
	}
	web.Redirect(w, r, h.next(q, b, to))
	return nil
}

// endOthers returns whether the other sessions end: yes, unless the person unticked it. The form says "0" beside the
// box, so that an unticked box and a program that does not know the field can be distinguished.
func endOthers(form ui.Form) bool {
	values := form.All("end_others")
	return len(values) == 0 || lastIsYes(values)
}

// lastIsYes reports whether the last of several values of a box says yes.
func lastIsYes(values []string) bool {
	last := strings.ToLower(values[len(values)-1])
	return !slices.Contains([]string{"", "0", "false", "off", "no"}, last)
}

// next returns where to go: on to where the person was going when the change was asked for.
func (h *Password) next(q *web.Request, b returnto.Target, to string) string {
	otherwise := q.At(web.PasswordPage)
	if q.Live.User.MustChange {
		otherwise = returnto.Home
	}
	return b.RedirectTarget(q.Request, to, otherwise)
}

func (h *Password) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, b returnto.Target, to string,
	end bool, err error,
) error {
	fields, status := problem.FieldErrors(q.UI, err)
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, login.ErrInvalidCredentials):
		fields, status = []ui.FieldError{q.WrongPassword()}, http.StatusUnprocessableEntity
	case errors.As(err, &throttled):
		q.WriteThrottled(w, r, err, h.page(q, b, to, end, nil))
		return nil
	}
	if len(fields) == 0 {
		return err
	}
	page := h.page(q, b, to, end, fields)
	page.Status = status
	q.UI.Write(w, r, page)
	return nil
}
