package caddyauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// Valid values in place of those that only the server's environment, or a later line, has.
const (
	exampleIssuer = "https://placeholder.example"
	exampleID     = "placeholder"
	exampleSecret = "a placeholder that is long enough for every use"
)

// checkLine refuses what is wrong with the lines so far whatever may follow, so that the error has the line that it is
// about: the ones before were checked already.
func (p *ProviderConfig) checkLine() error {
	if p.ClientSecret != "" && p.ClientSecretFile != "" {
		return fmt.Errorf("oidc %s: client_secret and client_secret_file contradict each other; give one", p.Name)
	}
	for _, check := range []func() error{p.checkPreset, p.checkSwitches} {
		if err := check(); err != nil {
			return fmt.Errorf("oidc %s: %w", p.Name, err)
		}
	}
	c := p.example()
	if c.Issuer == "" {
		c.Issuer = exampleIssuer
	}
	if c.ClientID == "" {
		c.ClientID = exampleID
	}
	c.Secret, c.Key, c.Insecure = "", nil, true
	switch c.Method {
	case oidc.KeyJWT:
		c.Key = &oidc.Key{}
	case oidc.NoSecret: // neither
	default:
		c.Secret = exampleSecret
	}
	if err := c.Validate(); err != nil {
		return err
	}
	return p.checkRepeats()
}

// checkBlock checks what does not need the server's environment, of the whole block.
func (p *ProviderConfig) checkBlock() error {
	c := p.example()
	return c.Validate()
}

// example returns the configuration with a good value for each placeholder and file.
func (p *ProviderConfig) example() oidc.Config {
	c := p.literal()
	c.Secret = p.ClientSecret
	for s, good := range map[*string]string{
		&c.Issuer: exampleIssuer, &c.ClientID: exampleID, &c.Secret: exampleSecret, &c.Discovery: exampleIssuer,
	} {
		if strings.Contains(*s, "{") {
			*s = good
		}
	}
	for kind, address := range c.Endpoints {
		if strings.Contains(address, "{") {
			c.Endpoints[kind] = exampleIssuer
		}
	}
	if p.ClientSecretFile != "" {
		c.Secret = exampleSecret
	}
	if p.ClientKey != "" {
		c.Key = &oidc.Key{}
	}
	return c
}

// errorLine returns the line that an error of the whole block is about, when no line is wrong by itself: the last of
// those that do not go together, or the one that begins the block where something is missing.
func (p *ProviderConfig) errorLine(begin caddyfile.Dispenser, lines []caddyfile.Dispenser) *caddyfile.Dispenser {
	candidates := []string{"client_secret", "client_secret_file", "auth_method", "client_key"}
	switch {
	case p.issuer() == "":
		return &begin
	case strings.HasPrefix(p.issuer(), "http:") && !p.InsecureHTTP:
		candidates = []string{"issuer", "preset"}
	case strings.HasPrefix(p.Discovery, "http:") && !p.InsecureHTTP:
		candidates = []string{"discovery"}
	case p.hasPlainEndpoint() && !p.InsecureHTTP:
		candidates = []string{"endpoint"}
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

// hasPlainEndpoint reports whether an endpoint is at a plain http address.
func (p *ProviderConfig) hasPlainEndpoint() bool {
	for _, address := range p.Endpoints {
		if strings.HasPrefix(address, "http:") {
			return true
		}
	}
	return false
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
		{"sign_alg", p.SignAlgs, same},
		{"mfa", p.mfaValues(), same},
		{"step_up acr_values", p.stepUpACR(), same},
		{"scopes", p.Scopes, same},
		{"admin_group", p.AdminGroups, same},
		{"allow email", allowed["email"], identifier.FoldEmail},
		{"allow domain", allowed["domain"], identifier.FoldEmail},
		{"allow group", allowed["group"], same},
		{"allow subject", allowed["subject"], same},
	} {
		if err := repeated("oidc "+p.Name+": "+list.option, list.values, list.key); err != nil {
			return err
		}
	}
	return nil
}
