package caddyauth

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// ProviderConfig is an OpenID provider that people sign in with, beside local accounts.
type ProviderConfig struct {
	// Name of the provider in addresses and rules: lower-case letters, digits, '-' and '_'. The callback to register
	// at the provider is <site>/_auth/oidc/<name>/callback.
	Name string `json:"name"`
	// Issuer is the provider's address, as its discovery document spells it. Placeholders are allowed.
	Issuer string `json:"issuer"`
	// ClientID that the provider gave. Placeholders are allowed.
	ClientID string `json:"client_id"`
	// ClientSecret that the provider gave. Use a placeholder.
	ClientSecret string `json:"client_secret,omitempty"`
	// ClientSecretFile is a file whose content is the secret, one trailing newline dropped.
	ClientSecretFile string `json:"client_secret_file,omitempty"`
	// Label on the button; default the name with a capital.
	Label string `json:"label,omitempty"`
	// Icon file on the button: PNG, JPEG, WebP or SVG, at most 64 KiB.
	Icon string `json:"icon,omitempty"`
	// AuthMethod at the token endpoint: `client_secret_basic` (default), `client_secret_post` (default where the
	// metadata offers only that), `client_secret_jwt`, `private_key_jwt` or `none`.
	AuthMethod string `json:"auth_method,omitempty"`
	// ClientKey is a PEM file with the private key for private_key_jwt.
	ClientKey string `json:"client_key,omitempty"`
	// ClientKeyID is the key's id (kid) at the provider.
	ClientKeyID string `json:"client_key_id,omitempty"`
	// SignAlgs are the algorithms that tokens may be signed with; default what the metadata lists, of RS256, PS256,
	// ES256 and EdDSA. Never none or HS*.
	SignAlgs []string `json:"sign_algs,omitempty"`
	// Scopes to ask for; default openid, profile and email.
	Scopes []string `json:"scopes,omitempty"`
	// Claims are where to find what is needed of a person.
	Claims *ClaimsConfig `json:"claims,omitempty"`
	// Allow says who may sign in: anyone who satisfies any of the rules; default everyone the provider vouches for.
	Allow []AllowRule `json:"allow,omitempty"`
	// Create says what becomes of an unknown person: `auto` (default), `pending` or `deny`.
	Create string `json:"create,omitempty"`
	// Link an identity to an existing account: `never` (default) or `verified_email`.
	Link string `json:"link,omitempty"`
	// AdminGroups make administrators of their members, at every sign-in, both ways.
	AdminGroups []string `json:"admin_groups,omitempty"`
	// RefreshGrace is how long a session goes on whose refreshes fail without being refused; default 1h.
	RefreshGrace caddy.Duration `json:"refresh_grace,omitempty"`
	// InsecureHTTP allows http and private addresses, for tests and networks of your own.
	InsecureHTTP bool `json:"insecure_http,omitempty"`
}

// ClaimsConfig are paths of claims, dots between the levels.
type ClaimsConfig struct {
	// Username: default preferred_username, else the e-mail's local part, else sub.
	Username string `json:"username,omitempty"`
	// Email: default email.
	Email string `json:"email,omitempty"`
	// Name: default name.
	Name string `json:"name,omitempty"`
	// Groups: default groups. A text is one group.
	Groups string `json:"groups,omitempty"`
}

// AllowRule lets people sign in: field is email, domain, group or subject, and any of values satisfies it. E-mail and
// domain count only when the provider says that the address is verified.
type AllowRule = oidc.Allow

// oidcOptions are the providers, with their secrets read.
type oidcOptions struct {
	providers []oidc.Config
}

// parseOIDC reads one provider:
//
//	oidc <name> {
//		issuer        <url>
//		client_id     <id>
//		client_secret <secret>
//		…
//	}
func parseOIDC(a *App, d *caddyfile.Dispenser) error {
	p := &ProviderConfig{}
	if !d.AllArgs(&p.Name) {
		return d.Err("oidc takes one name, such as: oidc google { … }")
	}
	if !oidc.NameForm.MatchString(p.Name) || p.Name == policy.LocalProvider {
		return d.Errf("oidc: the name %q: use lower-case letters, digits, '-' and '_', at most 40, and not "+
			"%q", p.Name, policy.LocalProvider)
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
		if err := p.checkLine(); err != nil {
			return d.WrapErr(err)
		}
		return nil
	}, "claim", "allow", "admin_group")
	if err != nil {
		return err
	}
	if err := p.checkBlock(); err != nil {
		blamed := p.errorLine(begin, lines)
		return blamed.WrapErr(err)
	}
	return nil
}

func (p *ProviderConfig) parseLine(d *caddyfile.Dispenser, option string) (err error) {
	single := map[string]*string{
		"issuer": &p.Issuer, "client_id": &p.ClientID, "client_secret": &p.ClientSecret,
		"client_secret_file": &p.ClientSecretFile,
		"label":              &p.Label, "icon": &p.Icon, "auth_method": &p.AuthMethod, "create": &p.Create, "link": &p.Link,
	}
	if to := single[option]; to != nil {
		if *to, err = oneArg(d); err != nil {
			return err
		}
		return p.checkLinePlaceholders(d, option, *to)
	}
	switch option {
	case "client_key":
		return p.parseClientKey(d)
	case "sign_alg":
		p.SignAlgs, err = someArgs(d)
	case "scopes":
		p.Scopes, err = someArgs(d)
	case "claim":
		return p.parseClaim(d)
	case "allow":
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.Err("allow takes email, domain, group or subject, and at least one value")
		}
		p.Allow = append(p.Allow, AllowRule{Field: args[0], Values: args[1:]})
	case "admin_group":
		groups, err := someArgs(d)
		if err != nil {
			return err
		}
		p.AdminGroups = append(p.AdminGroups, groups...)
	case "refresh_grace":
		return durationArg(d, &p.RefreshGrace)
	case "insecure_http":
		p.InsecureHTTP = true
		return noArgs(d)
	default:
		return d.Errf("unrecognized option %q; oidc knows issuer, client_id, client_secret, client_secret_file, label, "+
			"icon, auth_method, client_key, sign_alg, scopes, claim, allow, create, link, admin_group, refresh_grace and "+
			"insecure_http", option)
	}
	return err
}

func (p *ProviderConfig) parseClientKey(d *caddyfile.Dispenser) error {
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
	return p.checkLinePlaceholders(d, "client_key", p.ClientKey)
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

// checkLinePlaceholders checks the options that take placeholders.
func (p *ProviderConfig) checkLinePlaceholders(d *caddyfile.Dispenser, option, value string) error {
	switch option {
	case "issuer", "client_id", "client_secret", "client_secret_file", "icon", "client_key":
		if err := checkPlaceholders(value); err != nil {
			return d.Errf("oidc %s %s: %w", p.Name, option, err)
		}
	}
	return nil
}

// resolveOIDC replaces placeholders, reads files and checks every provider. It sends no request to any of them: one
// that is down never keeps Caddy from starting.
func resolveOIDC(a *App, o *options) error {
	seen := make(map[string]bool)
	for _, p := range a.OIDC {
		if p == nil {
			return errors.New("oidc: a provider is null")
		}
		if seen[p.Name] {
			return fmt.Errorf("oidc %s: is given twice; each provider needs a name of its own", p.Name)
		}
		seen[p.Name] = true
		c, err := p.resolve()
		if err != nil {
			return err
		}
		if err := c.Validate(); err != nil {
			return err
		}
		if err := p.checkRepeats(); err != nil {
			return err
		}
		o.providers = append(o.providers, c)
	}
	return nil
}

func (p *ProviderConfig) resolve() (oidc.Config, error) {
	c := p.literal()
	for _, v := range []struct {
		option string
		from   string
		to     *string
	}{
		{"issuer", p.Issuer, &c.Issuer}, {"client_id", p.ClientID, &c.ClientID}, {"client_secret", p.ClientSecret, &c.Secret},
	} {
		if v.from == "" {
			continue // Validate returns the error
		}
		s, err := placeholder("oidc "+p.Name+" "+v.option, v.from)
		if err != nil {
			return c, err
		}
		*v.to = s
	}
	for _, step := range []func(*oidc.Config) error{p.readSecret, p.readKey, p.readIcon} {
		if err := step(&c); err != nil {
			return c, fmt.Errorf("oidc %s %w", p.Name, err)
		}
	}
	return c, nil
}

// literal returns the configuration as far as it needs no environment and no files.
func (p *ProviderConfig) literal() oidc.Config {
	c := oidc.Config{
		Name: p.Name, Issuer: p.Issuer, ClientID: p.ClientID, Method: oidc.Method(p.AuthMethod), Label: p.Label,
		SignAlgs: p.SignAlgs, Scopes: p.Scopes, Allow: p.Allow, Create: oidc.Create(p.Create), Link: oidc.Link(p.Link),
		AdminGroups: p.AdminGroups, RefreshGrace: time.Duration(p.RefreshGrace), Insecure: p.InsecureHTTP,
	}
	if p.Claims != nil {
		c.Claims = oidc.ClaimPaths(*p.Claims)
	}
	return c
}

func oidcSettings(a *App, s *settings) {
	for _, p := range a.OIDC {
		s.add("oidc", p.Name, p.Issuer, false)
	}
}

// providerNames returns the names that `require provider` may have.
func (a *App) providerNames() []string {
	names := []string{policy.LocalProvider}
	for _, p := range a.OIDC {
		names = append(names, p.Name)
	}
	return names
}
