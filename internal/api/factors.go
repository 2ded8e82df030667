package api

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Bodies of responses. A secret is in those to POST only, this once.
type (
	// factorsState is how many second factors, and unused recovery codes, somebody has, and whether a sign-in with a
	// password asks for one.
	factorsState struct {
		TOTP     int  `json:"totp"`
		Passkeys int  `json:"passkeys"`
		Recovery int  `json:"recovery"`
		Ask      bool `json:"ask_second_factor"`
		// Codes are new recovery codes, which came with the switch.
		Codes []string `json:"recovery_codes,omitempty"`
	}
	// TOTP is an authenticator app that was confirmed.
	totpApp struct {
		ID         string     `json:"id"`
		Name       string     `json:"name"`
		CreatedAt  time.Time  `json:"created_at"`
		LastUsedAt *time.Time `json:"last_used_at"` // null: never
	}
	// totpSetup is an authenticator app that waits to be confirmed.
	totpSetup struct {
		ID      string `json:"id"`
		OTPAuth string `json:"otpauth"` // the address that apps read from a QR code
		Secret  string `json:"secret"`  // base32, to be typed
	}
	// totpConfirmed is an authenticator app that counts from now on.
	totpConfirmed struct {
		ID    string   `json:"id"`
		Codes []string `json:"recovery_codes,omitempty"` // with the first second factor
	}
	// recoveryState is how many recovery codes there are.
	recoveryState struct {
		Left int `json:"left"`
		Used int `json:"used"`
	}
	recoveryCodes struct {
		Codes []string `json:"codes"`
	}
)

// Bodies of requests.
type (
	patchFactors struct {
		Ask *bool `json:"ask_second_factor"`
	}
	confirmTOTP struct {
		Code      string `json:"code" need:"true"`
		Name      string `json:"name"`
		EndOthers *bool  `json:"end_others"` // true when left out
	}
	renameTOTP struct {
		Name string `json:"name" need:"true"`
	}
	makeCodes struct {
		Password string `json:"password"` // after a sign-in with a recovery code
	}
)

func newTOTPApp(t store.TOTP) totpApp {
	return totpApp{ID: t.ID, Name: t.Name, CreatedAt: t.CreatedAt.UTC(), LastUsedAt: timeOrNil(t.LastUsedAt)}
}

// ownFactors are the endpoints for the second factors of the person who asks.
type ownFactors struct{ *web.Deps }

func (o ownFactors) routes() []web.Route {
	const factors, apps, app = "/api/v1/me/factors", "/api/v1/me/totp", "/api/v1/me/totp/{id}"
	const codes = "/api/v1/me/recovery-codes"
	route := func(method, pattern string, h web.Handler, doc web.Operation) web.Route {
		return web.Route{Method: method, Pattern: pattern, Access: web.SignedIn, Handle: o.whileOn(h), Doc: &doc}
	}
	return []web.Route{
		route(http.MethodGet, factors, o.read, web.Operation{
			Summary: "How many second factors one has", Gives: factorsState{}, Status: http.StatusOK,
		}),
		route(http.MethodPatch, factors, o.update, web.Operation{
			Summary: "Be asked for a passkey after the password, too; recovery codes that come with it are here only",
			Takes:   patchFactors{}, Gives: factorsState{}, Status: http.StatusOK,
		}),
		route(http.MethodGet, apps, o.list, web.Operation{
			Summary: "List one's own authenticator apps", Gives: List[totpApp]{}, Status: http.StatusOK,
		}),
		route(http.MethodPost, apps, o.begin, web.Operation{
			Summary: "Set an authenticator app up; its secret is in this response only, and it counts once a code confirms it",
			Takes:   struct{}{}, Gives: totpSetup{}, Status: http.StatusCreated, Bare: true,
		}),
		route(http.MethodPost, app, o.confirm, web.Operation{
			Summary: "Confirm an authenticator app by one of its codes; recovery codes are in this response only",
			Takes:   confirmTOTP{}, Gives: totpConfirmed{}, Status: http.StatusOK,
		}),
		route(http.MethodPatch, app, o.rename, web.Operation{
			Summary: "Name one of one's own authenticator apps", Takes: renameTOTP{}, Gives: totpApp{}, Status: http.StatusOK,
		}),
		route(http.MethodDelete, app, o.remove, web.Operation{
			Summary: "Remove one of one's own authenticator apps", Status: http.StatusNoContent,
		}),
		route(http.MethodGet, codes, o.countCodes, web.Operation{
			Summary: "How many recovery codes one has", Gives: recoveryState{}, Status: http.StatusOK,
		}),
		route(http.MethodPost, codes, o.makeCodes, web.Operation{
			Summary: "Make new recovery codes, which are in this response only; those of before end",
			Takes:   makeCodes{}, Gives: recoveryCodes{}, Status: http.StatusCreated, Bare: true,
		}),
	}
}

// whileOn is a handler of an address that is there only where people have second factors.
func (o ownFactors) whileOn(h web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		if o.Login.Second.Mode == login.MFAOff {
			return store.ErrNotFound
		}
		return h(w, r, q)
	}
}

// overview returns what there is now: the session may remember an older state.
func (o ownFactors) overview(r *http.Request, q *web.Request) (account.FactorOverview, error) {
	u, err := o.Store.User(r.Context(), q.Live.User.ID)
	if err != nil {
		return account.FactorOverview{}, err
	}
	return o.Accounts.Factors.Overview(r.Context(), u)
}

func (o ownFactors) read(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return o.writeState(w, r, q, nil)
}

func (o ownFactors) writeState(w http.ResponseWriter, r *http.Request, q *web.Request, codes []string) error {
	v, err := o.overview(r, q)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, factorsState{
		TOTP: v.TOTPs, Passkeys: v.Passkeys, Recovery: v.Codes.Left, Ask: v.Asked(), Codes: codes,
	})
	return nil
}

func (o ownFactors) update(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body patchFactors
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	var codes []string
	if body.Ask != nil {
		var err error
		if codes, err = o.Accounts.Factors.SetAsk(r.Context(), q.Actor(), *body.Ask); err != nil {
			return err
		}
	}
	return o.writeState(w, r, q, codes)
}

func (o ownFactors) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	v, err := o.overview(r, q)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, newList(v.Apps, "", newTOTPApp))
	return nil
}

func (o ownFactors) begin(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := ui.ReadJSONIfAny(w, r, &struct{}{}); err != nil {
		return err
	}
	t, secret, err := o.Accounts.Factors.BeginTOTP(r.Context(), q.Actor())
	if err != nil {
		return err
	}
	issuer := cmp.Or(o.Login.Second.Issuer, q.SiteTitle())
	w.Header().Set("Location", q.At("/api/v1/me/totp/"+t.ID))
	ui.WriteJSON(w, r, http.StatusCreated, totpSetup{
		ID: t.ID, OTPAuth: totp.URI(issuer, q.Live.User.Username, secret), Secret: totp.Encode(secret),
	})
	return nil
}

func (o ownFactors) confirm(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body confirmTOTP
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	id, endOthers := r.PathValue("id"), body.EndOthers == nil || *body.EndOthers
	done, err := o.Accounts.Factors.ConfirmTOTP(r.Context(), q.Actor(), id, body.Code, body.Name, endOthers)
	if errors.Is(err, login.ErrWrongCode) {
		return refusedField("code", q.Text(wrongCodeText(err)))
	}
	if err != nil {
		return err
	}
	q.SetSession(w, done.SignedIn)
	ui.WriteJSON(w, r, http.StatusOK, totpConfirmed{id, done.Codes})
	return nil
}

// wrongCodeText returns the id of the text about a wrong code: whether the clock of the app is the reason.
func wrongCodeText(err error) string {
	var wrong *login.WrongCodeError
	if errors.As(err, &wrong) && wrong.ClockOff != 0 {
		return "api.code_clock"
	}
	return "api.code_wrong"
}

// refusedField returns the response to a field that is refused: 422.
func refusedField(name, text string) error {
	return &account.InvalidError{Fields: []account.FieldError{{Field: name, Text: text}}}
}

func (o ownFactors) rename(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body renameTOTP
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	id := r.PathValue("id")
	if err := o.Accounts.Factors.RenameTOTP(r.Context(), q.Actor(), id, body.Name); err != nil {
		return err
	}
	v, err := o.overview(r, q)
	if err != nil {
		return err
	}
	for _, t := range v.Apps {
		if t.ID == id {
			ui.WriteJSON(w, r, http.StatusOK, newTOTPApp(t))
			return nil
		}
	}
	return store.ErrNotFound // removed meanwhile
}

func (o ownFactors) remove(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := o.Accounts.Factors.RemoveTOTP(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}

func (o ownFactors) countCodes(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	v, err := o.overview(r, q)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, recoveryState{v.Codes.Left, v.Codes.Used})
	return nil
}

func (o ownFactors) makeCodes(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body makeCodes
	if err := ui.ReadJSONIfAny(w, r, &body); err != nil {
		return err
	}
	codes, err := o.Accounts.Factors.MakeRecoveryCodes(r.Context(), q.Actor(), body.Password)
	if errors.Is(err, login.ErrInvalidCredentials) {
		return refusedField("password", q.WrongPassword().Detail)
	}
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusCreated, recoveryCodes{codes})
	return nil
}
