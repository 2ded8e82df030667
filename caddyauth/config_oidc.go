package caddyauth

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
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
	// Allow says who may sign in: whoever satisfies any of the rules; default everyone the provider vouches for.
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
