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
	// build makes the page: before anything was sent, and again with what was sent when it was refused.
	build func(r *http.Request, q *web.Request, in input) (ui.Page, error)
	// submit makes the change, and returns what follows.
	submit func(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error)
}

// result is what follows a change: a page, or a redirect (below the mount prefix) with a flash message.
type result struct {
	redirect string
	flash    string
	page     *ui.Page
}

// input is what was sent with a form, nothing when it is shown for the first time.
type input struct {
	ui.Form
	sent bool
	bad  []ui.FieldError // the refused fields
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
		"confirm", "block", "keep_sessions", "do", "identities", "kind", "days", "keep", "end_sessions", "tokens", "link",
		"revoke_tokens",
	} {
		if err := sent.Once(name); err != nil {
			return input{}, err
		}
	}
	return input{Form: sent, sent: true}, nil
}

// postForm handles a form that was sent. If the change is refused, it shows the form again, filled in but for
// passwords.
func postForm(d *web.Deps, f form, action string) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		in, err := readInput(w, r)
		if err != nil {
			return err
		}
		var res result
		if err = d.Accounts.Authorize(r.Context(), q.Actor(), action, r.PathValue("id")); err == nil {
			res, err = f.submit(w, r, q, in)
		}
		switch {
		case err != nil:
			return showRejected(w, r, q, f, in, err)
		case res.page != nil:
			q.UI.Write(w, r, *res.page)
			return nil
		}
		if res.flash != "" {
			q.UI.Flash(w, r, res.flash)
		}
		ui.Redirect(w, r, http.StatusSeeOther, q.At(res.redirect))
		return nil
	}
}

// showForm shows a form to somebody who may use it.
func showForm(f form) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		p, err := f.build(r, q, input{})
		if err != nil {
			return err
		}
		q.UI.Write(w, r, p)
		return nil
	}
}

// showRejected shows the form again with the errors, or returns the error if it is not about the form.
func showRejected(w http.ResponseWriter, r *http.Request, q *web.Request, f form, in input, err error) error {
	fields, status := problem.FieldErrors(q.UI, err)
	n, ok := formNotice(q, err)
	if len(fields) == 0 && !ok {
		return err
	}
	in.bad = fields
	p, buildErr := f.build(r, q, in)
	if buildErr != nil {
		// What the form was about is gone meanwhile, which says more than the refusal does.
		return buildErr
	}
	p.Status, p.Failed = status, true
	if s, isContent := p.Data.(*content); isContent && n != nil {
		s.Notice = n
	}
	q.UI.Write(w, r, p)
	return nil
}

// formNotice returns the message above a form for an error that is about no field; ok is false if there is none.
func formNotice(q *web.Request, err error) (n *notice, ok bool) {
	if errors.Is(err, store.ErrStale) {
		return &notice{Kind: ui.Warn, Text: q.Text("admin.stale")}, true
	}
	refused := forbidden(err)
	switch {
	case refused == nil, refused.Code == account.CodeSignedOut, refused.Code == account.CodeRole,
		refused.Code == account.CodeMustChange:
		return nil, false
	case refused.AsksProof():
		return &notice{
			Kind: ui.Warn, Text: q.Text("admin.reauth"),
			Link: &ui.Link{Href: q.At(web.StepUpPage), Text: q.Text("go.reauth")},
		}, true
	}
	return &notice{Kind: ui.Bad, Text: localize(q, refused.Text, refused.Message)}, true
}

// setForm puts a form on a page, with the errors beside their fields.
func setForm(p *ui.Page, s *content, f *formView, in input) {
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

// confirmForm returns a form without fields: a button, and a link to cancel.
func confirmForm(q *web.Request, action, submit, cancel string, danger bool) *formView {
	return &formView{
		Action: action, Submit: submit, Danger: danger,
		Cancel: ui.Link{Href: cancel, Text: q.Text("go.cancel")},
	}
}

// textField returns a text field of a search.
func textField(name, label, value, kind string) field {
	return field{Kind: "find", Field: ui.Field{ID: name, Name: name, Label: label, Value: value, Type: kind}}
}

// selectField returns a choice among values, or any of them. Their texts are prefix+value.
func selectField(q *web.Request, name, label, now, prefix string, values []string) field {
	f := field{
		Kind: "select", Field: ui.Field{ID: name, Name: name, Label: label},
		Options: []option{{"", q.Text("table.any"), now == ""}},
	}
	for _, value := range values {
		f.Options = append(f.Options, option{value, q.Text(prefix + value), value == now})
	}
	return f
}

func noteField(q *web.Request, in input) field {
	return field{Field: ui.Field{
		ID: "note", Name: "note", Label: q.Text("note.label"), Hint: q.Text("note.hint"),
		Value: in.get("note", ""), Autocomplete: "off", Optional: true,
	}}
}

// fieldError returns the error of a refused field.
func fieldError(name, text string) error {
	return &account.InvalidError{Fields: []account.FieldError{{Field: name, Text: text}}}
}

// forbidden returns the refusal in err, nil if err is something else.
func forbidden(err error) *account.ForbiddenError {
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
