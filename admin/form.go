package admin

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// form is a page that changes something.
type form struct {
	// build makes the page: before anything was sent, and again with what was sent when it was refused. bad are the
	// refused fields.
	build func(r *http.Request, q *web.Request, in input) (ui.Page, error)
	// act does it, and says where to go.
	act func(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error)
}

// next is what follows an act: a page of its own, or another address (below the mount prefix) and a word about it.
type next struct {
	to    string
	flash string
	page  *ui.Page
}

// input is what was sent with a form, nothing when it is shown for the first time.
type input struct {
	ui.Form
	sent bool
	bad  []ui.FieldError
}

// get returns what was sent, or otherwise.
func (in input) get(name, otherwise string) string {
	if in.sent && in.Has(name) {
		return in.Form.Get(name)
	}
	return otherwise
}

// readInput reads a form and refuses a field that came twice.
func readInput(w http.ResponseWriter, r *http.Request) (input, error) {
	sent, err := ui.ReadForm(w, r)
	if err != nil {
		return input{}, err
	}
	for _, name := range []string{
		"username", "email", "name", "role", "active", "version", "way", "password", "must_change", "expires", "note",
		"confirm", "block", "keep_sessions", "do", "identities",
	} {
		if err := sent.Once(name); err != nil {
			return input{}, err
		}
	}
	return input{Form: sent, sent: true}, nil
}

// showForm shows a form to somebody who may use it.
func (a *admin) showForm(f form) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		p, err := f.build(r, q, input{})
		if err != nil {
			return err
		}
		q.UI.Write(w, r, p)
		return nil
	}
}

// postForm does what a form asks for. What is refused comes back as the form, filled in as it was but for passwords.
func (a *admin) postForm(f form, action string) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		in, err := readInput(w, r)
		if err != nil {
			return err
		}
		var n next
		if err = a.Accounts.Authorize(r.Context(), q.Actor(), action, r.PathValue("id")); err == nil {
			n, err = f.act(w, r, q, in)
		}
		switch {
		case err != nil:
			return a.refuse(w, r, q, f, in, err)
		case n.page != nil:
			q.UI.Write(w, r, *n.page)
			return nil
		}
		if n.flash != "" {
			q.UI.Flash(w, r, n.flash)
		}
		ui.Redirect(w, r, http.StatusSeeOther, q.At(n.to))
		return nil
	}
}

// refuse shows the form again with what is wrong, or returns the error when it is not about the form.
func (a *admin) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, f form, in input, err error) error {
	fields, status := problem.FieldErrors(q.UI, err)
	n, about := a.aboutForm(q, err)
	if len(fields) == 0 && !about {
		return err
	}
	in.bad = fields
	p, buildErr := f.build(r, q, in)
	if buildErr != nil {
		// What the form was about is gone meanwhile, which says more than the refusal does.
		return buildErr
	}
	p.Status, p.Failed = status, true
	if s, ok := p.Data.(*screen); ok && n != nil {
		s.Notice = n
	}
	q.UI.Write(w, r, p)
	return nil
}

// aboutForm returns what to say above a form for an error that is about no field.
func (a *admin) aboutForm(q *web.Request, err error) (n *notice, about bool) {
	if errors.Is(err, store.ErrStale) {
		return &notice{Kind: ui.Warn, Text: q.Text("admin.stale")}, true
	}
	refused := refusal(err)
	switch {
	case refused == nil, refused.Code == account.CodeSignedOut, refused.Code == account.CodeRole, refused.Code == account.CodeMustChange:
		return nil, false
	case refused.Code == account.CodeReauth:
		return &notice{Kind: ui.Warn, Text: q.Text("admin.reauth"),
			Link: &ui.Link{Href: q.At("/reauth"), Text: q.Text("go.reauth")}}, true
	}
	return &notice{Kind: ui.Bad, Text: a.tell(q, refused.Text, refused.Say)}, true
}

// finish puts a form on a page, with the errors beside their fields.
func (a *admin) finish(p *ui.Page, s *screen, f *formView, in input) {
	plainFields := make([]ui.Field, len(f.Fields))
	for i := range f.Fields {
		plainFields[i] = f.Fields[i].Field
	}
	if len(in.bad) > 0 {
		p.Failed = true
		if rest := ui.WithErrors(plainFields, in.bad); len(rest) > 0 {
			s.Notice = &notice{Kind: ui.Bad, Text: rest[0].Detail}
		}
	}
	s.Faults = ui.Faults(plainFields)
	for i := range f.Fields {
		f.Fields[i].Field = plainFields[i]
		if len(s.Faults) > 1 {
			f.Fields[i].Focus = false // the summary has it
		}
	}
	if p.Viewer != nil {
		f.Hidden = append(f.Hidden, pair{ui.AboutField, p.Viewer.ID})
	}
	s.Form = f
}

// question makes a form without fields: a text and a button.
func (a *admin) question(q *web.Request, action, submit, cancel string, danger bool) *formView {
	return &formView{Action: action, Submit: submit, Danger: danger, Cancel: ui.Link{Href: cancel, Text: q.Text("go.cancel")}}
}

// refusal returns the guard's refusal in err, nil when err is something else.
func refusal(err error) *account.ForbiddenError {
	var refused *account.ForbiddenError
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}

// splitList reads names that were typed with commas or line breaks between them.
func splitList(values []string) []string {
	list := []string{}
	for _, v := range values {
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
	}
	return list
}
