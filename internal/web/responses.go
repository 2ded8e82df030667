package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Responses are what the gate writes on the app's own addresses, in place of the app. They are complete with headers,
// change nothing, and need no store. Their texts come from the server alone; of the request they show host and path,
// escaped.
type Responses struct{ deps *Deps }

// NewResponses returns the responses of a configuration.
func NewResponses(d *Deps) Responses { return Responses{d} }

// Shape is the form of a response that a client can use.
type Shape int

// Shapes of responses.
const (
	AsJSON  Shape = iota // a problem document
	AsPage               // a page
	AsFrame              // a page that this site may show in a frame: without a form, and with a link out of the frame
)

// shapeOf returns the shape of a response of ours: of the API, or a page.
func shapeOf(api bool) Shape {
	if api {
		return AsJSON
	}
	return AsPage
}

// request returns what is known of a request for one of the app's addresses.
func (s Responses) request(r *http.Request, asPage bool) *Request {
	q := s.deps.newRequest(r)
	q.API = !asPage
	return q
}

// writeDecision writes a problem in place of the app.
func (q *Request) writeDecision(w http.ResponseWriter, r *http.Request, d problem.Document) {
	ui.HardenDecision(w, r)
	problem.Write(w, r, q.UI, d)
}

// Waiting reports whether there is no administrator yet, so that nobody could sign in.
func (s Responses) Waiting(r *http.Request) bool { return s.deps.Setup.Waiting(r) }

// Unauthorized responds 401 to a program: a problem document with the address of the sign-in, and no redirect. basic is
// as for [Responses.RefuseToken].
func (s Responses) Unauthorized(w http.ResponseWriter, r *http.Request, loginURL string, basic bool) {
	s.request(r, false).unauthorized(w, r, loginURL, basic)
}

func (q *Request) unauthorized(w http.ResponseWriter, r *http.Request, loginURL string, basic bool) {
	p := problem.Problem{Status: http.StatusUnauthorized, Slug: "unauthorized"}
	q.WriteErrorHeaders(w, r, p, nil)
	if basic {
		w.Header()["Www-Authenticate"] = q.challenges(true, "")
	}
	q.writeDecision(w, r, p.Document(q.UI, loginURL))
}

// SessionEnded responds 401 to a browser that sends a form without a session: a redirect to the sign-in would throw the
// form away without a word. The page says how to send it again.
func (s Responses) SessionEnded(w http.ResponseWriter, r *http.Request) {
	s.request(r, true).sessionEnded(w, r, endedPage{})
}

// endedPage is the data of the "session-ended" page.
type endedPage struct {
	SignIn string
	Action string // where to send a form of ours again; "" for one that only the browser has
	Hidden []ui.Hidden
}

func (q *Request) sessionEnded(w http.ResponseWriter, r *http.Request, d endedPage) {
	q.WriteErrorHeaders(w, r, problem.Problem{Status: http.StatusUnauthorized}, nil)
	d.SignIn = q.At("/login")
	http.SetCookie(w, q.Cookie.Prefixed(formCookie, "1", formLife))
	q.UI.WriteDecision(w, r, ui.Page{
		Template: "session-ended", Status: http.StatusUnauthorized, Title: q.Text("ended.title"), Failed: true,
		Card: true, Wide: true, Refer: true, Data: d,
	})
}

// forbiddenPage is the data of the "forbidden" page.
type forbiddenPage struct {
	Name   string
	What   string
	Reason string
	Ask    string    // what to do about it
	Ways   []ui.Link // for administrators, who need not ask
	Switch string
}

// Forbidden responds 403 to a signed-in person who may not have what was asked for: who they are, what was denied and
// why, a reference id, and ways to go on.
func (s Responses) Forbidden(w http.ResponseWriter, r *http.Request, l *session.Live, why i18n.Text, as Shape) {
	q := s.request(r, as != AsJSON)
	q.Live = l
	reason := q.UI.Say(why)
	p := problem.Problem{Status: http.StatusForbidden, Slug: "forbidden", Detail: reason}
	q.WriteErrorHeaders(w, r, p, nil)
	switch as {
	case AsJSON:
		q.writeDecision(w, r, q.document(p))
		return
	case AsFrame:
		q.writeFrame(w, r, p)
		return
	case AsPage:
	}
	d := forbiddenPage{What: clipRunes(q.Host+r.URL.Path, 200), Reason: reason}
	_, back, _ := strings.Cut(q.loginURL(w, r.URL), "?")
	again, err := url.ParseQuery(back)
	if err != nil {
		again = make(url.Values)
	}
	again.Set("switch", "1")
	d.Switch = q.At("/login?" + again.Encode())
	d.Ask = q.Text("forbidden.ask")
	if l != nil {
		d.Name = l.User.Username
		q.addAdminWays(&d, l.User)
	}
	q.UI.WriteDecision(w, r, ui.Page{
		Template: "forbidden", Status: p.Status, Title: p.Title(q.UI), Failed: true, Card: true,
		Wide: true, Refer: true, Data: d,
	})
}

// addAdminWays tells an administrator how to get access, who would otherwise be told to ask an administrator: the rule
// is in the configuration, their groups are in their hands.
func (q *Request) addAdminWays(d *forbiddenPage, u store.User) {
	if !u.IsActiveAdmin() {
		return
	}
	d.Ask = q.Text("forbidden.admin")
	if !onAdminHost(q.deps, q.http, q) {
		return
	}
	at := q.At("/admin/users/" + u.ID)
	d.Ways = []ui.Link{
		{Href: at + "/edit", Text: q.Text("forbidden.groups")}, {Href: at + "/access", Text: q.Text("forbidden.rules")},
	}
}

// Unavailable responds 503: whether the request may pass could not be found out, so it does not. retryAfter is in
// seconds.
func (s Responses) Unavailable(w http.ResponseWriter, r *http.Request, as Shape, retryAfter int) {
	q := s.request(r, as != AsJSON)
	retryAfter = max(1, retryAfter)
	p := problem.Problem{
		Status: http.StatusServiceUnavailable, Slug: "unavailable",
		RetryAfter: time.Duration(retryAfter) * time.Second,
	}
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	switch as {
	case AsJSON:
		q.writeDecision(w, r, q.document(p))
		return
	case AsFrame:
		q.writeFrame(w, r, p)
		return
	case AsPage:
	}
	page := q.ErrorPage(p)
	page.Data = Message{Paras: []string{p.Text(q.UI)}}
	q.UI.WriteDecision(w, r, page)
}

// SetupNeeded responds to a request to a site whose store has no administrator yet: how to go on, and nothing else.
func (s Responses) SetupNeeded(w http.ResponseWriter, r *http.Request, as Shape) {
	s.request(r, as != AsJSON).setupNeeded(w, r, as)
}

func (q *Request) setupNeeded(w http.ResponseWriter, r *http.Request, as Shape) {
	p := problem.Problem{Status: http.StatusServiceUnavailable, Slug: "setup-needed", RetryAfter: problem.StoreRetry}
	q.WriteErrorHeaders(w, r, p, problem.ErrSetup)
	switch as {
	case AsJSON:
		q.writeDecision(w, r, q.document(p))
		return
	case AsFrame:
		q.writeFrame(w, r, p)
		return
	case AsPage:
	}
	q.UI.WriteDecision(w, r, ui.Page{
		Template: "message", Status: p.Status, Title: p.Title(q.UI), Card: true, Wide: true,
		Data: Message{Paras: []string{p.Text(q.UI), q.Text("setup.ways")}, Steps: q.SetupSteps()},
	})
}

// SetupSteps are the ways to make the first administrator.
func (q *Request) SetupSteps() []string {
	env := q.Text("setup.env", "env", q.deps.Accounts.EnvPrefix)
	return []string{env, q.Text("setup.link"), q.PasswordText("setup.command")}
}

// PasswordChange returns where a person has to go before anything else, and whether there is such a place: anyone who
// was given a password by someone else sets an own one first, and then goes on to what r asked for. The gate lets
// nothing of theirs through until then.
func (s Responses) PasswordChange(w http.ResponseWriter, r *http.Request, u store.User) (location string, due bool) {
	if !u.MustChange {
		return "", false
	}
	q := s.request(r, true)
	location = q.At(PasswordPage)
	if _, query, ok := strings.Cut(q.loginURL(w, r.URL), "?"); ok {
		location += "?" + query
	}
	return location, true
}

func clipRunes(s string, most int) string {
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
