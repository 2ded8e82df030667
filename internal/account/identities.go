package account

import (
	"context"
	"errors"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// UnlinkIdentity removes an identity from an account: it can no longer be used to sign in, and its sessions end.
// identityID is that of [store.Identity.ID]; store.ErrNotFound if the account has no such identity.
func (s *Service) UnlinkIdentity(ctx context.Context, a Actor, userID, identityID string) error {
	return s.change(ctx, a, store.Event{Action: "identity.unlink", TargetID: userID},
		func(tx store.Tx, e *store.Event) error {
			u, id, err := s.identity(ctx, tx, a, userID, identityID, e)
			if err != nil {
				return err
			}
			n, err := login.UnlinkIdentity(ctx, tx, id, nil)
			if err != nil {
				return err
			}
			e.Details["sessions_ended"] = strconv.Itoa(n)
			return tx.EndFlows(ctx, u.ID)
		})
}

// MoveIdentity moves an identity to another account, for example if the provider has changed a user's subject. Its
// sessions end, and the rights that it gave are removed from its present account; the other account gets them at the
// next sign-in. The target must not be managed: the deployment decides who can sign in to a managed account. It returns
// an *[InvalidError] about "to" if there is no target.
func (s *Service) MoveIdentity(ctx context.Context, a Actor, userID, identityID, toID string) error {
	return s.change(ctx, a, store.Event{Action: "identity.move", TargetID: userID},
		func(tx store.Tx, e *store.Event) error {
			_, id, err := s.identity(ctx, tx, a, userID, identityID, e)
			if err != nil {
				return err
			}
			to, err := tx.User(ctx, toID)
			switch {
			case errors.Is(err, store.ErrNotFound):
				return invalid("to", "fault.no_account")
			case err != nil:
				return err
			case to.ID == userID:
				e.Action = ""
				return nil
			case to.Managed:
				return s.errManaged("identity")
			case to.IsService():
				return RequirePerson(to)
			}
			n, err := login.MoveIdentity(ctx, tx, id, to.ID)
			if err != nil {
				return err
			}
			e.Details["from"], e.Details["sessions_ended"] = e.Target, strconv.Itoa(n)
			setTarget(e, to)
			return nil
		})
}

// identity returns an account and one of its identities, if the actor may change it, and records both in e.
func (s *Service) identity(ctx context.Context, tx store.Tx, a Actor, userID, identityID string,
	e *store.Event,
) (store.User, store.Identity, error) {
	if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
		return store.User{}, store.Identity{}, err
	}
	u, err := tx.User(ctx, userID)
	if err != nil {
		return store.User{}, store.Identity{}, err
	}
	setTarget(e, u)
	if err := RequirePerson(u); err != nil {
		return store.User{}, store.Identity{}, err
	}
	ids, err := tx.Identities(ctx, u.ID)
	if err != nil {
		return store.User{}, store.Identity{}, err
	}
	for _, id := range ids {
		if id.ID() == identityID {
			e.Details["provider"], e.Details["issuer"] = id.Provider, oidc.Clean(id.Issuer, 200)
			e.Details["subject"], e.Details["identity"] = oidc.Clean(id.Subject, 80), identityID
			return u, id, nil
		}
	}
	return store.User{}, store.Identity{}, store.ErrNotFound
}
