package caddyauth

import (
	"errors"
	"fmt"
	"slices"

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
	// Preset stands for issuer, label and icon of a well-known provider: `google`, `microsoft` or `gitlab`.
	Preset string `json:"preset,omitempty"`
	// PresetValue goes with the preset: the tenant's id for microsoft, the address of an instance of your own for
	// gitlab. Placeholders are allowed.
	PresetValue string `json:"preset_value,omitempty"`
	// Issuer is the provider's address, as its discovery document spells it. Placeholders are allowed.
	Issuer string `json:"issuer,omitempty"`
	// Discovery is the address of the discovery document, where the provider is reached at another address than its
	// issuer's. Placeholders are allowed.
	Discovery string `json:"discovery,omitempty"`
	// Endpoints are addresses in place of those in the metadata: authorization, token, userinfo, jwks, end_session and
	// revocation. Placeholders are allowed.
	Endpoints map[string]string `json:"endpoints,omitempty"`
	// ClientID that the provider gave. Placeholders are allowed.
	ClientID string `json:"client_id"`
	// ClientSecret that the provider gave. Use a placeholder.
	ClientSecret string `json:"client_secret,omitempty"`
	// ClientSecretFile is a file whose content is the secret, one line break at the end dropped.
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
	// AuthParams go along with every authorization request.
	AuthParams []oidc.AuthParam `json:"auth_params,omitempty"`
	// MFA says whether the provider's word on a second factor counts; default ask.
	MFA *ProviderMFA `json:"mfa,omitempty"`
	// StepUp says what is asked for where somebody has to prove more, or to prove it again.
	StepUp *ProviderStepUp `json:"step_up,omitempty"`
	// LoginHint sends what was typed as username along with the authorization request.
	LoginHint bool `json:"login_hint,omitempty"`
	// PAR pushes each authorization request to the provider first (RFC 9126). Without it that is done where the metadata
	// says that the provider requires it of everybody.
	PAR bool `json:"par,omitempty"`
	// Userinfo is `off` where the ID token holds all claims, and `on` by default.
	Userinfo string `json:"userinfo,omitempty"`
	// IdentityKey is the claim of the ID token that people are known by; default sub. Use one that never changes, such
	// as Entra's oid.
	IdentityKey string `json:"identity_key,omitempty"`
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
	// UnverifiedEmail passes addresses on to the app that the provider has not verified; default only verified ones.
	UnverifiedEmail bool `json:"unverified_email,omitempty"`
	// Refresh is `off` to ask nothing of the provider after the sign-in, and `on` by default.
	Refresh string `json:"refresh,omitempty"`
	// RefreshGrace is how long a session goes on whose refreshes fail without being refused; default 1h.
	RefreshGrace caddy.Duration `json:"refresh_grace,omitempty"`
	// CAFile is a PEM file with CA certificates that are trusted for this provider beside those of the system.
	CAFile string `json:"ca_file,omitempty"`
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
	// Groups: default groups. A text is one group. A path that is given may also lead to a map, whose keys are the groups,
	// and through lists of objects.
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
	}, "claim", "allow", "admin_group", "endpoint", "auth_params")
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
	if to := p.texts()[option]; to != nil {
		if *to, err = oneArg(d); err != nil {
			return err
		}
		return p.checkLinePlaceholders(d, option, *to)
	}
	if on := p.flags()[option]; on != nil {
		*on = true
		return noArgs(d)
	}
	if on := p.switches()[option]; on != nil {
		return parseSwitch(d, on)
	}
	if to := p.lists()[option]; to != nil {
		values, err := someArgs(d)
		*to = append(*to, values...)
		return err
	}
	parse := map[string]func(*caddyfile.Dispenser) error{
		"preset": p.parsePreset, "endpoint": p.parseEndpoint, "auth_params": p.parseAuthParams, "mfa": p.parseMFA,
		"step_up": p.parseStepUp, "client_key": p.parseClientKey, "claim": p.parseClaim, "allow": p.parseAllow,
	}[option]
	switch {
	case parse != nil:
		return parse(d)
	case option == "refresh_grace":
		return durationArg(d, &p.RefreshGrace)
	default:
		return d.Errf("unrecognized option %q; oidc knows preset, issuer, discovery, endpoint, client_id, client_secret, "+
			"client_secret_file, label, icon, auth_method, client_key, sign_alg, scopes, auth_params, mfa, step_up, "+
			"login_hint, par, userinfo, identity_key, claim, allow, create, link, admin_group, unverified_email, refresh, "+
			"refresh_grace, ca_file and insecure_http", option)
	}
}

// lists are the options that take one value or more.
func (p *ProviderConfig) lists() map[string]*[]string {
	return map[string]*[]string{"sign_alg": &p.SignAlgs, "scopes": &p.Scopes, "admin_group": &p.AdminGroups}
}

// texts are the options that take one value.
func (p *ProviderConfig) texts() map[string]*string {
	return map[string]*string{
		"issuer": &p.Issuer, "client_id": &p.ClientID, "client_secret": &p.ClientSecret,
		"client_secret_file": &p.ClientSecretFile,
		"discovery":          &p.Discovery, "identity_key": &p.IdentityKey, "ca_file": &p.CAFile,
		"label": &p.Label, "icon": &p.Icon, "auth_method": &p.AuthMethod, "create": &p.Create, "link": &p.Link,
	}
}

// flags are the options that take none.
func (p *ProviderConfig) flags() map[string]*bool {
	return map[string]*bool{
		"login_hint": &p.LoginHint, "par": &p.PAR, "unverified_email": &p.UnverifiedEmail, "insecure_http": &p.InsecureHTTP,
	}
}

// switches are the options that take on or off.
func (p *ProviderConfig) switches() map[string]*string {
	return map[string]*string{"userinfo": &p.Userinfo, "refresh": &p.Refresh}
}

func (p *ProviderConfig) parseAllow(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("allow takes email, domain, group or subject, and at least one value")
	}
	p.Allow = append(p.Allow, AllowRule{Field: args[0], Values: args[1:]})
	return nil
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
	case "preset", "issuer", "discovery", "endpoint", "client_id", "client_secret", "client_secret_file", "icon",
		"client_key", "ca_file", "auth_params":
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

// providerNames returns the names that `require provider` may have.
func (a *App) providerNames() []string {
	names := []string{policy.LocalProvider}
	for _, p := range a.OIDC {
		names = append(names, p.Name)
	}
	return names
}
