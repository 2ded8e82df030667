package caddyauth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// parseOIDC reads one provider:
//
//	oidc <name> {
//		issuer        <url>
//		client_id     <id>
//		client_secret <secret>
//		…
//	}
func (a *App) parseOIDC(d *caddyfile.Dispenser) error {
	p := &ProviderConfig{}
	if !d.AllArgs(&p.Name) {
		return d.Err("oidc takes one name, such as: oidc google { … }")
	}
	if !oidc.NameForm.MatchString(p.Name) || p.Name == policy.LocalProvider {
		return d.Errf("oidc: the name %q: use lower-case letters, digits, '-' and '_', at most 40, and not %q", p.Name, policy.LocalProvider)
	}
	for _, other := range a.OIDC {
		if other.Name == p.Name {
			return d.Errf("oidc %s is given twice; each provider needs a name of its own", p.Name)
		}
	}
	a.OIDC = append(a.OIDC, p)
	begin, lines := *d, []caddyfile.Dispenser(nil)
	err := block(d, func(option string) error {
		lines = append(lines, *d)
		if err := p.parseLine(d, option); err != nil {
			return err
		}
		if err := p.judgeLine(); err != nil {
			return d.WrapErr(err)
		}
		return nil
	}, "claim", "allow", "admin_group")
	if err != nil {
		return err
	}
	if err := p.judge(); err != nil {
		blamed := p.blame(begin, lines)
		return blamed.WrapErr(err)
	}
	return nil
}

func (p *ProviderConfig) parseLine(d *caddyfile.Dispenser, option string) (err error) {
	single := map[string]*string{
		"issuer": &p.Issuer, "client_id": &p.ClientID, "client_secret": &p.ClientSecret, "client_secret_file": &p.ClientSecretFile,
		"label": &p.Label, "icon": &p.Icon, "auth_method": &p.AuthMethod, "create": &p.Create, "link": &p.Link,
	}
	if to := single[option]; to != nil {
		if *to, err = one(d); err != nil {
			return err
		}
		return p.checkBraces(d, option, *to)
	}
	switch option {
	case "client_key":
		args := d.RemainingArgs()
		if len(args) < 1 || len(args) > 2 {
			return d.Err("client_key takes a PEM file and, if the provider wants one, a key id")
		}
		if slices.Contains(args, "") {
			return d.Err("client_key: a value is empty; leave the key id out if the provider wants none")
		}
		p.ClientKey = args[0]
		if len(args) == 2 {
			p.ClientKeyID = args[1]
		}
		return p.checkBraces(d, option, p.ClientKey)
	case "sign_alg":
		p.SignAlgs, err = many(d)
	case "scopes":
		p.Scopes, err = many(d)
	case "claim":
		return p.parseClaim(d)
	case "allow":
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.Err("allow takes email, domain, group or subject, and at least one value")
		}
		p.Allow = append(p.Allow, AllowRule{Field: args[0], Values: args[1:]})
	case "admin_group":
		groups, err := many(d)
		if err != nil {
			return err
		}
		p.AdminGroups = append(p.AdminGroups, groups...)
	case "refresh_grace":
		return duration(d, &p.RefreshGrace)
	case "insecure_http":
		p.InsecureHTTP = true
		return none(d)
	default:
		return d.Errf("unrecognized option %q; oidc knows issuer, client_id, client_secret, client_secret_file, label, icon, auth_method, client_key, sign_alg, scopes, claim, allow, create, link, admin_group, refresh_grace and insecure_http", option)
	}
	return err
}

func (p *ProviderConfig) parseClaim(d *caddyfile.Dispenser) error {
	var what, path string
	if !d.AllArgs(&what, &path) {
		return d.Err("claim takes username, email, name or groups, and a path such as resource.roles")
	}
	if p.Claims == nil {
		p.Claims = &ClaimsConfig{}
	}
	to := map[string]*string{
		"username": &p.Claims.Username, "email": &p.Claims.Email, "name": &p.Claims.Name, "groups": &p.Claims.Groups,
	}[what]
	switch {
	case to == nil:
		return d.Errf("claim %s: use username, email, name or groups", what)
	case *to != "":
		return d.Errf("claim %s is given twice", what)
	case path == "":
		return d.Errf("claim %s: the value is empty; leave the line out for the default", what)
	}
	*to = path
	return nil
}

// checkBraces judges the options that take placeholders.
func (p *ProviderConfig) checkBraces(d *caddyfile.Dispenser, option, value string) error {
	switch option {
	case "issuer", "client_id", "client_secret", "client_secret_file", "icon", "client_key":
		if err := braces(value); err != nil {
			return d.Errf("oidc %s %s: %w", p.Name, option, err)
		}
	}
	return nil
}

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

// plain returns the configuration as far as it needs no environment and no files.
func (p *ProviderConfig) plain() oidc.Config {
	c := oidc.Config{
		Name: p.Name, Issuer: p.Issuer, ClientID: p.ClientID, Method: oidc.Method(p.AuthMethod), Label: p.Label,
		SignAlgs: p.SignAlgs, Scopes: p.Scopes, Allow: p.Allow, Create: oidc.Create(p.Create), Link: oidc.Link(p.Link),
		AdminGroups: p.AdminGroups, RefreshGrace: time.Duration(p.RefreshGrace), Insecure: p.InsecureHTTP,
	}
	if p.Claims != nil {
		c.Claims = oidc.Claims(*p.Claims)
	}
	return c
}
