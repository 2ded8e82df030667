package account

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Addresses of second factors, below the mount prefix.
const (
	twoFactorPage     = "/account/two-factor"
	totpPage          = twoFactorPage + "/totp"
	recoveryCodesPage = "/account/recovery-codes"
)

// TwoFactor is the pages of one's own second factors. Where they are off, there are none.
type TwoFactor struct{ *web.Deps }

func twoFactorRoutes(d *web.Deps) []web.Route {
	h := &TwoFactor{d}
	routes := slices.Concat(
		web.Form(twoFactorPage, web.SignedIn, h.show, h.post),
		[]web.Route{web.Post(totpPage, web.SignedIn, h.beginTOTP)},
		web.Form(totpPage+"/{id}", web.SignedIn, h.showTOTP, h.confirmTOTP),
		web.Form(totpPage+"/{id}/rename", web.SignedIn, h.askRename, h.rename),
		web.Form(totpPage+"/{id}/remove", web.SignedIn, h.askRemove, h.remove),
		// Recovery codes may have come with a sign-in that goes on with a new password: they are saved first.
		web.Form(recoveryCodesPage, web.AnySignedIn, h.showCodes, h.postCodes),
	)
	for i, handle := range routes {
		routes[i].Handle = func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
			if !hasFactors(d) {
				return q.NotFound()
			}
			return handle.Handle(w, r, q)
		}
	}
	return routes
}

// hasFactors reports whether people have second factors with this configuration.
func hasFactors(d *web.Deps) bool { return d.Login.Second.Mode != login.MFAOff }

// twoFactorData is the data of the "two-factor" page.
type twoFactorData struct {
	Apps       []store.TOTP
	More       bool // another app may be added
	Codes      store.RecoveryCodes
	Any        bool
	Passkeys   int
	PasskeysOn bool
	Only       bool // there is one way through the second step, and no other
	Ask        bool
	AskLocked  bool
	Demanded   bool
	Return     []ui.Hidden // where a step-up leads once there is a factor
}

func (h *TwoFactor) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return h.write(w, r, q, nil)
}

// write shows the overview, with what is wrong with a form on it.
func (h *TwoFactor) write(w http.ResponseWriter, r *http.Request, q *web.Request, refused error) error {
	u := q.Live.User
	o, err := h.Accounts.Factors.Overview(r.Context(), u)
	if err != nil {
		return err
	}
	page := accountPage(h.Deps, q, "two-factor", "two-factor", twoFactorData{
		Apps: o.Apps, More: len(o.Apps) < store.MaxTOTPs && !h.Login.Second.NoTOTP, Codes: o.Codes, Any: o.Any(),
		Passkeys: o.Passkeys, PasskeysOn: h.Login.PasskeysOn(),
		Only: len(o.Apps)+o.Passkeys == 1 && o.Codes.Left == 0, Demanded: o.Demanded,
		Ask: o.Asked() || o.Demanded, AskLocked: o.TOTPs > 0 || o.Demanded,
		Return: ui.HiddenFields(web.StepUpQuery(q.StepUpReturn(nil))),
	})
	page.Banners = banners(q, o)
	if refused != nil {
		fail := problem.Of(refused)
		page.Status, page.Failed = fail.Status, true
		page.Notice = &ui.Notice{Kind: ui.Bad, Text: fail.Text(q.UI)}
	}
	q.UI.Write(w, r, page)
	return nil
}

// post changes the switch, or takes note that notices were read.
func (h *TwoFactor) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("seen")
	}
	switch {
	case err != nil:
		return err
	case form.Has("seen"):
		return h.seen(w, r, q, form)
	case !form.Has("ask_second_factor"):
		return ui.BadInput(http.StatusUnprocessableEntity, "input.refused")
	}
	codes, err := h.Accounts.Factors.SetAsk(r.Context(), q.Actor(), lastTicked(form, "ask_second_factor"))
	switch {
	case err != nil:
		return h.refuse(w, r, q, err, twoFactorPage)
	case len(codes) > 0:
		h.showMade(w, r, q, codes, q.Text("codes.with_switch"), q.At(twoFactorPage), nil)
		return nil
	}
	q.UI.Flash(w, r, "saved")
	web.Redirect(w, r, q.At(twoFactorPage))
	return nil
}

// lastTicked reports whether a box was ticked that has a hidden "0" before it. Without either it was not.
func lastTicked(form ui.Form, name string) bool {
	return len(form.All(name)) > 0 && lastIsYes(form.All(name))
}

// seen takes note that the notices until a moment were read.
func (h *TwoFactor) seen(w http.ResponseWriter, r *http.Request, q *web.Request, form ui.Form) error {
	until, err := strconv.ParseInt(form.Get("seen"), 10, 64)
	if err != nil {
		return ui.BadInput(http.StatusUnprocessableEntity, "input.refused")
	}
	if err := h.Accounts.Factors.SeenNotices(r.Context(), q.Actor(), time.UnixMilli(until).UTC()); err != nil {
		return err
	}
	web.Redirect(w, r, q.At("/account"))
	return nil
}

// refuse responds to a change of second factors that was refused: with the step-up that it needs, which leads back, or
// with the overview, which says why.
func (h *TwoFactor) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, err error, back string) error {
	if askProof(w, r, q, err, back) {
		return nil
	}
	var refused *account.ForbiddenError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case account.CodeFactorLimit, account.CodeLastFactor, account.CodeNoFactor, account.CodeAskLocked:
		return h.write(w, r, q, err)
	}
	return err
}

// askProof leads to a step-up where a change was refused for the lack of one, and back to a page afterwards: nothing
// was done. It reports whether it did.
func askProof(w http.ResponseWriter, r *http.Request, q *web.Request, err error, back string) bool {
	var refused *account.ForbiddenError
	if !errors.As(err, &refused) || !refused.AsksProof() {
		return false
	}
	web.Redirect(w, r, q.StepUpURL(returnto.Target{}, q.At(back)))
	return true
}
