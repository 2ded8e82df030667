package device

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// page is where a person types a program's code, sees who asks for what, and decides.
type page struct{ *web.Deps }

// codePage is the data of the "device" page.
type codePage struct {
	Fields []ui.Field
	Action string
}

// askPage is the data of the "device-ask" page.
type askPage struct {
	Code   string
	Facts  []fact
	Action string
}

type fact struct{ Name, Value string }

// show shows the form for a code, or, for a code in an address that the person has opened, who asks for what. Looking
// decides nothing.
func (p *page) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	typed := ""
	if list := q.Query["user_code"]; len(list) == 1 {
		typed = list[0]
	}
	if !q.Confirmed() {
		p.askAgain(w, r, q, typed)
		return nil
	}
	if typed == "" || !openedByHand(r) {
		q.UI.Write(w, r, p.codePage(q, typed, nil))
		return nil
	}
	return p.look(w, r, q, typed)
}

// openedByHand reports whether the person has opened the address alone: typed, or from outside of the browser. Anything
// else has led here, another site or a sign-in that a link of another site began, and could lead people to codes that
// are none until they have none left, or to one of a program of its own: the form with its code has to be sent first.
// Browsers that do not tell by Sec-Fetch-Site tell the page before, or nothing.
func openedByHand(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "none":
		return true
	case "":
		return r.Referer() == ""
	}
	return false
}

func (p *page) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("user_code", "decision")
	}
	if err != nil {
		return err
	}
	typed := form.Get("user_code")
	switch form.Get("decision") {
	case "":
		return p.look(w, r, q, typed)
	case "approve":
		err = p.Accounts.Devices.Approve(r.Context(), q.Actor(), typed)
		return p.decided(w, r, q, typed, "device_approved", err)
	case "deny":
		err = p.Accounts.Devices.Deny(r.Context(), q.Actor(), typed)
		return p.decided(w, r, q, typed, "device_denied", err)
	}
	return ui.BadInput(http.StatusUnprocessableEntity, "input.refused")
}

// look shows who asks for what with a code.
func (p *page) look(w http.ResponseWriter, r *http.Request, q *web.Request, typed string) error {
	g, err := p.Accounts.Devices.Lookup(r.Context(), q.Actor(), typed)
	if err != nil {
		return p.refuse(w, r, q, typed, err)
	}
	code, _ := device.ParseCode(typed) // it was found by it
	out := p.layout(q, "device-ask", q.Text("device.ask_title"))
	out.Data = askPage{Code: device.FormatCode(code), Facts: p.facts(q, g), Action: q.At(Page)}
	q.UI.Write(w, r, out)
	return nil
}

func (p *page) facts(q *web.Request, g store.DeviceGrant) []fact {
	t := store.Token{Hosts: g.Hosts, Paths: g.Paths, Methods: g.Methods}
	return []fact{
		{q.Text("device.client"), g.Client},
		{q.Text("device.address"), cmp.Or(g.IP, q.Text("device.no_address"))},
		{q.Text("device.site"), g.Site},
		{q.Text("token.hosts"), q.TokenHosts(t)},
		{q.Text("token.paths"), q.TokenPaths(t)},
		{q.Text("token.methods"), q.TokenMethods(t.Methods)},
		{q.Text("device.life"), q.Span(min(account.DeviceTokenLife, p.Accounts.Tokens.MaxExpiry))},
	}
}

// decided leads to the person's tokens, where the new one can be revoked.
func (p *page) decided(w http.ResponseWriter, r *http.Request, q *web.Request, typed, flash string, err error) error {
	if err != nil {
		return p.refuse(w, r, q, typed, err)
	}
	q.UI.Flash(w, r, flash)
	web.Redirect(w, r, q.At("/account/tokens"))
	return nil
}

// refuse shows the form again with what is wrong, or asks for a fresh sign-in.
func (p *page) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, typed string, err error) error {
	var refused *account.ForbiddenError
	var throttled *login.ThrottledError
	fields, status := problem.FieldErrors(q.UI, err)
	switch {
	case errors.As(err, &throttled):
		q.WriteThrottled(w, r, err, p.codePage(q, typed, nil))
		return nil
	case errors.As(err, &refused) && refused.AsksProof():
		p.askAgain(w, r, q, typed)
		return nil
	case errors.As(err, &refused) && refused.Code == account.CodeTokenLimit:
		out := p.codePage(q, typed, nil)
		out.Status, out.Failed, out.Notice = status, true, &ui.Notice{Kind: ui.Bad, Text: q.UI.Say(refused.Message)}
		q.UI.Write(w, r, out)
		return nil
	case len(fields) == 0:
		return err
	}
	out := p.codePage(q, typed, fields)
	out.Status = status
	q.UI.Write(w, r, out)
	return nil
}

// askAgain has the person prove who they are, and leads back to the code.
func (p *page) askAgain(w http.ResponseWriter, r *http.Request, q *web.Request, typed string) {
	back := q.At(Page)
	if code, ok := device.ParseCode(typed); ok { // anything else is not carried along
		back += "?" + url.Values{"user_code": {device.FormatCode(code)}}.Encode()
	}
	web.Redirect(w, r, q.At(web.StepUpPage+"?rt=")+url.QueryEscape(back))
}

func (p *page) codePage(q *web.Request, typed string, errs []ui.FieldError) ui.Page {
	if code, ok := device.ParseCode(typed); ok {
		typed = device.FormatCode(code)
	}
	fields := []ui.Field{{
		ID: "user_code", Name: "user_code", Label: q.Text("device.code"), Value: typed, Hint: q.Text("device.code_hint"),
		Autocomplete: "off", Plain: true, Key: "go",
	}}
	out := p.layout(q, "device", q.Text("device.title"))
	web.MarkErrors(&out, fields, errs)
	out.Data = codePage{Fields: fields, Action: q.At(Page)}
	return out
}

func (p *page) layout(q *web.Request, template, title string) ui.Page {
	return ui.Page{Template: template, Title: title, Viewer: q.Viewer(), Area: "account"}
}
