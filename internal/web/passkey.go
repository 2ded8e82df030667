package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Addresses of passkeys, below the mount prefix.
const (
	PasskeyLoginPage  = "/login/passkey"
	PasskeyVerifyPage = VerifyPage + "/passkey"
	PasskeyEnrollPage = EnrollPage + "/passkey"
	PasskeysPage      = "/account/passkeys"
)

// Fields of forms with a passkey.
const (
	stateField       = "state"
	assertionField   = "assertion"
	attestationField = "attestation"
)

// passkeySite returns where ceremonies of the request take place. The error is a *[passkey.UnavailableError].
func (q *Request) passkeySite() (passkey.Site, error) {
	return passkey.SiteOf(q.Request, q.deps.Login.Second.PasskeyDomain, q.SiteTitle())
}

// PasskeyRPID returns the domain that passkeys belong to here, "" where there are none.
func (q *Request) PasskeyRPID() string {
	site, _ := q.passkeySite() // without one it is ""
	return site.RPID
}

// NoPasskeys says why there are no passkeys at this address, in the language of the request; "" where there are.
func (q *Request) NoPasskeys() string {
	var no *passkey.UnavailableError
	if _, err := q.passkeySite(); errors.As(err, &no) {
		return q.Text("passkey.none_" + string(no.Reason))
	}
	return ""
}

// PasskeyOptions returns the route of a script that begins a ceremony. Its errors are problem documents. Like any form
// it may say whom it is about, so that no passkey is made for somebody who has signed in in another tab since.
func PasskeyOptions(pattern string, a Access, h Handler) Route {
	route := Post(pattern, a, func(w http.ResponseWriter, r *http.Request, q *Request) error {
		if _, err := ui.ReadForm(w, r); err != nil {
			return err
		}
		return h(w, r, q)
	})
	route.JSON = true
	return route
}

// WritePasskeyOptions responds with the options of a ceremony that begin begins. The state in it is bound to a random
// cookie of the browser, which gets one here. Nothing is stored.
func (q *Request) WritePasskeyOptions(w http.ResponseWriter, r *http.Request,
	begin func(at login.PasskeyAt) (passkey.Options, error),
) error {
	site, err := q.passkeySite()
	var no *passkey.UnavailableError
	if errors.As(err, &no) {
		text := q.Text("passkey.none_" + string(no.Reason))
		return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: text}
	}
	binding := q.Cookie.PrefixedValue(q.http, ceremonyCookie)
	fresh := !store.ValidToken(binding)
	if fresh {
		binding = store.NewToken()
	}
	o, err := begin(login.PasskeyAt{Site: site, Browser: binding})
	if err != nil {
		return err
	}
	mark := bindingMark(binding)
	if fresh {
		http.SetCookie(w, q.Cookie.Prefixed(ceremonyCookie, binding, 0))
		http.SetCookie(w, q.Cookie.Prefixed(ceremonyCookiePrefix+mark, binding, passkey.TTL))
	}
	o.State = mark + "." + o.State
	ui.WriteJSON(w, r, http.StatusOK, o)
	return nil
}

// PasskeyResponse returns what a browser has sent of a ceremony. What belongs to none is refused by whoever judges it.
func (q *Request) PasskeyResponse(state, response string) login.PasskeyResponse {
	mark, sealed, _ := strings.Cut(state, ".")
	site, _ := q.passkeySite() // without one nothing is accepted
	return login.PasskeyResponse{
		PasskeyAt: login.PasskeyAt{Site: site, Browser: q.binding(mark)}, State: sealed, Response: response,
	}
}

// AssertionOf returns the proof of a passkey in a form, and whether there is one.
func (q *Request) AssertionOf(form ui.Form) (r login.PasskeyResponse, sent bool) {
	return q.PasskeyResponse(form.Get(stateField), form.Get(assertionField)),
		form.Has(assertionField) || form.Has(stateField)
}

// AttestationOf returns the new passkey in a form.
func (q *Request) AttestationOf(form ui.Form) login.PasskeyResponse {
	return q.PasskeyResponse(form.Get(stateField), form.Get(attestationField))
}

// PasskeyFields are the fields of forms with a passkey, each of which is sent once.
func PasskeyFields() []string {
	return []string{stateField, assertionField, attestationField, NameOfPasskey}
}

// NameOfPasskey is the field with the name of a passkey.
const NameOfPasskey = "name"

// PasskeySignIn returns a form that signs in with a passkey alone, whoever has one; nil where that cannot be. back says
// where to go afterwards.
func (q *Request) PasskeySignIn(back []ui.Hidden) *ui.PasskeyForm {
	if !q.deps.Login.PasskeySignIn() || q.PasskeyRPID() == "" {
		return nil
	}
	return &ui.PasskeyForm{
		Options: q.At(PasskeyLoginPage + "/options"), Action: q.At(PasskeyLoginPage), Hidden: back,
		Button: q.Text("passkey.sign_in"), Autofill: true, Keep: "remember",
	}
}

// PasskeyProof returns a form that proves a passkey of a user; nil where that cannot be. Then none says why, if the
// user has passkeys.
func (q *Request) PasskeyProof(u store.User, options, action string, back []ui.Hidden) (
	form *ui.PasskeyForm, none string,
) {
	if u.Factors.Passkeys == 0 || !q.deps.Login.PasskeysOn() {
		return nil, ""
	}
	if none := q.NoPasskeys(); none != "" {
		return nil, none
	}
	list, err := q.deps.Store.Passkeys(q.http.Context(), u.ID)
	if err != nil || len(store.PasskeysOf(list, q.PasskeyRPID())) == 0 { // there are the other ways
		return nil, q.Text("passkey.elsewhere")
	}
	return &ui.PasskeyForm{
		Options: q.At(options), Action: q.At(action), Hidden: back, Button: q.Text("passkey.use"),
		Without: q.Text("passkey.without"),
	}, ""
}

// PasskeyMaker returns a form that makes a passkey, nil where there are none.
func (q *Request) PasskeyMaker(options, action, name string) *ui.PasskeyForm {
	if q.PasskeyRPID() == "" || !q.deps.Login.PasskeysOn() {
		return nil
	}
	return &ui.PasskeyForm{
		Create: true, Options: q.At(options), Action: q.At(action), Primary: true, Button: q.Text("passkey.make"),
		Without: q.Text("passkey.without"),
		Name: &ui.Field{
			ID: "passkey-name", Name: NameOfPasskey, Label: q.Text("passkey.name"), Hint: q.Text("passkey.name_hint"),
			Value: name, Autocomplete: "off", Optional: true, Key: "go",
		},
	}
}

// passkeyMadeBy returns what made a passkey, in the language of the request.
func (q *Request) passkeyMadeBy(k store.Passkey) string {
	if name := passkey.Provider(k); name != "" {
		return name
	}
	switch passkey.AuthenticatorKind(k) {
	case passkey.KindDevice:
		return q.Text("passkey.device")
	case passkey.KindKey:
		return q.Text("passkey.key")
	case passkey.KindPhone:
		return q.Text("passkey.phone")
	}
	return q.Text("passkey.other")
}

// PasskeyName returns the name of a new passkey whose owner gives none: of what made it, and the month.
func (q *Request) PasskeyName(k store.Passkey) string {
	return q.passkeyMadeBy(k) + ", " + q.deps.Clock().UTC().Format("2006-01")
}
