package caddyauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// parseEndpoint reads `endpoint <kind> <url>`.
func (p *ProviderConfig) parseEndpoint(d *caddyfile.Dispenser) error {
	var kind, address string
	if !d.AllArgs(&kind, &address) {
		return d.Errf("endpoint takes one of %s, and an address", strings.Join(oidc.EndpointKinds, ", "))
	}
	if p.Endpoints[kind] != "" {
		return d.Errf("endpoint %s is given twice", kind)
	}
	if address == "" {
		return d.Errf("endpoint %s: the value is empty; leave the line out for what the provider's metadata say", kind)
	}
	if p.Endpoints == nil {
		p.Endpoints = make(map[string]string)
	}
	p.Endpoints[kind] = address
	return p.checkLinePlaceholders(d, "endpoint", address)
}

// parseAuthParams reads `auth_params <name>=<value>…`.
func (p *ProviderConfig) parseAuthParams(d *caddyfile.Dispenser) error {
	args, err := someArgs(d)
	if err != nil {
		return err
	}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return d.Errf("auth_params: %q is not <name>=<value>", arg)
		}
		p.AuthParams = append(p.AuthParams, oidc.AuthParam{Name: name, Value: value})
		if err := p.checkLinePlaceholders(d, "auth_params", value); err != nil {
			return err
		}
	}
	return nil
}

// parseSwitch reads `<option> on|off`.
func parseSwitch(d *caddyfile.Dispenser, to *string) (err error) {
	option := d.Val()
	if *to, err = oneArg(d); err != nil {
		return err
	}
	if *to != switchOn && *to != switchOff {
		return d.Errf("%s: %q; use on or off", option, *to)
	}
	return nil
}

// The values of options that are on or off.
const (
	switchOn  = "on"
	switchOff = "off"
)

// checkSwitches refuses other values, which JSON could have.
func (p *ProviderConfig) checkSwitches() error {
	for option, value := range map[string]string{"userinfo": p.Userinfo, "refresh": p.Refresh} {
		if !slices.Contains([]string{"", switchOn, switchOff}, value) {
			return fmt.Errorf("%s: %q; use on or off", option, value)
		}
	}
	return nil
}

// resolveAddresses replaces the placeholders of addresses and parameters.
func (p *ProviderConfig) resolveAddresses(c *oidc.Config) (err error) {
	if p.Discovery != "" {
		if c.Discovery, err = placeholder("discovery", p.Discovery); err != nil {
			return err
		}
	}
	for kind, address := range p.Endpoints {
		if c.Endpoints[kind], err = placeholder("endpoint "+kind, address); err != nil {
			return err
		}
	}
	c.AuthParams = slices.Clone(p.AuthParams)
	for i, param := range c.AuthParams {
		if param.Value == "" {
			continue // refused by its check
		}
		if c.AuthParams[i].Value, err = placeholder("auth_params "+param.Name, param.Value); err != nil {
			return err
		}
	}
	return nil
}

func oidcSettings(a *App, s *settings) {
	for _, p := range a.OIDC {
		s.add("oidc", p.Name, p.issuer(), false)
		row := func(option, value string) {
			if value != "" {
				s.add("oidc", p.Name+" "+option, value, false)
			}
		}
		flag := func(option string, on bool) {
			if on {
				row(option, switchOn)
			}
		}
		row("preset", p.Preset)
		row("discovery", p.Discovery)
		for _, kind := range oidc.EndpointKinds {
			row("endpoint "+kind, p.Endpoints[kind])
		}
		row("userinfo", p.Userinfo)
		row("identity_key", p.IdentityKey)
		for _, param := range p.AuthParams {
			row("auth_params", param.Name+"="+param.Value)
		}
		flag("login_hint", p.LoginHint)
		flag("par", p.PAR)
		row("refresh", p.Refresh)
		row("ca_file", p.CAFile)
		flag("unverified_email", p.UnverifiedEmail)
	}
}

// warnOfProviders warns of what providers are configured to do that may not be meant.
func (a *App) warnOfProviders() error {
	for i := range a.opt.providers {
		c := &a.opt.providers[i]
		for _, text := range c.Warnings() {
			if err := a.warn("gatehouse > oidc "+c.Name, text); err != nil {
				return err
			}
		}
	}
	return nil
}
