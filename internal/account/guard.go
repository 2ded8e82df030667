package account

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
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

// requireFreshAdmin allows administrators whose session meets [core.OwnNeed], and the command line. API tokens have no
// session, so they can never manage users.
func (s *core) requireFreshAdmin(ctx context.Context, tx store.Reader, a Actor) error {
	sess, u, err := s.requireAdmin(ctx, tx, a)
	if err != nil || a.Kind != Person {
		return err
	}
	return s.checkProof(a, sess, u)
}

// requireFreshSession allows a person whose session meets [core.OwnNeed], and with no password to change.
func (s *core) requireFreshSession(ctx context.Context, tx store.Reader, a Actor) (store.Session, store.User, error) {
	sess, u, err := s.requireSession(ctx, tx, a)
	if err != nil {
		return sess, u, err
	}
	acting, _ := s.effective(&sess, u)
	if acting.MustChange {
		return sess, u, refuse(CodeMustChange, "refused.must_change")
	}
	return sess, u, s.checkProof(a, sess, u)
}

// OwnNeed returns what it takes to change accounts, one's own or others', and to make tokens: a sign-in or step-up a
// short time ago, and a second factor of whoever has one and is asked for it.
func (s *core) OwnNeed(u store.User) assurance.Need {
	need := assurance.Fresh(FreshWindow)
	if s.second().Asks(u) {
		need.Level = assurance.Two
	}
	return need
}

// second returns the configuration of second factors. The command line has none, and no sessions.
func (s *core) second() login.SecondFactors {
	if s.Login == nil {
		return login.SecondFactors{}
	}
	return s.Login.Second
}

// checkProof refuses what the session has not proved enough for.
func (s *core) checkProof(a Actor, sess store.Session, u store.User) error {
	p := assurance.Proof{Level: s.levelOf(&sess, u), AuthAt: sess.AuthAt, MFAAt: sess.MFAAt}
	if a.AuthAt.Before(p.AuthAt) { // from the store, not only from the caller
		p.AuthAt = a.AuthAt
	}
	switch s.OwnNeed(u).Lacks(p, s.now()) {
	case assurance.LacksNothing:
		return nil
	case assurance.LacksAge:
		return refuse(CodeReauth, "refused.reauth")
	case assurance.LacksLevel:
	}
	return errMFA()
}

// levelOf returns the level of a session of a user.
func (s *core) levelOf(sess *store.Session, u store.User) assurance.Level {
	believed := *sess
	if s.Methods != nil {
		believed.Methods = string(s.Methods(sess))
	}
	m, _ := s.second().Believed(&believed, u)
	return m.Level()
}

// requireAdmin allows administrators regardless of freshness, for actions that change no account.
func (s *core) requireAdmin(ctx context.Context, tx store.Reader, a Actor) (store.Session, store.User, error) {
	switch a.Kind {
	case CommandLine, Startup:
		return store.Session{}, store.User{}, nil
	case Person:
	default:
		return store.Session{}, store.User{}, errRole()
	}
	sess, stored, err := s.requireSession(ctx, tx, a)
	if err != nil {
		return store.Session{}, store.User{}, err
	}
	u, held := s.effective(&sess, stored)
	switch {
	case held:
		return store.Session{}, store.User{}, errMFA()
	case !u.IsActiveAdmin():
		return store.Session{}, store.User{}, errRole()
	case u.MustChange:
		return store.Session{}, store.User{}, refuse(CodeMustChange, "refused.must_change")
	}
	return sess, u, nil
}

// effective returns a user with the effective rights of the session; held means that those of an administrator wait for
// a second factor.
func (s *core) effective(sess *store.Session, u store.User) (acting store.User, held bool) {
	effective := s.Effective
	if effective == nil {
		effective = (*login.OIDC)(nil).Effective
	}
	u = effective(sess, u)
	if held = s.second().HoldsBack(u, s.levelOf(sess, u)); held {
		u.Role = store.RoleUser
	}
	return u, held
}

func errRole() *ForbiddenError { return refuse(CodeRole, "refused.role") }

func errMFA() *ForbiddenError { return refuse(CodeMFA, "refused.mfa") }

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
