package portal

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// reauthPath is the page's address below the prefix.
const reauthPath = "/reauth"

// reauthPage is the data of the "reauth" page.
type reauthPage struct {
	Fields []ui.Field // nil: the account has no password here
	RT     string
	Again  string // where to sign in once more instead
	// Buttons offer the providers that the person has signed in with.
	Buttons []providerButton
}

func (p *Portal) showReauth(w http.ResponseWriter, r *http.Request, v *visit) {
	d := p.reauthData(r, v, v.reauthBack(r, nil))
	if len(d.Fields) > 0 {
		d.Fields[1].Focus = true
	}
	p.ui.Write(w, r, p.reauth(v, d))
}

// reauthBack returns where to return to, a page of ours or of the app's; "" for neither.
func (v *visit) reauthBack(r *http.Request, form *ui.Form) string {
	if to := v.own(r, form, "rt"); to != "" {
		return to
	}
	if b := v.returning(r, form); !b.External {
		return b.Raw
	}
	return ""
}

func (p *Portal) reauthData(r *http.Request, v *visit, rt string) reauthPage {
	d := reauthPage{RT: rt, Buttons: p.reauthButtons(r, v, rt)}
	if v.live.User.PasswordHash == "" {
		q := url.Values{"switch": {"1"}}
		if _, ok := p.guard.CheckOwn(v.q, rt); ok {
			q.Set("to", rt)
		}
		d.Again = v.q.Prefix + "/login?" + q.Encode()
		return d
	}
	d.Fields = []ui.Field{
		{ID: "username", Name: "username", Label: p.ui.Text("login.username"), Value: v.live.User.Username, Autocomplete: "username", ReadOnly: true, Plain: true},
		{ID: "password", Name: "password", Label: p.ui.Text("login.password"), Type: "password", Autocomplete: "current-password", Plain: true, Reveal: true, Key: "go"},
	}
	return d
}

// reauthButtons offer to prove it at a provider. What cannot be looked up is not offered: there are other ways.
func (p *Portal) reauthButtons(r *http.Request, v *visit, rt string) []providerButton {
	if p.OIDC == nil {
		return nil
	}
	ids, err := p.Store.Identities(r.Context(), v.live.User.ID)
	if err != nil {
		return nil
	}
	query := url.Values{"reauth": {"1"}}
	if _, ok := p.guard.CheckOwn(v.q, rt); ok {
		query.Set("to", rt)
	} else if rt != "" {
		query.Set("rt", rt)
	}
	var list []providerButton
	for _, c := range p.OIDC.Registry.Choices(r.Context()) {
		cfg, _ := p.OIDC.Registry.Config(c.Name)
		if slices.ContainsFunc(ids, func(id store.Identity) bool { return id.Issuer == cfg.Issuer }) {
			list = append(list, p.button(v, c, query))
		}
	}
	return list
}

func (p *Portal) reauth(v *visit, d reauthPage) ui.Page {
	return ui.Page{Template: "reauth", Card: true, Title: p.ui.Text("reauth.title"), Viewer: v.viewer(), Data: d}
}

// postReauth checks the password again. The name comes from the session: the read-only field is for password managers
// and is not looked at.
func (p *Portal) postReauth(w http.ResponseWriter, r *http.Request, v *visit) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("password", "rt")
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	rt := v.reauthBack(r, &form)
	in, err := p.confirm(r, v, form.Get("password"))
	if err != nil {
		p.refuseReauth(w, r, v, rt, err)
		return
	}
	v.carryOn(w, in)
	if rt == "" {
		rt = v.q.Prefix + "/account"
	}
	p.sendTo(w, r, rt)
}

func (p *Portal) confirm(r *http.Request, v *visit, pass string) (login.SignedIn, error) {
	client := v.client(r)
	proof, err := p.Login.Reverify(r.Context(), client, v.live.User, pass)
	if err != nil {
		return login.SignedIn{}, err
	}
	return p.Login.Confirm(r.Context(), client, proof, v.live)
}

func (p *Portal) refuseReauth(w http.ResponseWriter, r *http.Request, v *visit, rt string, err error) {
	fail := problem.Of(err)
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, store.ErrNotFound): // the session ended meanwhile
		p.SessionEnded(w, r)
	case errors.Is(err, login.ErrWrong):
		p.begin(w, r, v, fail, err)
		d := p.reauthData(r, v, rt)
		page := p.reauth(v, d)
		p.markErrors(&page, d.Fields, []ui.FieldError{{Field: "password", Detail: p.ui.Text("error.wrong-password.text")}})
		page.Status = fail.Status
		p.ui.Write(w, r, page)
	case errors.As(err, &throttled):
		p.begin(w, r, v, fail, err)
		again := v.q.Prefix + reauthPath
		if rt != "" {
			again += "?rt=" + url.QueryEscape(rt)
		}
		p.throttled(w, r, fail, again)
	default:
		p.fail(w, r, v, err)
	}
}
