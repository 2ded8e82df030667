package signin

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// verify ends the second step of a sign-in with a passkey.
func (h *Passkeys) verify(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := readPasskey(w, r, trustField)
	if err != nil {
		return err
	}
	second := &Second{h.Deps}
	st, ok, err := second.state(w, r, q, false)
	if !ok {
		return err
	}
	response, _ := q.AssertionOf(form)
	c := q.Client()
	c.TrustBrowser = form.Ticked(trustField)
	page := func() ui.Page { return tickTrust(second.codePage(q, st), c.TrustBrowser) }
	in, err := h.Login.VerifyPasskey(r.Context(), c, q.StepToken(), response)
	if errors.Is(err, login.ErrWrongPasskey) {
		writeRefused(w, r, q, page(), err)
		return nil
	}
	if err != nil {
		return second.refuse(w, r, q, "", page, err)
	}
	second.finish(w, r, q, in)
	return nil
}

// writeRefused shows a page again, above which it says that a passkey was not accepted.
func writeRefused(w http.ResponseWriter, r *http.Request, q *web.Request, page ui.Page, err error) {
	fail := problem.Of(err)
	q.WriteErrorHeaders(w, r, fail, err)
	page.Status, page.Failed = fail.Status, true
	page.Notice = &ui.Notice{Kind: ui.Bad, Text: fail.Text(q.UI)}
	q.UI.Write(w, r, page)
}

// enroll ends a sign-in with a passkey that the person has just made. The response has the recovery codes in it, and
// the session.
func (h *Passkeys) enroll(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := readPasskey(w, r)
	if err != nil {
		return err
	}
	second := &Second{h.Deps}
	st, ok, err := second.state(w, r, q, true)
	if !ok {
		return err
	}
	name := form.Get(web.NameOfPasskey)
	in, err := h.Accounts.Passkeys.Enroll(r.Context(), q.Client(), q.StepToken(), q.AttestationOf(form), name,
		q.PasskeyName)
	if fields, status := problem.FieldErrors(q.UI, err); len(fields) > 0 {
		page := second.enrollPage(q, st, name)
		page.Status, page.Failed = status, true
		page.Notice = &ui.Notice{Kind: ui.Bad, Text: fields[0].Detail}
		q.UI.Write(w, r, page)
		return nil
	}
	if err != nil {
		return second.refuseEnroll(w, r, q, st, err)
	}
	return second.enrolled(w, r, q, in, q.Text("codes.passkey_added"))
}
