package portal

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Errors of the portal itself.
var (
	errNoPage = errors.New("there is no such page")
	errMethod = errors.New("the address does not take this method")
	errSetup  = errors.New("there is no administrator yet")
)

// failure is an error as the outside sees it.
type failure struct {
	status int
	slug   string    // end of the problem type, and of the ids of the texts
	say    i18n.Text // for people
	text   string    // for people, in their language already; without both it is the text "error.<slug>.text"
	fields []ui.FieldError
	retry  time.Duration // Retry-After when positive
}

// storeRetry is when to try again while the store is away.
const storeRetry = 5 * time.Second

// classify is the one map from errors to answers, for pages and JSON alike. What it does not know is our own fault,
// and nothing of it is told.
func classify(err error) failure {
	for _, rule := range []func(error) (failure, bool){ofRequest, ofAccount, ofSignIn, ofStore} {
		if f, ok := rule(err); ok {
			return f
		}
	}
	return failure{status: http.StatusInternalServerError, slug: "internal"}
}

func ofRequest(err error) (failure, bool) {
	var input *ui.InputError
	switch {
	case errors.Is(err, errNoPage):
		return failure{status: http.StatusNotFound, slug: "not-found"}, true
	case errors.Is(err, errMethod):
		return failure{status: http.StatusMethodNotAllowed, slug: "method-not-allowed"}, true
	case errors.Is(err, errSetup):
		return failure{status: http.StatusServiceUnavailable, slug: "setup-needed"}, true
	case errors.Is(err, ui.ErrCrossSite):
		return failure{status: http.StatusForbidden, slug: "cross-site"}, true
	case errors.As(err, &input):
		return failure{status: input.Status, slug: inputSlug(input.Status), text: input.Text, say: input.Say, fields: input.Fields}, true
	}
	return failure{}, false
}

func inputSlug(status int) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "too-large"
	case http.StatusUnsupportedMediaType:
		return "unsupported-media-type"
	case http.StatusUnprocessableEntity:
		return "invalid"
	case http.StatusPreconditionFailed:
		return "stale"
	case http.StatusConflict:
		return "other-account"
	}
	return "bad-request"
}

func ofAccount(err error) (failure, bool) {
	var invalid *account.InvalidError
	var forbidden *account.ForbiddenError
	var link *account.LinkError
	switch {
	case errors.As(err, &invalid):
		f := failure{status: http.StatusUnprocessableEntity, slug: "invalid"}
		for _, e := range invalid.Fields {
			f.fields = append(f.fields, ui.FieldError{Field: e.Field, Detail: e.Text, Say: e.Say})
		}
		return f, true
	case errors.As(err, &forbidden):
		f := failure{status: http.StatusForbidden, slug: forbidden.Code, text: forbidden.Text, say: forbidden.Say}
		if forbidden.Code == account.CodeSignedOut {
			f.status, f.slug = http.StatusUnauthorized, "unauthorized"
		}
		return f, true
	case errors.As(err, &link):
		if link.State == account.LinkUnknown {
			return failure{status: http.StatusNotFound, slug: "link-unknown"}, true
		}
		return failure{status: http.StatusGone, slug: "link-" + string(link.State)}, true
	}
	return failure{}, false
}

func ofSignIn(err error) (failure, bool) {
	var throttled *login.ThrottledError
	var disabled *login.DisabledError
	var busy *password.BusyError
	switch {
	case errors.Is(err, session.ErrNone):
		return failure{status: http.StatusUnauthorized, slug: "unauthorized"}, true
	case errors.Is(err, login.ErrWrong):
		return failure{status: http.StatusUnauthorized, slug: "wrong-credentials"}, true
	case errors.As(err, &throttled):
		return failure{status: http.StatusTooManyRequests, slug: "throttled", retry: time.Duration(throttled.RetryAfter()) * time.Second}, true
	case errors.As(err, &disabled) && disabled.Pending:
		return failure{status: http.StatusForbidden, slug: "pending"}, true
	case errors.As(err, &disabled):
		return failure{status: http.StatusForbidden, slug: "disabled"}, true
	case errors.As(err, &busy):
		return failure{status: http.StatusServiceUnavailable, slug: "busy", retry: busy.RetryAfter}, true
	case errors.Is(err, password.ErrBusy):
		return failure{status: http.StatusServiceUnavailable, slug: "busy", retry: storeRetry}, true
	}
	return failure{}, false
}

func ofStore(err error) (failure, bool) {
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		return failure{status: http.StatusConflict, slug: "conflict",
			fields: []ui.FieldError{ui.Fault(conflict.Field, "fault.taken")}}, true
	case errors.Is(err, store.ErrStale):
		return failure{status: http.StatusConflict, slug: "stale"}, true
	case errors.Is(err, store.ErrLastAdmin):
		return failure{status: http.StatusForbidden, slug: account.CodeLastAdmin}, true
	case errors.Is(err, store.ErrBadCursor):
		return failure{status: http.StatusBadRequest, slug: "bad-cursor"}, true
	case errors.Is(err, store.ErrNotFound):
		return failure{status: http.StatusNotFound, slug: "not-found"}, true
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failure{status: http.StatusServiceUnavailable, slug: "unavailable", retry: storeRetry}, true
	}
	return failure{}, false
}

// text returns the text of a failure: one given with it, or the catalog's.
func (p *Portal) text(f failure) string {
	switch {
	case !f.say.IsZero():
		return p.ui.Say(f.say)
	case f.text != "":
		return f.text
	case f.slug == "throttled":
		return p.ui.Text("error.throttled.text", "wait", p.span(f.retry))
	}
	if id := "error." + f.slug + ".text"; p.ui.HasText(id) {
		return p.ui.Text(id)
	}
	return p.ui.Text("error.internal.text")
}

// title returns the title of a failure.
func (p *Portal) title(f failure) string {
	if id := "error." + f.slug + ".title"; p.ui.HasText(id) {
		return p.ui.Text(id)
	}
	return p.ui.Text("error.refused.title")
}

// begin sets what goes with a failure whatever its body, and logs what is our own fault.
func (p *Portal) begin(w http.ResponseWriter, r *http.Request, v *visit, f failure, err error) {
	if f.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.retry+time.Second-1)/time.Second)))
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", p.challenge())
	}
	if f.slug == "cross-site" {
		p.Log.Warn("refused a changing request from another site", zap.String("path", v.shown(r)),
			zap.String("ip", v.q.IP()), zap.String("request_id", v.q.ID))
	}
	if f.status >= http.StatusInternalServerError && r.Context().Err() == nil && !errors.Is(err, errSetup) {
		level := zap.ErrorLevel
		if errors.Is(err, password.ErrBusy) {
			level = zap.DebugLevel // a stranger decides how many; login.Service notes that it happens
		}
		p.Log.Log(level, "could not answer a request", zap.String("path", v.shown(r)), zap.Int("status", f.status),
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
	f := classify(err)
	if f.slug == "setup-needed" {
		p.SetupNeeded(w, r, !v.api)
		return
	}
	p.begin(w, r, v, f, err)
	if v.api {
		ui.Harden(w, r)
		p.ui.WriteProblem(w, r, p.problem(v, f))
		return
	}
	p.ui.Write(w, r, p.failurePage(v, f))
}

func (p *Portal) problem(v *visit, f failure) ui.Problem {
	pr := ui.Problem{Type: f.slug, Title: p.title(f), Status: f.status, Detail: p.text(f), Errors: p.ui.Faults(f.fields)}
	if f.status == http.StatusUnauthorized {
		pr.LoginURL = v.q.Prefix + "/login"
	}
	return pr
}

// messagePage is the data of the "message" page: paragraphs and ways to go on.
type messagePage struct {
	Paras []string
	Steps []string // a numbered list after them
	Links []ui.Link
}

func (p *Portal) failurePage(v *visit, f failure) ui.Page {
	page := ui.Page{
		Template: "message", Status: f.status, Title: p.title(f), Failed: true, Card: true, Wide: true, Refer: true,
		Data: messagePage{Paras: []string{p.text(f)}, Links: p.waysOn(v, f)},
	}
	return page
}

func (p *Portal) waysOn(v *visit, f failure) []ui.Link {
	prefix := v.q.Prefix
	switch {
	case f.status == http.StatusUnauthorized:
		return []ui.Link{{Href: prefix + "/login", Text: p.ui.Text("go.sign_in"), Current: true}}
	case f.slug == account.CodeReauth:
		return []ui.Link{{Href: prefix + "/reauth", Text: p.ui.Text("go.reauth"), Current: true}}
	case f.slug == account.CodeMustChange:
		return []ui.Link{{Href: prefix + passwordPage, Text: p.ui.Text("go.password"), Current: true}}
	case v.live != nil:
		return []ui.Link{{Href: prefix + "/account", Text: p.ui.Text("go.account"), Current: true}}
	default:
		return []ui.Link{{Href: prefix + "/login", Text: p.ui.Text("go.sign_in"), Current: true}, {Href: home, Text: p.ui.Text("go.app")}}
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

// FieldErrors returns what an error says about single fields in the language of u, nil when it is about something else.
// status is what to answer a form with: 422 for a refused field, also where its value is taken. Programs learn of that
// as a conflict, 409.
func FieldErrors(u *ui.UI, err error) (fields []ui.FieldError, status int) {
	f := classify(err)
	if f.slug == "conflict" {
		f.status = http.StatusUnprocessableEntity
	}
	if f.status != http.StatusUnprocessableEntity {
		return nil, f.status
	}
	return u.Faults(f.fields), f.status
}

// span returns a duration in words, rounded up.
func (p *Portal) span(d time.Duration) string {
	units := []struct {
		id   string
		size time.Duration
	}{{"span.days", 24 * time.Hour}, {"span.hours", time.Hour}, {"span.minutes", time.Minute}}
	for _, u := range units {
		if d >= 2*u.size || (d >= u.size && d%u.size == 0) {
			return p.ui.Text(u.id, "n", int((d+u.size-1)/u.size))
		}
	}
	return p.ui.Text("span.seconds", "n", max(1, int((d+time.Second-1)/time.Second)))
}
