package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
)

const (
	keysLife   = 10 * time.Minute // read again after this, so that withdrawn keys go
	minRSABits = 2048
	maxRSABits = 8192 // beyond, checking a signature keeps a processor busy: crypto/tls draws the line there, too
	maxKeys    = 64
)

// keyring is a provider's keys as last read.
type keyring struct {
	keys    []jose.JSONWebKey
	at      time.Time
	gen     uint64 // goes up whenever they are read
	ignored int    // keys that are weak, foreign or not for signatures
}

// keySet is a remote's keys, as go-oidc wants to have them, for one token.
type keySet struct {
	r    *remote
	why  purpose
	algs []jose.SignatureAlgorithm

	failed error // what VerifySignature answered last: go-oidc keeps only its text
}

// VerifySignature implements go-oidc's KeySet. A key of the token's header (jwk, jku, x5u, x5c) is never looked at.
func (k *keySet) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, err = k.verify(ctx, token)
	k.failed = err
	return payload, err
}

func (k *keySet) verify(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSigned(token, k.algs)
	if err != nil {
		return nil, errors.New("the token is not signed in one of the expected ways")
	}
	if len(jws.Signatures) != 1 {
		return nil, errors.New("the token has not exactly one signature")
	}
	ring, err := k.r.ring(ctx)
	if err != nil {
		return nil, err
	}
	// Twice: keys may rotate while they are read, and another one's reading may have begun before that.
	for try := 0; ; try++ {
		if payload, ok := ring.verify(jws); ok {
			return payload, nil
		}
		if try == 2 {
			return nil, errors.New("no key of the provider fits the token's signature")
		}
		if ring, err = k.r.reread(ctx, ring.gen, k.why); err != nil {
			return nil, err
		}
	}
}

// verify tries the keys that the token may have been signed with: those with its key id, or all when it names none.
func (ring keyring) verify(jws *jose.JSONWebSignature) ([]byte, bool) {
	h := jws.Signatures[0].Header
	for i := range ring.keys {
		key := &ring.keys[i]
		if (h.KeyID != "" && key.KeyID != h.KeyID) || (key.Algorithm != "" && key.Algorithm != h.Algorithm) {
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// ring returns the keys, read when there are none yet or they are old.
func (r *remote) ring(ctx context.Context) (keyring, error) {
	r.mu.Lock()
	ring, now := r.keys, r.now()
	r.mu.Unlock()
	if ring.gen > 0 && age(now, ring.at) < keysLife {
		return ring, nil
	}
	got, err := r.share(ctx, "keys", func(ctx context.Context) (any, error) { return r.readKeys(ctx, metadataLife) })
	switch {
	case err == nil:
		return got.(keyring), nil
	case ring.gen > 0 && age(now, ring.at) < staleLife:
		return ring, nil
	default:
		return keyring{}, err
	}
}

// reread reads the keys again because those of generation gen did not fit, unless somebody has done so since, or too
// many have lately.
func (r *remote) reread(ctx context.Context, gen uint64, why purpose) (keyring, error) {
	got, err := r.share(ctx, "keys", func(ctx context.Context) (any, error) {
		r.mu.Lock()
		ring, now := r.keys, r.now()
		r.mu.Unlock()
		if ring.gen > gen {
			return ring, nil
		}
		if !r.rereads[why].take(now) {
			return nil, errors.New("no key of the provider fits the token's signature, and they were read again a moment ago")
		}
		return r.readKeys(ctx, 10*time.Second) // jwks_uri may have moved with the keys
	})
	if err != nil {
		return keyring{}, err
	}
	return got.(keyring), nil
}

// readKeys reads jwks_uri. maxAge is how old the metadata that name it may be.
func (r *remote) readKeys(ctx context.Context, maxAge time.Duration) (keyring, error) {
	m, err := r.metadata(ctx, maxAge)
	if err != nil {
		return keyring{}, err
	}
	keys, ignored, err := r.fetchKeys(ctx, m.KeysURL)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.health.keyProblem = err.Error()
		r.log.Warn("a provider's keys cannot be used", zap.String("problem", err.Error()))
		return keyring{}, &Error{Kind: Down, Reason: "keys", Err: err}
	}
	r.health.keyProblem = ""
	r.keys = keyring{keys: keys, ignored: ignored, at: r.now(), gen: r.keys.gen + 1}
	return r.keys, nil
}

func (r *remote) fetchKeys(ctx context.Context, address string) ([]jose.JSONWebKey, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, errors.New("jwks_uri is not an address")
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("Cache-Control", "no-cache")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, 0, errors.New("the keys cannot be read: " + words(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, 0, errors.New("the keys cannot be read: " + words(err))
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("the keys are not there: status %d", resp.StatusCode)
	}
	return parseKeys(body)
}

// parseKeys returns the keys of a JWKS that signatures may be checked with, and how many others there are.
// RFC 7517, section 5: keys that are not understood are left aside; so are those that could do harm.
func parseKeys(body []byte) (keys []jose.JSONWebKey, ignored int, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, 0, errors.New("the keys are not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, 0, fmt.Errorf("there are more than %d keys", maxKeys)
	}
	for _, raw := range set.Keys {
		key, err := parseKey(raw)
		if err != nil || !usable(key) {
			ignored++
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, ignored, fmt.Errorf("there is no usable key: %d are weak, damaged or not for signatures", ignored)
	}
	return keys, ignored, nil
}

// parseKey reads one key, by the members that are used and no others: a certificate beside it that cannot be read makes no
// key unusable, and go-jose takes no RSA keys over 4096 bits, but for a variable of the whole process, which is not ours.
func parseKey(raw []byte) (key jose.JSONWebKey, err error) {
	var m claims
	if err := json.Unmarshal(raw, &m); err != nil {
		return key, err
	}
	if m.get("d").there() {
		return key, errors.New("the key is private")
	}
	switch kind, _ := m.get("kty").text(); kind {
	case "RSA":
		key.Key, err = m.rsaKey()
	case "EC", "OKP":
		key.Key, err = m.curveKey()
	default:
		err = errors.New("keys of this kind are not used")
	}
	key.KeyID, _ = m.get("kid").text()
	key.Algorithm, _ = m.get("alg").text()
	key.Use, _ = m.get("use").text()
	return key, err
}

func (c claims) rsaKey() (*rsa.PublicKey, error) {
	n, err := c.number("n")
	if err != nil {
		return nil, err
	}
	e, err := c.number("e")
	if err != nil || !e.IsInt64() || e.Int64() > math.MaxInt32 {
		return nil, errors.New("the exponent is not usable")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (c claims) curveKey() (any, error) {
	used := make(map[string]string)
	for _, name := range []string{"kty", "crv", "x", "y"} {
		if v := c.get(name); v.there() {
			text, _ := v.text()
			used[name] = strings.TrimRight(text, "=")
		}
	}
	plain, err := json.Marshal(used)
	if err != nil {
		return nil, err
	}
	var key jose.JSONWebKey
	err = json.Unmarshal(plain, &key)
	return key.Key, err
}

// number reads a Base64urlUInt (RFC 7518, section 2).
func (c claims) number(name string) (*big.Int, error) {
	text, _ := c.get(name).text()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(b) == 0 {
		return nil, errors.New("a number is malformed")
	}
	return new(big.Int).SetBytes(b), nil
}

// usable refuses symmetric and private keys (a provider that publishes one has no secret left), keys for encryption
// and RSA below 2048 or over 8192 bits, or with numbers that no signature fits to.
func usable(key jose.JSONWebKey) bool {
	if (key.Use != "" && key.Use != "sig") || !key.Valid() || !key.IsPublic() {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits && k.N.Bit(0) == 1 && k.E > 2 && k.E%2 == 1
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}
