package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
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
		return nil, tokenError(err)
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
	return p.fetchClaims(ctx, m, tok, v, p.newTokens(tok, raw, f.Nonce))
}

func rawIDToken(tok *oauth2.Token) string {
	raw, _ := tok.Extra("id_token").(string)
	return raw
}

func checkTokenType(tok *oauth2.Token) error {
	if tok.TokenType != "" && !strings.EqualFold(tok.TokenType, "bearer") {
		return fail(Invalid, "the access token is not a bearer token but %s", Clean(tok.TokenType, 40))
	}
	return nil
}

// fetchClaims returns the claims of a verified ID token, completed by those of userinfo.
func (p *provider) fetchClaims(ctx context.Context, m *metadata, tok *oauth2.Token, v *verifiedToken,
	t Tokens,
) (*Claims, error) {
	if err := checkAuthTime(v.authTime, time.Time{}, p.now()); err != nil {
		return nil, err
	}
	if v.algorithm != "" {
		p.remote.recordAlgorithm(p.Name, v.algorithm)
	}
	info, err := p.userinfo(ctx, m, tok.AccessToken, v.subject)
	if err != nil {
		return nil, err
	}
	person := p.buildClaims(v, info)
	person.Tokens = t
	return person, nil
}

const (
	defaultTokenTTL = time.Hour   // of an access token without expires_in
	minTokenTTL     = time.Minute // so that no provider makes every request a refresh
)

func (p *provider) newTokens(tok *oauth2.Token, idToken, nonce string) Tokens {
	t := Tokens{IDToken: idToken, Refresh: tok.RefreshToken, Nonce: nonce}
	if t.Refresh == "" || len(t.Refresh) > maxToken {
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
func errorCode(r *oauth2.RetrieveError) string {
	if r.Response == nil {
		return ""
	}
	switch r.Response.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return ""
	}
	var body jsonObject
	if json.Unmarshal(r.Body, &body) != nil {
		return ""
	}
	code, _ := body.get("error").asString()
	return code
}

func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		switch code := errorCode(refused); {
		case code == "invalid_client" || code == "unauthorized_client":
			return fail(Unavailable, "%s: check client_id, client_secret and auth_method", describe(err))
		case code == "" || clientErrorCodes[code]:
			return fail(Unavailable, "%s", describe(err))
		}
		return fail(Refused, "%s", describe(err))
	}
	var u *url.Error
	if errors.As(err, &u) || errors.Is(err, errTooLarge) || isTimeout(err) {
		return fail(Unavailable, "the token endpoint is unavailable: %s", describe(err))
	}
	// The error's text is dropped: x/oauth2 quotes the response, which may hold tokens.
	return fail(Unavailable, "the token endpoint's response cannot be read")
}

// userinfo returns the claims of the userinfo endpoint, or none if the provider has no such endpoint. Their sub has to
// be that of the ID token (Core, section 5.3.2: token substitution).
func (p *provider) userinfo(ctx context.Context, m *metadata, accessToken, subject string) (jsonObject, error) {
	var info jsonObject
	if m.UserInfoURL == "" {
		return info, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserInfoURL, nil)
	if err != nil {
		return info, fail(Unavailable, "userinfo_endpoint is not an address")
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := p.remote.client.Do(req)
	if err != nil {
		return info, fail(Unavailable, "the userinfo endpoint is unavailable: %s", describe(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return info, fail(Unavailable, "the userinfo endpoint is unavailable: %s", describe(err))
	case rejectsToken(resp, body):
		return info, fail(Refused, "the userinfo endpoint rejects the access token: status %d", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return info, fail(Unavailable, "the userinfo endpoint returned status %d", resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "application/jwt" {
		if body, err = p.verifyUserinfoJWT(ctx, m, string(body)); err != nil {
			return info, err
		}
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return jsonObject{}, fail(Invalid, "the userinfo response is not a JSON object, or has a duplicate member")
	}
	if subject == "" || !info.is("sub", subject) {
		return jsonObject{}, fail(Invalid, "the userinfo response is about a different subject: sub")
	}
	return info, nil
}

// rejectsToken reports whether a userinfo endpoint itself rejects the access token (RFC 6750, section 3). A status code
// alone may come from a proxy in between and must not end the session.
func rejectsToken(resp *http.Response, body []byte) bool {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return false
	}
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	var parsed jsonObject
	if json.Unmarshal(body, &parsed) != nil {
		return false
	}
	code, _ := parsed.get("error").asString()
	return code != "" && !clientErrorCodes[code]
}

// verifyUserinfoJWT verifies a userinfo response that is a JWT (Core, section 5.3.2).
func (p *provider) verifyUserinfoJWT(ctx context.Context, m *metadata, raw string) ([]byte, error) {
	keys := &keySet{remote: p.remote, purpose: forSignIn, algs: m.allowedAlgorithms(&p.Config)}
	raw = strings.TrimSpace(raw)
	if _, err := p.remote.parse(raw, keys.algs, func(string) bool { return true }); err != nil {
		return nil, err
	}
	payload, err := keys.VerifySignature(ctx, raw)
	if err != nil {
		return nil, keys.explain("userinfo", err)
	}
	var info jsonObject
	if err := json.Unmarshal(payload, &info); err != nil {
		return nil, fail(Invalid, "userinfo: its claims are not an object, or one has a duplicate member")
	}
	// Issuer, audience and times have to be right where they are given: otherwise the ID token of another sign-in, or an
	// old response, would pass.
	if info.get("iss").present() && !info.is("iss", p.Issuer) {
		return nil, fail(Invalid, "userinfo: iss is not this provider")
	}
	if v := info.get("aud"); v.present() {
		if aud, ok := v.asStrings(); !ok || !slices.Contains(aud, p.ClientID) {
			return nil, fail(Invalid, "userinfo: aud is not this client")
		}
	}
	if err := info.checkTimes(p.now()); err != nil {
		return nil, &Error{Kind: Invalid, Reason: "userinfo", Err: err}
	}
	return payload, nil
}
