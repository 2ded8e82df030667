package portal

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// sections are the account pages, in the order of their links.
var sections = [...]string{"", "profile", "password", "providers", "sessions", "activity", "appearance"}

// accountPage begins an account page. section is its path below "account/".
func (p *Portal) accountPage(v *visit, section, template string, data any) ui.Page {
	page := ui.Page{Template: template, Viewer: v.viewer(), Area: "account", NavLabel: p.ui.Text("account.sections"), Data: data}
	for _, s := range sections {
		if s == "providers" && p.OIDC == nil {
			continue
		}
		id, href := s, v.q.Prefix+"/account/"+s
		if s == "" {
			id, href = "overview", v.q.Prefix+"/account"
		}
		link := ui.Link{Href: href, Text: p.ui.Text("account." + id), Current: s == section}
		if link.Current {
			page.Title = link.Text
		}
		page.Nav = append(page.Nav, link)
	}
	return page
}

// overviewPage is the data of the "overview" page.
type overviewPage struct {
	User     store.User
	Method   string
	SignedIn time.Time
	IP       string
	Until    time.Time
	Checks   []check
}

// check is a line of the security checklist.
type check struct {
	Good bool
	Text string
	Href string
	Link string
}

func (p *Portal) overview(w http.ResponseWriter, r *http.Request, v *visit) {
	s, u := v.live.Session, v.live.User
	others, err := p.Store.Sessions(r.Context(), store.SessionQuery{UserID: u.ID, Now: p.Clock(), Limit: 100})
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	signedIn := s.AuthAt
	if signedIn.IsZero() { // the provider does not say
		signedIn = s.CreatedAt
	}
	d := overviewPage{
		User: u, Method: p.method(s), SignedIn: signedIn, IP: s.IP, Until: s.ExpiresAt,
		Checks: p.checks(v, len(others.Items)),
	}
	p.ui.Write(w, r, p.accountPage(v, "", "overview", d))
}

// method returns how a session was made, in words.
func (p *Portal) method(s store.Session) string {
	switch {
	case s.Provider != "":
		return p.ui.Text("method.provider", "name", p.providerLabel(s.Provider))
	case s.Method == "link":
		return p.ui.Text("method.link")
	default:
		return p.ui.Text("method.password")
	}
}

// oldPassword is when the overview mentions a password's age. It says when, and does not urge: forced changes make
// passwords worse (NIST SP 800-63B-4).
const oldPassword = 365 * 24 * time.Hour

func (p *Portal) checks(v *visit, sessions int) []check {
	u, prefix := v.live.User, v.q.Prefix
	var list []check
	switch {
	case u.Managed:
		list = append(list, check{Good: true, Text: p.ui.Text("checks.managed")})
	case u.PasswordHash == "":
		list = append(list, check{Good: true, Text: p.ui.Text("checks.no_password")})
	default:
		age := p.Clock().Sub(u.PasswordChangedAt)
		if u.PasswordChangedAt.IsZero() {
			age = 0
		}
		list = append(list, check{Good: age < oldPassword, Text: p.ui.Text("checks.password", "span", problem.Span(p.ui, max(age, time.Minute))),
			Href: prefix + passwordPage, Link: p.ui.Text("checks.change")})
	}
	list = append(list, check{Good: sessions <= 1, Text: p.ui.Text("checks.sessions", "n", sessions),
		Href: prefix + "/account/sessions", Link: p.ui.Text("checks.review")})
	return list
}

// profilePage is the data of the "profile" page.
type profilePage struct {
	User   store.User
	Fields []ui.Field
	Why    string // why username and e-mail cannot be changed here
}

func (p *Portal) showProfile(w http.ResponseWriter, r *http.Request, v *visit) {
	p.ui.Write(w, r, p.profile(v, v.live.User.Name, nil))
}

func (p *Portal) profile(v *visit, name string, errs []ui.FieldError) ui.Page {
	u := v.live.User
	d := profilePage{User: u, Why: p.lockedText(u), Fields: []ui.Field{
		{ID: "name", Name: "name", Label: p.ui.Text("profile.name"), Hint: p.ui.Text("profile.hint"), Value: name, Autocomplete: "name", Optional: true, Key: "go"},
	}}
	page := p.accountPage(v, "profile", "profile", nil)
	p.markErrors(&page, d.Fields, errs)
	page.Data = d
	return page
}

// lockedFields are those of an account that its own page and address do not change.
var lockedFields = []string{"username", "email", "role", "groups", "active"}

// lockedText says who changes what a person can't change about the own account.
func (p *Portal) lockedText(u store.User) string {
	if u.Managed {
		return p.ui.Text("profile.managed", "env", p.Accounts.EnvPrefix)
	}
	return p.ui.Text("profile.by_admin")
}

// errLocked refuses to change such a field.
func (p *Portal) errLocked(u store.User) error {
	code := account.CodeRole
	if u.Managed {
		code = account.CodeManaged
	}
	return &account.ForbiddenError{Code: code, Text: p.lockedText(u)}
}

// refuseLocked returns an error when a form has a field that the profile does not change: it is not to hear that all of
// it was saved.
func (p *Portal) refuseLocked(form ui.Form, u store.User) error {
	secret := form.Has("password") || form.Has("new_password")
	switch {
	case slices.ContainsFunc(lockedFields, form.Has), secret && u.Managed:
		return p.errLocked(u)
	case secret:
		return &account.ForbiddenError{Code: account.CodeSelf, Say: i18n.New("refused.self_password")}
	}
	return nil
}

// postProfile changes the display name. A form without it leaves it alone.
func (p *Portal) postProfile(w http.ResponseWriter, r *http.Request, v *visit) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("name")
	}
	if err == nil {
		err = p.refuseLocked(form, v.live.User)
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	if !form.Has("name") { // all fields are locked
		p.sendTo(w, r, v.q.Prefix+"/account/profile")
		return
	}
	if _, err = p.Accounts.UpdateProfile(r.Context(), v.actor(r), v.live.User.ID, form.Get("name")); err != nil {
		if fields, status := problem.FieldErrors(p.ui, err); len(fields) > 0 {
			page := p.profile(v, form.Get("name"), fields)
			page.Status = status
			p.ui.Write(w, r, page)
			return
		}
		p.fail(w, r, v, err)
		return
	}
	p.ui.Flash(w, r, "saved")
	p.sendTo(w, r, v.q.Prefix+"/account/profile")
}
