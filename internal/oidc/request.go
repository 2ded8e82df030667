package oidc

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/oauth2"
)

// maxHint limits what is sent as login_hint.
const maxHint = 254

// authURL returns the address of the authorization endpoint with the parameters of a flow. Where the provider requires
// it, or the configuration says so, the parameters go there directly, and the address has only a reference to them
// (PAR, RFC 9126).
func (p *provider) authURL(ctx context.Context, m *metadata, s FlowOptions, d *flowData, state string) (string, error) {
	var opts []oauth2.AuthCodeOption
	for _, a := range p.AuthParams {
		opts = append(opts, oauth2.SetAuthURLParam(a.Name, a.Value))
	}
	if hint := strings.TrimSpace(s.Hint); p.LoginHint && hint != "" && len(hint) <= maxHint &&
		utf8.ValidString(hint) && plainText(hint) {
		opts = append(opts, oauth2.SetAuthURLParam("login_hint", hint))
	}
	opts = append(opts,
		oauth2.SetAuthURLParam("nonce", d.Nonce),
		oauth2.S256ChallengeOption(d.Verifier)) // always, also with a client secret (RFC 9700, section 2.1.1)
	if s.Purpose == PurposeStepUp { // after the configured ones: a step-up asks, whatever else is configured
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
		if len(p.StepUpACR) > 0 {
			opts = append(opts, oauth2.SetAuthURLParam("acr_values", strings.Join(p.StepUpACR, " ")))
		}
	}
	address := p.oauthConfig(m, s.RedirectURI, credentials{}).AuthCodeURL(state, opts...)
	switch {
	case !p.pushes(m):
		return address, nil
	case m.PushURL == "":
		return "", fail(Misconfigured, "%s", nowhereToPush)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", fail(Misconfigured, "authorization_endpoint is not an address")
	}
	reference, err := p.push(ctx, m, u.Query())
	if err != nil {
		return "", err
	}
	// RFC 9126, section 4: nothing else, for other parameters would not be those that were pushed.
	u.RawQuery = url.Values{"client_id": {p.ClientID}, "request_uri": {reference}}.Encode()
	return u.String(), nil
}

// pushes reports whether authorization requests go to the provider first.
func (p *provider) pushes(m *metadata) bool { return p.Push || m.PushRequired }

// nowhereToPush is the problem with a provider to which requests cannot be pushed.
const nowhereToPush = "the discovery document has no usable pushed_authorization_request_endpoint; remove par"

// push sends the parameters of an authorization request to the provider, and returns the reference to them (RFC 9126,
// section 2).
func (p *provider) push(ctx context.Context, m *metadata, params url.Values) (string, error) {
	const what = "the pushed authorization request"
	status, body, err := p.post(ctx, m, m.PushURL, params)
	if err != nil {
		return "", failedRequest(what+" cannot be sent", err)
	}
	var fields jsonObject
	parsed := json.Unmarshal(body, &fields) == nil
	if status != http.StatusCreated && status != http.StatusOK {
		code, _ := fields.get("error").asString()
		if code == "" || status >= http.StatusInternalServerError {
			return "", failedStatus(what, status)
		}
		description, _ := fields.get("error_description").asString()
		var sent []string
		for _, name := range []string{"state", "nonce", "code_challenge", "client_assertion", "login_hint"} {
			sent = append(sent, params.Get(name))
		}
		return "", fail(Misconfigured, "%s was refused with the error %s%s", what, p.withoutSecrets(code, 64, sent),
			inBrackets(p.withoutSecrets(description, 200, sent)))
	}
	reference, _ := fields.get("request_uri").asString()
	if !parsed || reference == "" || len(reference) > maxParam || !plainText(reference) {
		return "", fail(Unavailable, "%s has no usable response", what)
	}
	return reference, nil
}

// post sends a form with the credentials of the client to an endpoint of the provider, and returns status and body of
// the response.
func (p *provider) post(ctx context.Context, m *metadata, address string,
	form url.Values,
) (status int, body []byte, err error) {
	cred, err := p.credentials(m)
	if err != nil {
		return 0, nil, err
	}
	for name, values := range cred.extra {
		form[name] = values
	}
	if cred.style != oauth2.AuthStyleInHeader {
		form.Set("client_id", p.ClientID)
		if cred.secret != "" {
			form.Set("client_secret", cred.secret)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cred.style == oauth2.AuthStyleInHeader { // RFC 6749, section 2.3.1
		req.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(cred.secret))
	}
	resp, err := p.remote.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
