package account

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Reset says how a user gets a new password.
type Reset struct {
	Password string // "" creates a one-time link to set one
	// Hash is stored instead of that of Password. Only the command line may set it, from the environment.
	Hash       string
	MustChange bool // with Password or Hash: it has to be changed at the next sign-in
	// KeepSessions keeps sessions when the link is used. A password that is set here always ends them.
	KeepSessions bool
	// BlockNow, with a link, removes the present password and ends all sessions at once, not only when it is used.
	BlockNow bool
	// Identities unlinks all identities at once: otherwise they can still be used to sign in.
	Identities bool
	Expires    time.Duration // of the link; 0 means DefaultLinkTTL
}

// ResetPassword sets a new password, or creates a one-time link to set one. The present password works until the link
// is used, unless BlockNow. Administrators change their own password on the account pages, where the present one is
// required: an unattended session is not enough. Identities that remain still give access, and so do tokens until a
// link is used: callers report them, see [Service.AccessLeft].
func (s *Service) ResetPassword(ctx context.Context, a Actor, id string, r Reset) (*IssuedLink, error) {
	hash, err := s.prepareReset(ctx, a, id, r)
	if err != nil {
		return nil, err
	}
	var link *IssuedLink
	err = s.change(ctx, a, store.Event{Action: "password.reset", TargetID: id}, func(tx store.Tx, e *store.Event) error {
		u, err := s.resettable(ctx, tx, a, id, e)
		if err != nil {
			return err
		}
		if hash != "" {
			e.Details["way"] = "password"
			return s.setPassword(ctx, tx, a, e, u, hash, r)
		}
		if err := s.checkLinkable(ctx, tx, a, u); err != nil {
			return err
		}
		e.Action, e.Details["way"] = "link.create", "link"
		if r.BlockNow {
			e.Details["blocked"] = "true"
			err = s.setPassword(ctx, tx, a, e, u, "", r)
		} else if r.Identities {
			err = s.unlinkAll(ctx, tx, a, e, u)
		}
		if err != nil {
			return err
		}
		link, err = s.createLink(ctx, tx, a, store.LinkPassword, u.ID, r.Expires, !r.KeepSessions)
		return err
	})
	if err != nil {
		return nil, err
	}
	return link, nil
}

// checkLinkable refuses a one-time link to set a password where it would lead nowhere.
func (s *core) checkLinkable(ctx context.Context, tx store.Tx, a Actor, u store.User) error {
	switch {
	case !u.Active || u.Pending:
		return invalid("active", "fault.link_inactive")
	case !s.Passwords.Of(u) && a.Kind != CommandLine:
		return errPasswordsOff() // the link would lead to the providers, where the person can go without one
	}
	return checkDistinctIfLocal(ctx, tx, u)
}

// prepareReset checks and hashes the password, which is too slow for a transaction. The actor's permission is checked
// first, so that nobody else can make the server hash.
func (s *Service) prepareReset(ctx context.Context, a Actor, id string, r Reset) (hash string, err error) {
	var f fields
	switch {
	case r.Hash != "" && (a.Kind != CommandLine || r.Password != ""):
		return "", errHashNotAllowed
	case r.Hash != "":
		_, err := password.Identify(r.Hash)
		return r.Hash, err
	case r.Password == "":
		f.expires(r.Expires)
		return "", f.err()
	}
	u, err := s.Store.User(ctx, id)
	if err != nil {
		return "", err
	}
	if err := s.requireFreshAdmin(ctx, s.Store, a); err != nil {
		return "", nil //nolint:nilerr // the transaction checks again, refuses and audits it
	}
	if err := f.password(s, "password", r.Password, u); err != nil {
		return "", err
	}
	if err := f.err(); err != nil {
		return "", err
	}
	return s.hash(ctx, r.Password)
}

// errHashNotAllowed is returned for a ready hash from pages and API: its password would bypass the policy.
var errHashNotAllowed = errors.New("a ready hash is for the command line, and not beside a password")

// resettable returns the target if the actor may reset its password.
func (s *Service) resettable(ctx context.Context, tx store.Tx, a Actor, id string, e *store.Event) (store.User, error) {
	if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
		return store.User{}, err
	}
	u, err := tx.User(ctx, id)
	if err != nil {
		return store.User{}, err
	}
	setTarget(e, u)
	if err := RequirePerson(u); err != nil {
		return store.User{}, err
	}
	if u.Managed {
		return store.User{}, s.errManaged("password")
	}
	return u, refuseSelf(a, u, "refused.self_password")
}

// setPassword sets a password that an administrator chose ("" removes it) and revokes access: see [login.Recover].
// Failed attempts are cleared: they were guesses at the old password.
func (s *Service) setPassword(ctx context.Context, tx store.Tx, a Actor, e *store.Event, u store.User, hash string,
	r Reset,
) error {
	if hash != "" {
		if err := checkDistinctIfLocal(ctx, tx, u); err != nil {
			return err
		}
	}
	change := store.PasswordChange{Hash: hash, MustChange: hash != "" && r.MustChange, At: s.now()}
	change.KeepTokens = true // recoverAccount revokes them, and counts
	if err := s.storePassword(ctx, tx, u, change); err != nil {
		return err
	}
	if err := login.ClearAttempts(ctx, tx, u); err != nil {
		return err
	}
	_, err := s.recoverAccount(ctx, tx, a, e, u, login.Recovery{Identities: r.Identities})
	return err
}

// checkDistinctIfLocal is checkDistinctNames for an account that is about to get a password: its e-mail can be used to
// sign in then.
func checkDistinctIfLocal(ctx context.Context, tx store.Reader, u store.User) error {
	u.Local = true
	return checkDistinctNames(ctx, tx, u, true)
}
