package signin

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Logout ends sessions of the person who asks for it.
type Logout struct{ *web.Deps }

// logoutPage is the data of the "logout" page.
type logoutPage struct {
	Name     string
	Tokens   string // that these go on; "" where there are none
	Provider string // offers to sign out there, too; "" does not
}

// loggedOutPage is the data of the "logged-out" page.
type loggedOutPage struct {
	SignIn string
	Still  string // name of the person who is still signed in, "" for nobody
	Where  string // the account page
}

func (h *Logout) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if h.Setup.Waiting(r) {
		return problem.ErrSetup
	}
	if q.Live == nil { // who comes here wants to be signed out, and not in again
		q.StayHere(w)
		web.Redirect(w, r, q.At("/logged-out"))
		return nil
	}
	d := logoutPage{Name: q.Live.User.Username, Tokens: q.TokensStay()}
	if _, ok := endSession(h.Deps, q, r); ok {
		d.Provider = q.ProviderLabel(q.Live.Session.Provider)
	}
	targets := endTargets(h.Deps, q, r)
	q.UI.Write(w, r, ui.Page{
		Template: "logout", Card: true, Viewer: q.Viewer(), Title: q.Text("logout.title"),
		FormTargets: targets, FormGoesOn: targets != nil, Data: d,
	})
	return nil
}

// endSession returns where the provider ends its session.
func endSession(d *web.Deps, q *web.Request, r *http.Request) (address string, ok bool) {
	if d.OIDC == nil || q.Live == nil || q.Live.Session.Provider == "" {
		return "", false
	}
	return d.OIDC.Registry.EndSession(r.Context(), &q.Live.Session, q.Origin()+q.At("/logged-out"))
}

// endTargets returns the provider's origin, so that a browser follows the sign-out form there. It may go on from there,
// to the provider's pages at another origin, or to those of the provider behind it.
func endTargets(d *web.Deps, q *web.Request, r *http.Request) []string {
	if d.OIDC == nil || q.Live == nil || q.Live.Session.Provider == "" {
		return nil
	}
	if origin := d.OIDC.Registry.EndSessionOrigin(r.Context(), &q.Live.Session); origin != "" {
		return []string{origin}
	}
	return nil
}

// post ends the session, or all of the person's, whatever kind of body came with it: who asks to sign out must not
// stay signed in for a script's Content-Type. Without a session there is nothing to end, and that is said in the same
// words. While the store cannot be reached the cookie stays: without it nobody could end the session.
func (h *Logout) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadOptions(w, r)
	if err != nil {
		return err
	}
	if q.Live == nil {
		q.Live = q.Lapsed
	}
	if err := h.Accounts.SignOutOthers(r.Context(), q.Client()); err != nil {
		return err
	}
	if err := h.endStep(w, r, q); err != nil {
		return err
	}
	if q.Live == nil {
		q.ClearSession(w)
		dropFlows(w, r, q)
		forgetCache(w, q)
		web.Redirect(w, r, q.At("/logged-out"))
		return nil
	}
	to := q.At("/logged-out")
	if form.Ticked("provider") {
		if address, ok := endSession(h.Deps, q, r); ok {
			to = address
		}
	}
	end := h.Accounts.SignOut
	// Anyone who asks to sign out is signed out, in whatever name the page was shown. More than that is for its person.
	if form.Ticked("everywhere") && form.IsAbout(q.Live.User.ID) {
		end = h.Accounts.EndAllOwnSessions
	}
	if err := end(r.Context(), q.Actor()); err != nil && problem.Of(err).Status != http.StatusUnauthorized {
		return err
	}
	q.ClearSession(w)
	dropFlows(w, r, q)
	forgetCache(w, q)
	if strings.HasPrefix(to, "/") {
		web.Redirect(w, r, to)
		return nil
	}
	redirectToProvider(w, r, to)
	return nil
}

// endStep ends a sign-in whose first step is done, like those that are under way at providers.
func (h *Logout) endStep(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if q.StepToken() == "" {
		return nil
	}
	if err := h.Login.CancelHalfLogin(r.Context(), q.StepToken()); err != nil {
		return err
	}
	q.ClearStep(w)
	return nil
}

// forgetCache has the browser delete what it keeps of this host's pages. Cookies and storage are the app's, and those
// of the whole domain: they stay. Browsers do this over HTTPS only.
func forgetCache(w http.ResponseWriter, q *web.Request) {
	if q.Secure {
		w.Header().Set("Clear-Site-Data", `"cache"`)
	}
}

func (h *Logout) done(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	d := loggedOutPage{SignIn: q.At("/login"), Where: q.At("/account")}
	page := ui.Page{
		Template: "logged-out", Card: true, Title: q.Text("logged_out.title"),
		Switch: languageSwitch(q, "logged-out"),
	}
	if q.Live != nil {
		d.Still = q.Live.User.Username
		page.Title = q.Text("logged_out.not")
	}
	page.Data = d
	q.UI.Write(w, r, page)
	return nil
}
