package portal

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// begin sets what goes with a problem.Problem whatever its body, and logs what is our own fault.
func (p *Portal) begin(w http.ResponseWriter, r *http.Request, v *visit, f problem.Problem, err error) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	if f.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", p.challenge())
	}
	if f.Slug == "cross-site" {
		p.Log.Warn("refused a changing request from another site", zap.String("path", v.shown(r)),
			zap.String("ip", v.q.IP()), zap.String("request_id", v.q.ID))
	}
	if f.Status >= http.StatusInternalServerError && r.Context().Err() == nil && !errors.Is(err, problem.ErrSetup) {
		level := zap.ErrorLevel
		if errors.Is(err, password.ErrBusy) {
			level = zap.DebugLevel // a stranger decides how many; login.Service notes that it happens
		}
		p.Log.Log(level, "could not answer a request", zap.String("path", v.shown(r)), zap.Int("status", f.Status),
			zap.String("request_id", v.q.ID), zap.Error(err))
	}
}

// challenge returns WWW-Authenticate. It is never Basic: browsers would ask in a window of their own.
func (p *Portal) challenge() string { return "Bearer realm=" + ui.Realm(p.ui.Brand().Title()) }

// gone reports whether the client has left: a page would be made for nobody. The status is for the access log.
func gone(w http.ResponseWriter, r *http.Request) bool {
	if r.Context().Err() == nil {
		return false
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// fail responds to a request with an error, as a page or as a problem document.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	if gone(w, r) {
		return
	}
	f := problem.Of(err)
	if f.Slug == "setup-needed" {
		p.SetupNeeded(w, r, !v.api)
		return
	}
	p.begin(w, r, v, f, err)
	if v.api {
		ui.Harden(w, r)
		problem.Write(w, r, p.ui, p.problem(v, f))
		return
	}
	p.ui.Write(w, r, p.failurePage(v, f))
}

func (p *Portal) problem(v *visit, f problem.Problem) problem.Document {
	loginURL := ""
	if f.Status == http.StatusUnauthorized {
		loginURL = v.q.Prefix + "/login"
	}
	return f.Document(p.ui, loginURL)
}

// messagePage is the data of the "message" page: paragraphs and ways to go on.
type messagePage struct {
	Paras []string
	Steps []string // a numbered list after them
	Links []ui.Link
}

func (p *Portal) failurePage(v *visit, f problem.Problem) ui.Page {
	page := ui.Page{
		Template: "message", Status: f.Status, Title: f.Title(p.ui), Failed: true, Card: true, Wide: true, Refer: true,
		Data: messagePage{Paras: []string{f.Text(p.ui)}, Links: p.waysOn(v, f)},
	}
	return page
}

func (p *Portal) waysOn(v *visit, f problem.Problem) []ui.Link {
	prefix := v.q.Prefix
	switch {
	case f.Status == http.StatusUnauthorized:
		return []ui.Link{{Href: prefix + "/login", Text: p.ui.Text("go.sign_in"), Current: true}}
	case f.Slug == account.CodeReauth:
		return []ui.Link{{Href: prefix + "/reauth", Text: p.ui.Text("go.reauth"), Current: true}}
	case f.Slug == account.CodeMustChange:
		return []ui.Link{{Href: prefix + passwordPage, Text: p.ui.Text("go.password"), Current: true}}
	case v.live != nil:
		return []ui.Link{{Href: prefix + "/account", Text: p.ui.Text("go.account"), Current: true}}
	default:
		return []ui.Link{{Href: prefix + "/login", Text: p.ui.Text("go.sign_in"), Current: true}, {Href: returnto.Home, Text: p.ui.Text("go.app")}}
	}
}

// Fail responds to a request that the portal handed on with an error, by the portal's own map from errors to answers.
// asPage false writes a problem document.
func (p *Portal) Fail(w http.ResponseWriter, r *http.Request, err error, asPage bool) {
	p = p.in(r)
	v, ok := r.Context().Value(visitKey{}).(*visit)
	if !ok {
		v = p.visit(r, !asPage)
	}
	as := *v
	as.api = !asPage
	p.fail(w, r, &as, err)
}
