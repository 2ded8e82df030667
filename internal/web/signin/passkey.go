package signin

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Passkeys are the sign-in with a passkey alone, and passkeys as a second step of other sign-ins.
type Passkeys struct{ *web.Deps }

func (h *Passkeys) routes() []web.Route {
	return []web.Route{
		web.PasskeyOptions(web.PasskeyLoginPage+"/options", web.Public, h.loginOptions),
		web.Post(web.PasskeyLoginPage, web.Optional, h.login),
		web.PasskeyOptions(web.VerifyPage+"/options", web.Public, h.verifyOptions),
		web.Post(web.PasskeyVerifyPage, web.Public, h.verify),
		web.PasskeyOptions(web.StepUpPage+"/options", web.SignedIn, h.stepUpOptions),
		web.PasskeyOptions(web.PasskeyEnrollPage+"/options", web.Public, h.enrollOptions),
		web.Post(web.PasskeyEnrollPage, web.Public, h.enroll),
	}
}

func (h *Passkeys) loginOptions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return q.WritePasskeyOptions(w, r, func(at login.PasskeyAt) (passkey.Options, error) {
		return h.Login.BeginPasskeySignIn(r.Context(), at)
	})
}

func (h *Passkeys) verifyOptions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return q.WritePasskeyOptions(w, r, func(at login.PasskeyAt) (passkey.Options, error) {
		return h.Login.BeginVerifyPasskey(r.Context(), q.StepToken(), at)
	})
}

func (h *Passkeys) stepUpOptions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return q.WritePasskeyOptions(w, r, func(at login.PasskeyAt) (passkey.Options, error) {
		return h.Login.BeginStepUpPasskey(r.Context(), q.Live, at)
	})
}

func (h *Passkeys) enrollOptions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return q.WritePasskeyOptions(w, r, func(at login.PasskeyAt) (passkey.Options, error) {
		return h.Login.BeginEnrollPasskey(r.Context(), q.StepToken(), at)
	})
}

// readPasskey reads a form with a passkey.
func readPasskey(w http.ResponseWriter, r *http.Request, more ...string) (ui.Form, error) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(append(web.PasskeyFields(), more...)...)
	}
	return form, err
}

// login signs in with a passkey alone.
func (h *Passkeys) login(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := h.Setup.Ready(r.Context()); err != nil {
		return err
	}
	if !h.Login.PasskeySignIn() {
		return store.ErrNotFound
	}
	form, err := readPasskey(w, r, "rt", "to", "back")
	if err != nil {
		return err
	}
	f := loginForm{remember: form.Ticked("remember"), back: q.ReturnTo(&form), to: q.OwnPage(&form, "to")}
	response, _ := q.AssertionOf(form)
	in, err := h.Login.SignInPasskey(r.Context(), q.Client(), response, login.SignInOptions{
		Remember: f.remember, Return: returnto.Carry(f.back, f.to),
	})
	if err != nil {
		return h.refuseLogin(w, r, q, f, err)
	}
	q.SetSession(w, in)
	web.Redirect(w, r, q.AfterSignIn(in, loginTarget(h.Deps, q, in.User, f.back, f.to)))
	return nil
}

// refuseLogin shows the sign-in page again. Its autofill does not start by itself: it would offer the passkey that was
// just refused.
func (h *Passkeys) refuseLogin(w http.ResponseWriter, r *http.Request, q *web.Request, f loginForm, err error) error {
	l := &Login{h.Deps}
	if !errors.Is(err, login.ErrWrongPasskey) {
		return l.refuse(w, r, q, f, err)
	}
	fail := problem.Of(err)
	q.WriteErrorHeaders(w, r, fail, err)
	d := l.data(r, q, f.back, f.to, "")
	d.Ticked = f.remember
	if d.Passkey != nil {
		d.Passkey.Autofill = false
	}
	page := l.page(r, q, f.back, d)
	page.Status, page.Failed = fail.Status, true
	page.Notice = &ui.Notice{Kind: ui.Bad, Text: fail.Text(q.UI)}
	q.UI.Write(w, r, page)
	return nil
}
