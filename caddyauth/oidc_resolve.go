package caddyauth

import (
	"fmt"
	"maps"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// resolve returns the configuration with placeholders replaced and files read.
func (p *ProviderConfig) resolve() (oidc.Config, error) {
	c := p.literal()
	for _, check := range []func() error{p.checkPreset, p.checkSwitches} {
		if err := check(); err != nil {
			return c, fmt.Errorf("oidc %s: %w", p.Name, err)
		}
	}
	for _, v := range []struct {
		option string
		from   string
		to     *string
	}{
		{"issuer", p.issuer(), &c.Issuer},
		{"client_id", p.ClientID, &c.ClientID},
		{"client_secret", p.ClientSecret, &c.Secret},
	} {
		if v.from == "" {
			continue // Validate returns the error
		}
		s, err := placeholder("oidc "+p.Name+" "+v.option, v.from)
		if err == nil {
			s, err = readCredential("oidc "+p.Name+" "+v.option, s)
		}
		if err != nil {
			return c, err
		}
		*v.to = s
	}
	for _, step := range []func(*oidc.Config) error{p.resolveAddresses, p.readSecret, p.readKey, p.readIcon, p.readCA} {
		if err := step(&c); err != nil {
			return c, fmt.Errorf("oidc %s %w", p.Name, err)
		}
	}
	return c, nil
}

// literal returns the configuration as far as it needs no environment and no files.
func (p *ProviderConfig) literal() oidc.Config {
	c := oidc.Config{
		Name: p.Name, Issuer: p.issuer(), ClientID: p.ClientID, Method: oidc.Method(p.AuthMethod), Label: p.label(),
		SignAlgs: p.SignAlgs, Scopes: p.Scopes, Allow: p.Allow, Create: oidc.Create(p.Create), Link: oidc.Link(p.Link),
		AdminGroups: p.AdminGroups, RefreshGrace: time.Duration(p.RefreshGrace), Insecure: p.InsecureHTTP,
		Discovery: p.Discovery, Endpoints: maps.Clone(p.Endpoints), NoUserinfo: p.Userinfo == switchOff,
		IdentityKey: p.IdentityKey, AuthParams: p.AuthParams, LoginHint: p.LoginHint, NoRefresh: p.Refresh == switchOff,
		UnverifiedEmail: p.UnverifiedEmail, Push: p.PAR,
	}
	if p.MFA != nil {
		c.MFA = oidc.MFA{By: oidc.MFAClaim(p.MFA.By), Values: p.MFA.Values}
	}
	if p.StepUp != nil {
		c.StepUpACR = p.StepUp.ACRValues
	}
	if p.Claims != nil {
		c.Claims = oidc.ClaimPaths(*p.Claims)
	}
	return c
}
