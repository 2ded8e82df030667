package portal

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
)

// The answers below are given on the app's own addresses, in place of the app. They are complete with headers, change
// nothing, and need no store. Their texts come from the server alone; of the request they show host and path, escaped.

// Unauthorized responds 401 to a program: a problem document with the address of the sign-in, and no redirect.
func (p *Portal) Unauthorized(w http.ResponseWriter, r *http.Request, loginURL string) {
	p = p.in(r)
	v := p.visit(r, true)
	f := problem.Problem{Status: http.StatusUnauthorized, Slug: "unauthorized"}
	p.begin(w, r, v, f, nil)
	pr := p.problem(v, f)
	pr.LoginURL = loginURL
	ui.HardenDecision(w, r)
	problem.Write(w, r, p.ui, pr)
}

// SessionEnded responds 401 to a browser that sends a form without a session: a redirect to the sign-in would throw the
// form away without a word. The page says how to send it again.
func (p *Portal) SessionEnded(w http.ResponseWriter, r *http.Request) {
	p = p.in(r)
	v := p.visit(r, false)
	p.begin(w, r, v, problem.Problem{Status: http.StatusUnauthorized}, nil)
	p.ui.WriteDecision(w, r, ui.Page{
		Template: "session-ended", Status: http.StatusUnauthorized, Title: p.ui.Text("ended.title"), Failed: true,
		Card: true, Wide: true, Refer: true, Data: struct{ SignIn string }{v.q.Prefix + "/login"},
	})
}

// forbiddenPage is the data of the "forbidden" page.
type forbiddenPage struct {
	Name   string
	What   string
	Reason string
	Switch string
}

// Forbidden responds 403 to a signed-in person who may not have what was asked for: who they are, what was refused and
// why, a reference id, and ways to go on.
func (p *Portal) Forbidden(w http.ResponseWriter, r *http.Request, l *session.Live, why i18n.Text, asPage bool) {
	p = p.in(r)
	reason := p.ui.Say(why)
	v := p.visit(r, !asPage)
	v.live = l
	f := problem.Problem{Status: http.StatusForbidden, Slug: "forbidden", Detail: reason}
	p.begin(w, r, v, f, nil)
	if !asPage {
		ui.HardenDecision(w, r)
		problem.Write(w, r, p.ui, p.problem(v, f))
		return
	}
	d := forbiddenPage{What: clipRunes(v.q.Host+r.URL.Path, 200), Reason: reason}
	again := url.Values{"switch": {"1"}}
	if _, query, ok := strings.Cut(p.guard.LoginURL(v.q, r.URL), "?rt="); ok {
		if rt, err := url.QueryUnescape(query); err == nil {
			again.Set("rt", rt)
		}
	}
	d.Switch = v.q.Prefix + "/login?" + again.Encode()
	if l != nil {
		d.Name = l.User.Username
	}
	p.ui.WriteDecision(w, r, ui.Page{
		Template: "forbidden", Status: f.Status, Title: f.Title(p.ui), Failed: true, Card: true, Wide: true, Refer: true, Data: d,
	})
}

// Unavailable responds 503: whether the request may pass could not be found out, so it does not. retryAfter is in
// seconds.
func (p *Portal) Unavailable(w http.ResponseWriter, r *http.Request, asPage bool, retryAfter int) {
	p = p.in(r)
	v := p.visit(r, !asPage)
	f := problem.Problem{Status: http.StatusServiceUnavailable, Slug: "unavailable", RetryAfter: time.Duration(max(1, retryAfter)) * time.Second}
	w.Header().Set("Retry-After", strconv.Itoa(max(1, retryAfter)))
	if !asPage {
		ui.HardenDecision(w, r)
		problem.Write(w, r, p.ui, p.problem(v, f))
		return
	}
	page := p.failurePage(v, f)
	page.Data = messagePage{Paras: []string{f.Text(p.ui)}}
	p.ui.WriteDecision(w, r, page)
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
