package caddyauth

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
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
	if !oidc.NameForm.MatchString(p.Name) {
		return d.Errf("oidc: the name %q: use lower-case letters, digits, '-' and '_', at most 40", p.Name)
	}
	for _, other := range a.OIDC {
		if other.Name == p.Name {
			return d.Errf("oidc %s is given twice; each provider needs a name of its own", p.Name)
		}
	}
	a.OIDC = append(a.OIDC, p)
	err := block(d, func(option string) error { return p.parseLine(d, option) }, "claim", "allow", "admin_group")
	if err != nil {
		return err
	}
	return p.judge(d)
}

func (p *ProviderConfig) parseLine(d *caddyfile.Dispenser, option string) (err error) {
	single := map[string]*string{
		"issuer": &p.Issuer, "client_id": &p.ClientID, "client_secret": &p.ClientSecret, "client_secret_file": &p.ClientSecretFile,
		"label": &p.Label, "icon": &p.Icon, "auth_method": &p.AuthMethod, "create": &p.Create, "link": &p.Link,
	}
	if to := single[option]; to != nil {
		*to, err = one(d)
		if err == nil && *to == "" {
			return d.Errf("%s: the value is empty", option)
		}
		return err
	}
	switch option {
	case "client_key":
		args := d.RemainingArgs()
		if len(args) < 1 || len(args) > 2 {
			return d.Err("client_key takes a PEM file and, if the provider wants one, a key id")
		}
		p.ClientKey = args[0]
		if len(args) == 2 {
			p.ClientKeyID = args[1]
		}
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
	case "insecure_http":
		p.InsecureHTTP = true
		return none(d)
	default:
		return d.Errf("unrecognized option %q; oidc knows issuer, client_id, client_secret, client_secret_file, label, icon, auth_method, client_key, sign_alg, scopes, claim, allow, create, link, admin_group and insecure_http", option)
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
	}
	*to = path
	return nil
}

// judge checks what does not need the server's environment, so that the error has a line. Placeholders stand for a
// good value here.
func (p *ProviderConfig) judge(d *caddyfile.Dispenser) error {
	c := p.plain()
	stand := func(s *string, good string) {
		if strings.Contains(*s, "{") {
			*s = good
		}
	}
	stand(&c.Issuer, "https://placeholder.example")
	stand(&c.ClientID, "placeholder")
	const secret = "a placeholder that is long enough for every use"
	c.Secret = p.ClientSecret
	stand(&c.Secret, secret)
	if p.ClientSecretFile != "" {
		if p.ClientSecret != "" {
			return d.Errf("oidc %s: client_secret and client_secret_file contradict each other; give one", p.Name)
		}
		c.Secret = secret
	}
	if p.ClientKey != "" {
		c.Key = &oidc.Key{}
	}
	if err := c.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// plain answers the configuration as far as it needs no environment and no files.
func (p *ProviderConfig) plain() oidc.Config {
	c := oidc.Config{
		Name: p.Name, Issuer: p.Issuer, ClientID: p.ClientID, Method: oidc.Method(p.AuthMethod), Label: p.Label,
		SignAlgs: p.SignAlgs, Scopes: p.Scopes, Allow: p.Allow, Create: oidc.Create(p.Create), Link: oidc.Link(p.Link),
		AdminGroups: p.AdminGroups, Insecure: p.InsecureHTTP,
	}
	if p.Claims != nil {
		c.Claims = oidc.Claims(*p.Claims)
	}
	return c
}
