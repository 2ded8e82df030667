package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// NewUser holds the fields of a new account. One for a program (Kind) has no password, link or role.
type NewUser struct {
	Kind       store.UserKind // "" means a person
	Username   string
	Email      string     // may be empty
	Name       string     // may be empty
	Role       store.Role // "" means user
	Groups     []string
	Password   string // "" creates a one-time link to set one
	MustChange bool   // Password has to be changed at the first sign-in
	Active     bool
	Expires    time.Duration // of the link; 0 means DefaultLinkTTL
}

// Create creates a local account. Without a password it returns a one-time link, which is shown once and stored hashed.
// A taken name is a *store.ConflictError.
func (s *Service) Create(ctx context.Context, a Actor, n NewUser) (store.User, *IssuedLink, error) {
	u, err := s.newUser(n)
	if err != nil {
		return store.User{}, nil, err
	}
	hash, err := s.hash(ctx, n.Password)
	if err != nil {
		return store.User{}, nil, err
	}
	var link *IssuedLink
	event := store.Event{Action: "user.create", TargetID: u.ID, Target: u.Username}
	err = s.change(ctx, a, event, func(tx store.Tx, e *store.Event) error {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return err
		}
		if err := s.insert(ctx, tx, &u, hash, n.MustChange); err != nil {
			return err
		}
		describeUser(e, "after", u)
		former, err := tx.FormerName(ctx, u.Username, "", "")
		if err != nil {
			return err
		}
		if former { // another account had this name before: recorded for the administrator
			e.Details["former_name"] = "true"
		}
		if u.IsService() {
			return nil
		}
		e.Details["password"] = "set"
		if hash == "" {
			e.Details["password"] = "link"
			if link, err = s.createLink(ctx, tx, a, store.LinkPassword, u.ID, n.Expires, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return store.User{}, nil, err
	}
	return u, link, nil
}

// newUser validates the fields before anything is hashed or written.
func (s *Service) newUser(n NewUser) (store.User, error) {
	if n.Role == "" {
		n.Role = store.RoleUser
	}
	var f fields
	now := s.now()
	u := store.User{
		ID: store.NewID(now), Username: f.username(n.Username), Email: f.email(n.Email), Name: f.name(n.Name),
		Role: f.role(n.Role), RoleGranted: true, Groups: f.groups(n.Groups, nil, nil),
		Active: n.Active, Local: true, Origin: store.OriginLocal, CreatedAt: now, UpdatedAt: now,
	}
	u.EmailVerified = u.Email != ""
	switch n.Kind {
	case "", store.KindPerson:
	case store.KindService:
		return f.service(u, n)
	default:
		f.add("kind", "fault.kind")
	}
	if n.Password != "" {
		if err := f.password(s, "password", n.Password, u); err != nil {
			return store.User{}, err
		}
	} else {
		f.expires(n.Expires)
	}
	return u, f.err()
}

// service returns the new account of a program.
func (f *fields) service(u store.User, n NewUser) (store.User, error) {
	u.Kind, u.Local, u.RoleGranted = store.KindService, false, false
	if u.Role != store.RoleUser {
		f.add("role", "fault.service_role")
	}
	if n.Password != "" {
		f.add("password", "fault.service_password")
	}
	if n.MustChange {
		f.add("must_change", "fault.service_password")
	}
	return u, f.err()
}

// hash returns the hash of a password, "" for none.
func (s *Service) hash(ctx context.Context, pass string) (string, error) {
	if pass == "" {
		return "", nil
	}
	h, err := s.Hasher.Hash(ctx, pass)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return h, nil
}

// insert stores a new user with its password, and reads it back.
func (s *Service) insert(ctx context.Context, tx store.Tx, u *store.User, hash string, mustChange bool) error {
	if err := checkDistinctNames(ctx, tx, *u, true); err != nil {
		return err
	}
	if err := tx.CreateUser(ctx, *u); err != nil {
		return err
	}
	if hash != "" {
		change := store.PasswordChange{Hash: hash, MustChange: mustChange, At: s.now()}
		if err := s.storePassword(ctx, tx, *u, change); err != nil {
			return err
		}
	}
	made, err := tx.User(ctx, u.ID)
	if err != nil {
		return err
	}
	*u = made
	return nil
}

// Patch says what to change about an account; nil fields stay as they are.
type Patch struct {
	Username *string
	Email    *string
	Name     *string
	Role     *store.Role
	// PinRole marks the role as granted here even if it does not change, so that a provider's groups no longer decide it.
	// A role that Patch changes is always marked so.
	PinRole bool
	Groups  *[]string
	Active  *bool  // true also activates a pending user
	Unlink  bool   // unlink all identities, so that they give no access once the account is active again
	Note    string // the administrator's reason, for the audit log; may be empty
	Version int64  // store.ErrStale if the account is no longer at this version; 0: last write wins
}

// Update changes an account and returns the result. Deactivation ends every session of the user for good; a changed
// role or group takes effect on the next request.
func (s *Service) Update(ctx context.Context, a Actor, id string, p Patch) (store.User, error) {
	var out store.User
	err := s.change(ctx, a, store.Event{Action: "user.update", TargetID: id}, func(tx store.Tx, e *store.Event) error {
		var err error
		out, err = s.update(ctx, tx, a, id, p, e)
		return err
	})
	if err != nil {
		return store.User{}, err
	}
	return out, nil
}

func (s *Service) update(
	ctx context.Context, tx store.Tx, a Actor, id string, p Patch, e *store.Event,
) (store.User, error) {
	if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
		return store.User{}, err
	}
	before, err := tx.User(ctx, id)
	if err != nil {
		return store.User{}, err
	}
	setTarget(e, before)
	if p.Version != 0 && p.Version != before.Version {
		return store.User{}, store.ErrStale
	}
	provided, err := providedGroups(ctx, tx, before.ID)
	if err != nil {
		return store.User{}, err
	}
	if err := p.validate(before, provided); err != nil {
		return store.User{}, err
	}
	after := before
	after.Groups = slices.Clone(before.Groups)
	p.apply(&after)
	if err := s.guardPatch(a, before, after); err != nil {
		return store.User{}, err
	}
	if !describeChanges(e, before, after) && !p.Unlink {
		e.Action = ""
		return before, nil
	}
	if p.Note != "" {
		e.Details["note"] = p.Note
	}
	if err := checkDistinctNames(ctx, tx, after, after.Username != before.Username); err != nil {
		return store.User{}, err
	}
	updated, err := s.save(ctx, tx, before, after, e)
	if err != nil || !p.Unlink {
		return updated, err
	}
	if err := s.unlinkAll(ctx, tx, a, e, updated); err != nil {
		return store.User{}, err
	}
	return tx.User(ctx, id)
}

// save stores a changed account. A person who is turned off loses all tokens; a service account's rest meanwhile.
func (s *Service) save(ctx context.Context, tx store.Tx, before, after store.User, e *store.Event) (store.User, error) {
	if before.Active && !after.Active && !after.IsService() {
		if err := login.RevokeTokens(ctx, tx, after, e.Details); err != nil {
			return store.User{}, err
		}
	}
	after.UpdatedAt = s.now()
	return tx.UpdateUser(ctx, after)
}

// validate checks and trims the fields that the patch changes. Unchanged values are not checked: limits may have become
// stricter since, and those for providers differ.
func (p *Patch) validate(before store.User, provided []string) error {
	var f fields
	for _, text := range []struct {
		to    **string
		now   string
		judge func(string) string
	}{{&p.Username, before.Username, f.username}, {&p.Email, before.Email, f.email}, {&p.Name, before.Name, f.name}} {
		if *text.to != nil && **text.to != text.now {
			v := text.judge(**text.to)
			*text.to = &v
		}
	}
	if p.Role != nil {
		if f.role(*p.Role); before.IsService() && *p.Role != store.RoleUser {
			f.add("role", "fault.service_role")
		}
	}
	if p.Groups != nil {
		v := f.groups(*p.Groups, before.Groups, provided)
		p.Groups = &v
	}
	f.note(p.Note)
	return f.err()
}

// providedGroups returns the groups that a user's providers gave.
func providedGroups(ctx context.Context, tx store.Tx, userID string) ([]string, error) {
	ids, err := tx.Identities(ctx, userID)
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, id := range ids {
		groups = append(groups, id.Groups...)
	}
	return groups, nil
}

func (p Patch) apply(u *store.User) {
	if p.Username != nil {
		u.Username = *p.Username
	}
	if p.Email != nil && *p.Email != u.Email {
		u.Email, u.EmailVerified = *p.Email, *p.Email != ""
	}
	if p.Name != nil {
		u.Name = *p.Name
	}
	// Pages send the whole form: an unchanged role does not count as granted here.
	if p.Role != nil && (*p.Role != u.Role || p.PinRole) {
		u.Role, u.RoleGranted = *p.Role, true
	}
	if p.Groups != nil {
		u.Groups = *p.Groups
	}
	if p.Active != nil {
		u.Active = *p.Active
		u.Pending = u.Pending && !*p.Active
	}
}

// Delete removes an account and everything that belongs to it; its audit rows stay.
func (s *Service) Delete(ctx context.Context, a Actor, id string) error {
	return s.DeleteVersion(ctx, a, id, 0)
}

// DeleteVersion is Delete, unless the account is no longer at that version: store.ErrStale then. 0 stands for any.
func (s *Service) DeleteVersion(ctx context.Context, a Actor, id string, version int64) error {
	return s.change(ctx, a, store.Event{Action: "user.delete", TargetID: id}, func(tx store.Tx, e *store.Event) error {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return err
		}
		u, err := tx.User(ctx, id)
		if err != nil {
			return err
		}
		setTarget(e, u)
		if version != 0 && version != u.Version {
			return store.ErrStale
		}
		if u.Managed {
			return s.errManaged("delete")
		}
		if err := refuseSelf(a, u, "refused.self_delete"); err != nil {
			return err
		}
		describeUser(e, "before", u)
		if err := login.RevokeTokens(ctx, tx, u, e.Details); err != nil {
			return err
		}
		return tx.DeleteUser(ctx, id)
	})
}
