package portal

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

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

func (p *Portal) showProviders(w http.ResponseWriter, r *http.Request, v *visit) {
	p.writeProviders(w, r, v, "")
}

func (p *Portal) writeProviders(w http.ResponseWriter, r *http.Request, v *visit, problem string) {
	ids, err := p.Store.Identities(r.Context(), v.live.User.ID)
	if err != nil {
		p.fail(w, r, v, err)
		return
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
			Label: p.providerLabel(id.Provider), As: as, Issuer: id.Issuer, Subject: id.Subject, Last: id.LastLoginAt,
		})
	}
	for _, c := range p.OIDC.Registry.Choices(r.Context()) {
		f := freeProvider{Name: c.Name, Label: c.Label}
		if c.HasIcon {
			f.Icon = v.q.Prefix + "/oidc/" + c.Name + "/icon"
		}
		d.Free = append(d.Free, f)
	}
	page := p.accountPage(v, "providers", "providers", d)
	if problem != "" {
		page.Status, page.Failed, page.Notice = http.StatusConflict, true, &ui.Notice{Kind: ui.Bad, Text: problem}
	}
	p.ui.Write(w, r, page)
}

// postProviders links or unlinks, for somebody who proved lately who they are: whoever finds an open browser must not
// be able to leave a way in behind.
func (p *Portal) postProviders(w http.ResponseWriter, r *http.Request, v *visit) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("action", "provider", "issuer", "subject")
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	if !v.live.Fresh(p.Clock(), account.FreshFor) {
		p.sendTo(w, r, v.q.Prefix+"/reauth?rt="+url.QueryEscape(v.q.Prefix+"/account/providers"))
		return
	}
	switch form.Get("action") {
	case "link":
		p.linkProvider(w, r, v, form.Get("provider"))
	case "unlink":
		p.unlinkProvider(w, r, v, form.Get("issuer"), form.Get("subject"))
	default:
		p.fail(w, r, v, &ui.InputError{Status: http.StatusUnprocessableEntity, Text: p.ui.Text("providers.unknown")})
	}
}

func (p *Portal) linkProvider(w http.ResponseWriter, r *http.Request, v *visit, name string) {
	p.leadAway(w, r, v, name, p.ui.Text("providers.go.text", "name", p.providerLabel(name)), oidc.Start{
		Purpose: oidc.PurposeLink, UserID: v.live.User.ID, RedirectURI: p.callbackURL(v, name), SessionID: v.live.Session.ID,
	})
}

func (p *Portal) unlinkProvider(w http.ResponseWriter, r *http.Request, v *visit, issuer, subject string) {
	err := p.OIDC.Unlink(r.Context(), v.client(r), v.live, issuer, subject)
	switch {
	case errors.Is(err, login.ErrLastWayIn):
		p.writeProviders(w, r, v, p.ui.Text("providers.last"))
	case errors.Is(err, store.ErrNotFound), err == nil: // gone either way
		p.ui.Flash(w, r, "unlinked")
		p.sendTo(w, r, v.q.Prefix+"/account/providers")
	default:
		p.fail(w, r, v, err)
	}
}
