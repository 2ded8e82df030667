package oidc

import (
	"context"
	"encoding/json"
	"errors"
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
//
// overdue is for a session that would end without this attempt. With [ErrNotAsked] no request was made.
func (g *Registry) Refresh(ctx context.Context, s *store.Session, t Tokens, overdue bool,
	save SaveTokens,
) (person *Claims, ok bool, err error) {
	p := g.names[s.Provider]
	if p == nil || p.Issuer != s.Issuer || t.Refresh == "" || p.NoRefresh {
		return nil, false, nil
	}
	m, err := p.remote.metadata(ctx, metadataTTL)
	if err != nil {
		return nil, true, err
	}
	a, admitted := p.refreshes.admit(g.now(), s.ID, overdue)
	if !admitted {
		return nil, true, p.notAsked()
	}
	person, err = p.refresh(ctx, m, t, a, s.Subject, save)
	p.remote.recordResult(p.Name, g.now(), err)
	if err != nil {
		return nil, true, err
	}
	return person, true, nil
}

// ErrNotAsked means that a provider was not asked for new tokens, because it does not respond to others. It is no
// reason to end a session.
var ErrNotAsked = errors.New("it is asked again now and then")

// notAsked returns an error with [ErrNotAsked], unless nobody got a response for so long that sessions have to end.
func (p *provider) notAsked() error {
	e := fail(Unavailable, "the provider did not respond to the last refreshes")
	if p.refreshes.openFor(p.now()) < p.RefreshGraceOrDefault() {
		e.Err = ErrNotAsked
	}
	return e
}

// Slow records that the refresh of a session takes longer than requests wait for it.
func (g *Registry) Slow(name, session string) {
	if p := g.names[name]; p != nil {
		p.refreshes.slow(g.now(), session)
	}
}

// SaveTokens stores rotated tokens. From then on the provider takes the use of the old ones for theft, so it is called
// before any further request.
type SaveTokens func(context.Context, Tokens) error

// refresh uses a refresh token (RFC 6749, section 6) and verifies the response.
func (p *provider) refresh(ctx context.Context, m *metadata, t Tokens, a attempt, subject string,
	save SaveTokens,
) (*Claims, error) {
	tok, err := p.useRefreshToken(ctx, m, t, a)
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

func (p *provider) useRefreshToken(ctx context.Context, m *metadata, t Tokens, a attempt) (*oauth2.Token, error) {
	result := unknownResponse // also if it panics
	defer func() { p.refreshes.done(p.now(), a, result) }()
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
	result = tokenEndpointResponse(ctx, err)
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
