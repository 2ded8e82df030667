package signin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// StepUp asks somebody who is signed in to prove it again.
type StepUp struct{ *web.Deps }

// reauthPage is the data of the "reauth" page.
type reauthPage struct {
	Fields []ui.Field // nil: the account has no password here
	RT     string
	Again  string // where to sign in once more instead
	// Buttons offer the providers that the person has signed in with.
	Buttons []providerButton
}

func (h *StepUp) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	d := h.data(r, q, q.StepUpReturn(nil))
	if len(d.Fields) > 0 {
		d.Fields[1].Focus = true
	}
	q.UI.Write(w, r, h.page(q, d))
	return nil
}

func (h *StepUp) data(r *http.Request, q *web.Request, rt string) reauthPage {
	d := reauthPage{RT: rt, Buttons: h.buttons(r, q, rt)}
	if q.Live.User.PasswordHash == "" || !h.Login.Passwords.Of(q.Live.User) {
		query := url.Values{"switch": {"1"}}
		if _, ok := h.Guard.CheckOwn(q.Request, rt); ok {
			query.Set("to", rt)
		}
		d.Again = q.Prefix + "/login?" + query.Encode()
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

// buttons offer to prove it at a provider. What cannot be looked up is not offered: there are other ways.
func (h *StepUp) buttons(r *http.Request, q *web.Request, rt string) []providerButton {
	if h.OIDC == nil {
		return nil
	}
	ids, err := h.Store.Identities(r.Context(), q.Live.User.ID)
	if err != nil {
		return nil
	}
	query := url.Values{"reauth": {"1"}}
	if _, ok := h.Guard.CheckOwn(q.Request, rt); ok {
		query.Set("to", rt)
	} else if rt != "" {
		query.Set("rt", rt)
	}
	var list []providerButton
	for _, c := range h.OIDC.Registry.Choices(r.Context()) {
		cfg, _ := h.OIDC.Registry.Config(c.Name)
		if slices.ContainsFunc(ids, func(id store.Identity) bool { return id.Issuer == cfg.Issuer }) {
			list = append(list, button(q, c, query))
		}
	}
	return list
}

func (h *StepUp) page(q *web.Request, d reauthPage) ui.Page {
	return ui.Page{Template: "reauth", Card: true, Title: q.Text("reauth.title"), Viewer: q.Viewer(), Data: d}
}

// post checks the password again. The name comes from the session: the read-only field is for password managers
// and is not read.
func (h *StepUp) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("password", "rt")
	}
	if err != nil {
		return err
	}
	rt := q.StepUpReturn(&form)
	in, err := h.confirm(r, q, form.Get("password"))
	if err != nil {
		return h.refuse(w, r, q, rt, err)
	}
	q.SetSession(w, in)
	if rt == "" {
		rt = q.Prefix + "/account"
	}
	web.Redirect(w, r, rt)
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

func (h *StepUp) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, rt string, err error) error {
	fail := problem.Of(err)
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, store.ErrNotFound): // the session ended meanwhile
		web.NewResponses(h.Deps).SessionEnded(w, r)
	case errors.Is(err, login.ErrInvalidCredentials):
		q.WriteErrorHeaders(w, r, fail, err)
		d := h.data(r, q, rt)
		page := h.page(q, d)
		web.MarkErrors(&page, d.Fields, []ui.FieldError{{Field: "password", Detail: q.Text("error.wrong-password.text")}})
		page.Status = fail.Status
		q.UI.Write(w, r, page)
	case errors.As(err, &throttled):
		q.WriteThrottled(w, r, err, h.page(q, h.data(r, q, rt)))
	default:
		return err
	}
	return nil
}
