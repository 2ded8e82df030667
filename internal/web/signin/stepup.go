package signin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// StepUp asks somebody who is signed in to prove it again.
type StepUp struct{ *web.Deps }

// reauthPage is the data of the "reauth" page.
type reauthPage struct {
	Fields []ui.Field  // nil: the account has no password here
	Return []ui.Hidden // where to go afterwards, carried along
	Again  string      // where to sign in once more instead
	// Buttons offer the providers that the person has signed in with.
	Buttons []providerButton
}

func (h *StepUp) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, own := q.StepUpReturn(nil)
	d := h.data(r, q, t, own)
	if len(d.Fields) > 0 {
		d.Fields[1].Focus = true
	}
	q.UI.Write(w, r, h.page(q, d))
	return nil
}

// data makes the page that leads to own, or else to t.
func (h *StepUp) data(r *http.Request, q *web.Request, t returnto.Target, own string) reauthPage {
	d := reauthPage{Return: ui.HiddenFields(web.StepUpQuery(t, own)), Buttons: h.buttons(r, q, t.Query(own))}
	if !h.Login.Passwords.Has(q.Live.User) {
		query := t.Query(own)
		query.Set("switch", "1")
		d.Again = returnto.At(q.At("/login"), query)
		return d
	}
	d.Fields = []ui.Field{
		{
			ID: "username", Name: "username", Label: q.Text("login.username"), Value: q.Live.User.Username,
			Autocomplete: "username", ReadOnly: true, Plain: true,
		},
		{
			ID: "password", Name: "password", Label: q.Text("login.password"), Type: "password",
			Autocomplete: "current-password", Plain: true, Reveal: true, Key: "go",
		},
	}
	return d
}

// buttons offer to prove it at a provider, and carry back. What cannot be looked up is not offered: there are other
// ways.
func (h *StepUp) buttons(r *http.Request, q *web.Request, back url.Values) []providerButton {
	if h.OIDC == nil {
		return nil
	}
	ids, err := h.Store.Identities(r.Context(), q.Live.User.ID)
	if err != nil {
		return nil
	}
	back.Set("reauth", "1")
	var list []providerButton
	for _, c := range h.OIDC.Registry.Choices(r.Context()) {
		cfg, _ := h.OIDC.Registry.Config(c.Name)
		if slices.ContainsFunc(ids, func(id store.Identity) bool { return id.Issuer == cfg.Issuer }) {
			list = append(list, button(q, c, back))
		}
	}
	return list
}

func (h *StepUp) page(q *web.Request, d reauthPage) ui.Page {
	return ui.Page{
		Template: "reauth", Card: true, Title: q.Text("reauth.title"), Viewer: q.Viewer(), FormGoesOn: true, Data: d,
	}
}

// post checks the password again. The name comes from the session: the read-only field is for password managers
// and is not read.
func (h *StepUp) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("password", "rt", "back")
	}
	if err != nil {
		return err
	}
	t, own := q.StepUpReturn(&form)
	in, err := h.confirm(r, q, form.Get("password"))
	if err != nil {
		return h.refuse(w, r, q, h.data(r, q, t, own), err)
	}
	q.SetSession(w, in)
	web.Redirect(w, r, t.RedirectTarget(q.Request, own, q.At("/account")))
	return nil
}

func (h *StepUp) confirm(r *http.Request, q *web.Request, pass string) (login.SignedIn, error) {
	client := q.Client()
	proof, err := h.Login.Reverify(r.Context(), client, q.Live.User, pass)
	if err != nil {
		return login.SignedIn{}, err
	}
	return h.Login.StepUp(r.Context(), client, proof, q.Live)
}

// refuse shows the page again that d is the data of.
func (h *StepUp) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, d reauthPage, err error) error {
	fail := problem.Of(err)
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, store.ErrNotFound): // the session ended meanwhile
		web.NewResponses(h.Deps).SessionEnded(w, r)
	case errors.Is(err, login.ErrInvalidCredentials):
		q.WriteErrorHeaders(w, r, fail, err)
		page := h.page(q, d)
		web.MarkErrors(&page, d.Fields, []ui.FieldError{{Field: "password", Detail: q.Text("error.wrong-password.text")}})
		page.Status = fail.Status
		q.UI.Write(w, r, page)
	case errors.As(err, &throttled):
		q.WriteThrottled(w, r, err, h.page(q, d))
	default:
		return err
	}
	return nil
}
