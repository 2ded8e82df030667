package seed

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Names of settings in the store.
const (
	saltSetting    = "seed.force_sync.salt"
	appliedSetting = "seed.force_sync.applied." // and the fingerprint of what was applied
)

// state is what of the store the decision depends on.
type state struct {
	// user is the account that the values mean: the local account named ADMIN_USER, or with managed values the one
	// with that e-mail. nil: there is none.
	user *store.User
	// name is free for a new account; only set when user is nil.
	name string
	// emailTaken: ADMIN_EMAIL means another account than user at a sign-in, by its e-mail or its username.
	emailTaken bool
	// emailOf is an account that came from a provider and has ADMIN_EMAIL of a managed root as its own to sign in with.
	emailOf *store.User
	// broughtAlong: user came from a provider, was taken over by an earlier version, and can still sign in there.
	broughtAlong bool
	admins       []store.User // active, oldest first, some of them
	managed      []store.User // flagged as managed roots

	salt      string // of the fingerprints; "" when none was ever made
	appliedAt string // when these values were applied by force; "" when never, or when the fingerprint is not known yet
}

// shownAdmins is how many administrators a warning names; one more is read to know whether there are more.
const shownAdmins = 5

// readState reads what matters. A nil reader is an empty store.
func readState(ctx context.Context, r store.Reader, v *Values, k *knowledge) (state, error) {
	if r == nil {
		return state{name: v.Username()}, nil
	}
	var s state
	var err error
	if s.admins, err = r.ActiveAdmins(ctx, shownAdmins+1); err != nil {
		return state{}, fmt.Errorf("reading the administrators: %w", err)
	}
	if s.managed, err = managedRoots(ctx, r); err != nil {
		return state{}, fmt.Errorf("reading the managed administrators: %w", err)
	}
	if err := s.readUser(ctx, r, v); err != nil {
		return state{}, fmt.Errorf("looking for the administrator's account: %w", err)
	}
	if v.mode == ModeSeed && v.force {
		if err := s.readApplied(ctx, r, k); err != nil {
			return state{}, fmt.Errorf("reading what was applied before: %w", err)
		}
	}
	return s, nil
}

// managedRoots returns the flagged accounts. They are administrators: their role is locked as long as they are.
func managedRoots(ctx context.Context, r store.Reader) ([]store.User, error) {
	var roots []store.User
	q := store.UserQuery{Role: store.RoleAdmin, Limit: 1000}
	for {
		page, err := r.Users(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Items {
			if u.Managed {
				roots = append(roots, u)
			}
		}
		if page.Next == "" {
			return roots, nil
		}
		q.Cursor = page.Next
	}
}

// readUser finds the account that the values mean, or a free name for it.
func (s *state) readUser(ctx context.Context, r store.Reader, v *Values) error {
	byEmail, err := optional(r.UserByLocalEmail(ctx, v.email.text))
	if err != nil {
		return err
	}
	byName, err := optional(r.UserByUsername(ctx, v.email.text))
	if err != nil {
		return err
	}
	if v.mode == ModeManaged {
		if s.user = byEmail; !MadeHere(s.user) {
			s.emailOf, s.user = byEmail, nil
		}
		if s.user != nil && s.user.Origin == store.OriginOIDC {
			ids, err := r.Identities(ctx, s.user.ID)
			if err != nil {
				return err
			}
			s.broughtAlong = len(ids) > 0
		}
		if s.user == nil {
			_, err = s.findName(ctx, r, v, false)
		}
	} else {
		s.user, err = s.findName(ctx, r, v, true)
	}
	s.emailTaken = (s.isOther(byEmail) && s.emailOf == nil) || (s.isOther(byName) && byName.Local)
	return err
}

// MadeHere reports whether an account was made by an administrator, the command line or the environment, so that its name
// and e-mail are what somebody here meant them to be, and it may be taken over by them. A provider lets people choose both.
// A root that is managed already was taken over before.
func MadeHere(u *store.User) bool {
	return u != nil && u.Local && (u.Origin != store.OriginOIDC || u.Managed)
}

// isOther reports whether u is an account, and not the one that the values mean.
func (s *state) isOther(u *store.User) bool { return u != nil && (s.user == nil || s.user.ID != u.ID) }

// maxNames bounds the search for a free name.
const maxNames = 1000

// findName tries base, base-admin, base-admin-2 and so on until a name is free. With take it also stops at an account
// that may be taken over: one made here of that very name, or one that the environment made under a name further on.
// Whoever came from a provider with that name keeps it, and gets nothing: they chose the name themselves. A name that
// somebody signs in with as an e-mail address is not free either: a sign-in looks for usernames first, so they could
// not sign in any more, and would send their password to another account.
func (s *state) findName(ctx context.Context, r store.Reader, v *Values, take bool) (*store.User, error) {
	base := v.Username()
	stem := base
	if chars := []rune(stem); len(chars) > identifier.MaxLength-len("-admin-1000") {
		stem = string(chars[:identifier.MaxLength-len("-admin-1000")])
	}
	for i := range maxNames {
		name := base
		switch {
		case i == 1:
			name = stem + "-admin"
		case i > 1:
			name = stem + "-admin-" + strconv.Itoa(i)
		}
		u, err := optional(r.UserByUsername(ctx, name))
		if err != nil {
			return nil, err
		}
		if u == nil {
			if u, err = optional(r.UserByLocalEmail(ctx, name)); err != nil {
				return nil, err
			}
			if u != nil {
				continue
			}
			s.name = name
			return nil, nil
		}
		if take && MadeHere(u) && (i == 0 || u.Origin == store.OriginEnv) {
			return u, nil
		}
	}
	return nil, fmt.Errorf("no username is free for the administrator: choose another %s", v.user.key)
}

// readApplied finds out whether these values were applied by force before.
func (s *state) readApplied(ctx context.Context, r store.Reader, k *knowledge) error {
	var err error
	if s.salt, err = setting(ctx, r, saltSetting); err != nil || s.salt == "" {
		return err
	}
	if fp, known := k.fingerprints[s.salt]; known {
		s.appliedAt, err = setting(ctx, r, appliedSetting+fp)
	}
	return err
}

// setting returns "" for a setting that is absent.
func setting(ctx context.Context, r store.Reader, key string) (string, error) {
	text, err := r.Setting(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return text, err
}

// optional turns "not found" into nil.
func optional(u store.User, err error) (*store.User, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &u, nil
}
