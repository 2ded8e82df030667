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

// state is the part of the store that the decision depends on.
type state struct {
	// user is the account of the values: the local account named ADMIN_USER, or in managed mode the one with
	// ADMIN_EMAIL. nil if there is none.
	user *store.User
	// name is an unused name for a new account; only set if user is nil.
	name string
	// emailTaken means that ADMIN_EMAIL identifies another account at sign-in, by its e-mail address or its username.
	emailTaken bool
	// emailHolder is an account from a provider that can sign in with the managed administrator's ADMIN_EMAIL.
	emailHolder *store.User
	// linkedOIDC means that user came from a provider, was taken over by an earlier version, and can still sign in
	// there.
	linkedOIDC bool
	admins     []store.User // active, oldest first, at most shownAdmins+1
	managed    []store.User // flagged as managed

	salt      string // of the fingerprints; "" if there is none
	appliedAt string // when these values were applied by force; "" if never, or if the fingerprint is not computed yet
}

// shownAdmins is how many administrators a warning names; one more is read to know whether there are more.
const shownAdmins = 5

// readState reads the state. A nil reader means an empty store.
func readState(ctx context.Context, r store.Reader, v *Values, k *computed) (state, error) {
	if r == nil {
		return state{name: v.Username()}, nil
	}
	var s state
	var err error
	if s.admins, err = r.ActiveAdmins(ctx, shownAdmins+1); err != nil {
		return state{}, fmt.Errorf("reading the administrators: %w", err)
	}
	if s.managed, err = managedAdmins(ctx, r); err != nil {
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

// managedAdmins returns the accounts flagged as managed. They are administrators, since their role is locked.
func managedAdmins(ctx context.Context, r store.Reader) ([]store.User, error) {
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

// readUser finds the account of the values, or a free name for it.
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
		err = s.readManagedUser(ctx, r, v, byEmail)
	} else {
		s.user, err = s.findName(ctx, r, v, true)
	}
	s.emailTaken = (s.isOtherAccount(byEmail) && s.emailHolder == nil) || (s.isOtherAccount(byName) && byName.Local)
	return err
}

// readManagedUser takes the account of the e-mail address, unless its user chose that address at a provider.
func (s *state) readManagedUser(ctx context.Context, r store.Reader, v *Values, byEmail *store.User) error {
	if !IsLocalAccount(byEmail) {
		s.emailHolder = byEmail
		_, err := s.findName(ctx, r, v, false)
		return err
	}
	s.user = byEmail
	if s.user.Origin != store.OriginOIDC {
		return nil
	}
	ids, err := r.Identities(ctx, s.user.ID)
	s.linkedOIDC = len(ids) > 0
	return err
}

// IsLocalAccount reports whether an account was created by an administrator, the command line or the environment, so
// that it may be identified by username or e-mail address and taken over. At a provider, users choose both. An
// account that is already managed was taken over before.
func IsLocalAccount(u *store.User) bool {
	return u != nil && u.Local && (u.Origin != store.OriginOIDC || u.Managed)
}

// isOtherAccount reports whether u is an account other than that of the values.
func (s *state) isOtherAccount(u *store.User) bool {
	return u != nil && (s.user == nil || s.user.ID != u.ID)
}

// maxNames bounds the search for a free name.
const maxNames = 1000

// findName tries base, base-admin, base-admin-2 and so on until a name is free. With take it also stops at an account
// that may be taken over: a local one with the name base, or one that the environment created with a later name. An
// account from a provider keeps its name and is not taken over: its user chose the name. A name that equals an
// account's e-mail address is not free either: sign-in looks for usernames first, so that user could not sign in any
// more, and would send their password to another account.
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
		if take && IsLocalAccount(u) && (i == 0 || u.Origin == store.OriginEnv) {
			return u, nil
		}
	}
	return nil, fmt.Errorf("no username is free for the administrator: choose another %s", v.user.key)
}

// readApplied finds out whether these values were applied by force before.
func (s *state) readApplied(ctx context.Context, r store.Reader, k *computed) error {
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
