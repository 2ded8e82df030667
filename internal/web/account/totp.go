package account

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

// beginTOTP leads to the page on which an authenticator app is set up.
func (h *TwoFactor) beginTOTP(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err != nil {
		return err
	}
	t, _, err := h.Accounts.Factors.BeginTOTP(r.Context(), q.Actor())
	if err != nil {
		return h.refuse(w, r, q, err, twoFactorPage)
	}
	web.Redirect(w, r, returnto.At(q.At(totpPage+"/"+t.ID), web.StepUpQuery(q.StepUpReturn(&form))))
	return nil
}

func (h *TwoFactor) showTOTP(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, secret, err := h.Accounts.Factors.TOTPSetup(r.Context(), q.Actor(), r.PathValue("id"))
	if err != nil {
		return h.refuseSetup(w, r, q, err)
	}
	page, d := h.setupPage(q, t, secret, "", true)
	d.Return = ui.HiddenFields(web.StepUpQuery(q.StepUpReturn(nil)))
	page.Data = d
	q.UI.Write(w, r, page)
	return nil
}

func (h *TwoFactor) setupPage(q *web.Request, t store.TOTP, secret []byte, name string, end bool) (
	ui.Page, web.TOTPSetup,
) {
	page, d := q.TOTPPage(q.Live.User, t, secret, name)
	frame := accountPage(h.Deps, q, "two-factor", page.Template, nil)
	frame.Title, frame.Secret = page.Title, true
	d.Action, d.Cancel = q.At(totpPage+"/"+t.ID), q.At(twoFactorPage)
	d.EndOthers, d.End, d.Tokens = true, end, q.TokensStay()
	return frame, d
}

// refuseSetup responds to a set-up that is over: it was confirmed, took too long, or was begun anew elsewhere.
func (h *TwoFactor) refuseSetup(w http.ResponseWriter, r *http.Request, q *web.Request, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return h.refuse(w, r, q, err, totpPage+"/"+r.PathValue("id"))
	}
	o, oerr := h.Accounts.Factors.Overview(r.Context(), q.Live.User)
	if oerr != nil {
		return oerr
	}
	for _, t := range o.Apps {
		if t.ID == r.PathValue("id") { // sent again by a reload
			q.UI.Flash(w, r, "totp_there")
			web.Redirect(w, r, q.At(twoFactorPage))
			return nil
		}
	}
	fail := problem.Problem{Status: http.StatusNotFound, Slug: "totp-over"}
	page := accountPage(h.Deps, q, "two-factor", "message", web.Message{
		Paras: []string{fail.Text(q.UI)},
		Links: []ui.Link{{Href: q.At(twoFactorPage), Text: q.Text("account.two-factor"), Current: true}},
	})
	page.Title, page.Status, page.Failed = fail.Title(q.UI), fail.Status, true
	q.UI.Write(w, r, page)
	return nil
}

// confirmTOTP confirms an app with one of its codes. The browser goes on with a new session. The response to the first
// app has the recovery codes in it.
func (h *TwoFactor) confirmTOTP(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(web.CodeField, web.NameField)
	}
	if err != nil {
		return err
	}
	id, end := r.PathValue("id"), lastTicked(form, "end_others")
	name, err := q.FactorName(form)
	if err == nil {
		out, cerr := h.Accounts.Factors.ConfirmTOTP(r.Context(), q.Actor(), id, form.Get(web.CodeField), name, end)
		if err = cerr; err == nil {
			q.SetSession(w, out.SignedIn)
			t, own := q.StepUpReturn(&form)
			next := t.RedirectTarget(q.Request, own, q.At(twoFactorPage))
			if len(out.Codes) > 0 {
				h.showMade(w, r, q, out.Codes, q.Text("codes.added"), next, ui.HiddenFields(t.Query(own)))
				return nil
			}
			q.UI.Flash(w, r, "totp_added")
			web.Redirect(w, r, next)
			return nil
		}
	}
	fields, _ := problem.FieldErrors(q.UI, err)
	if !errors.Is(err, login.ErrWrongCode) && len(fields) == 0 {
		return h.refuseSetup(w, r, q, err)
	}
	t, secret, terr := h.Accounts.Factors.TOTPSetup(r.Context(), q.Actor(), id)
	if terr != nil {
		return h.refuseSetup(w, r, q, terr)
	}
	page, d := h.setupPage(q, t, secret, form.Get(web.NameField), end)
	d.Return = ui.HiddenFields(web.StepUpQuery(q.StepUpReturn(&form)))
	if !q.RefuseTOTP(&page, &d, err) {
		web.MarkErrors(&page, d.Fields, fields)
		d.Faults = ui.Faults(d.Fields)
	}
	page.Data = d
	q.UI.Write(w, r, page)
	return nil
}

// own returns the confirmed app that the address names. Somebody else's is not found.
func (h *TwoFactor) own(r *http.Request, q *web.Request) (store.TOTP, error) {
	o, err := h.Accounts.Factors.Overview(r.Context(), q.Live.User)
	if err != nil {
		return store.TOTP{}, err
	}
	for _, t := range o.Apps {
		if t.ID == r.PathValue("id") {
			return t, nil
		}
	}
	return store.TOTP{}, store.ErrNotFound
}

// renamePage is the data of the "rename" page.
type renamePage struct {
	Fields         []ui.Field
	Action, Cancel string
}

func (h *TwoFactor) askRename(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, err := h.own(r, q)
	if err != nil {
		return err
	}
	q.UI.Write(w, r, h.renamePage(q, t, t.Name, nil))
	return nil
}

func (h *TwoFactor) renamePage(q *web.Request, t store.TOTP, name string, errs []ui.FieldError) ui.Page {
	d := renamePage{
		Action: q.At(totpPage + "/" + t.ID + "/rename"), Cancel: q.At(twoFactorPage),
		Fields: []ui.Field{{
			ID: web.NameField, Name: web.NameField, Label: q.Text("totp.name"), Hint: q.Text("totp.name_hint"), Value: name,
			Autocomplete: "off", Key: "go", Focus: true,
		}},
	}
	page := accountPage(h.Deps, q, "two-factor", "rename", nil)
	page.Title = q.Text("rename.title", "name", t.Name)
	web.MarkErrors(&page, d.Fields, errs)
	page.Data = d
	return page
}

func (h *TwoFactor) rename(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(web.NameField)
	}
	var t store.TOTP
	if err == nil {
		t, err = h.own(r, q)
	}
	if err != nil {
		return err
	}
	name, err := q.FactorName(form)
	if err == nil {
		err = h.Accounts.Factors.RenameTOTP(r.Context(), q.Actor(), t.ID, name)
	}
	if fields, _ := problem.FieldErrors(q.UI, err); err != nil && len(fields) > 0 {
		q.UI.Write(w, r, h.renamePage(q, t, form.Get(web.NameField), fields))
		return nil
	}
	if err != nil {
		return h.refuse(w, r, q, err, totpPage+"/"+t.ID+"/rename")
	}
	q.UI.Flash(w, r, "saved")
	web.Redirect(w, r, q.At(twoFactorPage))
	return nil
}

func (h *TwoFactor) askRemove(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, err := h.own(r, q)
	if err != nil {
		return err
	}
	d := confirmPage{
		Text: q.Text("totp.remove_text"), Button: q.Text("factor.remove"),
		Action: q.At(totpPage + "/" + t.ID + "/remove"), Cancel: q.At(twoFactorPage),
		Facts: []fact{{q.Text("factor.added"), q.UI.Time(t.ConfirmedAt)}},
	}
	if f := q.Live.User.Factors; f.TOTPs+f.Passkeys == 1 {
		d.Text = q.Text("totp.remove_last")
	}
	if !t.LastUsedAt.IsZero() {
		d.Facts = append(d.Facts, fact{q.Text("factor.used"), q.UI.Time(t.LastUsedAt)})
	}
	page := accountPage(h.Deps, q, "two-factor", "confirm", d)
	page.Title = q.Text("totp.remove_title", "name", t.Name)
	q.UI.Write(w, r, page)
	return nil
}

func (h *TwoFactor) remove(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadForm(w, r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if err := h.Accounts.Factors.RemoveTOTP(r.Context(), q.Actor(), id); err != nil {
		return h.refuse(w, r, q, err, totpPage+"/"+id+"/remove")
	}
	q.UI.Flash(w, r, "totp_removed")
	web.Redirect(w, r, q.At(twoFactorPage))
	return nil
}
