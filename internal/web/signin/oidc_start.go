package signin

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// startPage is the data of the "provider-start" page, which asks somebody who is signed in.
type startPage struct {
	Name   string // who is signed in
	Return []ui.Hidden
	Go     string // label of the button
	Stay   string // where to go without signing in anew
}

// start sends the browser to a provider, which may send it back at once, signed in, without anybody having been asked.
// So a page of another site must not be able to put somebody else's session, or one that lasts longer, in the place of
// the one that is there: anyone who is signed in is asked first. While nobody is, another site may begin: that is how
// people come from their provider's page. Only links and forms of ours say that the person wants to be remembered, or
// asked again.
func (h *OIDC) start(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := h.Setup.Ready(r.Context()); err != nil {
		return err
	}
	query, own := r.URL.Query(), ownNavigation(q, r)
	s := h.newStart(r, q, r.PathValue("name"), own && query.Get("remember") == "1")
	s.CrossSite = !own
	switch {
	case query.Has("reauth") && (q.Live == nil || foreignNavigation(q, r)):
		web.Redirect(w, r, q.StepUpURL(q.ReturnTo(nil), q.OwnPage(nil, "to")))
		return nil
	case query.Has("reauth"):
		s.Purpose, s.UserID = oidc.PurposeStepUp, q.Live.User.ID
	case q.Live != nil && !own:
		return h.confirmStart(w, r, q)
	}
	name := r.PathValue("name")
	b, err := h.begin(w, r, q, name, s)
	if err != nil {
		return h.refuse(w, r, q, name, s.ReturnTo, err)
	}
	redirectToProvider(w, r, b.URL)
	return nil
}

// newStart returns a sign-in at a provider.
func (h *OIDC) newStart(r *http.Request, q *web.Request, name string, remember bool) oidc.FlowOptions {
	s := oidc.FlowOptions{
		Purpose: oidc.PurposeLogin, RedirectURI: CallbackURL(q, name),
		ReturnTo: carryReturn(q), Remember: remember, Hint: r.URL.Query().Get("login_hint"),
	}
	if q.Live != nil {
		s.SessionID = q.Live.Session.ID
	}
	return s
}

// confirmStart asks somebody who is signed in whether to sign in anew.
func (h *OIDC) confirmStart(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	name := r.PathValue("name")
	if _, ok := h.OIDC.Registry.Config(name); !ok {
		return q.NotFound()
	}
	b, to := q.ReturnTo(nil), q.OwnPage(nil, "to")
	d := startPage{
		Name: q.Live.User.Username, Go: q.Text("login.provider", "name", q.ProviderLabel(name)),
		Stay: b.Location, Return: ui.HiddenFields(b.Query(to)),
	}
	if to != "" {
		d.Stay = to
	}
	q.UI.Write(w, r, ui.Page{
		Template: "provider-start", Card: true, Title: q.Text("start.title"), Viewer: q.Viewer(),
		Data: d,
	})
	return nil
}

// confirmed leads to the provider because the person said so, by way of a page in between: browsers may refuse to
// follow a form there.
func (h *OIDC) confirmed(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := h.Setup.Ready(r.Context()); err != nil {
		return err
	}
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("rt", "to", "back")
	}
	if err != nil {
		return err
	}
	s := h.newStart(r, q, r.PathValue("name"), form.Ticked("remember"))
	if carried := returnto.Carry(q.ReturnTo(&form), q.OwnPage(&form, "to")); carried != "" {
		s.ReturnTo = carried
	}
	return h.BeginWithPage(w, r, q, r.PathValue("name"), q.Text("start.go", "name", q.ProviderLabel(r.PathValue("name"))),
		s)
}

// BeginWithPage begins a sign-in and shows the page that leads to the provider, with a text.
func (h *OIDC) BeginWithPage(w http.ResponseWriter, r *http.Request, q *web.Request, name, text string,
	s oidc.FlowOptions,
) error {
	b, err := h.begin(w, r, q, name, s)
	if err != nil {
		return h.refuse(w, r, q, name, s.ReturnTo, err)
	}
	label := q.ProviderLabel(name)
	q.UI.Write(w, r, ui.Page{
		Template: "message", Card: true, Title: q.Text("providers.go.title", "name", label), Refresh: b.URL, Secret: true,
		Data: web.Message{
			Paras: []string{text},
			Links: []ui.Link{{Href: b.URL, Text: q.Text("login.provider", "name", label), Current: true}},
		},
	})
	return nil
}

// ownNavigation reports whether a page load was set off by a page of ours. Browsers that do not say (over plain HTTP
// none does) tell by the Referer, which our pages always send to each other; a missing one is a foreign one, for any
// page can leave it out, and so is an address that was typed or came from a message.
func ownNavigation(q *web.Request, r *http.Request) bool {
	if values := r.Header.Values("Sec-Fetch-Site"); len(values) > 0 {
		return len(values) == 1 && values[0] == "same-origin"
	}
	return ownReferer(q, r)
}

// foreignNavigation reports whether a page load was set off by another site, as far as the browser says.
func foreignNavigation(q *web.Request, r *http.Request) bool {
	if values := r.Header.Values("Sec-Fetch-Site"); len(values) > 0 {
		return len(values) != 1 || (values[0] != "same-origin" && values[0] != "none")
	}
	return r.Referer() != "" && !ownReferer(q, r)
}

func ownReferer(q *web.Request, r *http.Request) bool {
	u, err := url.Parse(r.Referer())
	if err != nil || u.User != nil {
		return false
	}
	origin, ok := reqctx.OriginOf(u)
	return ok && origin == q.Origin()
}
