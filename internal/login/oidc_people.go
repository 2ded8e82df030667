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

// findOrCreateUser finds or makes the account of a person, and brings it up to date, in one transaction. The identity is issuer
// and subject (OpenID Connect Core 1.0, section 5.7): no name and no e-mail makes anybody somebody else, unless the
// operator asked for link verified_email.
func (o *OIDC) findOrCreateUser(ctx context.Context, c Client, cfg *oidc.Config, p *oidc.Person, out *Arrival) (store.User, error) {
	var u store.User
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		*out = Arrival{Purpose: out.Purpose, ReturnTo: out.ReturnTo}
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		switch {
		case err == nil:
			u, err = o.updateKnownUser(ctx, tx, c, cfg, p, id)
			return err
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		local, err := localUserByEmail(ctx, tx, p)
		if err != nil {
			return err
		}
		linkable, err := mayLinkByEmail(ctx, tx, p, local)
		if err != nil {
			return err
		}
		if linkable && cfg.Link == oidc.LinkVerifiedEmail {
			u, err = o.linkByEmail(ctx, tx, c, cfg, p, local)
			return err
		}
		out.Made, out.Twin = true, local.ID != ""
		u, err = o.create(ctx, tx, c, cfg, p)
		return err
	})
	switch {
	case err != nil:
		return store.User{}, err
	case u.Pending || !u.Active: // made just now: the account stays, the person waits
		return store.User{}, inactiveError(u.Pending)
	}
	return u, nil
}

// updateKnownUser brings the account of somebody known up to date.
func (o *OIDC) updateKnownUser(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, p *oidc.Person, id store.Identity) (store.User, error) {
	u, err := tx.User(ctx, id.UserID)
	if err != nil {
		return u, err
	}
	if !u.Active || u.Pending {
		return u, inactiveError(u.Pending) // whatever the provider says
	}
	if u, err = o.applyClaims(ctx, tx, c, cfg, p, u, true); err != nil {
		return u, err
	}
	return u, tx.UpdateIdentity(ctx, o.identity(p, u.ID))
}

func (o *OIDC) identity(p *oidc.Person, userID string) store.Identity {
	now := o.Service.Clock().UTC()
	return store.Identity{
		Issuer: p.Issuer, Subject: p.Subject, UserID: userID, Provider: p.Provider, Email: p.Email.String(), Name: p.Name,
		Groups: p.Groups.Strings(), CreatedAt: now, LastLoginAt: now,
	}
}

// localUserByEmail returns the local account with the person's e-mail, the zero User for none. Both sides have to be vouched
// for: the person's by the provider, the account's by an administrator or the deployment, or somebody could wait
// for the owner of an address in an account made with it (pre-hijacking).
func localUserByEmail(ctx context.Context, tx store.Tx, p *oidc.Person) (store.User, error) {
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

// mayLinkByEmail reports whether a person may be joined to the account with the same e-mail. One that somebody of that issuer has
// is theirs: whoever comes with the address and another subject is somebody else, who was given a recycled address.
func mayLinkByEmail(ctx context.Context, tx store.Tx, p *oidc.Person, local store.User) (bool, error) {
	if local.ID == "" {
		return false, nil
	}
	ids, err := tx.Identities(ctx, local.ID)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(ids, func(id store.Identity) bool { return id.Issuer == p.Issuer }), nil
}

// linkByEmail links a person to the local account with the same verified e-mail.
func (o *OIDC) linkByEmail(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, p *oidc.Person, u store.User) (store.User, error) {
	if !u.Active || u.Pending {
		return u, inactiveError(u.Pending) // no new account beside a deactivated one: that would undo it
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

// create makes an account for somebody unknown.
func (o *OIDC) create(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, p *oidc.Person) (store.User, error) {
	if cfg.Create == oidc.CreateDeny {
		return store.User{}, &oidc.Error{Kind: oidc.Unknown, Reason: "nobody here has this identity, and create is deny"}
	}
	name, err := o.freeUsername(ctx, tx, p)
	if err != nil {
		return store.User{}, err
	}
	now := o.Service.Clock().UTC()
	pending := cfg.Create == oidc.CreatePending
	u := store.User{
		ID: store.NewID(now), Username: name, Email: p.Email.String(), EmailVerified: p.EmailVerified, Name: p.Name,
		Role: store.RoleUser, Groups: p.Groups.Strings(), ProvidedGroups: p.Groups.Strings(), Active: !pending, Pending: pending, Origin: store.OriginOIDC,
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
	e.Details["pending"], e.Details["groups"] = strconv.FormatBool(pending), oidc.Clean(identifier.JoinGroups(u.Groups, ","), 500)
	if err := tx.AddEvent(ctx, c.stamp(e, now)); err != nil {
		return u, err
	}
	return tx.User(ctx, u.ID)
}

// freeUsername returns a username that is nobody's, and was nobody else's (the app may know them by it still), no local
// account's e-mail (its owner's sign-ins would be taken for this account's), and not reserved.
func (o *OIDC) freeUsername(ctx context.Context, tx store.Tx, p *oidc.Person) (string, error) {
	wish := p.Username
	for n := 1; n <= 1000; n++ {
		name := wish
		if n > 1 {
			name = identifier.Suffixed(wish, "-"+strconv.Itoa(n))
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

func (o *OIDC) isUsernameFree(ctx context.Context, tx store.Tx, p *oidc.Person, name string) (bool, error) {
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

// applyClaims brings an account up to date with what the provider says. Name and e-mail of an account with a password are its
// own; groups that were given here stay.
func (o *OIDC) applyClaims(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, p *oidc.Person, u store.User, roles bool) (store.User, error) {
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

// saveUser writes what differs, if anything does.
func (o *OIDC) saveUser(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, u, after store.User) (store.User, error) {
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

// userChanges answers before and after of what differs, for the audit log.
func userChanges(u, after store.User) map[string]string {
	d := make(map[string]string)
	for _, f := range []struct{ name, from, to string }{
		{"email", u.Email, after.Email}, {"name", u.Name, after.Name}, {"role", string(u.Role), string(after.Role)},
		{"groups", identifier.JoinGroups(u.Groups, ","), identifier.JoinGroups(after.Groups, ",")},
		{"email_verified", strconv.FormatBool(u.EmailVerified), strconv.FormatBool(after.EmailVerified)},
	} {
		if f.from != f.to {
			d[f.name] = oidc.Clean(f.from, 500) + " → " + oidc.Clean(f.to, 500)
		}
	}
	return d
}

// otherGroups returns the groups that a user's other identities give.
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

// roleFor returns the role that the provider's groups give, and whether it is theirs. One that was given here stays, so does
// the deployment's root. The last-admin rule is the store's; here is only seen to it that nobody's sign-in leaves a store
// behind that has no administrator at all, and so waits for a first one.
func (o *OIDC) roleFor(ctx context.Context, tx store.Tx, c Client, cfg *oidc.Config, u store.User, admin bool) (role store.Role, provided bool, err error) {
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
	if len(admins) > 1 && (u.RoleProvided || slices.ContainsFunc(admins, func(a store.User) bool { return a.ID != u.ID && !a.RoleProvided })) {
		return store.RoleUser, false, nil
	}
	o.Service.Log.Warn("the only active administrator is no longer in a group that makes administrators; make another one here: caddy gatehouse user set-role",
		zap.String("user", u.Username), zap.String("provider", cfg.Name))
	e := providerEvent(cfg, "user.update", u)
	e.Outcome, e.Details["reason"] = store.Denied, "last-admin"
	return u.Role, u.RoleProvided, tx.AddEvent(ctx, c.stamp(e, o.Service.Clock()))
}

// linkIdentity joins an identity to the account of the person who is signed in and asked for it.
func (o *OIDC) linkIdentity(ctx context.Context, c Client, cfg *oidc.Config, p *oidc.Person, live *session.Live) error {
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		s, u, err := tx.Session(ctx, live.Session.ID)
		if errors.Is(err, store.ErrNotFound) || (err == nil && (s.Epoch != u.Epoch || !u.Active || u.Pending)) {
			return &oidc.Error{Kind: oidc.Expired, Reason: "the session that asked for this has ended"}
		}
		if err != nil {
			return err
		}
		// Who asks was looked at when it began; that may be as long ago as a flow lasts.
		if age := o.Service.Clock().Sub(s.AuthAt); age > linkWindow {
			return &oidc.Error{Kind: oidc.Expired, Reason: "the last sign-in of who asked for this is too long ago"}
		}
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		switch {
		case err == nil && id.UserID != u.ID:
			return &oidc.Error{Kind: oidc.LinkTaken, Reason: "the identity belongs to another account here"}
		case err == nil:
			return nil // linked before
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

// linkWindow is how long after a sign-in, or a confirmation of it, an identity is linked: 10 minutes to ask for it, and the
// life of a flow.
const linkWindow = 10*time.Minute + oidc.FlowLife

// ErrLastWayIn: without this identity the person could not sign in any more.
var ErrLastWayIn = errors.New("this is the only way to sign in to this account")

// Unlink takes an identity from the account of the person who is signed in. Other sessions that began with it end.
// Errors: store.ErrNotFound, [ErrLastWayIn], or technical.
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
		var gone *store.Identity
		ways := 0
		if u.PasswordHash != "" {
			ways++
		}
		for i, id := range ids {
			if id.Issuer == issuer && id.Subject == subject {
				gone = &ids[i]
			} else if o.Registry.HasIssuer(id.Issuer) { // whatever it was called when it was used last
				ways++
			}
		}
		switch {
		case gone == nil || s.Epoch != u.Epoch:
			return store.ErrNotFound
		case ways == 0:
			return ErrLastWayIn
		}
		return o.unlink(ctx, tx, c, u, *gone, live.Session.ID)
	})
	if err != nil {
		return fmt.Errorf("unlinking: %w", err)
	}
	return nil
}

func (o *OIDC) unlink(ctx context.Context, tx store.Tx, c Client, u store.User, id store.Identity, keep string) error {
	if err := tx.DeleteIdentity(ctx, id.Issuer, id.Subject); err != nil {
		return err
	}
	if err := endOtherIdentitySessions(ctx, tx, u.ID, id, keep, o.Service.Clock()); err != nil {
		return err
	}
	cfg, ok := o.Registry.Config(id.Provider)
	if !ok {
		cfg = &oidc.Config{Name: id.Provider}
	}
	others, err := tx.Identities(ctx, u.ID)
	if err != nil {
		return err
	}
	after := u
	var groups []string
	administers := false
	for _, other := range others {
		groups = append(groups, other.Groups...)
		its, ok := o.Registry.Config(other.Provider)
		administers = administers || ok && its.Issuer == other.Issuer && its.IsAdmin(&oidc.Person{Groups: identifier.ParseGroups(other.Groups)})
	}
	setProvidedGroups(&after, groups)
	if u.RoleProvided && !administers {
		if after.Role, after.RoleProvided, err = o.roleFor(ctx, tx, c, cfg, u, false); err != nil {
			return err
		}
	}
	if _, err := o.saveUser(ctx, tx, c, cfg, u, after); err != nil {
		return err
	}
	e := providerEvent(cfg, "identity.unlink", u)
	e.ActorID, e.Actor, e.Details["subject"] = u.ID, u.Username, oidc.Clean(id.Subject, 80)
	return tx.AddEvent(ctx, c.stamp(e, o.Service.Clock()))
}
