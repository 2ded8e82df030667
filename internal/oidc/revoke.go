package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Revoke revokes the refresh token of an ended session (RFC 7009), if the provider offers that: otherwise the token
// would outlive the session, there and wherever it may have been copied to. asked is false if there was nothing to ask.
func (g *Registry) Revoke(ctx context.Context, s *store.Session) (asked bool, err error) {
	p := g.names[s.Provider]
	if p == nil || p.Issuer != s.Issuer {
		return false, nil
	}
	t, err := g.Open(ctx, s)
	if err != nil || t.Refresh == "" {
		return false, err
	}
	m, err := p.remote.metadata(ctx, maxStale)
	if err != nil || m.RevokeURL == "" {
		return false, err
	}
	status, _, err := p.post(ctx, m, m.RevokeURL, url.Values{"token": {t.Refresh}, "token_type_hint": {"refresh_token"}})
	switch {
	case err != nil:
		return true, failedRequest("the revocation endpoint is unavailable", err)
	case status != http.StatusOK:
		return true, failedStatus("the revocation endpoint did not revoke the token", status)
	}
	return true, nil
}

// PublicKeys returns the JWKS with the public key of a client that authenticates with private_key_jwt, so that the
// provider can read it, and a new one, by itself. ok is false for clients without a key.
func (g *Registry) PublicKeys(name string) (doc []byte, ok bool, err error) {
	p := g.names[name]
	if p == nil || p.Key == nil {
		return nil, false, nil
	}
	private := jose.JSONWebKey{Key: p.Key.Private, KeyID: p.Key.ID, Algorithm: string(p.Key.Algorithm), Use: "sig"}
	public := private.Public()
	if !public.Valid() || !public.IsPublic() {
		return nil, false, fmt.Errorf("oidc %s: client_key has no public key", name)
	}
	doc, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	return doc, err == nil, err
}
