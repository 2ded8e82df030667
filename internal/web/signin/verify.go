package signin

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Second is the second step of a sign-in: a code, or the set-up of what the person has to have. All it goes by is the
// browser's half-login; who else is signed in makes no difference.
type Second struct{ *web.Deps }

// Pages of the second step, below the mount prefix.
const (
	recoveryPage   = web.VerifyPage + "/recovery"
	enrollTOTPPage = web.EnrollPage + "/totp"
)

// trustField is the box with which somebody asks for the browser to be trusted.
const trustField = "trust_browser"

// againField is the button that gives a half-login up.
const againField = "again"

func (h *Second) routes() []web.Route {
	var routes []web.Route
	for _, list := range [][]web.Route{
		web.Form(web.VerifyPage, web.Public, h.show, h.post),
		web.Form(recoveryPage, web.Public, h.showRecovery, h.postRecovery),
		web.Form(web.EnrollPage, web.Public, h.showEnroll, h.postEnroll),
		{web.Post(enrollTOTPPage, web.Public, h.beginTOTP)},
		web.Form(enrollTOTPPage+"/{id}", web.Public, h.showTOTP, h.confirmTOTP),
	} {
		routes = append(routes, list...)
	}
	return routes
}

// verifyPage is the data of the "verify" page.
type verifyPage struct {
	Username string
	Text     string
	Fields   []ui.Field // none where no code would be accepted
	Faults   []ui.Field
	Action   string
	Passkey  *ui.PasskeyForm // nil where none would be accepted
	None     string          // why not, of somebody who has one
	Until    string          // how long there is
	Others   []ui.Link
	Trust    *ui.Box // of the form for a code, nil where no browser is trusted
}

// state returns the half-login of the browser; ok is false when a response has been written. A page for another purpose
// leads to its own.
func (h *Second) state(w http.ResponseWriter, r *http.Request, q *web.Request, enroll bool) (
	st login.HalfLoginState, ok bool, err error,
) {
	st, err = h.Login.HalfLogin(r.Context(), q.StepToken())
	if err != nil {
		return st, false, h.refuseState(w, r, q, err)
	}
	if verify := st.Purpose == store.HalfLoginVerify; verify == enroll {
		to := web.EnrollPage
		if verify {
			to = web.VerifyPage
		}
		web.Redirect(w, r, q.At(to))
		return st, false, nil
	}
	return st, true, nil
}

// refuseState responds to a browser whose sign-in cannot go on: it begins again, with the name where that is known.
func (h *Second) refuseState(w http.ResponseWriter, r *http.Request, q *web.Request, err error) error {
	var over *login.HalfLoginOverError
	switch {
	case errors.Is(err, login.ErrNoHalfLogin):
		web.Redirect(w, r, q.At("/login"))
		return nil
	case !errors.As(err, &over):
		return err
	}
	fail := problem.Of(err)
	q.WriteErrorHeaders(w, r, fail, err)
	b, to := q.Restore(over.Return)
	page := h.again(r, q, b, to, over.Username)
	page.Status, page.Failed, page.Title, page.Heading = fail.Status, true, fail.Title(q.UI), fail.Title(q.UI)
	page.Notice = &ui.Notice{Kind: ui.Warn, Text: fail.Text(q.UI)}
	q.UI.Write(w, r, page)
	return nil
}

// again returns the sign-in page with a name filled in, so that nobody has to type it twice (WCAG 2.2.1).
func (h *Second) again(r *http.Request, q *web.Request, b returnto.Target, to, username string) ui.Page {
	l := &Login{h.Deps}
	d := l.data(r, q, b, to, username)
	field := 0
	if username != "" {
		field = 1
	}
	d.Fields[field].Focus = true
	return l.page(r, q, b, d)
}

// giveUp ends the half-login and leads to the sign-in page, where the person said so. done is true then.
func (h *Second) giveUp(w http.ResponseWriter, r *http.Request, q *web.Request, form ui.Form, st login.HalfLoginState) (
	done bool, err error,
) {
	if !form.Ticked(againField) {
		return false, nil
	}
	if err := h.Login.CancelHalfLogin(r.Context(), q.StepToken()); err != nil {
		return true, err
	}
	q.ClearStep(w)
	b, to := q.Restore(st.Return)
	web.Redirect(w, r, returnto.At(q.At("/login"), b.Query(to)))
	return true, nil
}

// finish gives the browser its session and leads to where the sign-in was asked for.
func (h *Second) finish(w http.ResponseWriter, r *http.Request, q *web.Request, in login.SignedIn) {
	q.SetSession(w, in)
	web.Redirect(w, r, h.target(q, in))
}

func (h *Second) target(q *web.Request, in login.SignedIn) string {
	b, to := q.Restore(in.Return)
	return loginTarget(h.Deps, q, in.User, b, to)
}

// page begins a page of the second step. Its form leads on to where the sign-in was asked for.
func (h *Second) page(q *web.Request, st login.HalfLoginState, template, title string) ui.Page {
	b, _ := q.Restore(st.Return)
	return ui.Page{
		Template: template, Card: true, Title: title, FormTargets: b.FormTargets(), FormGoesOn: true,
	}
}

func (h *Second) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	st, ok, err := h.state(w, r, q, false)
	if !ok {
		return err
	}
	q.UI.Write(w, r, h.codePage(q, st))
	return nil
}

// codePage asks for a code of an authenticator app.
func (h *Second) codePage(q *web.Request, st login.HalfLoginState) ui.Page {
	d := verifyPage{
		Username: st.User.Username, Action: q.At(web.VerifyPage), Text: q.Text("verify.text"),
		Until: h.timeLeft(q, st), Others: []ui.Link{{Href: q.At(recoveryPage), Text: q.Text("verify.recovery")}},
	}
	switch {
	case st.User.Factors.Locked():
		d.Text = q.Text("error.codes-locked.text")
	case st.User.Factors.TOTPs > 0:
		d.Fields = []ui.Field{q.CodeInput(q.Text("verify.hint"))}
		d.Fields[0].Focus = true
	default:
		d.Text = q.Text("verify.no_app")
	}
	d.Passkey, d.None = q.PasskeyProof(st.User, web.VerifyPage+"/options", web.PasskeyVerifyPage, nil)
	title := q.Text("verify.title")
	switch {
	case d.Fields == nil:
		title = q.Text("verify.no_code_title")
		if d.Passkey != nil && !st.User.Factors.Locked() {
			d.Text, d.Passkey.Primary = q.Text("verify.passkey"), true
		}
	case d.Passkey != nil:
		d.Passkey.Or = q.Text("login.or")
	}
	h.offerTrust(q, st, &d)
	page := h.page(q, st, "verify", title)
	page.Switch, page.Data = languageSwitch(q, "verify"), d
	return page
}

// offerTrust adds the box that asks for the browser to be trusted, to one form: the script takes it along to the other.
func (h *Second) offerTrust(q *web.Request, st login.HalfLoginState, d *verifyPage) {
	if !h.Login.Second.MayTrust(st.User) {
		return
	}
	span := q.Span(h.Login.Second.TrustBrowser)
	box := &ui.Box{ID: trustField, Label: q.Text("verify.trust", "span", span), Hint: q.Text("verify.trust_hint")}
	switch {
	case d.Fields != nil:
		d.Trust = box
		if d.Passkey != nil {
			d.Passkey.Keep = trustField
		}
	case d.Passkey != nil:
		d.Passkey.Box = box
	}
}

// tickTrust leaves the box of a page that is shown again as it was sent.
func tickTrust(page ui.Page, ticked bool) ui.Page {
	if d, ok := page.Data.(verifyPage); ok {
		if d.Trust != nil {
			d.Trust.Ticked = ticked
		}
		if d.Passkey != nil && d.Passkey.Box != nil {
			d.Passkey.Box.Ticked = ticked
		}
	}
	return page
}

// timeLeft says how long the half-login lasts.
func (h *Second) timeLeft(q *web.Request, st login.HalfLoginState) string {
	return q.Text("verify.time", "span", q.Span(max(0, st.ExpiresAt.Sub(h.Clock()))))
}

func (h *Second) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return h.take(w, r, q, web.CodeField, h.codePage, func(c login.Client, code string) (login.SignedIn, error) {
		return h.Login.VerifyCode(r.Context(), c, q.StepToken(), code)
	})
}

func (h *Second) showRecovery(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	st, ok, err := h.state(w, r, q, false)
	if !ok {
		return err
	}
	q.UI.Write(w, r, h.recoveryPage(q, st))
	return nil
}

// recoveryPage asks for a recovery code.
func (h *Second) recoveryPage(q *web.Request, st login.HalfLoginState) ui.Page {
	d := verifyPage{
		Username: st.User.Username, Action: q.At(recoveryPage), Text: q.Text("verify.recovery_text"),
		Until: h.timeLeft(q, st), Fields: []ui.Field{{
			ID: web.RecoveryField, Name: web.RecoveryField, Label: q.Text("verify.recovery_code"),
			Hint: q.Text("verify.recovery_hint"), Autocomplete: "off", Plain: true, Key: "go", Focus: true,
		}},
	}
	if st.User.Factors.TOTPs > 0 {
		d.Others = []ui.Link{{Href: q.At(web.VerifyPage), Text: q.Text("verify.app")}}
	}
	page := h.page(q, st, "verify", q.Text("verify.recovery_title"))
	page.Switch, page.Data = languageSwitch(q, "recovery"), d
	return page
}

func (h *Second) postRecovery(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return h.take(w, r, q, web.RecoveryField, h.recoveryPage, func(c login.Client, code string) (login.SignedIn, error) {
		return h.Login.VerifyRecoveryCode(r.Context(), c, q.StepToken(), code)
	})
}

// take reads a form of the second step and ends it with verify. page shows it again.
func (h *Second) take(w http.ResponseWriter, r *http.Request, q *web.Request, field string,
	page func(*web.Request, login.HalfLoginState) ui.Page,
	verify func(c login.Client, code string) (login.SignedIn, error),
) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(field, againField, trustField)
	}
	if err != nil {
		return err
	}
	st, ok, err := h.state(w, r, q, false)
	if !ok {
		return err
	}
	if done, err := h.giveUp(w, r, q, form, st); done {
		return err
	}
	c := q.Client()
	c.TrustBrowser = form.Ticked(trustField)
	in, err := verify(c, form.Get(field))
	if err != nil {
		return h.refuse(w, r, q, field, func() ui.Page { return tickTrust(page(q, st), c.TrustBrowser) }, err)
	}
	h.finish(w, r, q, in)
	return nil
}

// refuse shows a page of the second step again, with what is wrong.
func (h *Second) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, field string, page func() ui.Page,
	err error,
) error {
	fail := problem.Of(err)
	var throttled *login.ThrottledError
	var inactive *login.InactiveError
	var over *login.HalfLoginOverError
	switch {
	case r.Context().Err() != nil: // the client has left
		return err
	case errors.Is(err, login.ErrNoHalfLogin), errors.As(err, &over):
		return h.refuseState(w, r, q, err)
	case errors.As(err, &throttled):
		q.WriteThrottled(w, r, err, page())
		return nil
	case errors.As(err, &inactive):
		q.ClearStep(w)
		return err
	case errors.Is(err, login.ErrWrongCode), errors.Is(err, login.ErrCodesLocked):
	default:
		return err
	}
	q.WriteErrorHeaders(w, r, fail, err)
	p := page()
	d, _ := p.Data.(verifyPage) // what both pages have
	if errors.Is(err, login.ErrCodesLocked) {
		d.Fields, d.Text, p.Failed = nil, fail.Text(q.UI), true
	} else {
		text := q.Text("verify.wrong_code")
		if field == web.RecoveryField {
			text = q.Text("error.wrong-code.text")
		}
		web.MarkErrors(&p, d.Fields, []ui.FieldError{{Field: field, Detail: text}})
		d.Faults = ui.Faults(d.Fields)
	}
	p.Data, p.Status = d, fail.Status
	q.UI.Write(w, r, p)
	return nil
}
