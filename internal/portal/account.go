package portal

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// sections are the account pages, in the order of their links.
var sections = [...]string{"", "profile", "password", "providers", "sessions", "activity", "appearance"}

// accountPage begins an account page. section is its path below "account/".
func (p *Portal) accountPage(q *web.Request, section, template string, data any) ui.Page {
	page := ui.Page{Template: template, Viewer: q.Viewer(), Area: "account", NavLabel: q.Text("account.sections"), Data: data}
	for _, s := range sections {
		if s == "providers" && p.OIDC == nil {
			continue
		}
		id, href := s, q.Prefix+"/account/"+s
		if s == "" {
			id, href = "overview", q.Prefix+"/account"
		}
		link := ui.Link{Href: href, Text: q.Text("account." + id), Current: s == section}
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

func (p *Portal) overview(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s, u := q.Live.Session, q.Live.User
	others, err := p.Store.Sessions(r.Context(), store.SessionQuery{UserID: u.ID, Now: p.Clock(), Limit: 100})
	if err != nil {
		return err
	}
	signedIn := s.AuthAt
	if signedIn.IsZero() { // the provider does not say
		signedIn = s.CreatedAt
	}
	d := overviewPage{
		User: u, Method: q.Method(s, q.ProviderLabel(s.Provider)), SignedIn: signedIn, IP: s.IP, Until: s.ExpiresAt,
		Checks: p.checks(q, len(others.Items)),
	}
	q.UI.Write(w, r, p.accountPage(q, "", "overview", d))
	return nil
}

// oldPassword is when the overview mentions a password's age. It says when, and does not urge: forced changes make
// passwords worse (NIST SP 800-63B-4).
const oldPassword = 365 * 24 * time.Hour

func (p *Portal) checks(q *web.Request, sessions int) []check {
	u, prefix := q.Live.User, q.Prefix
	var list []check
	switch {
	case u.Managed:
		list = append(list, check{Good: true, Text: q.Text("checks.managed")})
	case u.PasswordHash == "":
		list = append(list, check{Good: true, Text: q.Text("checks.no_password")})
	default:
		age := p.Clock().Sub(u.PasswordChangedAt)
		if u.PasswordChangedAt.IsZero() {
			age = 0
		}
		list = append(list, check{Good: age < oldPassword, Text: q.Text("checks.password", "span", q.Span(max(age, time.Minute))),
			Href: prefix + web.PasswordPage, Link: q.Text("checks.change")})
	}
	list = append(list, check{Good: sessions <= 1, Text: q.Text("checks.sessions", "n", sessions),
		Href: prefix + "/account/sessions", Link: q.Text("checks.review")})
	return list
}

// profilePage is the data of the "profile" page.
type profilePage struct {
	User   store.User
	Fields []ui.Field
	Why    string // why username and e-mail cannot be changed here
}

func (p *Portal) showProfile(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	q.UI.Write(w, r, p.profile(q, q.Live.User.Name, nil))
	return nil
}

func (p *Portal) profile(q *web.Request, name string, errs []ui.FieldError) ui.Page {
	u := q.Live.User
	d := profilePage{User: u, Why: p.lockedText(q, u), Fields: []ui.Field{
		{ID: "name", Name: "name", Label: q.Text("profile.name"), Hint: q.Text("profile.hint"), Value: name, Autocomplete: "name", Optional: true, Key: "go"},
	}}
	page := p.accountPage(q, "profile", "profile", nil)
	p.markErrors(&page, d.Fields, errs)
	page.Data = d
	return page
}

// lockedFields are those of an account that its own page and address do not change.
var lockedFields = []string{"username", "email", "role", "groups", "active"}

// lockedText says who changes what a person can't change about the own account.
func (p *Portal) lockedText(q *web.Request, u store.User) string {
	if u.Managed {
		return q.Text("profile.managed", "env", p.Accounts.EnvPrefix)
	}
	return q.Text("profile.by_admin")
}

// errLocked refuses to change such a field.
func (p *Portal) errLocked(q *web.Request, u store.User) error {
	code := account.CodeRole
	if u.Managed {
		code = account.CodeManaged
	}
	return &account.ForbiddenError{Code: code, Text: p.lockedText(q, u)}
}

// refuseLocked returns an error when a form has a field that the profile does not change: it is not to hear that all of
// it was saved.
func (p *Portal) refuseLocked(q *web.Request, form ui.Form, u store.User) error {
	secret := form.Has("password") || form.Has("new_password")
	switch {
	case slices.ContainsFunc(lockedFields, form.Has), secret && u.Managed:
		return p.errLocked(q, u)
	case secret:
		return &account.ForbiddenError{Code: account.CodeSelf, Say: i18n.New("refused.self_password")}
	}
	return nil
}

// postProfile changes the display name. A form without it leaves it alone.
func (p *Portal) postProfile(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("name")
	}
	if err == nil {
		err = p.refuseLocked(q, form, q.Live.User)
	}
	if err != nil {
		return err
	}
	if !form.Has("name") { // all fields are locked
		p.sendTo(w, r, q.Prefix+"/account/profile")
		return nil
	}
	if _, err = p.Accounts.UpdateProfile(r.Context(), q.Actor(), q.Live.User.ID, form.Get("name")); err != nil {
		if fields, status := problem.FieldErrors(q.UI, err); len(fields) > 0 {
			page := p.profile(q, form.Get("name"), fields)
			page.Status = status
			q.UI.Write(w, r, page)
			return nil
		}
		return err
	}
	q.UI.Flash(w, r, "saved")
	p.sendTo(w, r, q.Prefix+"/account/profile")
	return nil
}
