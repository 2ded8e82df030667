package signin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// StepUp asks somebody who is signed in to prove it again.
type StepUp struct{ *web.Deps }

// reauthPage is the data of the "reauth" page.
type reauthPage struct {
	Met     string // where to go on at once: what is asked for is proved already
	Text    string // what is asked for
	Forms   []reauthForm
	Missing string          // what keeps the person from it; "" for nothing
	Enroll  *ui.Link        // where to add a second factor; nil where that would not help
	Return  []ui.Hidden     // where to go afterwards, carried along
	Again   string          // where to sign in once more instead, where there is no form and no button
	Passkey *ui.PasskeyForm // nil where none would do
	None    string          // why there is none for somebody who has one
	// Buttons offer the providers that the person has signed in with.
	Buttons []providerButton
}

// reauthForm is one way to prove it.
type reauthForm struct{ Fields []ui.Field }

func (h *StepUp) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, own := q.StepUpReturn(nil)
	d := h.data(r, q, t, own)
	if len(d.Forms) > 0 {
		last := d.Forms[0].Fields
		last[len(last)-1].Focus = true
	}
	page := h.page(q, d)
	page.Refer = d.Met != "" // whoever was led here all the same has something to report
	q.UI.Write(w, r, page)
	return nil
}

// data makes the page that leads to own, or else to t. It offers what would meet what is asked for there, by the rules
// of the place, whatever the address says.
func (h *StepUp) data(r *http.Request, q *web.Request, t returnto.Target, own string) reauthPage {
	need, lack := q.StepUpNeed(t, own)
	d := reauthPage{Return: ui.HiddenFields(web.StepUpQuery(t, own)), Text: q.Text("reauth.recent")}
	if own == "" && t.Known() && !need.IsZero() {
		d.Text = q.StepUpText(need)
	}
	if lack == assurance.LacksNothing {
		d.Met = t.RedirectTarget(q.Request, own, q.At("/account"))
	}
	h.addForms(q, &d, need)
	if !need.Level.Satisfies(assurance.PhishingResistant) {
		d.Buttons = h.buttons(r, q, t.Query(own))
	}
	h.addMissing(q, &d, need, lack)
	if len(d.Forms) == 0 && len(d.Buttons) == 0 && d.Passkey == nil && d.Missing == "" {
		query := t.Query(own)
		query.Set("switch", "1")
		d.Again = returnto.At(q.At("/login"), query)
	}
	return d
}

// addForms adds the forms that would meet a need, or all that there are where it is met.
func (h *StepUp) addForms(q *web.Request, d *reauthPage, need assurance.Need) {
	u := q.Live.User
	codes := u.Factors.TOTPs > 0 && h.Login.Second.Mode != login.MFAOff
	suffices := func(methods ...string) bool { return d.Met != "" || h.suffices(q, need, methods...) }
	switch {
	case codes && u.Factors.Locked():
		d.Missing = q.Text("error.codes-locked.text")
	case codes && suffices(assurance.TOTP):
		d.Forms = append(d.Forms, reauthForm{[]ui.Field{q.CodeInput(q.Text("verify.hint"))}})
	}
	// Of a session that has no password among its methods, the password comes first, and then the code.
	first := codes && !suffices(assurance.TOTP) && suffices(assurance.Password, assurance.TOTP)
	if h.Login.Passwords.Has(u) && (first || suffices(assurance.Password)) {
		d.Forms = append(d.Forms, reauthForm{h.passwordFields(q)})
	}
	if suffices(assurance.Passkey) || suffices(assurance.Passkey, assurance.UserVerified) {
		h.addPasskey(q, d)
	}
}

// addPasskey adds the form for a passkey, where the person has one that can be used here.
func (h *StepUp) addPasskey(q *web.Request, d *reauthPage) {
	d.Passkey, d.None = q.PasskeyProof(q.Live.User, web.StepUpPage+"/options", web.StepUpPage, d.Return)
	if d.Passkey == nil {
		return
	}
	d.Passkey.About, d.Passkey.Primary = q.Viewer(), len(d.Forms) == 0
	if len(d.Forms) > 0 {
		d.Passkey.Or = q.Text("login.or")
	}
}

// addMissing says what the person has to have first.
func (h *StepUp) addMissing(q *web.Request, d *reauthPage, need assurance.Need, lack assurance.Lack) {
	u := q.Live.User
	wants := need.Level.Satisfies(assurance.Two) || need.MFAWithin > 0
	switch {
	case lack == assurance.LacksNothing || !wants || d.Missing != "" || len(d.Forms) > 0 || d.Passkey != nil:
	case h.Login.Second.Mode == login.MFAOff:
		d.Missing = q.Text("reauth.off")
	case need.Level.Satisfies(assurance.PhishingResistant) && u.Factors.Passkeys == 0,
		!u.Factors.Any():
		d.Missing = q.Text("reauth.no_factor")
		to, text := "/account/two-factor", q.Text("enroll.title")
		if need.Level.Satisfies(assurance.PhishingResistant) && h.Login.PasskeysOn() {
			to, text = web.PasskeysPage, q.Text("passkey.make")
		}
		d.Enroll = &ui.Link{Href: returnto.At(q.At(to), enrollQuery(d.Return)), Text: text}
	}
}

// enrollQuery returns the parameters of the account page with which it leads on to where a step-up would have.
func enrollQuery(back []ui.Hidden) url.Values {
	query := make(url.Values)
	for _, f := range back {
		query.Set(f.Name, f.Value)
	}
	return query
}

// suffices reports whether a need is met once methods are proved now.
func (h *StepUp) suffices(q *web.Request, need assurance.Need, methods ...string) bool {
	now := h.Clock()
	have := assurance.Methods(q.Live.Session.Methods).With(methods...)
	p := assurance.Proof{Level: have.Level(), AuthAt: now, MFAAt: q.Live.Session.MFAAt}
	if slices.Contains(methods, assurance.TOTP) || slices.Contains(methods, assurance.Passkey) {
		p.MFAAt = now
	}
	return need.Lacks(p, now) == assurance.LacksNothing
}

func (h *StepUp) passwordFields(q *web.Request) []ui.Field {
	return []ui.Field{
		{
			ID: "username", Name: "username", Label: q.Text("login.username"), Value: q.Live.User.Username,
			Autocomplete: "username", ReadOnly: true, Plain: true,
		},
		{
			ID: "password", Name: "password", Label: q.Text("login.password"), Type: "password",
			Autocomplete: "current-password", Plain: true, Reveal: true, Key: "go",
		},
	}
}

// buttons offer to prove it at a provider, and carry back. What cannot be looked up is not offered: there are other
// ways.
func (h *StepUp) buttons(r *http.Request, q *web.Request, back url.Values) []providerButton {
	if h.OIDC == nil {
		return nil
	}
	ids, err := h.Store.Identities(r.Context(), q.Live.User.ID)
	if err != nil {
		return nil
	}
	back.Set("reauth", "1")
	var list []providerButton
	for _, c := range h.OIDC.Registry.Choices(r.Context()) {
		cfg, _ := h.OIDC.Registry.Config(c.Name)
		if slices.ContainsFunc(ids, func(id store.Identity) bool { return id.Issuer == cfg.Issuer }) {
			list = append(list, button(q, c, back))
		}
	}
	return list
}

func (h *StepUp) page(q *web.Request, d reauthPage) ui.Page {
	return ui.Page{
		Template: "reauth", Card: true, Title: q.Text("reauth.title"), Viewer: q.Viewer(), FormGoesOn: true, Data: d,
	}
}

// post checks a password, a code or a passkey. The name comes from the session: the read-only field is for password
// managers and is not read.
func (h *StepUp) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(append(web.PasskeyFields(), "password", web.CodeField, "rt", "back")...)
	}
	if err != nil {
		return err
	}
	t, own := q.StepUpReturn(&form)
	in, err := h.confirm(r, q, form)
	if err != nil {
		return h.refuse(w, r, q, h.data(r, q, t, own), err)
	}
	q.SetSession(w, in)
	web.Redirect(w, r, t.RedirectTarget(q.Request, own, q.At("/account")))
	return nil
}

func (h *StepUp) confirm(r *http.Request, q *web.Request, form ui.Form) (login.SignedIn, error) {
	client := q.Client()
	if response, sent := q.AssertionOf(form); sent {
		return h.Login.StepUpPasskey(r.Context(), client, q.Live, response)
	}
	if form.Has(web.CodeField) {
		if h.Login.Second.Mode == login.MFAOff {
			return login.SignedIn{}, login.ErrWrongCode
		}
		return h.Login.StepUpCode(r.Context(), client, q.Live, form.Get(web.CodeField))
	}
	proof, err := h.Login.Reverify(r.Context(), client, q.Live.User, form.Get("password"))
	if err != nil {
		return login.SignedIn{}, err
	}
	return h.Login.StepUp(r.Context(), client, proof, q.Live)
}

// refuse shows the page again that d is the data of.
func (h *StepUp) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, d reauthPage, err error) error {
	fail := problem.Of(err)
	var throttled *login.ThrottledError
	field := ui.FieldError{Field: "password", Detail: q.Text("error.wrong-password.text")}
	switch {
	case errors.Is(err, store.ErrNotFound): // the session ended meanwhile
		web.NewResponses(h.Deps).SessionEnded(w, r)
		return nil
	case errors.Is(err, login.ErrWrongPasskey):
		writeRefused(w, r, q, h.page(q, d), err)
		return nil
	case errors.As(err, &throttled):
		q.WriteThrottled(w, r, err, h.page(q, d))
		return nil
	case errors.Is(err, login.ErrWrongCode):
		field = ui.FieldError{Field: web.CodeField, Detail: q.Text("verify.wrong_code")}
	case errors.Is(err, login.ErrCodesLocked):
		field = ui.FieldError{Detail: fail.Text(q.UI)}
	case !errors.Is(err, login.ErrInvalidCredentials):
		return err
	}
	q.WriteErrorHeaders(w, r, fail, err)
	page := h.page(q, d)
	rest := []ui.FieldError{field}
	for _, f := range d.Forms {
		if len(rest) > 0 {
			rest = ui.WithErrors(f.Fields, rest)
		}
	}
	if len(rest) > 0 { // there is no such field
		page.Notice = &ui.Notice{Kind: ui.Bad, Text: field.Detail}
	}
	page.Status, page.Failed = fail.Status, true
	q.UI.Write(w, r, page)
	return nil
}
