package account

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// sections are the account pages, in the order of their links.
var sections = [...]string{
	"", "profile", "password", "two-factor", "passkeys", "providers", "sessions", "browsers", "tokens", "activity",
	"appearance",
}

// accountPage begins an account page. section is its path below "account/".
func accountPage(d *web.Deps, q *web.Request, section, template string, data any) ui.Page {
	page := ui.Page{
		Template: template, Viewer: q.Viewer(), Area: "account", NavLabel: q.Text("account.sections"),
		Data: data,
	}
	for _, s := range sections {
		if !hasSection(d, q, s) {
			continue
		}
		id, href := s, q.At("/account/"+s)
		if s == "" {
			id, href = "overview", q.At("/account")
		}
		link := ui.Link{Href: href, Text: q.Text("account." + id), Current: s == section}
		if link.Current {
			page.Title = link.Text
		}
		page.Nav = append(page.Nav, link)
	}
	return page
}

// hasSection reports whether there is an account page of that name with this configuration, for who is signed in.
func hasSection(d *web.Deps, q *web.Request, section string) bool {
	switch section {
	case "providers":
		return d.OIDC != nil
	case "password":
		return d.Login.Passwords.Of(q.Live.User)
	case "tokens":
		return q.HasTokens()
	case "two-factor":
		return hasFactors(d)
	case "passkeys":
		return d.Login.PasskeysOn()
	case "browsers":
		return d.Accounts.Factors.TrustsBrowsers()
	}
	return true
}

// Overview is the first of the account pages.
type Overview struct{ *web.Deps }

// overviewPage is the data of the "overview" page.
type overviewPage struct {
	User     store.User
	Method   string
	SignedIn time.Time
	IP       string
	Until    time.Time
	Checks   []check
	Notices  noticesData
}

// check is a line of the security checklist.
type check struct {
	Good bool
	Text string
	Href string
	Link string
}

func (h *Overview) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s, u := q.Live.Session, q.Live.User
	others, err := h.Store.Sessions(r.Context(), store.SessionQuery{UserID: u.ID, Now: h.Clock(), Limit: 100})
	if err != nil {
		return err
	}
	signedIn := s.AuthAt
	if signedIn.IsZero() { // the provider does not say
		signedIn = s.CreatedAt
	}
	d := overviewPage{
		User: u, Method: q.Method(s, q.ProviderLabel(s.Provider)), SignedIn: signedIn, IP: s.IP, Until: s.ExpiresAt,
		Checks: h.checks(q, len(others.Items)),
	}
	page := accountPage(h.Deps, q, "", "overview", nil)
	if hasFactors(h.Deps) {
		o, err := h.Accounts.Factors.Overview(r.Context(), u)
		if err != nil {
			return err
		}
		page.Banners, d.Checks = banners(q, o), append(d.Checks, factorCheck(q, o))
		if d.Notices, err = h.notices(r, q); err != nil {
			return err
		}
	}
	page.Data = d
	q.UI.Write(w, r, page)
	return nil
}

// oldPassword is when the overview mentions a password's age. It says when, and does not urge: forced changes make
// passwords worse (NIST SP 800-63B-4).
const oldPassword = 365 * 24 * time.Hour

func (h *Overview) checks(q *web.Request, sessions int) []check {
	u, prefix := q.Live.User, q.Prefix
	var list []check
	switch {
	case u.Managed:
		list = append(list, check{Good: true, Text: q.Text("checks.managed")})
	case !h.Login.Passwords.Has(u):
		list = append(list, check{Good: true, Text: q.Text("checks.no_password")})
	default:
		age := h.Clock().Sub(u.PasswordChangedAt)
		if u.PasswordChangedAt.IsZero() {
			age = 0
		}
		list = append(list, check{
			Good: age < oldPassword, Text: q.Text("checks.password", "span", q.Span(max(age, time.Minute))),
			Href: prefix + web.PasswordPage, Link: q.Text("checks.change"),
		})
	}
	list = append(list, check{
		Good: sessions <= 1, Text: q.Text("checks.sessions", "n", sessions),
		Href: prefix + "/account/sessions", Link: q.Text("checks.review"),
	})
	return list
}

// factorCheck is the line of the checklist about second factors.
func factorCheck(q *web.Request, o account.FactorOverview) check {
	c := check{
		Good: o.Asked(), Text: q.Text("checks.factor"), Href: q.At(twoFactorPage), Link: q.Text("checks.factor_review"),
	}
	switch {
	case !o.Any():
		c.Text, c.Link = q.Text("checks.no_factor"), q.Text("checks.factor_add")
	case !o.Asked():
		c.Good, c.Text = true, q.Text("checks.passkey_only")
	}
	return c
}
