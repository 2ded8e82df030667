package account

import (
	"context"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// UnlinkIdentity takes an identity from an account: the person at the provider cannot sign in to it any more, and
// sessions that began so are over. identityID is that of [store.Identity.ID]; store.ErrNotFound when the account has none
// of that name.
func (s *Service) UnlinkIdentity(ctx context.Context, a Actor, userID, identityID string) error {
	return s.change(ctx, a, store.Event{Action: "identity.unlink", TargetID: userID}, func(tx store.Tx, e *store.Event) error {
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

// MoveIdentity gives an identity to another account: that of a person whom the provider has given another subject. Sessions
// that began with it are over, and what it gave its account goes; the other account gets it at the next sign-in. No
// account that the deployment manages gets one: who signs in to it is the deployment's to say.
func (s *Service) MoveIdentity(ctx context.Context, a Actor, userID, identityID, toID string) error {
	return s.change(ctx, a, store.Event{Action: "identity.move", TargetID: userID}, func(tx store.Tx, e *store.Event) error {
		_, id, err := s.identity(ctx, tx, a, userID, identityID, e)
		if err != nil {
			return err
		}
		to, err := tx.User(ctx, toID)
		if err != nil {
			return err
		}
		switch {
		case to.ID == userID:
			e.Action = ""
			return nil
		case to.Managed:
			return s.errManaged("identity")
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

// identity returns the account and its identity of that name, if the actor may change it, and notes both in e.
func (s *Service) identity(ctx context.Context, tx store.Tx, a Actor, userID, identityID string, e *store.Event) (store.User, store.Identity, error) {
	if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
		return store.User{}, store.Identity{}, err
	}
	u, err := tx.User(ctx, userID)
	if err != nil {
		return store.User{}, store.Identity{}, err
	}
	setTarget(e, u)
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
