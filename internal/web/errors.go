package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// ErrSignIn sends a person who is not signed in to the sign-in, and tells a program where that is.
var ErrSignIn = errors.New("nobody is signed in")

// redirect leads elsewhere in place of what was asked for.
type redirect struct{ location string }

func (e *redirect) Error() string { return "redirected to " + e.location }

// WriteError responds to a request with an error, as a page or as a problem document.
func (q *Request) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	var elsewhere *redirect
	switch {
	case errors.Is(err, ErrSignIn):
		q.signInFirst(w, r)
		return
	case errors.As(err, &elsewhere):
		Redirect(w, r, elsewhere.location)
		return
	case clientGone(w, r):
		return
	}
	p := problem.Of(err)
	if p.Slug == "setup-needed" {
		q.setupNeeded(w, r, shapeOf(q.API))
		return
	}
	q.WriteErrorHeaders(w, r, p, err)
	asked := asksProof(p) && q.Live != nil
	switch {
	case asked && !q.API && strings.HasPrefix(r.URL.Path, "/account/"): // a form; nothing of it was done
		Redirect(w, r, q.StepUpURL(returnto.Target{}, q.here()))
		return
	case asked:
		w.Header().Set("WWW-Authenticate", q.stepUpChallenge(q.askedNeed(p)))
	}
	if q.API {
		d := q.document(p)
		if asked {
			d = q.stepUpDocument(d, stepUp{need: q.askedNeed(p), url: ScriptStepUpURL(q.Prefix)})
		}
		ui.Harden(w, r)
		problem.Write(w, r, q.UI, d)
		return
	}
	page := q.ErrorPage(p)
	if errors.Is(err, problem.ErrNoPage) {
		page = q.withoutSession().ErrorPage(p)
	}
	q.UI.Write(w, r, page)
}

// asksProof reports whether a problem is that the session has to prove more, or to prove it again.
func asksProof(p problem.Problem) bool {
	return p.Slug == account.CodeReauth || p.Slug == account.CodeMFA
}

// askedNeed returns what our own pages ask for with a problem.
func (q *Request) askedNeed(p problem.Problem) assurance.Need {
	need := q.OwnNeed()
	if p.Slug == account.CodeMFA {
		need.Level = assurance.Two
	}
	return need
}

// withoutSession returns the request of nobody: what does not exist is the same for everyone.
func (q *Request) withoutSession() *Request {
	out := *q
	out.Live = nil
	return &out
}

// signInFirst responds to a request from somebody who is not signed in (any more).
func (q *Request) signInFirst(w http.ResponseWriter, r *http.Request) {
	guard := q.deps.Guard
	switch {
	case q.API:
		q.unauthorized(w, r, q.At("/login"), false)
	case safe(r.Method) && r.URL.Path == StepUpPage: // to sign in is to prove it: go on from there
		t, own := q.StepUpReturn(nil)
		Redirect(w, r, returnto.At(q.At("/login"), t.Query(own)))
	case safe(r.Method):
		Redirect(w, r, guard.OwnLoginURL(q.Request, r.URL))
	default:
		q.ownFormEnded(w, r)
	}
}

// clientGone reports whether the client has left: a page would be made for nobody. The status is for the access log.
func clientGone(w http.ResponseWriter, r *http.Request) bool {
	if r.Context().Err() == nil {
		return false
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// WriteErrorHeaders sets what goes with an error whatever its body, and logs what is our own fault.
func (q *Request) WriteErrorHeaders(w http.ResponseWriter, r *http.Request, p problem.Problem, err error) {
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", q.challenge())
	}
	if p.Slug == "cross-site" {
		q.deps.Log.Warn("cross-site request denied"+crossSiteCause(r), zap.String("path", q.loggablePath()),
			zap.String("origin", clipRunes(r.Header.Get("Origin"), maxLogged)), zap.String("host", clipRunes(r.Host, maxLogged)),
			zap.String("site", q.Origin()), zap.String("ip", q.IP()), zap.String("request_id", q.ID))
	}
	if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil && !errors.Is(err, problem.ErrSetup) {
		level := zap.ErrorLevel
		if errors.Is(err, password.ErrBusy) {
			level = zap.DebugLevel // a stranger decides how many; login.Service notes that it happens
		}
		q.deps.Log.Log(level, "request failed", zap.String("path", q.loggablePath()), zap.Int("status", p.Status),
			zap.String("request_id", q.ID), zap.Error(err))
	}
}

// challenge returns WWW-Authenticate. It is never Basic: browsers would ask in a window of their own.
func (q *Request) challenge() string { return "Bearer realm=" + ui.Realm(q.UI.Brand().Title()) }

// document returns a problem document. One of 401 says where to sign in.
func (q *Request) document(p problem.Problem) problem.Document {
	loginURL := ""
	if p.Status == http.StatusUnauthorized {
		loginURL = q.At("/login")
	}
	return p.Document(q.UI, loginURL)
}

// Message is the data of the "message" page: paragraphs and ways to go on.
type Message struct {
	Paras []string
	When  time.Time // written after the first paragraph; zero for none
	Steps []string  // a numbered list after them
	Links []ui.Link
}

// ErrorPage returns the page of an error.
func (q *Request) ErrorPage(p problem.Problem) ui.Page {
	return ui.Page{
		Template: "message", Status: p.Status, Title: p.Title(q.UI), Failed: true, Card: true, Wide: true, Refer: true,
		Data: Message{Paras: []string{p.Text(q.UI)}, Links: q.errorLinks(p)},
	}
}

// errorLinks are the ways to go on from an error.
func (q *Request) errorLinks(p problem.Problem) []ui.Link {
	link := func(path, text string) ui.Link { return ui.Link{Href: q.At(path), Text: text, Current: true} }
	switch {
	case p.Status == http.StatusUnauthorized:
		return []ui.Link{link("/login", q.Text("go.sign_in"))}
	case asksProof(p):
		again := q.StepUpURL(returnto.Target{}, q.pageBefore())
		return []ui.Link{{Href: again, Text: q.Text("go.reauth"), Current: true}}
	case p.Slug == account.CodeMustChange:
		return []ui.Link{link(PasswordPage, q.Text("go.password"))}
	case q.Live != nil:
		return []ui.Link{link("/account", q.Text("go.account"))}
	default:
		return []ui.Link{link("/login", q.Text("go.sign_in")), {Href: returnto.Home, Text: q.Text("go.app")}}
	}
}

// WriteThrottled shows the form of a page again, and above it how long to wait. It is the same for names that exist and
// for those that do not.
func (q *Request) WriteThrottled(w http.ResponseWriter, r *http.Request, err error, page ui.Page) {
	p := problem.Of(err)
	q.WriteErrorHeaders(w, r, p, err)
	page.Status, page.Failed = p.Status, true
	page.Notice = &ui.Notice{
		Kind: ui.Bad, Text: p.Text(q.UI), Until: q.deps.Clock().Add(p.RetryAfter).Truncate(time.Second),
	}
	q.UI.Write(w, r, page)
}
