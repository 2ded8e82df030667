package account

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Reset says how a person gets a new password.
type Reset struct {
	Password string // "" makes a one-time link, with which the person sets one
	// Hash is taken instead of Password, as it is: the command line brings it from the environment, where it was judged.
	Hash       string
	MustChange bool // with Password or Hash: has to be replaced at the next sign-in
	// KeepSessions leaves sessions alone when the link is used. A password that is set here always ends them.
	KeepSessions bool
	// BlockNow, for a link: the present password and every session are over at once, not only when the link is used.
	BlockNow bool
	// Identities unlinks the person at every provider, at once: otherwise whoever can sign in there still can.
	Identities bool
	Expires    time.Duration // of the link; 0 means DefaultLinkLife
}

// ResetPassword gives an account a new password, or a one-time link to set one. The account's present password
// works until the link is used, unless BlockNow. An administrator's own password is changed under the account, where
// the present one is asked for: a session left open is not enough. Identities that are left are a way in still: who shows
// what was done shows them.
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
		if !u.Active || u.Pending {
			return invalid("active", "fault.link_inactive")
		}
		if err := checkDistinctIfLocal(ctx, tx, u); err != nil {
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

// prepareReset does what must not happen inside a transaction: it judges and hashes the password. Whether the actor
// may do this is asked first, so that nobody else makes the server hash.
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
		return "", nil //nolint:nilerr // the transaction asks again, refuses and audits it
	}
	if err := f.password(s, "password", r.Password, u); err != nil {
		return "", err
	}
	if err := f.err(); err != nil {
		return "", err
	}
	return s.hash(ctx, r.Password)
}

// errHashNotAllowed: people type passwords; a hash from a page would be one that nobody judged.
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
	if u.Managed {
		return store.User{}, s.errManaged("password")
	}
	return u, refuseSelf(a, u, "refused.self_password")
}

// setPassword writes a password that somebody else chose ("" takes it away) and takes the account back: see
// [login.Recover]. Strangers' wrong guesses are forgotten: the new password is not what they guessed at.
func (s *Service) setPassword(ctx context.Context, tx store.Tx, a Actor, e *store.Event, u store.User, hash string, r Reset) error {
	if hash != "" {
		if err := checkDistinctIfLocal(ctx, tx, u); err != nil {
			return err
		}
	}
	change := store.PasswordChange{Hash: hash, MustChange: hash != "" && r.MustChange, At: s.now()}
	if err := tx.SetPassword(ctx, u.ID, change); err != nil {
		return err
	}
	if err := login.Forget(ctx, tx, u); err != nil {
		return err
	}
	_, err := s.recoverAccount(ctx, tx, a, e, u, login.Recovery{Identities: r.Identities})
	return err
}

// checkDistinctIfLocal checks names as if the account had a password already: then its e-mail counts for sign-ins.
func checkDistinctIfLocal(ctx context.Context, tx store.Reader, u store.User) error {
	u.Local = true
	return checkDistinctNames(ctx, tx, u, true)
}
