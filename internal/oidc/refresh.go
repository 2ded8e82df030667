package oidc

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Refresh requests new tokens and claims from the provider of a session. A *[Error] of kind Unavailable says nothing
// about the user; any other *[Error] means that the provider has revoked the sign-in, or that its response is about
// another subject, and the session has to end. ok is false if there is no refresh token. save is called with tokens
// that replace t before any further request; its error is returned as it is.
func (g *Registry) Refresh(ctx context.Context, s *store.Session, t Tokens,
	save SaveTokens,
) (person *Claims, ok bool, err error) {
	p := g.names[s.Provider]
	if p == nil || p.Issuer != s.Issuer || t.Refresh == "" || p.NoRefresh {
		return nil, false, nil
	}
	if !p.remote.refreshes.admit(g.now()) {
		return nil, true, fail(Unavailable, "the provider did not answer the last refreshes; it is asked again now and then")
	}
	defer func() { p.remote.refreshes.done(g.now(), KindOf(err).Technical()) }()
	m, err := p.remote.metadata(ctx, metadataTTL)
	if err != nil {
		return nil, true, err
	}
	person, err = p.refresh(ctx, m, t, s.Subject, save)
	p.remote.recordResult(p.Name, g.now(), err)
	if err != nil {
		return nil, true, err
	}
	return person, true, nil
}

// Slow records that a refresh at a provider takes longer than requests wait for it.
func (g *Registry) Slow(name string) {
	if p := g.names[name]; p != nil {
		p.remote.refreshes.slow(g.now())
	}
}

// SaveTokens stores rotated tokens. From then on the provider takes the use of the old ones for theft, so it is called
// before any further request.
type SaveTokens func(context.Context, Tokens) error

// refresh uses a refresh token (RFC 6749, section 6) and verifies the response.
func (p *provider) refresh(ctx context.Context, m *metadata, t Tokens, subject string,
	save SaveTokens,
) (*Claims, error) {
	tok, err := p.useRefreshToken(ctx, m, t)
	if err != nil {
		return nil, err
	}
	rotated := p.newTokens(tok, t.IDToken, t.Nonce)
	if rotated.Refresh != t.Refresh {
		if err := save(ctx, rotated); err != nil {
			return nil, err
		}
	}
	if err := checkTokenType(tok); err != nil {
		return nil, err
	}
	var v *verifiedToken
	raw := rawIDToken(tok)
	if raw == "" {
		raw = t.IDToken
		v, err = parseStoredIDToken(raw)
	} else {
		v, err = p.remote.verifyID(ctx, &p.Config, m, raw, expectedToken{
			nonce: t.Nonce, refresh: true,
			accessToken: tok.AccessToken,
		})
	}
	if err != nil {
		return nil, err
	}
	// Before anything else is asked of the provider in the name of the user.
	if known, err := p.identitySubject(v); err != nil || known != subject || !sameSubject(v, t.IDToken) {
		return nil, fail(Invalid, "refresh: the response is about a different subject: sub")
	}
	next := p.newTokens(tok, raw, t.Nonce)
	next.NoUserinfo = t.NoUserinfo
	return p.fetchClaims(ctx, m, tok, v, next, false)
}

func (p *provider) useRefreshToken(ctx context.Context, m *metadata, t Tokens) (*oauth2.Token, error) {
	cred, err := p.credentials(m)
	if err != nil {
		return nil, err
	}
	params := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}}
	for k, v := range cred.extra {
		params[k] = v
	}
	// x/oauth2's token source accepts no extra parameters, and so no client assertion. Its clientcredentials package does,
	// and lets grant_type be overridden.
	conf := clientcredentials.Config{
		ClientID: p.ClientID, ClientSecret: cred.secret, TokenURL: m.TokenURL, AuthStyle: cred.style, EndpointParams: params,
	}
	tok, err := conf.Token(p.tokenContext(ctx))
	if err != nil {
		return nil, p.tokenError(err, t.Refresh)
	}
	return tok, nil
}

// sameSubject reports whether a token is about the subject of the stored ID token.
func sameSubject(v *verifiedToken, stored string) bool {
	old, err := parseStoredIDToken(stored)
	return err == nil && old.subject == v.subject
}

// parseStoredIDToken reads the ID token of the session: a refresh response need not have a new one. It needs no
// verification: it was verified when it was issued, and stored sealed.
func parseStoredIDToken(raw string) (*verifiedToken, error) {
	old, err := jose.ParseSigned(raw, supportedAlgorithms)
	if err != nil {
		return nil, fail(Invalid, "the stored ID token cannot be read")
	}
	v := &verifiedToken{raw: raw}
	if err := json.Unmarshal(old.UnsafePayloadWithoutVerification(), &v.claims); err != nil {
		return nil, fail(Invalid, "the stored ID token cannot be read")
	}
	v.subject, _ = v.claims.get("sub").asString()
	v.sid, _ = v.claims.get("sid").asString()
	return v, nil
}
