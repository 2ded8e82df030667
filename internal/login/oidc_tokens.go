package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A token of a program has a copy of the claims of the session that made it, and outlives that session. So it follows
// everything that its provider says later about the identity: at a sign-in, a step-up and a refresh, also if the rules
// deny the person then, or the provider takes the sign-in back. Without claims it has none of the rights that the
// provider gave, until the provider gives some again.

// noClaims are the claims of somebody for whom the provider does not vouch any more.
var noClaims = oidc.StoredClaims{Refused: true}.Encode()

// keepClaims is what to say of claims of which nothing new is known.
const keepClaims = ""

// renewTokens gives the claims of a response of a provider to the tokens of an identity.
func renewTokens(ctx context.Context, tx store.Tx, id store.Identity, p *oidc.Claims) error {
	return tx.RenewTokenClaims(ctx, id, p.Stored().Encode())
}

// ClaimsForToken returns the claims of a token that is made in a session: what the session's provider has said last of
// the identity, as the session may be older than that.
func ClaimsForToken(ctx context.Context, r store.Reader, s *store.Session) (string, error) {
	claims := oidc.DecodeStoredClaims(s.Claims)
	if s.Provider == "" || s.Claims == "" || !claims.Vouched() {
		return s.Claims, nil
	}
	id, err := r.Identity(ctx, s.Issuer, s.Subject)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && id.UserID != s.UserID:
		return oidc.StoredClaims{Unlinked: true}.Encode(), nil
	case err != nil:
		return "", err
	case id.Provider != s.Provider:
		return s.Claims, nil
	}
	claims.EmailVerified = claims.EmailVerified && claims.Email == id.Email
	claims.Email, claims.Groups = id.Email, id.Groups
	return claims.Encode(), nil
}

// noteDenial keeps claims that the rules deny as the last that the provider has said of an identity.
func noteDenial(ctx context.Context, tx store.Tx, p *oidc.Claims) error {
	id, err := tx.Identity(ctx, p.Issuer, p.Subject)
	if err != nil {
		return ignoreNotFound(err) // a stranger has no tokens
	}
	if id.Provider == p.Provider {
		id.Email, id.Groups = p.Email.String(), p.Groups.Strings()
		if err := tx.UpdateIdentity(ctx, id); err != nil {
			return err
		}
	}
	id.Provider = p.Provider // the identity may have been used last through another one
	return renewTokens(ctx, tx, id, p)
}

// applyDenial applies claims that the rules deny, and returns why, joined with what went wrong with that. The tokens of
// the identity are denied as well, and its present session, if it came through the same provider. One of another client
// at the same issuer is subject to that client's rules.
func (o *OIDC) applyDenial(ctx context.Context, p *oidc.Claims, live *session.Live, why error) error {
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error { return noteDenial(ctx, tx, p) })
	if err != nil {
		err = fmt.Errorf("denying tokens: %w", err)
	}
	if live != nil && live.Session.Provider == p.Provider && live.Session.Issuer == p.Issuer &&
		live.Session.Subject == p.Subject {
		err = errors.Join(err, o.revokeSession(ctx, &live.Session, why, keepClaims))
	}
	return errors.Join(why, err)
}
