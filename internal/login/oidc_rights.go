package login

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Rights that a provider gives are bound to it. The store has, for each user, the rights that were granted here and
// those of the providers' last claims, distinguished by RoleProvided and ProvidedGroups. Effective rights are computed
// for each session and configuration: those granted here, and those of the claims of this session's provider at its
// sign-in, step-up or last refresh. So a provider's rights do not apply to a session of another sign-in method, and end
// with the identity or when the provider is removed from the configuration, without any clean-up.

// Effective returns the user with the effective rights of the session. A nil o is a configuration without providers.
func (o *OIDC) Effective(s *store.Session, u store.User) store.User {
	u = o.excuse(s, u)
	if s.Provider == "" && !u.RoleProvided && len(u.ProvidedGroups) == 0 {
		return u
	}
	u.Groups = slices.DeleteFunc(slices.Clone(u.Groups),
		func(g string) bool { return slices.Contains(u.ProvidedGroups, g) })
	if u.RoleProvided {
		u.Role = store.RoleUser
	}
	if s.Provider == "" || o == nil {
		return u
	}
	cfg, ok := o.Registry.Config(s.Provider)
	if !ok || cfg.Issuer != s.Issuer {
		return u
	}
	p := oidc.DecodeStoredClaims(s.Claims).Claims(s.Subject)
	u.Groups = union(u.Groups, p.Groups.Strings())
	if !u.RoleGranted && !u.Managed && cfg.IsAdmin(p) {
		u.Role = store.RoleAdmin
	}
	if !u.Local {
		// Address and email_verified are both from this session's claims, even if another session has different ones.
		if !p.Email.IsZero() {
			u.Email = p.Email.String()
		}
		u.EmailVerified = !p.Email.IsZero() && p.EmailVerified
	}
	return u
}

// EmailForApp returns the address to pass on to apps, "" for none. Apps take it for the user's own, and many find their
// accounts by it. So one that only a provider gave, and has not verified, is not passed on unless the configuration
// says so: at many providers people can enter any address. A nil o is a configuration without providers.
func (o *OIDC) EmailForApp(l *session.Live) string {
	u := &l.User
	if u.Local || u.EmailVerified {
		return u.Email
	}
	if o != nil {
		if cfg, ok := o.Registry.Config(l.Session.Provider); ok && cfg.UnverifiedEmail {
			return u.Email
		}
	}
	return ""
}

type providerKey struct{}

// ProviderOf returns the provider that vouches for a session, for rules and headers: "" for a local sign-in, and
// [policy.NoProvider] where the provider does not vouch any more.
func ProviderOf(l *session.Live) string {
	if l.Session.Provider == "" {
		return ""
	}
	compute := func(l *session.Live) any {
		if !oidc.DecodeStoredClaims(l.Session.Claims).Vouched() {
			return policy.NoProvider
		}
		return l.Session.Provider
	}
	return l.Memoize(providerKey{}, compute).(string) //nolint:errcheck // the one above
}

// excuse returns the user of a session without the duty to choose a new password, where there is none: a password that
// is not accepted cannot be changed, and a session that none began owes nothing to it.
func (o *OIDC) excuse(s *store.Session, u store.User) store.User {
	if o != nil && s.Method != MethodLocal && !o.Service.Passwords.Of(u) {
		u.MustChange = false
	}
	return u
}

// withEffectiveUser returns the session with the effective rights of its user, and what this configuration believes to
// have been proved in it.
func (o *OIDC) withEffectiveUser(l *session.Live) *session.Live {
	methods := string(o.Methods(&l.Session))
	if l.Session.Provider == "" && !l.User.RoleProvided && len(l.User.ProvidedGroups) == 0 && !l.User.MustChange &&
		methods == l.Session.Methods {
		return l
	}
	acting := *l
	acting.User, acting.Session.Methods = o.Effective(&l.Session, l.User), methods
	return &acting
}

// union returns groups sorted and without duplicates, nil for none.
func union(lists ...[]string) []string {
	out := slices.Concat(lists...)
	if len(out) == 0 {
		return nil
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// setProvidedGroups replaces the groups that come from providers. Groups that were granted here stay.
func setProvidedGroups(u *store.User, groups []string) {
	own := slices.DeleteFunc(slices.Clone(u.Groups), func(g string) bool { return slices.Contains(u.ProvidedGroups, g) })
	provided := slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return slices.Contains(own, g) })
	u.Groups, u.ProvidedGroups = union(own, provided), union(provided)
}
