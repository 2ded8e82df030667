package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Somebody who is signed in, and has to prove more, or to prove it again. The response is never 401: scripts take that
// for "signed out" and load the page anew for ever. A 403 may have a challenge as well (RFC 9110, section 11.6.1); it
// is that of RFC 9470.

// OwnNeed returns what our own pages ask of the session before they change something of importance.
func (q *Request) OwnNeed() assurance.Need {
	u := q.Live.User
	if q.Live.Held {
		u.Role = store.RoleAdmin
	}
	return q.deps.Accounts.OwnNeed(u)
}

// Confirmed reports whether the session meets [Request.OwnNeed].
func (q *Request) Confirmed() bool { return q.lacks(q.OwnNeed()) == assurance.LacksNothing }

func (q *Request) lacks(n assurance.Need) assurance.Lack {
	return n.Lacks(q.Live.Proof(), q.deps.Clock())
}

// StepUpNeed returns what is asked of the session where a step-up leads, to own or else to t, and what the session
// lacks of it. It is found out by the rules of that place: what an address says of it is a hint for texts. Somebody is
// signed in.
func (q *Request) StepUpNeed(t returnto.Target, own string) (assurance.Need, assurance.Lack) {
	need := q.OwnNeed()
	switch {
	case own != "":
		path, _, _ := strings.Cut(own, "?")
		rest, admin := strings.CutPrefix(path, q.At("/admin"))
		if admin && (rest == "" || rest[0] == '/') && q.Live.Held {
			need.Level = assurance.Two
		}
	case t.Known() && !t.External:
		need = assurance.Need{}
		if to, err := url.Parse(t.Location); err == nil && q.deps.Needs != nil {
			need = q.deps.Needs(q.http, to, q.Live)
		}
	}
	return need, q.lacks(need)
}

// stepUp is what a session lacks, for the response that says so.
type stepUp struct {
	need assurance.Need
	lack assurance.Lack
	url  string
}

// slug returns the end of the problem type.
func (s stepUp) slug() string {
	if s.lack == assurance.LacksAge {
		return account.CodeReauth
	}
	return account.CodeMFA
}

// stepUpValues returns what is asked for in the words of programs: acr_values, "" for any, and max_age in seconds, 0
// for any.
func stepUpValues(n assurance.Need) (acr string, maxAge int64) {
	return string(n.Level), int64(n.MaxAge() / time.Second)
}

// stepUpChallenge returns WWW-Authenticate (RFC 9470, section 3).
func (q *Request) stepUpChallenge(n assurance.Need) string {
	text := q.challenge() + `, error="insufficient_user_authentication"`
	acr, maxAge := stepUpValues(n)
	if acr != "" {
		text += `, acr_values="` + acr + `"`
	}
	if maxAge > 0 {
		text += `, max_age="` + strconv.FormatInt(maxAge, 10) + `"`
	}
	return text
}

// stepUpDocument adds to a problem document how to mend it.
func (q *Request) stepUpDocument(d problem.Document, s stepUp) problem.Document {
	acr, maxAge := stepUpValues(s.need)
	if d.StepUpURL = s.url; acr != "" {
		d.ACRValues = []string{acr}
	}
	d.MaxAge = maxAge
	return d
}

// StepUpText says what a place asks for.
func (q *Request) StepUpText(n assurance.Need) string {
	var parts []string
	switch n.Level {
	case assurance.PhishingResistant:
		parts = append(parts, q.Text("step_up.passkey"))
	case assurance.Two:
		if n.MFAWithin == 0 {
			parts = append(parts, q.Text("step_up.mfa"))
		}
	case assurance.One:
	}
	if n.MFAWithin > 0 {
		parts = append(parts, q.Text("step_up.fresh_mfa", "span", q.Span(n.MFAWithin)))
	}
	if n.Within > 0 {
		parts = append(parts, q.Text("step_up.fresh", "span", q.Span(n.Within)))
	}
	return strings.Join(parts, " ")
}

// StepUpURL returns the address of the page where somebody meets a need and comes back to u, which the browser asked
// for. What the address says of the need is for the text of that page only.
func (s Responses) StepUpURL(w http.ResponseWriter, r *http.Request, u *url.URL, need assurance.Need) string {
	q := s.request(r, true)
	_, back, _ := strings.Cut(q.loginURL(w, u), "?")
	var query []string
	if back != "" {
		query = append(query, back)
	}
	acr, maxAge := stepUpValues(need)
	if acr != "" {
		query = append(query, "need=mfa")
	}
	if maxAge > 0 {
		query = append(query, "max_age="+strconv.FormatInt(maxAge, 10))
	}
	return q.At(StepUpPage) + "?" + strings.Join(query, "&")
}

// ScriptStepUpURL is the address of the page for scripts, which add where it leads.
func ScriptStepUpURL(prefix string) string { return prefix + StepUpPage + "?rt=" }

// StepUp responds 403 to a signed-in person whose session lacks something of need; see [assurance.Need]. stepUpURL is
// the page where that is mended.
func (s Responses) StepUp(w http.ResponseWriter, r *http.Request, l *session.Live, need assurance.Need,
	stepUpURL string, as Shape,
) {
	q := s.request(r, as != AsJSON)
	q.Live = l
	ask := stepUp{need, q.lacks(need), stepUpURL}
	p := problem.Problem{Status: http.StatusForbidden, Slug: ask.slug(), Detail: q.StepUpText(need)}
	q.WriteErrorHeaders(w, r, p, nil)
	w.Header().Set("WWW-Authenticate", q.stepUpChallenge(need))
	switch as {
	case AsJSON:
		q.writeDecision(w, r, q.stepUpDocument(q.document(p), ask))
		return
	case AsFrame:
		q.writeFrame(w, r, p) // its link loads the page into the whole window, where the step-up comes first
		return
	case AsPage:
	}
	q.UI.WriteDecision(w, r, ui.Page{
		Template: "message", Status: p.Status, Title: p.Title(q.UI), Failed: true, Card: true, Wide: true, Refer: true,
		Data: Message{
			Paras: []string{p.Detail, q.Text("ended.text")},
			Steps: []string{q.Text("step_up.confirm"), q.Text("ended.send_again")},
			Links: []ui.Link{{Href: stepUpURL, Text: q.Text("go.reauth"), Current: true}},
		},
	})
}
