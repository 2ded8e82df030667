package signin

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// enrollPage is the data of the "enroll" page.
type enrollPage struct {
	Username string
	Text     string
	Due      time.Time       // until when it may be put off; zero: no longer
	Until    string          // how long there is
	TOTP     bool            // an authenticator app may be added
	Passkey  *ui.PasskeyForm // nil where there are none
	None     string          // why not
}

func (h *Second) showEnroll(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	st, ok, err := h.state(w, r, q, true)
	switch {
	case !ok:
		return err
	case h.Login.Second.Has(st.User):
		return h.refuseEnroll(w, r, q, st, login.ErrFactorExists)
	}
	q.UI.Write(w, r, h.enrollPage(q, st, ""))
	return nil
}

// enrollPage asks what the person wants to add. name is what was typed as the name of a passkey.
func (h *Second) enrollPage(q *web.Request, st login.HalfLoginState, name string) ui.Page {
	d := enrollPage{
		Username: st.User.Username, Text: q.Text("enroll.text"), Until: h.timeLeft(q, st), TOTP: !h.Login.Second.NoTOTP,
	}
	if st.Purpose == store.HalfLoginOffer {
		d.Text, d.Due = q.Text("enroll.offer"), st.DueAt
	}
	if h.Login.PasskeysOn() {
		d.None = q.NoPasskeys()
		d.Passkey = q.PasskeyMaker(web.PasskeyEnrollPage+"/options", web.PasskeyEnrollPage, name)
		if d.Passkey != nil {
			d.Passkey.Text = q.Text("enroll.passkey")
		}
		if d.Passkey != nil && d.TOTP {
			d.Passkey.Primary, d.Passkey.Or = false, q.Text("login.or")
		}
	}
	page := h.page(q, st, "enroll", q.Text("enroll.title"))
	page.Wide, page.Switch, page.Data = true, languageSwitch(q, "enroll"), d
	return page
}

// postEnroll puts off what may be put off, or gives the sign-in up.
func (h *Second) postEnroll(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("later", againField)
	}
	if err != nil {
		return err
	}
	st, ok, err := h.state(w, r, q, true)
	if !ok {
		return err
	}
	if done, err := h.giveUp(w, r, q, form, st); done {
		return err
	}
	if !form.Ticked("later") {
		web.Redirect(w, r, q.At(web.EnrollPage))
		return nil
	}
	if st.Purpose != store.HalfLoginOffer {
		return h.refuseEnroll(w, r, q, st, errNotLater)
	}
	in, err := h.Login.SkipEnrollment(r.Context(), q.Client(), q.StepToken())
	if err != nil {
		return h.refuseEnroll(w, r, q, st, err)
	}
	h.finish(w, r, q, in)
	return nil
}

// errNotLater refuses to put off what has been put off long enough.
var errNotLater = errors.New("a second factor cannot be put off any more")

// refuseEnroll responds to an enrollment that cannot go on, with how to begin again.
func (h *Second) refuseEnroll(w http.ResponseWriter, r *http.Request, q *web.Request, st login.HalfLoginState,
	err error,
) error {
	var over *login.HalfLoginOverError
	var inactive *login.InactiveError
	switch {
	case r.Context().Err() != nil: // the client has left
		return err
	case errors.Is(err, login.ErrNoHalfLogin), errors.As(err, &over):
		return h.refuseState(w, r, q, err)
	case errors.As(err, &inactive):
		q.ClearStep(w)
		return err
	case errors.Is(err, errNotLater):
		fail := problem.Problem{Status: http.StatusForbidden, Slug: "mfa-required"}
		return h.writeMessage(w, r, q, fail, q.Text("enroll.not_later"),
			ui.Link{Href: q.At(web.EnrollPage), Text: q.Text("enroll.go"), Current: true})
	case errors.Is(err, login.ErrFactorExists): // added in between: by its owner, or by who else knows the password
		if err := h.Login.CancelHalfLogin(r.Context(), q.StepToken()); err != nil {
			return err
		}
		q.ClearStep(w)
		b, to := q.Restore(st.Return)
		page := h.again(r, q, b, to, st.User.Username)
		fail := problem.Of(err)
		page.Status, page.Failed, page.Title, page.Heading = fail.Status, true, fail.Title(q.UI), fail.Title(q.UI)
		page.Notice = &ui.Notice{Kind: ui.Warn, Text: fail.Text(q.UI)}
		q.UI.Write(w, r, page)
		return nil
	case errors.Is(err, store.ErrNotFound): // another one was begun, or it took too long
		fail := problem.Problem{Status: http.StatusNotFound, Slug: "totp-over"}
		return h.writeMessage(w, r, q, fail, fail.Text(q.UI),
			ui.Link{Href: q.At(web.EnrollPage), Text: q.Text("enroll.go"), Current: true})
	default:
		return err
	}
}

func (h *Second) writeMessage(w http.ResponseWriter, r *http.Request, q *web.Request, fail problem.Problem, text string,
	link ui.Link,
) error {
	q.UI.Write(w, r, ui.Page{
		Template: "message", Card: true, Status: fail.Status, Failed: true, Title: fail.Title(q.UI),
		Data: web.Message{Paras: []string{text}, Links: []ui.Link{link}},
	})
	return nil
}

// beginTOTP leads to the page on which an authenticator app is set up.
func (h *Second) beginTOTP(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if _, err := ui.ReadForm(w, r); err != nil {
		return err
	}
	st, ok, err := h.state(w, r, q, true)
	if !ok {
		return err
	}
	t, _, err := h.Login.BeginEnrollment(r.Context(), q.StepToken())
	if err != nil {
		return h.refuseEnroll(w, r, q, st, err)
	}
	web.Redirect(w, r, q.At(enrollTOTPPage+"/"+t.ID))
	return nil
}

func (h *Second) showTOTP(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	st, ok, err := h.state(w, r, q, true)
	if !ok {
		return err
	}
	t, secret, err := h.Login.Enrollment(r.Context(), q.StepToken(), r.PathValue("id"))
	if err != nil {
		return h.refuseEnroll(w, r, q, st, err)
	}
	page, d := h.totpPage(q, st, t, secret, "")
	page.Data = d
	q.UI.Write(w, r, page)
	return nil
}

func (h *Second) totpPage(q *web.Request, st login.HalfLoginState, t store.TOTP, secret []byte, name string) (
	ui.Page, web.TOTPSetup,
) {
	page, d := q.TOTPPage(st.User, t, secret, name)
	page.Card, page.Wide, d.Action = true, true, q.At(enrollTOTPPage+"/"+t.ID)
	d.Cancel = q.At(web.EnrollPage)
	if st.ExpiresAt.Before(d.Until) {
		d.Until = st.ExpiresAt
	}
	return page, d
}

// confirmTOTP ends the sign-in with the code of the new app. The response has the recovery codes in it, and begins the
// session.
func (h *Second) confirmTOTP(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(web.CodeField, web.NameField)
	}
	if err != nil {
		return err
	}
	st, ok, err := h.state(w, r, q, true)
	if !ok {
		return err
	}
	name, err := q.FactorName(form)
	var in login.Enrolled
	if err == nil {
		in, err = h.Login.ConfirmEnrollment(r.Context(), q.Client(), q.StepToken(), r.PathValue("id"),
			form.Get(web.CodeField), name)
	}
	if err != nil {
		return h.refuseTOTP(w, r, q, st, form.Get(web.NameField), err)
	}
	return h.enrolled(w, r, q, in, q.Text("codes.added"))
}

// enrolled gives the browser its session, and shows the recovery codes that came with the factor, with what was added.
func (h *Second) enrolled(w http.ResponseWriter, r *http.Request, q *web.Request, in login.Enrolled, added string,
) error {
	if len(in.Codes) == 0 { // there are some already
		h.finish(w, r, q, in.SignedIn)
		return nil
	}
	q.SetSession(w, in.SignedIn)
	b, to := q.Restore(in.Return)
	page := q.CodesPage(in.User, in.Codes, added, h.target(q, in.SignedIn), ui.HiddenFields(b.Query(to)))
	page.Card, page.Wide, page.FormTargets, page.FormGoesOn = true, true, b.FormTargets(), true
	q.UI.Write(w, r, page)
	return nil
}

func (h *Second) refuseTOTP(w http.ResponseWriter, r *http.Request, q *web.Request, st login.HalfLoginState,
	name string, err error,
) error {
	fields, _ := problem.FieldErrors(q.UI, err)
	if !errors.Is(err, login.ErrWrongCode) && len(fields) == 0 {
		return h.refuseEnroll(w, r, q, st, err)
	}
	t, secret, terr := h.Login.Enrollment(r.Context(), q.StepToken(), r.PathValue("id"))
	if terr != nil {
		return h.refuseEnroll(w, r, q, st, terr)
	}
	page, d := h.totpPage(q, st, t, secret, name)
	status := http.StatusUnprocessableEntity
	if q.RefuseTOTP(&page, &d, err) {
		status = http.StatusUnauthorized
		q.WriteErrorHeaders(w, r, problem.Of(err), err)
	} else {
		web.MarkErrors(&page, d.Fields, fields)
		d.Faults = ui.Faults(d.Fields)
	}
	page.Data, page.Status = d, status
	q.UI.Write(w, r, page)
	return nil
}
