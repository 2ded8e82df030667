package account

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// requireSession reads the actor's session and user again. The session that the caller resolved may have ended since
// (signed out elsewhere, deactivated, password changed).
func (s *core) requireSession(ctx context.Context, tx store.Reader, a Actor) (store.Session, store.User, error) {
	if a.Kind != Person || a.UserID == "" || a.SessionID == "" {
		return store.Session{}, store.User{}, errSignedOut()
	}
	sess, u, err := tx.Session(ctx, a.SessionID)
	if errors.Is(err, store.ErrNotFound) {
		return store.Session{}, store.User{}, errSignedOut()
	}
	if err != nil {
		return store.Session{}, store.User{}, err
	}
	if u.ID != a.UserID || sess.UserID != u.ID || sess.Epoch != u.Epoch ||
		!u.Active || u.Pending || !s.now().Before(sess.ExpiresAt) {
		return store.Session{}, store.User{}, errSignedOut()
	}
	return sess, u, nil
}

// requireFreshAdmin allows administrators with a fresh sign-in or step-up, and the command line. API tokens have no
// session, so they can never manage users.
func (s *core) requireFreshAdmin(ctx context.Context, tx store.Reader, a Actor) error {
	sess, err := s.requireAdmin(ctx, tx, a)
	if err != nil || a.Kind != Person {
		return err
	}
	return s.checkFresh(a, sess)
}

// requireFreshSession allows a person with a fresh sign-in or step-up, and no password to change.
func (s *core) requireFreshSession(ctx context.Context, tx store.Reader, a Actor) (store.Session, store.User, error) {
	sess, u, err := s.requireSession(ctx, tx, a)
	if err != nil {
		return sess, u, err
	}
	if s.effective(&sess, u).MustChange {
		return sess, u, refuse(CodeMustChange, "refused.must_change")
	}
	return sess, u, s.checkFresh(a, sess)
}

// checkFresh refuses what is not soon after a sign-in or step-up.
func (s *core) checkFresh(a Actor, sess store.Session) error {
	authAt := sess.AuthAt // from the store, not only from the caller
	if a.AuthAt.Before(authAt) {
		authAt = a.AuthAt
	}
	// The clock of the Caddy that signed the person in may be a little ahead of this one's.
	if age := s.now().Sub(authAt); age >= FreshWindow || age <= -clockSkew {
		return refuse(CodeReauth, "refused.reauth")
	}
	return nil
}

// requireAdmin allows administrators regardless of freshness, for actions that change no account.
func (s *core) requireAdmin(ctx context.Context, tx store.Reader, a Actor) (store.Session, error) {
	switch a.Kind {
	case CommandLine, Startup:
		return store.Session{}, nil
	case Person:
	default:
		return store.Session{}, errRole()
	}
	sess, u, err := s.requireSession(ctx, tx, a)
	if err != nil {
		return store.Session{}, err
	}
	u = s.effective(&sess, u)
	if !u.IsActiveAdmin() {
		return store.Session{}, errRole()
	}
	if u.MustChange {
		return store.Session{}, refuse(CodeMustChange, "refused.must_change")
	}
	return sess, nil
}

// effective returns a user with the effective rights of the session.
func (s *core) effective(sess *store.Session, u store.User) store.User {
	if s.Effective != nil {
		return s.Effective(sess, u)
	}
	return (*login.OIDC)(nil).Effective(sess, u)
}

const clockSkew = FreshWindow / 10

func errRole() *ForbiddenError { return refuse(CodeRole, "refused.role") }

// refuseSelf refuses to remove the actor's own access: there might be nobody else to undo a mistake.
func refuseSelf(a Actor, u store.User, id string) error {
	if a.Kind == Person && a.UserID == u.ID {
		return refuse(CodeSelf, id)
	}
	return nil
}

// guardPatch refuses changes to managed fields and to the actor's own access. before and after are the target before
// and after the change.
func (s *core) guardPatch(a Actor, before, after store.User) error {
	if before.Managed {
		switch {
		case before.Email != after.Email:
			return s.errManaged("email")
		case before.Role != after.Role:
			return s.errManaged("role")
		case before.Active != after.Active || before.Pending != after.Pending:
			return s.errManaged("state")
		}
	}
	if before.Role == store.RoleAdmin && after.Role != store.RoleAdmin {
		if err := refuseSelf(a, before, "refused.self_role"); err != nil {
			return err
		}
	}
	if before.Active && !after.Active {
		return refuseSelf(a, before, "refused.self_active")
	}
	return nil
}

// RequirePerson refuses for a service account what only people have: a password, ways to sign in, sessions, links.
func RequirePerson(u store.User) error {
	if u.IsService() {
		return refuse(CodeService, "refused.service")
	}
	return nil
}

// RequireService refuses that others make a person's tokens: they could act as that person.
func RequireService(u store.User) error {
	if !u.IsService() {
		return refuse(CodeNotService, "refused.not_service")
	}
	return nil
}

// checkDistinctNames keeps usernames and e-mails of sign-ins distinct. A sign-in looks for a username first, so a user
// with another user's e-mail as username would receive that user's sign-ins, passwords included. Accounts that sign in
// only through a provider, where their username was chosen, receive none (see [store.Reader.UserByLogin]), and must not
// block an invitation of the address's owner. newUsername is false if the username does not change.
func checkDistinctNames(ctx context.Context, tx store.Reader, u store.User, newUsername bool) error {
	if !u.Local && !newUsername {
		return nil
	}
	other, err := tx.UserByLocalEmail(ctx, u.Username)
	switch {
	case err == nil && other.ID != u.ID:
		return &store.ConflictError{Field: "username"}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	if u.Email == "" || !u.Local {
		return nil
	}
	other, err = tx.UserByUsername(ctx, u.Email)
	switch {
	case err == nil && other.ID != u.ID && other.Local:
		return &store.ConflictError{Field: "email"}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	return nil
}
