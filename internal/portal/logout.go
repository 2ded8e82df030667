package portal

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
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

func (p *Portal) showLogout(w http.ResponseWriter, r *http.Request, v *visit) {
	if p.Waiting(r) {
		p.SetupNeeded(w, r, true)
		return
	}
	if v.live == nil {
		p.sendTo(w, r, v.q.Prefix+"/logged-out")
		return
	}
	d := logoutPage{Name: v.live.User.Username}
	if _, ok := p.endSession(v, r); ok {
		d.Provider = p.providerLabel(v.live.Session.Provider)
	}
	p.ui.Write(w, r, ui.Page{Template: "logout", Card: true, Viewer: v.viewer(), Title: p.ui.Text("logout.title"), FormTargets: p.endTargets(v, r), Data: d})
}

// endSession returns where the provider ends its session.
func (p *Portal) endSession(v *visit, r *http.Request) (address string, ok bool) {
	if p.OIDC == nil || v.live == nil || v.live.Session.Provider == "" {
		return "", false
	}
	return p.OIDC.Registry.EndSession(r.Context(), &v.live.Session, v.q.Origin()+v.q.Prefix+"/logged-out")
}

// endTargets returns the provider's origin, so that a browser follows the sign-out form there.
func (p *Portal) endTargets(v *visit, r *http.Request) []string {
	if p.OIDC == nil || v.live == nil || v.live.Session.Provider == "" {
		return nil
	}
	if origin := p.OIDC.Registry.EndOrigin(r.Context(), &v.live.Session); origin != "" {
		return []string{origin}
	}
	return nil
}

// postLogout ends the session, or all of the person's, whatever kind of body came with it: who asks to sign out must not
// stay signed in for a script's Content-Type. Without a session there is nothing to end, and that is said in the same
// words. While the store cannot be reached the cookie stays: without it nobody could end the session.
func (p *Portal) postLogout(w http.ResponseWriter, r *http.Request, v *visit) {
	form, err := ui.ReadOptions(w, r)
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	if v.live == nil {
		v.live = v.lapsed
	}
	if v.live == nil {
		v.cookie.Clear(w)
		v.dropFlows(w, r)
		p.sendTo(w, r, v.q.Prefix+"/logged-out")
		return
	}
	to := v.q.Prefix + "/logged-out"
	if form.Ticked("provider") {
		if address, ok := p.endSession(v, r); ok {
			to = address
		}
	}
	end := p.Accounts.SignOut
	// Whoever asks to sign out is signed out, in whatever name the page was shown. More than that is for its person.
	if form.Ticked("everywhere") && form.IsAbout(v.live.User.ID) {
		end = p.Accounts.EndAllOwn
	}
	if err := end(r.Context(), v.actor(r)); err != nil && problem.Of(err).Status != http.StatusUnauthorized {
		p.fail(w, r, v, err)
		return
	}
	v.cookie.Clear(w)
	v.dropFlows(w, r)
	if strings.HasPrefix(to, "/") {
		p.sendTo(w, r, to)
		return
	}
	p.sendAway(w, r, to)
}

func (p *Portal) loggedOut(w http.ResponseWriter, r *http.Request, v *visit) {
	d := loggedOutPage{SignIn: v.q.Prefix + "/login", Where: v.q.Prefix + "/account"}
	page := ui.Page{Template: "logged-out", Card: true, Title: p.ui.Text("logged_out.title"), Switch: v.offer("logged-out")}
	if v.live != nil {
		d.Still = v.live.User.Username
		page.Title = p.ui.Text("logged_out.not")
	}
	page.Data = d
	p.ui.Write(w, r, page)
}
