package caddyauth

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// providerPages tells the admin pages how the providers are doing.
func providerPages(config admin.Config, o *login.OIDC, prefix string) admin.Config {
	if o == nil {
		return config
	}
	config.Providers = func() []admin.ProviderStatus {
		var list []admin.ProviderStatus
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
		case s.KeyNote != "" && s.Keys == 0:
			return errors.New(s.KeyNote)
		}
		return nil
	}
	return config
}

// providerStatus returns a status as the admin pages show it. The callback is on whatever site the pages are shown on.
func providerStatus(s oidc.Status, prefix string) admin.ProviderStatus {
	out := admin.ProviderStatus{
		Name: s.Name, Label: s.Label, Issuer: s.Issuer, RedirectURI: prefix + "/oidc/" + s.Name + "/callback", Scopes: s.Scopes,
		Down: s.Problem != "", DiscoveredAt: s.DiscoveredAt, KeysAt: s.KeysRead, Keys: s.Keys, Skew: s.Skew,
		LastSuccess: s.LastSuccess, LastError: s.LastError, LastErrorAt: s.LastFailure,
		LogoutError: s.LogoutError, LogoutErrorAt: s.LogoutRefused,
	}
	switch {
	case s.Problem != "":
		out.LastError, out.LastErrorAt = s.Problem, s.CheckedAt
	case s.KeyNote != "":
		out.LastError, out.LastErrorAt = s.KeyNote, s.KeysRead
	}
	return out
}
