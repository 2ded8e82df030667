package caddyauth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// resolveOIDC replaces placeholders, reads files and checks every provider. It asks none of them for anything: one
// that cannot be reached never keeps Caddy from starting.
func (a *App) resolveOIDC(o *options) error {
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
	c := p.plain()
	for _, v := range []struct {
		option string
		from   string
		to     *string
	}{
		{"issuer", p.Issuer, &c.Issuer}, {"client_id", p.ClientID, &c.ClientID}, {"client_secret", p.ClientSecret, &c.Secret},
	} {
		if v.from == "" {
			continue // Validate says so
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

func (p *ProviderConfig) readSecret(c *oidc.Config) error {
	if p.ClientSecretFile == "" {
		return nil
	}
	if p.ClientSecret != "" {
		return errors.New("client_secret: client_secret and client_secret_file contradict each other; give one")
	}
	b, err := p.readFile("client_secret_file", p.ClientSecretFile)
	if err != nil {
		return err
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 {
		return errors.New("client_secret_file: the file is empty")
	}
	c.Secret = string(b)
	return nil
}

func (p *ProviderConfig) readFile(option, configured string) ([]byte, error) {
	path, err := placeholder(option, configured)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxLogo {
		return nil, fmt.Errorf("%s: %s: give a file of at most 64 KiB", option, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return b, nil
}

func (p *ProviderConfig) readIcon(c *oidc.Config) error {
	if p.Icon == "" {
		return nil
	}
	b, err := p.readFile("icon", p.Icon)
	if err != nil {
		return err
	}
	kind, err := ui.ImageType(b)
	if err != nil {
		return fmt.Errorf("icon: %w", err)
	}
	c.Icon, c.IconType = b, kind
	return nil
}

func (p *ProviderConfig) readKey(c *oidc.Config) error {
	if p.ClientKey == "" {
		return nil
	}
	b, err := p.readFile("client_key", p.ClientKey)
	if err != nil {
		return err
	}
	key, err := parseKey(b)
	if err != nil {
		return fmt.Errorf("client_key: %w", err)
	}
	key.ID = p.ClientKeyID
	c.Key = key
	return nil
}

// errKey says what a key file has to hold, and nothing of what it holds.
var errKey = errors.New("the file holds no private key; give PEM with an RSA (2048 bits or more), ECDSA or Ed25519 key, not encrypted")

// parseKey reads a private key in any of its PEM forms and chooses the algorithm that goes with it.
func parseKey(b []byte) (*oidc.Key, error) {
	var block *pem.Block
	for {
		if block, b = pem.Decode(b); block == nil {
			return nil, errKey
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue // a certificate, or the parameters of a curve
		}
		if err != nil {
			return nil, errKey
		}
		return keyFor(key)
	}
}

func keyFor(key any) (*oidc.Key, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, errKey
		}
		return &oidc.Key{Private: k, Algorithm: jose.RS256}, nil
	case *ecdsa.PrivateKey:
		alg, ok := map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[k.Curve.Params().BitSize]
		if !ok {
			return nil, errKey
		}
		return &oidc.Key{Private: k, Algorithm: alg}, nil
	case ed25519.PrivateKey:
		return &oidc.Key{Private: k, Algorithm: jose.EdDSA}, nil
	default:
		return nil, errKey
	}
}

// providerNames returns whom people can sign in through: what `require provider` may name.
func (a *App) providerNames() []string {
	names := []string{policy.LocalProvider}
	for _, p := range a.OIDC {
		names = append(names, p.Name)
	}
	return names
}

// newOIDC wires the sign-in through providers; nil without any.
func (a *App) newOIDC(logins *login.Service) (*login.OIDC, error) {
	if len(a.opt.providers) == 0 {
		return nil, nil //nolint:nilnil // nothing to sign in through is no mistake
	}
	log := a.log.Named("oidc")
	reg, err := oidc.NewRegistry(a.rt.oidcPool(log), a.rt.store, a.opt.providers, oidc.Options{Clock: time.Now, Log: log, Groups: a.askedGroups})
	if err != nil {
		return nil, err
	}
	reserved := []string{"admin"}
	if a.seed != nil {
		reserved = append(reserved, a.seed.Username())
	}
	return login.NewOIDC(logins, reg, reserved), nil
}

// askedGroups returns the groups that any gate asks for.
func (a *App) askedGroups() []string {
	var groups []string
	for _, g := range a.gates {
		for _, r := range g.Require {
			if r.Field == policy.FieldGroup {
				groups = append(groups, r.Values...)
			}
		}
	}
	return groups
}

// oidcPool returns what is known of providers, made when it is first needed. It outlives configurations.
func (rt *runtime) oidcPool(log *zap.Logger) *oidc.Pool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.oidc == nil {
		rt.oidc = oidc.NewPool(oidc.PoolOptions{Log: log})
	}
	return rt.oidc
}
