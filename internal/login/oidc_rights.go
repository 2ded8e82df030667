package login

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Rights that a provider gives are bound to it. What the store keeps of a user is what was given here and what providers
// said last, told apart by RoleProvided and ProvidedGroups; what a person may do is worked out anew for each session and
// configuration: what was given here, and what the provider of this session said at its own sign-in, confirmation or last
// refresh. So they end with a sign-in in another way, with the identity, and with the provider's lines in the
// configuration, and nothing has to be tidied up for that.

// Effective returns the user as the session may act. A nil o is a configuration without any provider.
func (o *OIDC) Effective(s *store.Session, u store.User) store.User {
	if s.Provider == "" && !u.RoleProvided && len(u.ProvidedGroups) == 0 {
		return u
	}
	u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(g string) bool { return slices.Contains(u.ProvidedGroups, g) })
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
		// The address of now and this session's word on it are one, also where another session has another one.
		if !p.Email.IsZero() {
			u.Email = p.Email.String()
		}
		u.EmailVerified = !p.Email.IsZero() && p.EmailVerified
	}
	return u
}

// withEffectiveUser returns the session with its user as it may act.
func (o *OIDC) withEffectiveUser(l *session.Live) *session.Live {
	if l.Session.Provider == "" && !l.User.RoleProvided && len(l.User.ProvidedGroups) == 0 {
		return l
	}
	acting := *l
	acting.User = o.Effective(&l.Session, l.User)
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

// setProvidedGroups says that these groups come from providers, now: those of before that nobody gave here go, and what was given
// here stays.
func setProvidedGroups(u *store.User, groups []string) {
	own := slices.DeleteFunc(slices.Clone(u.Groups), func(g string) bool { return slices.Contains(u.ProvidedGroups, g) })
	provided := slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return slices.Contains(own, g) })
	u.Groups, u.ProvidedGroups = union(own, provided), union(provided)
}
