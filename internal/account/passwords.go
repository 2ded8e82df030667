package account

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/store"
)

// storePassword writes a password, or removes it, in the transaction that decides about it. All actions write passwords
// through it: none is stored that would not be accepted.
func (s *core) storePassword(ctx context.Context, tx store.Tx, u store.User, p store.PasswordChange) error {
	if p.Hash != "" && !s.Passwords.Of(u) {
		return errPasswordsOff()
	}
	return tx.SetPassword(ctx, u.ID, p)
}

func errPasswordsOff() *ForbiddenError { return refuse(CodePasswordsOff, "refused.passwords_off") }

// LinkUse says what the holder of a valid link can do with it.
type LinkUse int

// Uses of links.
const (
	LinkToProviders LinkUse = iota // nothing: passwords are not accepted, and the person signs in through a provider
	LinkSignsIn                    // sign in once: whoever runs the server made it
	LinkSets                       // set a password, and sign in
)

// linkUse returns what a link can be used for. u is its user, the zero User for a set-up link. Where passwords are not
// accepted, a link signs in only if it comes from the command line or the log of the server: those of administrators
// would be a way around the providers.
func (s *Service) linkUse(l store.Link, u store.User) LinkUse {
	switch {
	case s.Passwords.Of(u):
		return LinkSets
	case l.Purpose == store.LinkSetup, l.CreatedBy == store.NameCommandLine:
		return LinkSignsIn
	default:
		return LinkToProviders
	}
}

// linkPassword checks the form of a link, and hashes the password if the link sets one.
func (s *Service) linkPassword(ctx context.Context, f *fields, use LinkUse, pass string, u store.User) (string, error) {
	if use != LinkSets {
		return "", f.err()
	}
	if err := f.password(s, "password", pass, u); err != nil {
		return "", err
	}
	if err := f.err(); err != nil {
		return "", err
	}
	return s.hash(ctx, pass)
}

// setChosen stores the password that the user of a link chose.
func (s *Service) setChosen(ctx context.Context, tx store.Tx, u store.User, hash string) error {
	if err := checkDistinctIfLocal(ctx, tx, u); err != nil {
		return err
	}
	// Tokens are revoked, and counted, with all other access.
	return s.storePassword(ctx, tx, u, store.PasswordChange{Hash: hash, At: s.now(), KeepTokens: true})
}
