package account

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Authorize returns nil if the actor may change other users' accounts now. A refusal is audited for action and targetID
// ("" for none). Pages call it before they read a form; the action itself checks again in its transaction.
func (s *Service) Authorize(ctx context.Context, a Actor, action, targetID string) error {
	err := s.requireFreshAdmin(ctx, s.Store, a)
	var refused *ForbiddenError
	if errors.As(err, &refused) {
		e := store.Event{Action: action, ActorID: a.UserID, Actor: a.auditName(), TargetID: targetID}
		if u, err := s.Store.User(ctx, targetID); err == nil {
			setTarget(&e, u)
		}
		return s.auditRefusal(ctx, a, e, refused, err)
	}
	return err
}

// AuthorizeRead returns nil while the actor may see administrators' pages. A long response checks again while it is
// written: an actor who is signed out or demoted meanwhile gets no more of it.
func (s *Service) AuthorizeRead(ctx context.Context, a Actor) error {
	_, _, err := s.requireAdmin(ctx, s.Store, a)
	return err
}

// AuditExport audits an export, before its first byte is sent. action is such as "user.export"; details say what was
// selected.
func (s *Service) AuditExport(ctx context.Context, a Actor, action string, details map[string]string) error {
	if err := s.limitWrite(a); err != nil {
		return err
	}
	return s.change(ctx, a, store.Event{Action: action, Details: details}, func(tx store.Tx, _ *store.Event) error {
		_, _, err := s.requireAdmin(ctx, tx, a)
		return err
	})
}

// AuditProviderCheck audits that the actor had a provider checked. problem is what the check found, "" for nothing; it
// contains no user input.
func (s *Service) AuditProviderCheck(ctx context.Context, a Actor, provider, problem string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	e := store.Event{
		Action: "provider.check", ActorID: a.UserID, Actor: a.auditName(), Target: provider,
		Outcome: store.Success,
	}
	if problem != "" {
		e.Outcome, e.Details = store.Failure, map[string]string{"reason": problem}
	}
	return s.Store.AddEvents(ctx, a.Client.Stamp(e, s.now()))
}

// CancelLink withdraws a user's unused one-time link. store.ErrNotFound if there is none.
func (s *Service) CancelLink(ctx context.Context, a Actor, userID string) error {
	return s.change(ctx, a, store.Event{Action: "link.cancel", TargetID: userID}, func(tx store.Tx, e *store.Event) error {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return err
		}
		u, err := tx.User(ctx, userID)
		if err != nil {
			return err
		}
		setTarget(e, u)
		if err := RequirePerson(u); err != nil {
			return err
		}
		n, err := tx.CancelLinks(ctx, store.LinkPassword, u.ID)
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// RequirePasswordChange requires a user to choose a new password before anything else. The present one still works for
// that, and sessions continue, restricted to the page where it is changed.
func (s *Service) RequirePasswordChange(ctx context.Context, a Actor, id string) error {
	return s.change(ctx, a, store.Event{Action: "password.require_change", TargetID: id},
		func(tx store.Tx, e *store.Event) error {
			u, err := s.resettable(ctx, tx, a, id, e)
			if err != nil {
				return err
			}
			switch {
			case u.PasswordHash == "":
				return invalid("password", "fault.no_password")
			case u.MustChange:
				e.Action = ""
				return nil
			}
			// As with sessions, tokens are of no use until then, and go on afterwards.
			return s.storePassword(ctx, tx, u, store.PasswordChange{
				Hash: u.PasswordHash, MustChange: true, At: u.PasswordChangedAt, KeepTokens: true,
			})
		})
}

// Unlock forgets the wrong passwords that were counted for an account, so that a sign-in need not wait any more.
func (s *Service) Unlock(ctx context.Context, a Actor, id string) error {
	return s.change(ctx, a, store.Event{Action: "user.unlock", TargetID: id}, func(tx store.Tx, e *store.Event) error {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return err
		}
		u, err := tx.User(ctx, id)
		if err != nil {
			return err
		}
		setTarget(e, u)
		if err := refuseSelf(a, u, "refused.self_unlock"); err != nil {
			return err // whoever has stolen a session could go on guessing
		}
		if err := RequirePerson(u); err != nil {
			return err
		}
		if err := login.ClearAttempts(ctx, tx, u); err != nil {
			return err
		}
		return tx.ClearUserAttempts(ctx, u.ID)
	})
}
