package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// findOrCreateUser finds or creates the account for claims and updates it, in one transaction. The account is found by
// issuer and subject only (OpenID Connect Core 1.0, section 5.7), never by name or e-mail, unless the operator has
// configured link verified_email.
//
// link means that the identity is not linked to the account yet: somebody who has the address at the provider has to
// pass the second step first, see [SignInOptions].Link.
func (o *OIDC) findOrCreateUser(ctx context.Context, c Client, cfg *oidc.Config, p *oidc.Claims,
	out *SignInResult,
) (u store.User, link bool, err error) {
	var local store.User
	err = o.Service.Store.Change(ctx, func(tx store.Tx) error {
		*out = SignInResult{Purpose: out.Purpose, ReturnTo: out.ReturnTo}
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		switch {
		case err == nil:
			u, err = o.updateKnownUser(ctx, tx, c, cfg, p, id)
			return err
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if local, err = localUserByEmail(ctx, tx, p); err != nil {
			return err
		}
		linkable, err := mayLinkByEmail(ctx, tx, p, local)
		if err != nil {
			return err
		}
		if linkable && cfg.Link == oidc.LinkVerifiedEmail {
			if u, err = o.linkByEmail(ctx, tx, c, cfg, p, local); err == nil && o.asksBeforeLink(cfg, p, u) {
				err = errLinkLater
			}
			return err
		}
		out.AccountCreated, out.LocalAccountExists = true, local.ID != ""
		u, err = o.create(ctx, tx, c, cfg, p)
		return err
	})
	if link = errors.Is(err, errLinkLater); link {
		u, err = local, nil
	}
	switch {
	case err != nil:
		return store.User{}, false, err
	case u.Pending || !u.Active: // just created: the account stays and waits for activation
		return store.User{}, false, errInactive(u.Pending)
	}
	return u, link, nil
}

// updateKnownUser updates the account of a known identity.
func (o *OIDC) updateKnownUser(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, p *oidc.Claims,
	id store.Identity,
) (store.User, error) {
	u, err := tx.User(ctx, id.UserID)
	if err != nil {
		return u, err
	}
	if !u.Active || u.Pending {
		return u, errInactive(u.Pending) // a provider cannot override it
	}
	if u, err = o.applyClaims(ctx, tx, c, cfg, p, u, true); err != nil {
		return u, err
	}
	id = o.identity(p, u.ID)
	if err := tx.UpdateIdentity(ctx, id); err != nil {
		return u, err
	}
	return u, renewTokens(ctx, tx, id, p)
}

func (o *OIDC) identity(p *oidc.Claims, userID string) store.Identity {
	now := o.Service.Clock().UTC()
	return store.Identity{
		Issuer: p.Issuer, Subject: p.Subject, UserID: userID, Provider: p.Provider, Email: p.Email.String(), Name: p.Name,
		Groups: p.Groups.Strings(), CreatedAt: now, LastLoginAt: now,
	}
}

// localUserByEmail returns the local account with the same e-mail, or the zero User. Both sides have to be verified,
// the claim by the provider and the account's address by an administrator or the deployment: otherwise an attacker
// could create an account with the address and wait for its owner (pre-hijacking).
func localUserByEmail(ctx context.Context, tx store.Tx, p *oidc.Claims) (store.User, error) {
	if p.Email.IsZero() || !p.EmailVerified {
		return store.User{}, nil
	}
	u, err := tx.UserByLocalEmail(ctx, p.Email.String())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.User{}, nil
	case err != nil:
		return store.User{}, err
	case !u.EmailVerified || !p.Email.Is(u.Email):
		return store.User{}, nil
	}
	return u, nil
}

// mayLinkByEmail reports whether an identity may be linked to the account with the same e-mail. Not if the account has
// an identity of the same issuer already: the same address with another subject is a recycled address of a different
// user.
func mayLinkByEmail(ctx context.Context, tx store.Tx, p *oidc.Claims, local store.User) (bool, error) {
	if local.ID == "" {
		return false, nil
	}
	ids, err := tx.Identities(ctx, local.ID)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(ids, func(id store.Identity) bool { return id.Issuer == p.Issuer }), nil
}

// linkByEmail links an identity to the local account with the same verified e-mail.
func (o *OIDC) linkByEmail(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, p *oidc.Claims,
	u store.User,
) (store.User, error) {
	if !u.Active || u.Pending {
		return u, errInactive(u.Pending) // no new account either: it would undo the deactivation
	}
	if err := tx.CreateIdentity(ctx, o.identity(p, u.ID)); err != nil {
		return u, err
	}
	e := providerEvent(cfg, "identity.link", u)
	e.Details["reason"], e.Details["subject"] = "the same verified e-mail", oidc.Clean(p.Subject, 80)
	if err := tx.AddEvent(ctx, c.stamp(e, o.Service.Clock())); err != nil {
		return u, err
	}
	return o.applyClaims(ctx, tx, c, cfg, p, u, true)
}

func providerEvent(cfg *oidc.Config, action string, u store.User) store.Event {
	return store.Event{
		Actor: byProvider(cfg.Name), Action: action, TargetID: u.ID, Target: u.Username, Outcome: store.Success,
		Details: map[string]string{"provider": cfg.Name},
	}
}

// create creates an account for an unknown identity.
func (o *OIDC) create(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config,
	p *oidc.Claims,
) (store.User, error) {
	if cfg.Create == oidc.CreateDeny {
		return store.User{}, &oidc.Error{Kind: oidc.Unknown, Reason: "no account has this identity, and create is deny"}
	}
	name, err := o.freeUsername(ctx, tx, p)
	if err != nil {
		return store.User{}, err
	}
	now := o.Service.Clock().UTC()
	pending := cfg.Create == oidc.CreatePending
	u := store.User{
		ID: store.NewID(now), Username: name, Email: p.Email.String(), EmailVerified: p.EmailVerified, Name: p.Name,
		Role: store.RoleUser, Groups: p.Groups.Strings(), ProvidedGroups: p.Groups.Strings(), Active: !pending,
		Pending: pending, Origin: store.OriginOIDC,
		CreatedAt: now, UpdatedAt: now,
	}
	if cfg.IsAdmin(p) {
		u.Role, u.RoleProvided = store.RoleAdmin, true
	}
	if err := tx.CreateUser(ctx, u); err != nil {
		return u, err
	}
	if err := tx.CreateIdentity(ctx, o.identity(p, u.ID)); err != nil {
		return u, err
	}
	e := providerEvent(cfg, "user.create", u)
	e.Details["subject"], e.Details["role"] = oidc.Clean(p.Subject, 80), string(u.Role)
	e.Details["pending"] = strconv.FormatBool(pending)
	e.Details["groups"] = oidc.Clean(identifier.JoinGroups(u.Groups, ","), 500)
	if err := tx.AddEvent(ctx, c.stamp(e, now)); err != nil {
		return u, err
	}
	return tx.User(ctx, u.ID)
}

// freeUsername returns a username that is not taken, was not another user's before (the app may still know them by it),
// is no local account's e-mail (its owner's sign-ins would reach this account), and is not reserved.
func (o *OIDC) freeUsername(ctx context.Context, tx store.Tx, p *oidc.Claims) (string, error) {
	wish := p.Username
	for n := 1; n <= 1000; n++ {
		name := wish
		if n > 1 {
			name = identifier.WithSuffix(wish, "-"+strconv.Itoa(n))
		}
		free, err := o.isUsernameFree(ctx, tx, p, name)
		if err != nil {
			return "", err
		}
		if free {
			return name, nil
		}
	}
	return "user-" + strings.ToLower(store.NewID(o.Service.Clock())), nil
}

func (o *OIDC) isUsernameFree(ctx context.Context, tx store.Tx, p *oidc.Claims, name string) (bool, error) {
	folded := store.FoldName(name)
	if slices.ContainsFunc(o.Reserved, func(r string) bool { return store.FoldName(r) == folded }) {
		return false, nil
	}
	if _, err := tx.UserByUsername(ctx, name); !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	if _, err := tx.UserByLocalEmail(ctx, name); !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	former, err := tx.FormerName(ctx, name, p.Issuer, p.Subject)
	return !former, err
}

// applyClaims updates an account from claims. The name and e-mail of an account with a password, and groups that were
// granted here, are not changed.
func (o *OIDC) applyClaims(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, p *oidc.Claims, u store.User,
	roles bool,
) (store.User, error) {
	after := u
	others, err := otherGroups(ctx, tx, u.ID, p.Issuer, p.Subject)
	if err != nil {
		return u, err
	}
	setProvidedGroups(&after, slices.Concat(others, p.Groups.Strings()))
	if !u.Local {
		after.Email, after.EmailVerified = p.Email.String(), p.EmailVerified
		if p.Name != "" {
			after.Name = p.Name
		}
	}
	if roles {
		if after.Role, after.RoleProvided, err = o.roleFor(ctx, tx, c, cfg, u, cfg.IsAdmin(p)); err != nil {
			return u, err
		}
	}
	return o.saveUser(ctx, tx, c, cfg, u, after)
}

// saveUser writes and audits the changes, if there are any.
func (o *OIDC) saveUser(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config,
	u, after store.User,
) (store.User, error) {
	details := userChanges(u, after)
	provenance := after.RoleProvided != u.RoleProvided || !slices.Equal(after.ProvidedGroups, u.ProvidedGroups)
	if len(details) == 0 && !provenance {
		return u, nil
	}
	after.UpdatedAt = o.Service.Clock().UTC()
	stored, err := tx.UpdateUser(ctx, after)
	if err != nil || len(details) == 0 {
		return stored, err
	}
	e := providerEvent(cfg, "user.update", u)
	for k, v := range details {
		e.Details[k] = v
	}
	return stored, tx.AddEvent(ctx, c.stamp(e, after.UpdatedAt))
}

// userChanges returns old and new values of the changed fields, for the audit log.
func userChanges(u, after store.User) map[string]string {
	d := make(map[string]string)
	for _, f := range []struct{ name, from, to string }{
		{"email", u.Email, after.Email},
		{"name", u.Name, after.Name},
		{"role", string(u.Role), string(after.Role)},
		{"groups", identifier.JoinGroups(u.Groups, ","), identifier.JoinGroups(after.Groups, ",")},
		{"email_verified", strconv.FormatBool(u.EmailVerified), strconv.FormatBool(after.EmailVerified)},
	} {
		if f.from != f.to {
			d[f.name] = oidc.Clean(f.from, 500) + " → " + oidc.Clean(f.to, 500)
		}
	}
	return d
}

// otherGroups returns the groups of a user's other identities.
func otherGroups(ctx context.Context, tx store.Tx, userID, issuer, subject string) ([]string, error) {
	ids, err := tx.Identities(ctx, userID)
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, id := range ids {
		if id.Issuer != issuer || id.Subject != subject {
			groups = append(groups, id.Groups...)
		}
	}
	return groups, nil
}

// roleFor returns the role according to the provider's groups, and whether the provider gives it. A role that was
// granted here, and the deployment's root, are not changed. The store enforces the last-admin rule; the check here
// keeps a sign-in from removing the last administrator, after which the set-up link would open again.
func (o *OIDC) roleFor(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, u store.User,
	admin bool,
) (role store.Role, provided bool, err error) {
	switch {
	case u.Managed || u.RoleGranted || (len(cfg.AdminGroups) == 0 && u.Origin != store.OriginOIDC && !u.RoleProvided):
		return u.Role, u.RoleProvided, nil
	case admin:
		return store.RoleAdmin, u.RoleProvided || u.Role != store.RoleAdmin, nil
	case !u.IsActiveAdmin():
		return store.RoleUser, false, nil
	}
	admins, err := tx.ActiveAdmins(ctx, 100)
	if err != nil {
		return u.Role, u.RoleProvided, err
	}
	if len(admins) > 1 && (u.RoleProvided ||
		slices.ContainsFunc(admins, func(a store.User) bool { return a.ID != u.ID && !a.RoleProvided })) {
		return store.RoleUser, false, nil
	}
	o.Service.Log.Warn(
		"the only active administrator is no longer in an admin_group: role kept; "+
			"grant another administrator here: caddy gatehouse user set-role",
		zap.String("user", u.Username), zap.String("provider", cfg.Name))
	e := providerEvent(cfg, "user.update", u)
	e.Outcome, e.Details["reason"] = store.Denied, "last-admin"
	return u.Role, u.RoleProvided, tx.AddEvent(ctx, c.stamp(e, o.Service.Clock()))
}

// linkIdentity links an identity to the account of the signed-in user who began the flow.
func (o *OIDC) linkIdentity(ctx context.Context, c Client, cfg *oidc.Config, p *oidc.Claims, live *session.Live) error {
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		s, u, err := tx.Session(ctx, live.Session.ID)
		if errors.Is(err, store.ErrNotFound) || (err == nil && (s.Epoch != u.Epoch || !u.Active || u.Pending)) {
			return &oidc.Error{Kind: oidc.Expired, Reason: "the session that began the flow has ended"}
		}
		if err != nil {
			return err
		}
		// Checked again: freshness was checked when the flow began, up to oidc.FlowTTL ago.
		if age := o.Service.Clock().Sub(s.AuthAt); age > linkWindow {
			return &oidc.Error{Kind: oidc.Expired, Reason: "the user's last authentication is too long ago"}
		}
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		switch {
		case err == nil && id.UserID != u.ID:
			return &oidc.Error{Kind: oidc.LinkTaken, Reason: "the identity is linked to another account"}
		case err == nil: // already linked
			return renewTokens(ctx, tx, o.identity(p, u.ID), p)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if err := tx.CreateIdentity(ctx, o.identity(p, u.ID)); err != nil {
			return err
		}
		e := providerEvent(cfg, "identity.link", u)
		e.ActorID, e.Actor, e.Details["subject"] = u.ID, u.Username, oidc.Clean(p.Subject, 80)
		if err := tx.AddEvent(ctx, c.stamp(e, o.Service.Clock())); err != nil {
			return err
		}
		_, err = o.applyClaims(ctx, tx, c, cfg, p, u, false)
		return err
	})
	if err != nil {
		return fmt.Errorf("linking: %w", err)
	}
	return nil
}

// linkWindow is how long after a sign-in or step-up an identity can be linked: 10 minutes to begin the flow, and its
// lifetime.
const linkWindow = 10*time.Minute + oidc.FlowTTL
