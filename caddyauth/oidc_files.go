package caddyauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

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
	if c.Secret, err = readCredential("client_secret_file", string(b)); err != nil {
		return err
	}
	if c.Secret == "" {
		return errors.New("client_secret_file: the file is empty")
	}
	return nil
}

// readCredential returns what a variable or a file holds without one line break at the end, which editors and secret
// stores add. Other white space around it, or a character that nobody sees, would be sent along, and the provider would
// only say that the credentials are wrong.
func readCredential(option, s string) (string, error) {
	s = strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
	switch {
	case strings.HasPrefix(s, "\ufeff"):
		return "", fmt.Errorf("%s: begins with a byte order mark; save the file as UTF-8 without one", option)
	case strings.TrimSpace(s) != s:
		return "", fmt.Errorf("%s: begins or ends with white space; remove it where the value is set", option)
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("%s: has a control character or a line break in it; give the value alone", option)
	}
	return s, nil
}

// readCA reads the CA certificates.
func (p *ProviderConfig) readCA(c *oidc.Config) error {
	if p.CAFile == "" {
		return nil
	}
	b, err := p.readFile("ca_file", p.CAFile)
	if err != nil {
		return err
	}
	c.CA = b
	return nil
}

func (p *ProviderConfig) readFile(option, configured string) ([]byte, error) {
	return readFile(option, configured, maxImage)
}

// readFile reads a file that the configuration names, of at most limit bytes.
func readFile(option, configured string, limit int64) ([]byte, error) {
	path, err := placeholder(option, configured)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: %s: give a file of at most %d KiB", option, path, limit>>10)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return b, nil
}

func (p *ProviderConfig) readIcon(c *oidc.Config) error {
	b := p.presetIcon()
	if p.Icon != "" {
		var err error
		if b, err = p.readFile("icon", p.Icon); err != nil {
			return err
		}
	}
	if len(b) == 0 {
		return nil
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

// errKey says what a key file has to contain, and nothing of what it contains.
var errKey = errors.New("the file holds no private key; give PEM with an RSA (2048 bits or more), ECDSA or Ed25519 " +
	"key, not encrypted")

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
		return withAlgorithm(key)
	}
}

func withAlgorithm(key any) (*oidc.Key, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, errKey
		}
		return &oidc.Key{Private: k, Algorithm: jose.RS256}, nil
	case *ecdsa.PrivateKey:
		algorithms := map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}
		alg, ok := algorithms[k.Curve.Params().BitSize]
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
