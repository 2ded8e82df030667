package device

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// GrantType is that of the device sign-in (RFC 8628, section 3.4).
const GrantType = "urn:ietf:params:oauth:grant-type:device_code"

// program are the addresses that programs send to. Strangers do: nothing of a person is looked at or told.
type program struct{ *web.Deps }

// codeResponse is the device authorization response (RFC 8628, section 3.2).
type codeResponse struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	Address         string `json:"verification_uri"`
	CompleteAddress string `json:"verification_uri_complete"`
	ExpiresIn       int    `json:"expires_in"` // seconds
	Interval        int    `json:"interval"`   // seconds
}

// code responds to a request for a code (RFC 8628, section 3.1).
func (p *program) code(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	ask, err := p.readCode(w, r, q)
	var made account.IssuedDevice
	if err == nil {
		made, err = p.ask(r, q, ask)
	}
	if err != nil {
		p.refuse(w, r, q, err)
		return nil
	}
	code := device.FormatCode(made.UserCode)
	address := q.Absolute(q.At(Page))
	p.write(w, r, http.StatusOK, codeResponse{
		DeviceCode: made.DeviceCode, UserCode: code, Address: address,
		CompleteAddress: address + "?" + url.Values{"user_code": {code}}.Encode(),
		ExpiresIn:       int(device.Lifetime / time.Second), Interval: int(device.Interval / time.Second),
	})
	return nil
}

// readCode reads a request for a code. The scope is in fields of our own; one of OAuth would be ignored, and the token
// would open more than was asked for. So would a list that is there and names nothing.
func (p *program) readCode(w http.ResponseWriter, r *http.Request, q *web.Request) (account.DeviceRequest, error) {
	form, err := p.read(w, r, "client_id", "scope", "hosts", "paths", "methods")
	host, ok := reqctx.ParseHost(q.Host)
	none := account.DeviceRequest{}
	switch {
	case err != nil:
		return none, err
	case !ok:
		return none, invalidRequest("the request names no host that browsers could open")
	case form.Get("scope") != "":
		return none, invalidScope("there are no scopes here: use hosts, paths and methods")
	}
	ask := account.DeviceRequest{
		Client: form.Get("client_id"), Hosts: list(form.Get("hosts"), ", \t\r\n"),
		Paths: list(form.Get("paths"), " \t\r\n"), Methods: store.TokenMethods(form.Get("methods")),
	}
	switch {
	case form.Get("hosts") != "" && len(ask.Hosts) == 0:
		return none, invalidScope("hosts names none: leave it out for this one")
	case form.Get("paths") != "" && len(ask.Paths) == 0:
		return none, invalidScope("paths names none: leave it out for all")
	}
	if len(ask.Hosts) == 0 {
		ask.Hosts = []string{host.Name}
	}
	if q.NoTokens && slices.Contains(ask.Hosts, host.Name) {
		return none, invalidScope("this site takes no tokens: it has 'tokens off'")
	}
	return ask, nil
}

func (p *program) ask(r *http.Request, q *web.Request, ask account.DeviceRequest) (account.IssuedDevice, error) {
	if p.Device.Requests.Exceeded(q.ClientIP) {
		return account.IssuedDevice{}, &login.ThrottledError{Wait: time.Minute}
	}
	return p.Accounts.Devices.Request(r.Context(), client(r, q), ask)
}

// client is what is known of a program: nothing that it says about a browser.
func client(r *http.Request, q *web.Request) login.Client {
	return login.Client{IP: q.ClientIP, UserAgent: r.UserAgent(), Host: q.Host, RequestID: q.ID}
}

// list splits a field with several values. A field itself comes once (RFC 6749, section 3.2).
func list(field, separators string) []string {
	return strings.FieldsFunc(field, func(r rune) bool { return strings.ContainsRune(separators, r) })
}

// tokenResponse is the access token response (RFC 6749, section 5.1). User is the owner's username, for programs that
// send a name beside the token.
type tokenResponse struct {
	Token     string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int64  `json:"expires_in"` // seconds
	User      string `json:"user"`
}

// token responds to a poll (RFC 8628, sections 3.4 and 3.5).
func (p *program) token(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := p.read(w, r, "grant_type", "device_code", "client_id")
	switch {
	case err != nil:
	case form.Get("grant_type") == "":
		err = invalidRequest("grant_type is missing: it is " + GrantType)
	case form.Get("grant_type") != GrantType:
		err = &oauthError{Code: "unsupported_grant_type", Text: "grant_type has to be " + GrantType}
	case form.Get("device_code") == "":
		err = invalidRequest("device_code is missing: it is in the response of device/code")
	case form.Get("client_id") == "":
		err = invalidRequest("client_id is missing: give the same as to device/code")
	}
	if err != nil {
		p.refuse(w, r, q, err)
		return nil
	}
	code := form.Get("device_code")
	made, owner, err := p.Accounts.Devices.Fetch(r.Context(), client(r, q), code, form.Get("client_id"))
	if err != nil {
		p.refuse(w, r, q, p.noToken(q, code, err))
		return nil
	}
	p.write(w, r, http.StatusOK, tokenResponse{
		Token: made.Text, Type: "Bearer", ExpiresIn: int64(made.ExpiresAt.Sub(p.Clock()) / time.Second), User: owner.Username,
	})
	return nil
}

// noToken returns what a program hears in place of its token. Polls that are of no use (with a code that is none, too
// soon, or again after the end) are bounded for the address; others from there go on.
func (p *program) noToken(q *web.Request, code string, err error) error {
	var out *oauthError
	switch {
	case errors.Is(err, store.ErrNotFound):
		out = &oauthError{Code: "invalid_grant", Text: "device_code is unknown, was used, or is another client_id's"}
	case errors.Is(err, account.ErrDeviceExpired):
		out = &oauthError{Code: "expired_token", Text: "nobody approved in time: begin again with device/code"}
	case errors.Is(err, account.ErrDeviceDenied):
		out = &oauthError{Code: "access_denied", Text: "the request was denied, or its token revoked"}
	case !errors.Is(err, account.ErrDevicePending):
		return err
	case !p.Device.TooSoon(store.HashToken(code)):
		return &oauthError{Code: "authorization_pending", Text: "nobody has approved yet: go on polling"}
	default:
		out = &oauthError{Code: "slow_down", Text: "poll more slowly: wait five seconds longer from now on"}
	}
	if p.Device.BadPolls.Exceeded(q.ClientIP) {
		return &oauthError{
			Status: http.StatusTooManyRequests, Code: "slow_down", Text: "too many polls from this address that are of no use",
			RetryAfter: time.Minute,
		}
	}
	return out
}

// read reads a form whose fields come once.
func (p *program) read(w http.ResponseWriter, r *http.Request, fields ...string) (ui.Form, error) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(fields...)
	}
	return form, err
}
