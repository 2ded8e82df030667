package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Key is a signing key of the provider.
type Key struct {
	Private crypto.Signer
	Alg     jose.SignatureAlgorithm
	ID      string // kid, in JWKS and header; "" for none
	Use     string // "sig" when ""
}

// rsaPool generates RSA keys once for all tests of a process: that is slow, more so with the race detector.
var rsaPool = [3]func() *rsa.PrivateKey{sync.OnceValue(newRSA), sync.OnceValue(newRSA), sync.OnceValue(newRSA)}

func newRSA() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// RSA returns the nth of three RSA keys, with kid "rsa0" and so on.
func RSA(n int) Key {
	return Key{Private: rsaPool[n](), Alg: jose.RS256, ID: "rsa" + string(rune('0'+n))}
}

// EC generates a P-256 key with kid id.
func EC(t testing.TB, id string) Key {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{Private: k, Alg: jose.ES256, ID: id}
}

// Ed25519 generates an Ed25519 key with kid id.
func Ed25519(t testing.TB, id string) Key {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{Private: k, Alg: jose.EdDSA, ID: id}
}

// WeakRSA generates an RSA key of 1024 bits.
func WeakRSA(t testing.TB, id string) Key {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return Key{Private: k, Alg: jose.RS256, ID: id}
}

// JWK returns the public key.
func (k Key) JWK() map[string]any {
	b, err := json.Marshal(jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: string(k.Alg), Use: "sig"})
	if err != nil {
		panic(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		panic(err)
	}
	if k.Use != "" {
		m["use"] = k.Use
	}
	return m
}

// Sign returns claims as a compact JWS. Header members are added to alg and kid; nil ones are removed.
func (k Key) Sign(claims, header map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return k.SignBytes(payload, header)
}

// SignBytes is Sign for a payload that need not be claims.
func (k Key) SignBytes(payload []byte, header map[string]any) string {
	opts := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for name, v := range header {
		if v != nil {
			opts.ExtraHeaders[jose.HeaderKey(name)] = v
		}
	}
	if _, own := header["kid"]; !own && k.ID != "" {
		opts.ExtraHeaders["kid"] = k.ID
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.Alg, Key: k.Private}, opts)
	if err != nil {
		panic(err)
	}
	return serialize(signer, payload)
}

func serialize(signer jose.Signer, payload []byte) string {
	jws, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	s, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return s
}

// SignNone returns claims with the algorithm none, spelled as given.
func SignNone(claims map[string]any, alg any) string {
	header, err := json.Marshal(map[string]any{"alg": alg, "typ": "JWT"})
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}

// SignHMAC returns claims signed with a shared secret.
func SignHMAC(claims map[string]any, secret []byte) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, nil)
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return serialize(signer, payload)
}

// Tamper invalidates the signature of a token.
func Tamper(token string) string {
	i := strings.LastIndexByte(token, '.') + 10
	c := byte('A')
	if token[i] == 'A' {
		c = 'B'
	}
	return token[:i] + string(c) + token[i+1:]
}

// atHash returns the at_hash of an access token (Core, section 3.1.3.6).
func atHash(alg jose.SignatureAlgorithm, access string) string {
	h := sha256.New()
	if alg == jose.EdDSA {
		h = sha512.New()
	}
	h.Write([]byte(access))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
