package portal

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// startPage is the data of the "provider-start" page, which asks somebody who is signed in.
type startPage struct {
	Name   string // who is signed in
	Hidden []ui.Hidden
	Go     string // label of the button
	Stay   string // where to go without signing in anew
}

// oidcStart sends the browser to a provider, which may send it back at once, signed in, without anybody having been asked.
// So a page of another site must not be able to put somebody else's session, or one that lasts longer, in the place of the
// one that is there: whoever is signed in is asked first. While nobody is, another site may begin: that is how people come
// from their provider's page. Only links and forms of ours say that the person wants to be remembered, or asked again.
func (p *Portal) oidcStart(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := p.ready(r.Context()); err != nil {
		p.fail(w, r, v, err)
		return
	}
	q, own := r.URL.Query(), ownNavigation(v, r)
	s := v.oidcStart(r, own && q.Get("remember") == "1")
	s.Foreign = !own
	switch {
	case q.Has("reauth") && (v.live == nil || foreignNavigation(v, r)):
		p.sendTo(w, r, v.q.Prefix+"/reauth")
		return
	case q.Has("reauth"):
		s.Purpose, s.UserID = oidc.PurposeReauth, v.live.User.ID
	case v.live != nil && !own:
		p.askStart(w, r, v)
		return
	}
	name := r.PathValue("name")
	b, err := p.beginOIDC(w, r, v, name, s)
	if err != nil {
		p.failOIDC(w, r, v, name, s.ReturnTo, err)
		return
	}
	p.sendAway(w, r, b.URL)
}

// oidcStart returns a sign-in at the provider that r names.
func (v *visit) oidcStart(r *http.Request, remember bool) oidc.Start {
	s := oidc.Start{
		Purpose: oidc.PurposeLogin, RedirectURI: v.p.callbackURL(v, r.PathValue("name")), ReturnTo: v.carryReturn(r), Remember: remember,
	}
	if v.live != nil {
		s.SessionID = v.live.Session.ID
	}
	return s
}

// askStart asks somebody who is signed in whether to sign in anew.
func (p *Portal) askStart(w http.ResponseWriter, r *http.Request, v *visit) {
	name := r.PathValue("name")
	if _, ok := p.OIDC.Registry.Config(name); !ok {
		p.notFound(w, r)
		return
	}
	b, to := v.returning(r, nil), v.own(r, nil, "to")
	d := startPage{Name: v.live.User.Username, Go: p.ui.Text("login.provider", "name", p.providerLabel(name)), Stay: b.Location}
	if to != "" {
		d.Stay = to
		d.Hidden = append(d.Hidden, ui.Hidden{Name: "to", Value: to})
	} else if b.Raw != "" {
		d.Hidden = append(d.Hidden, ui.Hidden{Name: "rt", Value: b.Raw})
	}
	p.ui.Write(w, r, ui.Page{Template: "provider-start", Card: true, Title: p.ui.Text("start.title"), Viewer: v.viewer(), Data: d})
}

// oidcConfirmed leads to the provider because the person said so, by way of a page in between: browsers may refuse to follow
// a form there.
func (p *Portal) oidcConfirmed(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := p.ready(r.Context()); err != nil {
		p.fail(w, r, v, err)
		return
	}
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("rt", "to")
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	s := v.oidcStart(r, form.Ticked("remember"))
	if carried := returnto.Carry(v.returning(r, &form), v.own(r, &form, "to")); carried != "" {
		s.ReturnTo = carried
	}
	p.leadAway(w, r, v, r.PathValue("name"), p.ui.Text("start.go", "name", p.providerLabel(r.PathValue("name"))), s)
}

// leadAway begins a sign-in and shows the page that leads to the provider, with a text.
func (p *Portal) leadAway(w http.ResponseWriter, r *http.Request, v *visit, name, text string, s oidc.Start) {
	b, err := p.beginOIDC(w, r, v, name, s)
	if err != nil {
		p.failOIDC(w, r, v, name, s.ReturnTo, err)
		return
	}
	label := p.providerLabel(name)
	p.ui.Write(w, r, ui.Page{
		Template: "message", Card: true, Title: p.ui.Text("providers.go.title", "name", label), Refresh: b.URL, Secret: true,
		Data: messagePage{Paras: []string{text},
			Links: []ui.Link{{Href: b.URL, Text: p.ui.Text("login.provider", "name", label), Current: true}}},
	})
}

// ownNavigation reports whether a page load was set off by a page of ours. Browsers that do not say (over plain HTTP none
// does) tell by the Referer, which our pages always send to each other; a missing one is a foreign one, for any page can
// leave it out, and so is an address that was typed or came from a message.
func ownNavigation(v *visit, r *http.Request) bool {
	if values := r.Header.Values("Sec-Fetch-Site"); len(values) > 0 {
		return len(values) == 1 && values[0] == "same-origin"
	}
	return ownReferer(v, r)
}

// foreignNavigation reports whether a page load was set off by another site, as far as the browser says.
func foreignNavigation(v *visit, r *http.Request) bool {
	if values := r.Header.Values("Sec-Fetch-Site"); len(values) > 0 {
		return len(values) != 1 || (values[0] != "same-origin" && values[0] != "none")
	}
	return r.Referer() != "" && !ownReferer(v, r)
}

func ownReferer(v *visit, r *http.Request) bool {
	u, err := url.Parse(r.Referer())
	return err == nil && u.User == nil && u.Host != "" && u.Scheme+"://"+u.Host == v.q.Origin()
}
