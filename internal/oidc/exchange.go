package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/store"
)

// assertionType of RFC 7523, section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionTTL is short: an assertion is used at once.
const assertionTTL = 2 * time.Minute

// credentials authenticate a request to the token endpoint.
type credentials struct {
	style  oauth2.AuthStyle
	secret string
	extra  url.Values
}

// credentials returns the credentials for one request: an assertion may be used only once.
func (p *provider) credentials(m *metadata) (credentials, error) {
	switch m.authMethod(&p.Config) {
	case Basic:
		// form-encoded by x/oauth2 (RFC 6749, section 2.3.1)
		return credentials{style: oauth2.AuthStyleInHeader, secret: p.Secret}, nil
	case Post:
		return credentials{style: oauth2.AuthStyleInParams, secret: p.Secret}, nil
	case SecretJWT:
		return p.clientAssertion(m, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(p.Secret)})
	case KeyJWT:
		return p.clientAssertion(m, jose.SigningKey{
			Algorithm: p.Key.Algorithm,
			Key:       jose.JSONWebKey{Key: p.Key.Private, KeyID: p.Key.ID},
		})
	default:
		return credentials{style: oauth2.AuthStyleInParams}, nil
	}
}

// clientAssertion returns credentials with a signed JWT (Core, section 9).
func (p *provider) clientAssertion(m *metadata, key jose.SigningKey) (credentials, error) {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return credentials{}, fmt.Errorf("signing the client assertion: %w", err)
	}
	now := p.now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.ClientID, Subject: p.ClientID, Audience: jwt.Audience{m.TokenURL}, ID: store.NewToken(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionTTL)),
	}).Serialize()
	if err != nil {
		return credentials{}, fmt.Errorf("signing the client assertion: %w", err)
	}
	return credentials{
		style: oauth2.AuthStyleInParams,
		extra: url.Values{"client_assertion_type": {assertionType}, "client_assertion": {token}},
	}, nil
}

// oauthConfig returns the client configuration for x/oauth2.
func (p *provider) oauthConfig(m *metadata, redirectURI string, c credentials) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: c.secret, RedirectURL: redirectURI, Scopes: p.scopes(),
		Endpoint: oauth2.Endpoint{AuthURL: m.AuthURL, TokenURL: m.TokenURL, AuthStyle: c.style},
	}
}

// Tokens are the tokens that a provider issued for a session. They are secrets.
type Tokens struct {
	IDToken   string    `json:"i"`
	Refresh   string    `json:"r,omitempty"`
	RefreshAt time.Time `json:"d,omitzero"` // when to use Refresh: the access token expires
	Nonce     string    `json:"n,omitempty"`
	// NoUserinfo reports that the userinfo endpoint rejected the access token at the sign-in, and the ID token was enough.
	NoUserinfo bool `json:"u,omitempty"`
	// FailingSince is when the first of the refreshes failed that have failed in a row; zero if the last one succeeded.
	FailingSince time.Time `json:"f,omitzero"`
}

// exchange sends a code to the token endpoint and verifies the response.
func (p *provider) exchange(ctx context.Context, m *metadata, f *flowData, code string) (*Claims, error) {
	cred, err := p.credentials(m)
	if err != nil {
		return nil, err
	}
	opts := []oauth2.AuthCodeOption{oauth2.VerifierOption(f.Verifier)}
	for k, v := range cred.extra {
		opts = append(opts, oauth2.SetAuthURLParam(k, v[0]))
	}
	tok, err := p.oauthConfig(m, f.RedirectURI, cred).Exchange(p.tokenContext(ctx), code, opts...)
	if err != nil {
		return nil, explainRefusal(p.tokenError(err, code, f.Verifier))
	}
	if err := checkTokenType(tok); err != nil {
		return nil, err
	}
	raw := rawIDToken(tok)
	if raw == "" {
		return nil, fail(Invalid, "the token endpoint returned no ID token; is the scope openid allowed there?")
	}
	v, err := p.remote.verifyID(ctx, &p.Config, m, raw, expectedToken{nonce: f.Nonce, accessToken: tok.AccessToken})
	if err != nil {
		return nil, err
	}
	return p.fetchClaims(ctx, m, tok, v, p.newTokens(tok, raw, f.Nonce), true)
}

func rawIDToken(tok *oauth2.Token) string {
	raw, _ := tok.Extra("id_token").(string)
	return raw
}

func checkTokenType(tok *oauth2.Token) error {
	if strings.EqualFold(tok.TokenType, "DPoP") {
		return fail(Misconfigured, "the provider binds access tokens to keys (DPoP), which is not supported; "+
			"turn it off for this client there")
	}
	if tok.TokenType != "" && !strings.EqualFold(tok.TokenType, "bearer") {
		return fail(Invalid, "the access token is not a bearer token but %s", Clean(tok.TokenType, 40))
	}
	return nil
}

const (
	defaultTokenTTL = time.Hour   // of an access token without expires_in
	minTokenTTL     = time.Minute // so that no provider makes every request a refresh
)

func (p *provider) newTokens(tok *oauth2.Token, idToken, nonce string) Tokens {
	t := Tokens{IDToken: idToken, Refresh: tok.RefreshToken, Nonce: nonce}
	if p.NoRefresh || t.Refresh == "" || len(t.Refresh) > maxToken {
		t.Refresh = ""
		return t
	}
	life := defaultTokenTTL
	if n, ok := tok.Extra("expires_in").(float64); ok {
		life = time.Duration(min(max(n, 0), 1e8)) * time.Second
	}
	t.RefreshAt = p.now().Add(max(life, minTokenTTL)).UTC()
	return t
}

// clientErrorCodes are the token endpoint errors that say nothing about the user: our credentials are wrong, or the
// provider is busy. Any other code means that the sign-in is no longer valid. The list is of these, and not of those
// that revoke: providers invent codes of their own, and with an unlisted one a revoked session would continue.
var clientErrorCodes = map[string]bool{
	"invalid_client": true, "unauthorized_client": true, "unsupported_grant_type": true,
	"temporarily_unavailable": true, "slow_down": true, "server_error": true,
}

// errorCode returns the error code of a token endpoint's response, or "" if the response is not an OAuth error: a proxy
// in between may have sent it.
func errorCode(status int, raw []byte) string {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return ""
	}
	var body jsonObject
	if json.Unmarshal(raw, &body) != nil {
		return ""
	}
	code, _ := body.get("error").asString()
	return code
}

// tokenError returns why the token endpoint gave no tokens. sent are the secrets that were sent: what the provider says
// is left out if it has one of them in it.
func (p *provider) tokenError(err error, sent ...string) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		reason := describe(err) + p.description(refused, sent)
		switch code := errorCode(refused.Response.StatusCode, refused.Body); {
		case code == "invalid_client" || code == "unauthorized_client":
			e := fail(Misconfigured, "%s: check client_id, client_secret and auth_method", reason)
			e.aboutClient = true
			return e
		case code == "unsupported_grant_type":
			return fail(Misconfigured, "%s: allow it for this client there", reason)
		case code == "" || clientErrorCodes[code]:
			return fail(Unavailable, "%s", reason)
		}
		return fail(Refused, "%s", reason)
	}
	var u *url.Error
	if errors.As(err, &u) || errors.Is(err, errTooLarge) || isTimeout(err) {
		return failedRequest("the token endpoint is unavailable", err)
	}
	// The error's text is dropped: x/oauth2 quotes the response, which may hold tokens.
	return fail(Unavailable, "the token endpoint's response cannot be read")
}

// description returns what the provider says about an error, for the log.
func (p *provider) description(r *oauth2.RetrieveError, sent []string) string {
	return inBrackets(p.withoutSecrets(r.ErrorDescription, 200, sent))
}

// withoutSecrets returns what a provider says for the log, or "" if it has the client's secret in it, or one of those
// that were sent, in any form in which they are sent.
func (p *provider) withoutSecrets(text string, limit int, sent []string) string {
	basic := url.QueryEscape(p.ClientID) + ":" + url.QueryEscape(p.Secret)
	secrets := append([]string{p.Secret}, sent...)
	if p.Secret != "" {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(basic)))
	}
	for _, secret := range secrets {
		if secret != "" && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
			return ""
		}
	}
	return Clean(text, limit)
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// wantsPush reports whether what a provider says is that the request had to be pushed. There is no code for it.
func wantsPush(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "pushed authorization") || strings.Contains(text, "pushed_authorization")
}

// explainRefusal names requirements of a provider that refuse every sign-in, as what they are: by the code, or by what
// the provider says beside a general one.
func explainRefusal(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Kind != Refused {
		return err
	}
	text := strings.ToLower(e.Reason)
	switch {
	case strings.Contains(text, "dpop"):
		return fail(Misconfigured, "%s: the provider requires DPoP, which is not supported; "+
			"turn it off for this client there", e.Reason)
	case wantsPush(text):
		return fail(Misconfigured, "%s: the provider requires pushed authorization requests (PAR) for this client, but does "+
			"not say so in its discovery document; write par", e.Reason)
	}
	return err
}
