package account

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/internal/web/signin"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Providers links the account with people at providers.
type Providers struct {
	*web.Deps
	SignIn *signin.OIDC
}

// providersPage is the data of the "providers" page.
type providersPage struct {
	Linked []linkedProvider
	Free   []freeProvider
	Error  string
}

// linkedProvider is an identity of the person.
type linkedProvider struct {
	Label, As       string
	Issuer, Subject string
	Last            time.Time
}

// freeProvider can be linked.
type freeProvider struct{ Name, Label, Icon string }

func (h *Providers) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return h.write(w, r, q, "")
}

func (h *Providers) write(w http.ResponseWriter, r *http.Request, q *web.Request, problem string) error {
	ids, err := h.Store.Identities(r.Context(), q.Live.User.ID)
	if err != nil {
		return err
	}
	d := providersPage{Error: problem}
	for _, id := range ids {
		as := id.Email
		if as == "" {
			as = id.Name
		}
		if as == "" {
			as = id.Subject
		}
		d.Linked = append(d.Linked, linkedProvider{
			Label: q.ProviderLabel(id.Provider), As: as, Issuer: id.Issuer, Subject: id.Subject, Last: id.LastLoginAt,
		})
	}
	for _, c := range h.OIDC.Registry.Choices(r.Context()) {
		f := freeProvider{Name: c.Name, Label: c.Label}
		if c.HasIcon {
			f.Icon = q.At("/oidc/" + c.Name + "/icon")
		}
		d.Free = append(d.Free, f)
	}
	page := accountPage(h.Deps, q, "providers", "providers", d)
	if problem != "" {
		page.Status, page.Failed, page.Notice = http.StatusConflict, true, &ui.Notice{Kind: ui.Bad, Text: problem}
	}
	q.UI.Write(w, r, page)
	return nil
}

// post links or unlinks, for somebody who proved lately who they are: anyone who finds an open browser must not
// be able to leave a way in behind.
func (h *Providers) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("action", "provider", "issuer", "subject")
	}
	if err != nil {
		return err
	}
	if !q.Confirmed() {
		web.Redirect(w, r, q.StepUpURL(returnto.Target{}, q.At("/account/providers")))
		return nil
	}
	switch form.Get("action") {
	case "link":
		return h.link(w, r, q, form.Get("provider"))
	case "unlink":
		return h.unlink(w, r, q, form.Get("issuer"), form.Get("subject"))
	default:
		return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: q.Text("providers.unknown")}
	}
}

func (h *Providers) link(w http.ResponseWriter, r *http.Request, q *web.Request, name string) error {
	text := q.Text("providers.go.text", "name", q.ProviderLabel(name))
	return h.SignIn.BeginWithPage(w, r, q, name, text, oidc.FlowOptions{
		Purpose: oidc.PurposeLink, UserID: q.Live.User.ID,
		RedirectURI: signin.CallbackURL(q, name), SessionID: q.Live.Session.ID,
	})
}

func (h *Providers) unlink(w http.ResponseWriter, r *http.Request, q *web.Request, issuer, subject string) error {
	err := h.OIDC.Unlink(r.Context(), q.Client(), q.Live, issuer, subject)
	switch {
	case errors.Is(err, login.ErrLastSignInMethod):
		return h.write(w, r, q, q.PasswordText("providers.last"))
	case errors.Is(err, store.ErrNotFound), err == nil: // gone either way
		q.UI.Flash(w, r, "unlinked")
		web.Redirect(w, r, q.At("/account/providers"))
	default:
		return err
	}
	return nil
}
