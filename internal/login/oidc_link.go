package login

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The first link of an account by its e-mail, where the account has a second factor: whoever has the address at the
// provider has to prove that, too, before anything of the account changes.

// errLinkLater undoes a link that is made when the second step is passed.
var errLinkLater = errors.New("the second step comes before the link")

// asksBeforeLink reports whether a sign-in to an account has a second step that its owner alone can pass. u has the
// rights that come with the link.
func (o *OIDC) asksBeforeLink(cfg *oidc.Config, p *oidc.Claims, u store.User) bool {
	methods, _ := methodsOf(cfg, p)
	step, _ := o.Service.Second.next(u, methods, SignInOptions{Provider: cfg.Name}, o.Service.Clock().UTC())
	return step == store.HalfLoginVerify
}

// completeLink links the identity of a sign-in to its account, in the transaction that completes the sign-in, and
// returns the account. It is decided anew: configuration and account may have changed since the first step.
func (o *OIDC) completeLink(ctx context.Context, tx store.Tx, c Client, u store.User, via SignInOptions) (
	store.User, error,
) {
	over := &HalfLoginOverError{Username: u.Username, Return: via.Return}
	cfg, ok := o.Registry.Config(via.Provider)
	if !ok || cfg.Issuer != via.Issuer || cfg.Link != oidc.LinkVerifiedEmail {
		return u, over
	}
	p := oidc.DecodeStoredClaims(via.Claims).Claims(via.Subject)
	p.Provider, p.Issuer, p.Sub, p.Name = via.Provider, via.Issuer, via.sub(), via.LinkName
	if cfg.CheckAllowed(p) != nil {
		return u, over
	}
	id, err := tx.Identity(ctx, p.Issuer, p.Subject)
	if err == nil && id.UserID == u.ID {
		return u, nil // by another tab
	}
	if err == nil {
		return u, over
	}
	if !errors.Is(err, store.ErrNotFound) {
		return u, err
	}
	local, err := localUserByEmail(ctx, tx, p)
	if err != nil {
		return u, err
	}
	linkable, err := mayLinkByEmail(ctx, tx, p, local)
	switch {
	case err != nil:
		return u, err
	case !linkable || local.ID != u.ID:
		return u, over
	}
	return o.linkByEmail(ctx, tx, c, cfg, p, local)
}
