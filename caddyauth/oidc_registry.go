package caddyauth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// newOIDC wires the sign-in through providers; nil without any.
func (a *App) newOIDC(logins *login.Service) (*login.OIDC, error) {
	if len(a.opt.providers) == 0 {
		return nil, nil //nolint:nilnil // nothing to sign in through is no mistake
	}
	log := a.log.Named("oidc")
	opts := oidc.Options{Clock: time.Now, Log: log, Groups: a.requiredGroups}
	reg, err := oidc.NewRegistry(a.rt.OIDCPool(log), a.rt.Store, a.opt.providers, opts)
	if err != nil {
		return nil, err
	}
	reserved := []string{"admin"}
	if a.seed != nil {
		reserved = append(reserved, a.seed.Username())
	}
	return login.NewOIDC(logins, reg, reserved), nil
}

// requiredGroups returns the groups that any gate requires or sends, or whose members have to have a second factor.
func (a *App) requiredGroups() []string {
	groups := slices.Clone(a.opt.second.Groups)
	for _, g := range a.gates {
		groups = append(groups, g.SendGroups...)
		for _, r := range g.Require {
			if r.Field == policy.FieldGroup {
				groups = append(groups, r.Values...)
			}
		}
	}
	return groups
}

// providerPages adds the status of the providers to the configuration of the admin pages.
func providerPages(config admin.Config, o *login.OIDC, prefix string) admin.Config {
	if o == nil {
		return config
	}
	config.Providers = func() []api.ProviderStatus {
		var list []api.ProviderStatus
		for _, s := range o.Registry.Status() {
			list = append(list, providerStatus(s, prefix))
		}
		return list
	}
	config.CheckProvider = func(ctx context.Context, name string) error {
		s, err := o.Registry.Check(ctx, name)
		switch {
		case err != nil:
			return err
		case s.Problem != "":
			return errors.New(s.Problem)
		case s.KeyProblem != "":
			return errors.New(s.KeyProblem)
		case s.Misconfigured:
			return errors.New(s.LastError)
		}
		return nil
	}
	return config
}

// providerStatus returns a status as the admin pages show it. The callback is on whatever site the pages are shown on.
func providerStatus(s oidc.Status, prefix string) api.ProviderStatus {
	out := api.ProviderStatus{
		Name: s.Name, Label: s.Label, Issuer: s.Issuer, Scopes: s.Scopes,
		RedirectURI: prefix + "/oidc/" + s.Name + "/callback",
		Down:        s.Problem != "" || s.KeyProblem != "" || s.Misconfigured, Misconfigured: s.Misconfigured,
		Note: s.KeyNote, DiscoveredAt: s.DiscoveredAt, KeysAt: s.KeysRead, Keys: s.Keys, Skew: s.Skew,
		LastSuccess: s.LastSuccess, LastError: s.LastError, LastErrorAt: s.LastFailure,
		LogoutError: s.LogoutError, LogoutErrorAt: s.LogoutRefused,
	}
	switch {
	case s.Problem != "":
		out.LastError, out.LastErrorAt = s.Problem, s.CheckedAt
	case s.KeyProblem != "":
		out.LastError, out.LastErrorAt = s.KeyProblem, s.KeysFailed
	}
	return out
}
