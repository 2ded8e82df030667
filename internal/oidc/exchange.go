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

// assertionLife is short: an assertion is used at once.
const assertionLife = 2 * time.Minute

// credentials is how a request to the token endpoint proves who we are.
type credentials struct {
	style  oauth2.AuthStyle
	secret string
	extra  url.Values
}

// credentials returns them, made for one request: an assertion is used once.
func (p *provider) credentials(m *metadata) (credentials, error) {
	switch m.method(&p.Config) {
	case Basic:
		return credentials{style: oauth2.AuthStyleInHeader, secret: p.Secret}, nil // form-encoded by x/oauth2 (RFC 6749, section 2.3.1)
	case Post:
		return credentials{style: oauth2.AuthStyleInParams, secret: p.Secret}, nil
	case SecretJWT:
		return p.assertion(m, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(p.Secret)})
	case KeyJWT:
		return p.assertion(m, jose.SigningKey{Algorithm: p.Key.Algorithm, Key: jose.JSONWebKey{Key: p.Key.Private, KeyID: p.Key.ID}})
	default:
		return credentials{style: oauth2.AuthStyleInParams}, nil
	}
}

// assertion signs who we are (Core, section 9).
func (p *provider) assertion(m *metadata, key jose.SigningKey) (credentials, error) {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return credentials{}, fmt.Errorf("signing in at the token endpoint: %w", err)
	}
	now := p.now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.ClientID, Subject: p.ClientID, Audience: jwt.Audience{m.TokenURL}, ID: store.NewToken(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
	if err != nil {
		return credentials{}, fmt.Errorf("signing in at the token endpoint: %w", err)
	}
	return credentials{
		style: oauth2.AuthStyleInParams,
		extra: url.Values{"client_assertion_type": {assertionType}, "client_assertion": {token}},
	}, nil
}

// oauth returns the client as x/oauth2 wants to have it.
func (p *provider) oauth(m *metadata, redirectURI string, c credentials) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: c.secret, RedirectURL: redirectURI, Scopes: p.scopes(),
		Endpoint: oauth2.Endpoint{AuthURL: m.AuthURL, TokenURL: m.TokenURL, AuthStyle: c.style},
	}
}

// Tokens are what a provider gave for a session. They are secrets.
type Tokens struct {
	IDToken string    `json:"i"`
	Refresh string    `json:"r,omitempty"`
	Due     time.Time `json:"d,omitzero"` // when to use Refresh: the access token has expired
	Nonce   string    `json:"n,omitempty"`
	// Failing is when a refresh came to nothing for the first time since the last one that did not, zero for never.
	Failing time.Time `json:"f,omitzero"`
}

// exchange sends a code to the token endpoint and verifies what comes back.
func (p *provider) exchange(ctx context.Context, m *metadata, f *flowData, code string) (*Person, error) {
	cred, err := p.credentials(m)
	if err != nil {
		return nil, err
	}
	opts := []oauth2.AuthCodeOption{oauth2.VerifierOption(f.Verifier)}
	for k, v := range cred.extra {
		opts = append(opts, oauth2.SetAuthURLParam(k, v[0]))
	}
	tok, err := p.oauth(m, f.RedirectURI, cred).Exchange(p.tokenContext(ctx), code, opts...)
	if err != nil {
		return nil, tokenError(err)
	}
	if err := bearer(tok); err != nil {
		return nil, err
	}
	raw := idToken(tok)
	if raw == "" {
		return nil, fail(Invalid, "the token endpoint gave no ID token; is the scope openid allowed there?")
	}
	v, err := p.remote.verifyID(ctx, &p.Config, m, raw, expect{nonce: f.Nonce, accessToken: tok.AccessToken})
	if err != nil {
		return nil, err
	}
	return p.believe(ctx, m, tok, v, p.tokens(tok, raw, f.Nonce))
}

func idToken(tok *oauth2.Token) string {
	raw, _ := tok.Extra("id_token").(string)
	return raw
}

func bearer(tok *oauth2.Token) error {
	if tok.TokenType != "" && !strings.EqualFold(tok.TokenType, "bearer") {
		return fail(Invalid, "the access token is not a bearer token but %s", Clean(tok.TokenType, 40))
	}
	return nil
}

// believe asks userinfo for what the ID token does not say.
func (p *provider) believe(ctx context.Context, m *metadata, tok *oauth2.Token, v *verified, t Tokens) (*Person, error) {
	if err := checkAuthTime(v.authTime, time.Time{}, p.now()); err != nil {
		return nil, err
	}
	if v.algorithm != "" {
		p.remote.noteAlgorithm(p.Name, v.algorithm)
	}
	info, err := p.userinfo(ctx, m, tok.AccessToken, v.subject)
	if err != nil {
		return nil, err
	}
	person := p.person(v, info)
	person.Tokens = t
	return person, nil
}

const (
	defaultTokenLife = time.Hour   // of an access token that does not say
	minTokenLife     = time.Minute // so that no provider makes every request a refresh
)

func (p *provider) tokens(tok *oauth2.Token, idToken, nonce string) Tokens {
	t := Tokens{IDToken: idToken, Refresh: tok.RefreshToken, Nonce: nonce}
	if t.Refresh == "" || len(t.Refresh) > maxToken {
		t.Refresh = ""
		return t
	}
	life := defaultTokenLife
	if n, ok := tok.Extra("expires_in").(float64); ok {
		life = time.Duration(min(max(n, 0), 1e8)) * time.Second
	}
	t.Due = p.now().Add(max(life, minTokenLife)).UTC()
	return t
}

// aboutUs are the errors of a token endpoint that say nothing about the person: our credentials are wrong, or it is busy.
// With every other one the provider takes a sign-in back, whatever it calls that: providers invent words of their own, and
// with a list of known ones people would stay in of whom they use another.
var aboutUs = map[string]bool{
	"invalid_client": true, "unauthorized_client": true, "unsupported_grant_type": true,
	"temporarily_unavailable": true, "slow_down": true, "server_error": true,
}

// refusal returns the error code with which a token endpoint refuses, "" for an answer that is none: something between us
// may have given it.
func refusal(r *oauth2.RetrieveError) string {
	if r.Response == nil {
		return ""
	}
	switch r.Response.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return ""
	}
	var body claims
	if json.Unmarshal(r.Body, &body) != nil {
		return ""
	}
	code, _ := body.get("error").text()
	return code
}

func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		switch code := refusal(refused); {
		case code == "invalid_client" || code == "unauthorized_client":
			return fail(Down, "%s: check client_id, client_secret and auth_method", words(err))
		case code == "" || aboutUs[code]:
			return fail(Down, "%s", words(err))
		}
		return fail(Refused, "%s", words(err))
	}
	var u *url.Error
	if errors.As(err, &u) || errors.Is(err, errTooLarge) || isTimeout(err) {
		return fail(Down, "the token endpoint cannot be used: %s", words(err))
	}
	// x/oauth2 quotes the answer, which may hold tokens.
	return fail(Down, "the token endpoint's answer cannot be read")
}

// userinfo returns the claims of the userinfo endpoint, none when the provider has none. They count only when they are
// about the same person (Core, section 5.3.2: token substitution).
func (p *provider) userinfo(ctx context.Context, m *metadata, accessToken, subject string) (claims, error) {
	var info claims
	if m.UserInfoURL == "" {
		return info, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserInfoURL, nil)
	if err != nil {
		return info, fail(Down, "userinfo_endpoint is not an address")
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := p.remote.client.Do(req)
	if err != nil {
		return info, fail(Down, "the userinfo endpoint cannot be used: %s", words(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return info, fail(Down, "the userinfo endpoint cannot be used: %s", words(err))
	case refuses(resp, body):
		return info, fail(Refused, "the userinfo endpoint does not take the access token: status %d", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return info, fail(Down, "the userinfo endpoint answered with status %d", resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "application/jwt" {
		if body, err = p.signedInfo(ctx, m, string(body)); err != nil {
			return info, err
		}
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return claims{}, fail(Invalid, "the userinfo endpoint's answer is not a JSON object, or has a member twice")
	}
	if subject == "" || !info.is("sub", subject) {
		return claims{}, fail(Invalid, "the userinfo endpoint speaks of somebody else: sub")
	}
	return info, nil
}

// refuses reports whether a userinfo endpoint refuses the access token, in its own words (RFC 6750, section 3): a status alone
// may come from something between us, and is no word on the person.
func refuses(resp *http.Response, body []byte) bool {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return false
	}
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	var said claims
	if json.Unmarshal(body, &said) != nil {
		return false
	}
	code, _ := said.get("error").text()
	return code != "" && !aboutUs[code]
}

// signedInfo verifies a userinfo answer that is a JWT (Core, section 5.3.2).
func (p *provider) signedInfo(ctx context.Context, m *metadata, raw string) ([]byte, error) {
	keys := &keySet{r: p.remote, why: forSignIn, algs: m.pinned(&p.Config)}
	raw = strings.TrimSpace(raw)
	if _, err := p.remote.parse(raw, keys.algs, func(string) bool { return true }); err != nil {
		return nil, err
	}
	payload, err := keys.VerifySignature(ctx, raw)
	if err != nil {
		return nil, keys.explain("userinfo", err)
	}
	var info claims
	if err := json.Unmarshal(payload, &info); err != nil {
		return nil, fail(Invalid, "userinfo: its claims are not an object, or one has a member twice")
	}
	// Not an ID token of somebody else's sign-in, and not an answer of long ago: issuer, audience and times, where they
	// are given, have to be right.
	if info.get("iss").there() && !info.is("iss", p.Issuer) {
		return nil, fail(Invalid, "userinfo: iss is another provider")
	}
	if v := info.get("aud"); v.there() {
		if aud, ok := v.texts(); !ok || !slices.Contains(aud, p.ClientID) {
			return nil, fail(Invalid, "userinfo: aud is somebody else")
		}
	}
	if err := info.timely(p.now()); err != nil {
		return nil, &Error{Kind: Invalid, Reason: "userinfo", Err: err}
	}
	return payload, nil
}
