package caddyauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
)

// check checks what Validate does not see: how it was written.
func (p *TokenIssuerConfig) check() error {
	if !slices.Contains([]string{"", typeAny, typeAccess}, p.Type) {
		return fmt.Errorf("token_issuer %s: type: %q; use any or at+jwt", p.Name, p.Type)
	}
	if !isAddress(p.JWKS) && strings.Contains(p.JWKS, "://") {
		return fmt.Errorf("token_issuer %s: jwks: is neither an https address nor a file", p.Name)
	}
	lists := map[string][]string{"sign_alg": p.SignAlgs, "audience": p.Audiences}
	for _, r := range p.As {
		for _, c := range r.Claims {
			if err := repeated(fmt.Sprintf("token_issuer %s: claim %s", p.Name, c.Path), c.Values, same); err != nil {
				return err
			}
		}
	}
	for option, values := range lists {
		if err := repeated("token_issuer "+p.Name+": "+option, values, same); err != nil {
			return err
		}
	}
	return nil
}

func isAddress(s string) bool {
	lower := strings.ToLower(s)
	return strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://")
}

// literal returns the configuration as far as it needs no environment and no files.
func (p *TokenIssuerConfig) literal() machine.Issuer {
	c := machine.Issuer{
		Name: p.Name, Issuer: p.Issuer, Audiences: slices.Clone(p.Audiences), SignAlgs: p.SignAlgs,
		AccessToken: p.Type == typeAccess, MaxAge: time.Duration(p.MaxAge), Insecure: p.InsecureHTTP,
	}
	if isAddress(p.JWKS) {
		c.KeysURL = p.JWKS
	}
	for _, r := range p.As {
		rule := machine.Rule{Account: r.Account}
		for _, claim := range r.Claims {
			rule.Claims = append(rule.Claims, machine.Claim{Path: claim.Path, Values: slices.Clone(claim.Values)})
		}
		c.Rules = append(c.Rules, rule)
	}
	return c
}

// optionText is a value of an option that may hold placeholders.
type optionText struct {
	option string
	value  *string
}

// texts are those of c.
func (p *TokenIssuerConfig) texts(c *machine.Issuer) []optionText {
	list := []optionText{{"issuer", &c.Issuer}}
	for i := range c.Audiences {
		list = append(list, optionText{"audience", &c.Audiences[i]})
	}
	for _, r := range c.Rules {
		for _, claim := range r.Claims {
			for i := range claim.Values {
				list = append(list, optionText{"claim " + claim.Path, &claim.Values[i]})
			}
		}
	}
	return list
}

// example returns the configuration with a good value for each placeholder.
func (p *TokenIssuerConfig) example() machine.Issuer {
	c := p.literal()
	for _, text := range p.texts(&c) {
		if strings.Contains(*text.value, "{") {
			*text.value = exampleIssuer
		}
	}
	if strings.Contains(c.KeysURL, "{") {
		c.KeysURL = exampleIssuer
	}
	return c
}

// resolve returns the configuration with placeholders replaced and the keys of a file read.
func (p *TokenIssuerConfig) resolve() (machine.Issuer, error) {
	c := p.literal()
	for _, text := range p.texts(&c) {
		if *text.value == "" {
			continue // Validate returns the error
		}
		option := "token_issuer " + p.Name + " " + text.option
		s, err := placeholder(option, *text.value)
		if err == nil {
			s, err = readCredential(option, s)
		}
		if err != nil {
			return c, err
		}
		*text.value = s
	}
	err := p.resolveKeys(&c)
	return c, err
}

// resolveKeys finds out whether the keys are at an address or in a file, which is read.
func (p *TokenIssuerConfig) resolveKeys(c *machine.Issuer) error {
	c.KeysURL = ""
	if p.JWKS == "" {
		return nil
	}
	option := "token_issuer " + p.Name + " jwks"
	source, err := placeholder(option, p.JWKS)
	switch {
	case err != nil:
		return err
	case isAddress(source):
		c.KeysURL = source
		return nil
	case strings.Contains(source, "://"):
		return fmt.Errorf("%s: is neither an https address nor a file", option)
	}
	if c.Keys, err = readFile(option, p.JWKS, maxKeyFile); err == nil && len(c.Keys) == 0 {
		return fmt.Errorf("%s: the file is empty", option)
	}
	return err
}

// resolveTokenIssuers replaces placeholders, reads files and checks every issuer. It sends no request to any of them.
func resolveTokenIssuers(a *App, o *options) error {
	var clients []machine.Client
	for i := range o.providers {
		clients = append(clients, machine.Client{Issuer: o.providers[i].Issuer, ID: o.providers[i].ClientID})
	}
	for _, p := range a.TokenIssuers {
		if p == nil {
			return errors.New("token_issuer: an issuer is null")
		}
		c, err := p.resolve()
		if err != nil {
			return err
		}
		if err := c.Validate(); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return err
		}
		o.issuers = append(o.issuers, c)
	}
	o.clients = clients
	return machine.Check(o.issuers, clients)
}

func tokenIssuerSettings(a *App, s *settings) {
	const section = "token_issuer"
	for _, p := range a.TokenIssuers {
		s.add(section, p.Name, p.Issuer, false)
		row := func(option, value string) {
			if value != "" {
				s.add(section, p.Name+" "+option, value, false)
			}
		}
		row("audience", strings.Join(p.Audiences, " "))
		row("jwks", p.JWKS)
		row("sign_alg", strings.Join(p.SignAlgs, " "))
		row("type", p.Type)
		if p.MaxAge > 0 {
			row("max_age", span(time.Duration(p.MaxAge)))
		}
		if p.InsecureHTTP {
			row("insecure_http", switchOn)
		}
		for _, r := range p.As {
			var claims []string
			for _, c := range r.Claims {
				claims = append(claims, "claim "+c.Path+" "+strings.Join(c.Values, " "))
			}
			row("as "+r.Account, strings.Join(claims, "; "))
		}
	}
}

// warnOfTokenIssuers warns of rules that strangers satisfy.
func (a *App) warnOfTokenIssuers() error {
	for i := range a.opt.issuers {
		c := &a.opt.issuers[i]
		for _, text := range c.Warnings() {
			if err := a.warn("gatehouse > token_issuer "+c.Name, text); err != nil {
				return err
			}
		}
	}
	return nil
}
