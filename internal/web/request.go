package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Request is what is known of a request for one of our addresses: what the front vouches for, the language of the
// response, and who asks, as far as the route's [Access] wants to know it.
type Request struct {
	*reqctx.Request
	UI     *ui.UI // in the language of the request
	Cookie session.Cookie
	Token  string        // the session token that came along, "" for none
	Live   *session.Live // nil for nobody
	Lapsed *session.Live // one that is there, but does not count with this configuration: good for signing out only
	API    bool          // the response is JSON
	Query  url.Values    // what could be read of the query; of an admin route, all of it

	badQuery error
	deps     *Deps
	http     *http.Request
}

func (d *Deps) newRequest(r *http.Request) *Request {
	front := reqctx.From(r)
	q := &Request{
		Request: front, UI: d.Pages.For(r), Cookie: session.CookieFor(front, d.CookieDomain),
		API: isAPI(r.URL.Path), deps: d, http: r,
	}
	if q.Live = programOf(r); q.Live != nil {
		q.API = true
		return q // the cookie is not looked at
	}
	q.Token = front.Token
	if !front.TokenRead { // with an error there is a token, whose lookup fails as well
		q.Token, _ = d.Sessions.Choose(r.Context(), q.presented(), q.Cookie, q.Host)
	}
	return q
}

// parseQuery reads the query, which only our own addresses have a use for.
func (q *Request) parseQuery() {
	if q.http.URL.RawQuery != "" {
		q.Query, q.badQuery = url.ParseQuery(q.http.URL.RawQuery)
	}
}

// isAPI reports whether a path without the mount prefix is for programs.
func isAPI(path string) bool { return path == "/api" || strings.HasPrefix(path, "/api/") }

// Text returns a text in the language of the request.
func (q *Request) Text(id string, args ...any) string { return q.UI.Text(id, args...) }

// PasswordText returns a text that leads people to a password, or in its place the one of id+"_off" where that would be
// refused: to the person who is signed in, or else to people in general.
func (q *Request) PasswordText(id string, args ...any) string {
	accepted := q.deps.Login.Passwords == login.AllPasswords
	if q.Live != nil {
		accepted = q.deps.Login.Passwords.Of(q.Live.User)
	}
	if !accepted {
		id += "_off"
	}
	return q.Text(id, args...)
}

// SiteTitle returns what people call the site that was asked.
func (q *Request) SiteTitle() string { return q.UI.Brand().TitleFor(q.Host) }

// At returns the address of a path of ours: with the mount prefix.
func (q *Request) At(path string) string { return q.Prefix + path }

// Absolute returns an address that may be a path on the site itself with its origin.
func (q *Request) Absolute(address string) string {
	if strings.HasPrefix(address, "/") {
		return q.Request.Absolute(address)
	}
	return address
}

// Client returns what a sign-in may know of who asks.
func (q *Request) Client() login.Client {
	return login.Client{
		IP: q.ClientIP, UserAgent: q.http.UserAgent(), Host: q.Host, RequestID: q.ID, Session: q.Token,
		Others:  q.presented().Others(q.Token),
		Devices: login.ParseDevices(q.Cookie.PrefixedValue(q.http, login.DeviceCookie)),
		Trusted: login.ParseTrusted(q.Cookie.PrefixedValue(q.http, login.TrustedCookie)),
	}
}

// Actor returns who acts: the zero Actor, who may do nothing, where nobody is signed in.
func (q *Request) Actor() account.Actor {
	if q.Live == nil {
		return account.Actor{}
	}
	return account.Actor{
		UserID: q.Live.User.ID, Name: q.Live.User.Username, SessionID: q.Live.Session.ID,
		AuthAt: q.Live.Session.AuthAt, Client: q.Client(),
	}
}

// Viewer returns who looks at a page, nil for nobody.
func (q *Request) Viewer() *ui.Viewer {
	if q.Live == nil {
		return nil
	}
	u := q.Live.User
	return &ui.Viewer{ID: u.ID, Username: u.Username, Name: u.Name, Admin: u.Role == store.RoleAdmin || q.Live.Held}
}

// SetSession gives the browser the token of a session that has just begun or been renewed, or, where a second step
// comes before the session, that of the step.
func (q *Request) SetSession(w http.ResponseWriter, in login.SignedIn) {
	if in.Step != nil {
		http.SetCookie(w, q.Cookie.Prefixed(login.StepCookie, in.Step.Token, in.Step.TTL(q.deps.Clock())))
		return
	}
	if q.StepToken() != "" {
		q.ClearStep(w)
	}
	q.deps.Sessions.SetCookie(q.http.Context(), w, q.Cookie, q.Host, q.presented(), in.Token, in.Session)
	if in.Devices != "" {
		http.SetCookie(w, q.Cookie.Prefixed(login.DeviceCookie, in.Devices, login.DeviceTTL()))
	}
	if in.Trusted != "" {
		http.SetCookie(w, q.Cookie.Prefixed(login.TrustedCookie, in.Trusted, q.deps.Login.Second.TrustBrowser))
	}
	q.stayNoLonger(w)
}

// StepToken returns the token of the half-login that the browser has begun, or "".
func (q *Request) StepToken() string { return q.Cookie.PrefixedValue(q.http, login.StepCookie) }

// ClearStep takes the cookie of a half-login from the browser.
func (q *Request) ClearStep(w http.ResponseWriter) {
	http.SetCookie(w, q.Cookie.Prefixed(login.StepCookie, "", -1))
}

// Pages of the second step of a sign-in, below the mount prefix.
const (
	VerifyPage = "/login/verify"
	EnrollPage = "/login/enrol"
)

// AfterSignIn returns where a sign-in leads: to the page of the second step where there is one, or else to target.
func (q *Request) AfterSignIn(in login.SignedIn, target string) string {
	switch {
	case in.Step == nil:
		return target
	case in.Step.Purpose == store.HalfLoginVerify:
		return q.At(VerifyPage)
	default:
		return q.At(EnrollPage)
	}
}

// ClearSession takes the session's cookie from the browser of somebody who signs out.
func (q *Request) ClearSession(w http.ResponseWriter) {
	q.deps.Sessions.ClearCookies(q.http.Context(), w, q.Cookie, q.Host, q.presented())
	q.StayHere(w)
}

// presented returns what the request has under the names of the session cookie.
func (q *Request) presented() *session.Presented {
	return session.ReadPresented(q.Cookie, q.http.Header)
}

// OwnPage checks the page of ours to return to that the request names in its query and in form; "" is none.
func (q *Request) OwnPage(form *ui.Form, name string) string {
	return q.deps.Guard.OwnPage(q.Request, q.values(form, name))
}

// values returns what the request says under a name, in its query and in a form. A malformed query says nothing.
func (q *Request) values(form *ui.Form, name string) []string {
	var list []string
	if q.badQuery == nil {
		list = q.Query[name]
	}
	if form != nil {
		return slices.Concat(list, form.All(name))
	}
	return list
}

// loggablePath returns the path of the request as it may be written to a log.
func (q *Request) loggablePath() string {
	path := q.http.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, q.Prefix); ok { // the router has taken it off, the gate has not
		path = rest
	}
	return reqctx.Loggable(q.Prefix+path, q.Prefix)
}
