package caddyauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// Values that stand for what only the server's environment, or a later line, tells.
const (
	someIssuer = "https://placeholder.example"
	someID     = "placeholder"
	someSecret = "a placeholder that is long enough for every use"
)

// judgeLine checks what is wrong with the lines so far whatever may follow, so that the error has the line that it is
// about: the ones before were judged already.
func (p *ProviderConfig) judgeLine() error {
	if p.ClientSecret != "" && p.ClientSecretFile != "" {
		return fmt.Errorf("oidc %s: client_secret and client_secret_file contradict each other; give one", p.Name)
	}
	c := p.standIn()
	if c.Issuer == "" {
		c.Issuer = someIssuer
	}
	if c.ClientID == "" {
		c.ClientID = someID
	}
	c.Secret, c.Key, c.Insecure = "", nil, true
	switch c.Method {
	case oidc.KeyJWT:
		c.Key = &oidc.Key{}
	case oidc.NoSecret: // neither
	default:
		c.Secret = someSecret
	}
	if err := c.Validate(); err != nil {
		return err
	}
	return p.checkRepeats()
}

// judge checks what does not need the server's environment, of the whole block.
func (p *ProviderConfig) judge() error {
	c := p.standIn()
	return c.Validate()
}

// standIn returns the configuration with a good value for each placeholder and file.
func (p *ProviderConfig) standIn() oidc.Config {
	c := p.plain()
	c.Secret = p.ClientSecret
	for s, good := range map[*string]string{&c.Issuer: someIssuer, &c.ClientID: someID, &c.Secret: someSecret} {
		if strings.Contains(*s, "{") {
			*s = good
		}
	}
	if p.ClientSecretFile != "" {
		c.Secret = someSecret
	}
	if p.ClientKey != "" {
		c.Key = &oidc.Key{}
	}
	return c
}

// blame returns the line that an error of the whole block is about, when no line is wrong by itself: the last of those
// that do not go together, or the one that begins the block where something is missing.
func (p *ProviderConfig) blame(begin caddyfile.Dispenser, lines []caddyfile.Dispenser) *caddyfile.Dispenser {
	candidates := []string{"client_secret", "client_secret_file", "auth_method", "client_key"}
	switch {
	case p.Issuer == "":
		return &begin
	case strings.HasPrefix(p.Issuer, "http:") && !p.InsecureHTTP:
		candidates = []string{"issuer"}
	case p.ClientID == "":
		return &begin
	}
	for _, line := range slices.Backward(lines) {
		if slices.Contains(candidates, line.Val()) {
			return &line
		}
	}
	return &begin
}

// checkRepeats refuses lists that hold a value twice.
func (p *ProviderConfig) checkRepeats() error {
	allowed := make(map[string][]string)
	for _, a := range p.Allow {
		allowed[a.Field] = append(allowed[a.Field], a.Values...)
	}
	for _, list := range []struct {
		option string
		values []string
		key    func(string) string
	}{
		{"sign_alg", p.SignAlgs, same}, {"scopes", p.Scopes, same}, {"admin_group", p.AdminGroups, same},
		{"allow email", allowed["email"], identifier.FoldMail}, {"allow domain", allowed["domain"], identifier.FoldMail},
		{"allow group", allowed["group"], same}, {"allow subject", allowed["subject"], same},
	} {
		if err := repeated("oidc "+p.Name+": "+list.option, list.values, list.key); err != nil {
			return err
		}
	}
	return nil
}
