package portal

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// logoutPage is the data of the "logout" page.
type logoutPage struct {
	Name     string
	Provider string // offers to sign out there, too; "" does not
}

// loggedOutPage is the data of the "logged-out" page.
type loggedOutPage struct {
	SignIn string
	Still  string // name of whoever is still signed in, "" for nobody
	Where  string // the account page
}

func (p *Portal) showLogout(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if p.Setup.Waiting(r) {
		return problem.ErrSetup
	}
	if q.Live == nil {
		p.sendTo(w, r, q.Prefix+"/logged-out")
		return nil
	}
	d := logoutPage{Name: q.Live.User.Username}
	if _, ok := p.endSession(q, r); ok {
		d.Provider = q.ProviderLabel(q.Live.Session.Provider)
	}
	q.UI.Write(w, r, ui.Page{Template: "logout", Card: true, Viewer: q.Viewer(), Title: q.Text("logout.title"), FormTargets: p.endTargets(q, r), Data: d})
	return nil
}

// endSession returns where the provider ends its session.
func (p *Portal) endSession(q *web.Request, r *http.Request) (address string, ok bool) {
	if p.OIDC == nil || q.Live == nil || q.Live.Session.Provider == "" {
		return "", false
	}
	return p.OIDC.Registry.EndSession(r.Context(), &q.Live.Session, q.Origin()+q.Prefix+"/logged-out")
}

// endTargets returns the provider's origin, so that a browser follows the sign-out form there.
func (p *Portal) endTargets(q *web.Request, r *http.Request) []string {
	if p.OIDC == nil || q.Live == nil || q.Live.Session.Provider == "" {
		return nil
	}
	if origin := p.OIDC.Registry.EndOrigin(r.Context(), &q.Live.Session); origin != "" {
		return []string{origin}
	}
	return nil
}

// postLogout ends the session, or all of the person's, whatever kind of body came with it: who asks to sign out must not
// stay signed in for a script's Content-Type. Without a session there is nothing to end, and that is said in the same
// words. While the store cannot be reached the cookie stays: without it nobody could end the session.
func (p *Portal) postLogout(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadOptions(w, r)
	if err != nil {
		return err
	}
	if q.Live == nil {
		q.Live = q.Lapsed
	}
	if q.Live == nil {
		q.Cookie.Clear(w)
		dropFlows(w, r, q)
		p.sendTo(w, r, q.Prefix+"/logged-out")
		return nil
	}
	to := q.Prefix + "/logged-out"
	if form.Ticked("provider") {
		if address, ok := p.endSession(q, r); ok {
			to = address
		}
	}
	end := p.Accounts.SignOut
	// Whoever asks to sign out is signed out, in whatever name the page was shown. More than that is for its person.
	if form.Ticked("everywhere") && form.IsAbout(q.Live.User.ID) {
		end = p.Accounts.EndAllOwn
	}
	if err := end(r.Context(), q.Actor()); err != nil && problem.Of(err).Status != http.StatusUnauthorized {
		return err
	}
	q.Cookie.Clear(w)
	dropFlows(w, r, q)
	if strings.HasPrefix(to, "/") {
		p.sendTo(w, r, to)
		return nil
	}
	p.sendAway(w, r, to)
	return nil
}

func (p *Portal) loggedOut(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	d := loggedOutPage{SignIn: q.Prefix + "/login", Where: q.Prefix + "/account"}
	page := ui.Page{Template: "logged-out", Card: true, Title: q.Text("logged_out.title"), Switch: languageSwitch(q, "logged-out")}
	if q.Live != nil {
		d.Still = q.Live.User.Username
		page.Title = q.Text("logged_out.not")
	}
	page.Data = d
	q.UI.Write(w, r, page)
	return nil
}
