package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// saveRights writes the rights of an account that has lost an identity. after has the provided groups of the others.
type saveRights func(ctx context.Context, tx store.Tx, u, after store.User, others []store.Identity) error

// unlinkIdentity removes an identity from u, and everything that came with it: sessions, groups and role. It returns
// how many sessions ended; see endIdentitySessions for keep.
func unlinkIdentity(ctx context.Context, tx store.Tx, u store.User, id store.Identity,
	keep string, now time.Time, save saveRights,
) (int, error) {
	if err := tx.DeleteIdentity(ctx, id.Issuer, id.Subject); err != nil {
		return 0, err
	}
	ended, err := endIdentitySessions(ctx, tx, id, keep, now)
	if err != nil {
		return 0, err
	}
	return ended, withdrawRights(ctx, tx, u, save)
}

// endIdentitySessions ends the sessions of an identity, and returns how many: with keep, only those that were started
// with it, except that one; without, also those that were stepped up with it.
func endIdentitySessions(ctx context.Context, tx store.Tx, id store.Identity, keep string, now time.Time) (int, error) {
	if keep == "" {
		ended, err := tx.EndSessions(ctx, store.SessionSelector{Issuer: id.Issuer, Subject: id.Subject})
		return len(ended), err
	}
	ended, err := endSessionsWhere(ctx, tx, id.UserID, now, func(s *store.Session) bool {
		return s.Issuer == id.Issuer && s.Subject == id.Subject && s.ID != keep
	})
	return len(ended), err
}

// withdrawRights removes from an account the rights of an identity that it has lost.
func withdrawRights(ctx context.Context, tx store.Tx, u store.User, save saveRights) error {
	others, err := tx.Identities(ctx, u.ID)
	if err != nil {
		return err
	}
	var groups []string
	for _, other := range others {
		groups = append(groups, other.Groups...)
	}
	after := u
	setProvidedGroups(&after, groups)
	return save(ctx, tx, u, after, others)
}

// ErrLastSignInMethod means that without this identity the user could not sign in any more.
var ErrLastSignInMethod = errors.New("this is the only way to sign in to this account")

// Unlink removes an identity from the account of the signed-in user. Other sessions that were started with it end.
// Errors: store.ErrNotFound, [ErrLastSignInMethod], or technical.
func (o *OIDC) Unlink(ctx context.Context, c Client, live *session.Live, issuer, subject string) error {
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		s, u, err := tx.Session(ctx, live.Session.ID)
		if err != nil {
			return err
		}
		ids, err := tx.Identities(ctx, u.ID)
		if err != nil {
			return err
		}
		var id *store.Identity
		otherMethods := 0
		if o.Service.Passwords.Has(u) {
			otherMethods++
		}
		for i := range ids {
			if ids[i].Issuer == issuer && ids[i].Subject == subject {
				id = &ids[i]
			} else if o.Registry.HasIssuer(ids[i].Issuer) { // by issuer: the provider may have been renamed
				otherMethods++
			}
		}
		switch {
		case id == nil || s.Epoch != u.Epoch:
			return store.ErrNotFound
		case otherMethods == 0:
			return ErrLastSignInMethod
		}
		return o.unlinkOwn(ctx, tx, c, u, *id, live.Session.ID)
	})
	if err != nil {
		return fmt.Errorf("unlinking: %w", err)
	}
	return nil
}

// unlinkOwn unlinks an identity for its own user. The role follows the admin groups of the identities that are left.
func (o *OIDC) unlinkOwn(ctx context.Context, tx store.Tx, c Client, u store.User, id store.Identity,
	keep string,
) error {
	cfg, ok := o.Registry.Config(id.Provider)
	if !ok {
		cfg = &oidc.Config{Name: id.Provider}
	}
	gives := func(id store.Identity) bool { return givesAdmin(o.Registry, id) }
	save := func(ctx context.Context, tx store.Tx, u, after store.User, others []store.Identity) (err error) {
		if u.RoleProvided && !slices.ContainsFunc(others, gives) {
			if after.Role, after.RoleProvided, err = o.roleFor(ctx, tx, c, cfg, u, false); err != nil {
				return err
			}
		}
		_, err = o.saveUser(ctx, tx, c, cfg, u, after)
		return err
	}
	now := o.Service.Clock()
	if _, err := unlinkIdentity(ctx, tx, u, id, keep, now, save); err != nil {
		return err
	}
	e := providerEvent(cfg, "identity.unlink", u)
	e.ActorID, e.Actor, e.Details["subject"] = u.ID, u.Username, oidc.Clean(id.Subject, 80)
	return tx.AddEvent(ctx, c.stamp(e, now))
}

// givesAdmin reports whether an identity is in an admin group of its provider.
func givesAdmin(reg *oidc.Registry, id store.Identity) bool {
	cfg, ok := reg.Config(id.Provider)
	return ok && cfg.Issuer == id.Issuer && cfg.IsAdmin(&oidc.Claims{Groups: identifier.ParseGroups(id.Groups)})
}

// UnlinkIdentity unlinks an identity for an administrator or the command line, without any configuration of providers:
// the role goes with the last identity, unless it was granted here. It returns how many sessions ended. note may be
// nil.
func UnlinkIdentity(ctx context.Context, tx store.Tx, id store.Identity,
	note func(context.Context, store.Tx, store.Event) error,
) (int, error) {
	u, err := tx.User(ctx, id.UserID)
	if err != nil {
		return 0, err
	}
	ended, err := unlinkIdentity(ctx, tx, u, id, "", time.Time{}, saveWithoutProvidedRole)
	if err != nil || note == nil {
		return ended, err
	}
	return ended, note(ctx, tx, store.Event{
		Action: "identity.unlink", TargetID: u.ID, Target: u.Username, Outcome: store.Success,
		Details: map[string]string{
			"provider": id.Provider, "issuer": oidc.Clean(id.Issuer, 200), "subject": oidc.Clean(id.Subject, 80),
			"identity": id.ID(), "sessions_ended": strconv.Itoa(ended),
		},
	})
}

// MoveIdentity links an identity to another account, and removes from its present one what came with it. It returns how
// many sessions ended.
func MoveIdentity(ctx context.Context, tx store.Tx, id store.Identity, userID string) (int, error) {
	u, err := tx.User(ctx, id.UserID)
	if err != nil {
		return 0, err
	}
	ended, err := endIdentitySessions(ctx, tx, id, "", time.Time{})
	if err != nil {
		return 0, err
	}
	if err := tx.MoveIdentity(ctx, id.Issuer, id.Subject, userID); err != nil {
		return 0, err
	}
	cleared := id
	cleared.Groups = nil // until the next sign-in or refresh
	if err := tx.UpdateIdentity(ctx, cleared); err != nil {
		return 0, err
	}
	return ended, withdrawRights(ctx, tx, u, saveWithoutProvidedRole)
}

// saveWithoutProvidedRole writes the rights of an account that has lost an identity. With the last identity its role
// goes, unless it was granted here.
func saveWithoutProvidedRole(ctx context.Context, tx store.Tx, u, after store.User, others []store.Identity) error {
	if len(others) == 0 && !u.RoleGranted && !u.Managed {
		after.Role, after.RoleProvided = store.RoleUser, false
	}
	if after.Role == u.Role && slices.Equal(after.Groups, u.Groups) &&
		slices.Equal(after.ProvidedGroups, u.ProvidedGroups) {
		return nil
	}
	_, err := tx.UpdateUser(ctx, after)
	if errors.Is(err, store.ErrLastAdmin) { // keep the role: no other administrator could undo this
		after.Role, after.RoleProvided = u.Role, u.RoleProvided
		_, err = tx.UpdateUser(ctx, after)
	}
	return err
}
