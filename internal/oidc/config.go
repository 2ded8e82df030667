package oidc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Method is the client authentication method at the token endpoint (OpenID Connect Core 1.0, section 9).
type Method string

// Client authentication methods. The empty value means basic, or post if the metadata offers only that.
const (
	Basic     Method = "client_secret_basic"
	Post      Method = "client_secret_post"
	SecretJWT Method = "client_secret_jwt"
	KeyJWT    Method = "private_key_jwt"
	NoSecret  Method = "none"
)

// Valid reports whether m is a method, or empty.
func (m Method) Valid() bool {
	return m == "" || slices.Contains([]Method{Basic, Post, SecretJWT, KeyJWT, NoSecret}, m)
}

// Create says what happens when an unknown identity signs in.
type Create string

// Values of [Create]. The empty value means auto.
const (
	CreateAuto    Create = "auto"    // an account is created
	CreatePending Create = "pending" // an account is created that an administrator has to activate
	CreateDeny    Create = "deny"    // the sign-in is refused
)

// Link says when an identity is linked to an existing account without the user asking for it.
type Link string

// Values of [Link]. The empty value means never.
const (
	LinkNever         Link = "never"          // only the signed-in user links
	LinkVerifiedEmail Link = "verified_email" // if both sides have the same verified e-mail
)

// defaultAlgorithms are the signature algorithms that are accepted if none is configured. Never none, and never HS*:
// with it, anybody who knows the client secret could sign in as anybody.
var defaultAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// supportedAlgorithms are those that may be configured.
var supportedAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Allow is a rule about who may sign in: it matches a user with any of the values. One matching rule is enough.
type Allow struct {
	Field  string   `json:"field"`  // email, domain, group or subject
	Values []string `json:"values"` // at least one
}

// ClaimPaths are the paths of the claims to read, with dots between the levels; "" means the default.
type ClaimPaths struct {
	Username string // preferred_username, else the e-mail's local part, else sub
	Email    string // email
	Name     string // name
	Groups   string // groups
}

// Key is a private key for private_key_jwt.
type Key struct {
	Private   any // *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey
	Algorithm jose.SignatureAlgorithm
	ID        string // kid, may be empty
}

// Config is the configuration of one provider, with placeholders resolved and files read.
type Config struct {
	Name     string // in URLs and rules; [NameForm]
	Issuer   string
	ClientID string
	Secret   string // "" with the methods none and private_key_jwt
	Method   Method
	Key      *Key // with private_key_jwt
	Label    string
	Icon     []byte
	IconType string   // media type of Icon
	SignAlgs []string // allowed algorithms, in no order; empty for those that the metadata lists
	Scopes   []string // empty for openid profile email
	Claims   ClaimPaths
	Allow    []Allow
	Create   Create
	Link     Link
	// AdminGroups are the groups whose members are administrators.
	AdminGroups []string
	// RefreshGrace is how long a session continues while its refreshes fail; 0 means one hour.
	RefreshGrace time.Duration
	NoRefresh    bool // sessions are not refreshed: refresh tokens are not stored
	// Discovery is the address of the discovery document; "" for the issuer's.
	Discovery string
	// Endpoints are addresses that replace those of the discovery document, by [EndpointKinds].
	Endpoints  map[string]string
	NoUserinfo bool // the userinfo endpoint is not called
	// IdentityKey is the claim of the ID token that identities are known by; "" for sub.
	IdentityKey string
	AuthParams  []AuthParam
	MFA         MFA
	StepUpACR   []string // acr_values of a step-up, one of which its ID token has to have; none for any
	LoginHint   bool     // what was typed as username is sent as login_hint
	// Push sends each authorization request to the provider first (PAR, RFC 9126), also where only this client has to.
	Push bool
	// UnverifiedEmail passes on addresses to apps that the provider has not verified.
	UnverifiedEmail bool
	// CA are certificates, in PEM, that are trusted beside those of the system.
	CA []byte
	// Insecure allows http, and addresses of this machine and its networks.
	Insecure bool
}

// NameForm is the form of a provider's name, which is part of the redirect URI registered at the provider.
var NameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?$`)

// Validate returns the first problem with c, naming the option. It makes no requests.
func (c *Config) Validate() error {
	if !NameForm.MatchString(c.Name) || c.Name == policy.LocalProvider {
		return fmt.Errorf("oidc: the name %q: use lower-case letters, digits, '-' and '_', at most 40, and not %q", c.Name,
			policy.LocalProvider)
	}
	for _, check := range []func() error{
		c.checkIssuer, c.checkAddresses, c.checkClient, c.checkAlgorithms, c.checkRules, c.checkRequest, c.checkIdentityKey,
		c.checkMFA,
	} {
		if err := check(); err != nil {
			return fmt.Errorf("oidc %s: %w", c.Name, err)
		}
	}
	return nil
}

func (c *Config) checkIssuer() error {
	u, err := url.Parse(c.Issuer)
	switch {
	case c.Issuer == "":
		return errors.New("issuer: is missing; it is the address that the provider's discovery document gives as \"issuer\"")
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.ContainsAny(c.Issuer, "?#"):
		return errors.New("issuer: is not an address such as https://id.example.com, without query and fragment")
	case u.Scheme == "http" && !c.Insecure:
		return errors.New("issuer: is http; use https, or add insecure_http for a test or a network of your own")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("issuer: has to begin with https://")
	case !plainHost(u): // it becomes part of our Content-Security-Policy, where ';', ',' and '*' have a meaning
		return errors.New(
			"issuer: its host is not one that browsers name so; write a name such as id.example.com, " +
				"an international one in punycode")
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		return errors.New("issuer: leave /.well-known/openid-configuration out; it is added")
	}
	return nil
}

// plainHost reports whether a URL's host is nothing but a host name or address, wherever it is written.
func plainHost(u *url.URL) bool {
	_, ok := reqctx.OriginOf(u)
	return ok
}

func (c *Config) checkClient() error {
	switch {
	case c.ClientID == "":
		return errors.New("client_id: is missing; the provider gave it to you when you registered this site there")
	case !c.Method.Valid():
		return fmt.Errorf(
			"auth_method: %q; use client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none", c.Method)
	}
	return c.checkClientCredentials()
}

// checkClientCredentials checks that the secret and the key are those that auth_method uses.
func (c *Config) checkClientCredentials() error {
	needsSecret := c.Method == "" || c.Method == Basic || c.Method == Post || c.Method == SecretJWT
	switch {
	case needsSecret && c.Secret == "":
		return errors.New(
			"client_secret: is missing; give client_secret or client_secret_file, or auth_method none for a public client")
	case !needsSecret && c.Secret != "":
		return fmt.Errorf("client_secret: is not used with auth_method %s; remove one of them", c.Method)
	case c.Method == KeyJWT && c.Key == nil:
		return errors.New("client_key: is missing; private_key_jwt signs with it")
	case c.Method != KeyJWT && c.Key != nil:
		return errors.New("client_key: is for auth_method private_key_jwt; add that, or remove the key")
	case c.Method == SecretJWT && len(c.Secret) < 32:
		// RFC 7518, section 3.2: the key of HS256 has at least 256 bits.
		return errors.New("client_secret: has to have 32 bytes or more for client_secret_jwt")
	}
	return nil
}

func (c *Config) checkAlgorithms() error {
	for _, a := range c.SignAlgs {
		if !slices.Contains(supportedAlgorithms, jose.SignatureAlgorithm(a)) {
			return fmt.Errorf("sign_alg: %q; use RS256, PS256, ES256, EdDSA or one of their longer forms, never none or HS*",
				Clean(a, 20))
		}
	}
	for _, s := range c.Scopes {
		if s == "" || strings.ContainsAny(s, " \"\\") || Clean(s, 1<<10) != s {
			return fmt.Errorf("scopes: %q is not a scope", Clean(s, 60))
		}
	}
	if len(c.Scopes) > 0 && !slices.Contains(c.Scopes, "openid") {
		return errors.New("scopes: openid is missing; without it there is no ID token")
	}
	return nil
}

func (c *Config) checkRules() error {
	for _, a := range c.Allow {
		if err := a.validate(); err != nil {
			return err
		}
	}
	if !slices.Contains([]Create{"", CreateAuto, CreatePending, CreateDeny}, c.Create) {
		return fmt.Errorf("create: %q; use auto, pending or deny", c.Create)
	}
	if !slices.Contains([]Link{"", LinkNever, LinkVerifiedEmail}, c.Link) {
		return fmt.Errorf("link: %q; use never or verified_email", c.Link)
	}
	for _, g := range c.AdminGroups {
		if err := policy.FieldGroup.CheckValue(g); err != nil {
			return fmt.Errorf("admin_group: %w", err)
		}
	}
	if c.RefreshGrace < 0 {
		return errors.New("refresh_grace: has to be positive; leave it out for one hour")
	}
	for option, path := range map[string]string{
		"username": c.Claims.Username, "email": c.Claims.Email, "name": c.Claims.Name, "groups": c.Claims.Groups,
	} {
		if len(path) > 256 || strings.HasPrefix(path, ".") || strings.HasSuffix(path, ".") || strings.Contains(path, "..") {
			return fmt.Errorf("claim %s: %q is not a path such as resource.roles", option, Clean(path, 60))
		}
	}
	return nil
}

func (a Allow) validate() error {
	if len(a.Values) == 0 {
		return fmt.Errorf("allow %s: give at least one value", a.Field)
	}
	for _, v := range a.Values {
		if err := a.check(v); err != nil {
			return fmt.Errorf("allow %s: %w", a.Field, err)
		}
	}
	return nil
}

// check returns why no user could ever have a value.
func (a Allow) check(v string) error {
	switch a.Field {
	case "email", "domain", "group":
		return policy.Field(a.Field).CheckValue(v)
	case "subject":
		if strings.TrimSpace(v) == "" {
			return errors.New("a value is empty")
		}
		if len(v) > maxSubject || !plainText(v) {
			return fmt.Errorf("%q: no provider has such a subject", Clean(v, 60))
		}
		return nil
	}
	return errors.New("unknown field; use email, domain, group or subject")
}

// label returns the provider's display name.
func (c *Config) label() string {
	if c.Label != "" {
		return c.Label
	}
	return strings.ToUpper(c.Name[:1]) + c.Name[1:]
}

// RefreshGraceOrDefault returns how long a session continues while its refreshes fail.
func (c *Config) RefreshGraceOrDefault() time.Duration {
	if c.RefreshGrace <= 0 {
		return time.Hour
	}
	return c.RefreshGrace
}

func (c *Config) scopes() []string {
	if len(c.Scopes) == 0 {
		return []string{"openid", "profile", "email"}
	}
	return c.Scopes
}

// discovery returns the address of the discovery document.
func (c *Config) discovery() string {
	if c.Discovery != "" {
		return c.Discovery
	}
	return strings.TrimSuffix(c.Issuer, "/") + "/.well-known/openid-configuration"
}

// poolKey returns the key of the provider's state in a [Pool]. It includes everything that says where metadata and keys
// come from: what was fetched over plain http must not be used by a configuration that asks for https.
func (c *Config) poolKey() string {
	h := sha256.New()
	parts := []string{strconv.FormatBool(c.Insecure), c.Issuer, c.discovery(), string(c.CA)}
	for _, kind := range EndpointKinds {
		parts = append(parts, c.Endpoints[kind])
	}
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s ", len(part), part) // a hash never fails to write
	}
	return hex.EncodeToString(h.Sum(nil))
}
