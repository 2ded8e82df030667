package portal

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// passwordForm is the data of the "password" page.
type passwordForm struct {
	Fields []ui.Field // nil: cannot be changed here
	Faults []ui.Field
	Why    string // why not
	Must   bool   // nothing else is possible before
	End    bool   // the box "sign out other devices"
	RT, To string
}

func (p *Portal) showPassword(w http.ResponseWriter, r *http.Request, v *visit) {
	b, to := v.returning(r, nil), v.own(r, nil, "to")
	p.ui.Write(w, r, p.password(v, b, to, true, nil))
}

func (p *Portal) password(v *visit, b returnto.Target, to string, end bool, errs []ui.FieldError) ui.Page {
	u := v.live.User
	d := passwordForm{Must: u.MustChange, End: end, RT: b.Raw, To: to}
	page := p.accountPage(v, "password", "password", nil)
	switch {
	case u.Managed:
		d.Why = p.ui.Text("password.managed", "env", p.Accounts.EnvPrefix)
	case u.PasswordHash == "":
		d.Why = p.ui.Text("password.none")
	default:
		d.Fields = []ui.Field{
			{ID: "username", Name: "username", Label: p.ui.Text("login.username"), Value: u.Username, Autocomplete: "username", ReadOnly: true, Plain: true},
			{ID: "current_password", Name: "current_password", Label: p.ui.Text("password.current"), Type: "password", Autocomplete: "current-password", Plain: true, Reveal: true, Key: "next"},
			p.newPassword("new_password", p.ui.Text("password.new")),
		}
		p.markErrors(&page, d.Fields, errs)
		d.Faults = ui.Faults(d.Fields)
	}
	if d.Must {
		page.Nav = nil // every other page leads back here
	}
	page.Data = d
	return page
}

// postPassword changes the person's own password. The browser goes on with a new session; the others end, unless the
// person unticked that.
func (p *Portal) postPassword(w http.ResponseWriter, r *http.Request, v *visit) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("current_password", "new_password", "rt", "to")
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	b, to, end := v.returning(r, &form), v.own(r, &form, "to"), endOthers(form)
	in, err := p.Accounts.ChangeOwnPassword(r.Context(), v.actor(r), v.live, form.Get("current_password"), form.Get("new_password"), end)
	if err != nil {
		p.refusePassword(w, r, v, b, to, end, err)
		return
	}
	v.carryOn(w, in)
	if !v.live.User.MustChange {
		p.ui.Flash(w, r, "password_changed")
	}
	p.sendTo(w, r, p.afterPassword(v, b, to))
}

// endOthers returns whether the other sessions end: yes, unless the person unticked it. The form says "0" beside the
// box, so that an unticked box and a program that does not know the field can be told apart.
func endOthers(form ui.Form) bool {
	values := form.All("end_others")
	if len(values) == 0 {
		return true
	}
	last := strings.ToLower(values[len(values)-1])
	return !slices.Contains([]string{"", "0", "false", "off", "no"}, last)
}

// afterPassword returns where to go: on to where the person was going when the change was asked for.
func (p *Portal) afterPassword(v *visit, b returnto.Target, to string) string {
	otherwise := v.q.Prefix + passwordPage
	if v.live.User.MustChange {
		otherwise = returnto.Home
	}
	return b.RedirectTarget(v.q, to, otherwise)
}

func (p *Portal) refusePassword(w http.ResponseWriter, r *http.Request, v *visit, b returnto.Target, to string, end bool, err error) {
	fields, status := problem.FieldErrors(p.ui, err)
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, login.ErrWrong):
		fields, status = []ui.FieldError{p.wrongCurrent()}, http.StatusUnprocessableEntity
	case errors.As(err, &throttled):
		f := problem.Of(err)
		p.begin(w, r, v, f, err)
		again := v.q.Prefix + passwordPage
		if to != "" {
			again += "?to=" + url.QueryEscape(to)
		} else if b.Raw != "" {
			again += "?rt=" + url.QueryEscape(b.Raw)
		}
		p.throttled(w, r, f, again)
		return
	}
	if len(fields) == 0 {
		p.fail(w, r, v, err)
		return
	}
	page := p.password(v, b, to, end, fields)
	page.Status = status
	p.ui.Write(w, r, page)
}

// wrongCurrent is a wrong current password: a refused field and not a 401, because the person is signed in.
func (p *Portal) wrongCurrent() ui.FieldError {
	return ui.FieldError{Field: "current_password", Detail: p.ui.Text("error.wrong-password.text")}
}
