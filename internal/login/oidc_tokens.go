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
var noClaims = oidc.StoredClaims{}.Encode()

// keepClaims is what to say of claims of which nothing new is known.
const keepClaims = ""

// renewTokens gives the claims of a response of a provider to the tokens of an identity.
func renewTokens(ctx context.Context, tx store.Tx, id store.Identity, p *oidc.Claims) error {
	return tx.RenewTokenClaims(ctx, id, p.Stored().Encode())
}

// applyDenial applies claims that the rules deny, and returns why, joined with what went wrong with that. The tokens of
// the identity are denied as well, and its present session, if it came through the same provider. One of another client
// at the same issuer is subject to that client's rules.
func (o *OIDC) applyDenial(ctx context.Context, p *oidc.Claims, live *session.Live, why error) error {
	if live != nil && live.Session.Provider == p.Provider && live.Session.Issuer == p.Issuer &&
		live.Session.Subject == p.Subject {
		return errors.Join(why, o.revokeSession(ctx, &live.Session, why, p.Stored().Encode()))
	}
	id, err := o.Service.Store.Identity(ctx, p.Issuer, p.Subject)
	if errors.Is(err, store.ErrNotFound) {
		return why // a stranger has no tokens
	}
	if err == nil {
		id.Provider = p.Provider // it may have been used last through another one
		err = o.Service.Store.Change(ctx, func(tx store.Tx) error { return renewTokens(ctx, tx, id, p) })
	}
	if err != nil {
		err = fmt.Errorf("denying tokens: %w", err)
	}
	return errors.Join(why, err)
}
