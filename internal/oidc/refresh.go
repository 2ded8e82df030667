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

// Refresh asks the provider of a session for new tokens and claims. A *[Error] of kind Down says nothing about the
// person; with any other *[Error] the provider took the sign-in back, or its answer is about somebody else, and the session
// has to end. ok is false when there is nothing to refresh with. keep is called with tokens that replace t, before anything
// else is asked; what it returns is returned as it is.
func (g *Registry) Refresh(ctx context.Context, s *store.Session, t Tokens, keep Keep) (person *Person, ok bool, err error) {
	p := g.names[s.Provider]
	if p == nil || p.Issuer != s.Issuer || t.Refresh == "" {
		return nil, false, nil
	}
	m, err := p.remote.metadata(ctx, metadataLife)
	if err != nil {
		return nil, true, err
	}
	person, err = p.refresh(ctx, m, t, s.Subject, keep)
	p.remote.record(p.Name, g.now(), err)
	if err != nil {
		return nil, true, err
	}
	return person, true, nil
}

// Keep keeps the tokens that a provider has given in the place of others. The provider takes the others for stolen from
// then on, so it is called before anybody is asked for anything else.
type Keep func(context.Context, Tokens) error

// refresh uses a refresh token (RFC 6749, section 6) and verifies what comes back: first that it is about the same person,
// then the rest.
func (p *provider) refresh(ctx context.Context, m *metadata, t Tokens, subject string, keep Keep) (*Person, error) {
	tok, err := p.useRefreshToken(ctx, m, t)
	if err != nil {
		return nil, err
	}
	rotated := p.tokens(tok, t.IDToken, t.Nonce)
	if rotated.Refresh != t.Refresh {
		if err := keep(ctx, rotated); err != nil {
			return nil, err
		}
	}
	if err := bearer(tok); err != nil {
		return nil, err
	}
	v, raw := (*verified)(nil), idToken(tok)
	if raw == "" {
		raw = t.IDToken
		v, err = kept(raw)
	} else {
		v, err = p.remote.verifyID(ctx, &p.Config, m, raw, expect{nonce: t.Nonce, refresh: true, accessToken: tok.AccessToken})
	}
	if err != nil {
		return nil, err
	}
	if v.subject != subject {
		return nil, fail(Invalid, "refresh: the provider speaks of somebody else")
	}
	return p.believe(ctx, m, tok, v, p.tokens(tok, raw, t.Nonce))
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
	// x/oauth2's own refresh takes no further parameters, so no assertion; its client credentials do, grant and all.
	conf := clientcredentials.Config{
		ClientID: p.ClientID, ClientSecret: cred.secret, TokenURL: m.TokenURL, AuthStyle: cred.style, EndpointParams: params,
	}
	tok, err := conf.Token(p.tokenContext(ctx))
	if err != nil {
		return nil, tokenError(err)
	}
	return tok, nil
}

// kept reads the ID token of before: a refresh answer need not have a new one. It was verified when it came, and sealed
// since.
func kept(raw string) (*verified, error) {
	old, err := jose.ParseSigned(raw, known)
	if err != nil {
		return nil, fail(Invalid, "the ID token that was kept cannot be read")
	}
	v := &verified{raw: raw}
	if err := json.Unmarshal(old.UnsafePayloadWithoutVerification(), &v.claims); err != nil {
		return nil, fail(Invalid, "the ID token that was kept cannot be read")
	}
	v.subject, _ = v.claims.get("sub").text()
	v.sid, _ = v.claims.get("sid").text()
	return v, nil
}
