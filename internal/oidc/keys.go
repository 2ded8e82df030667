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
	keysTTL    = 10 * time.Minute // refetched after this, so that withdrawn keys go
	minRSABits = 2048
	maxRSABits = 8192 // the limit of crypto/tls, too: verifying with larger keys is a denial of service
	maxKeys    = 64
)

// keyring holds a provider's keys as last fetched.
type keyring struct {
	keys       []jose.JSONWebKey
	at         time.Time
	generation uint64 // incremented with each fetch
	ignored    int    // keys that are weak, of an unknown kind or not for signatures
}

// keySet implements go-oidc's KeySet for one token, with a remote's keys.
type keySet struct {
	remote  *remote
	purpose purpose
	algs    []jose.SignatureAlgorithm

	lastErr error // last error of VerifySignature: go-oidc keeps only its text
}

// VerifySignature implements go-oidc's KeySet. Keys in the token's header (jwk, jku, x5u, x5c) are never used.
func (k *keySet) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, err = k.verify(ctx, token)
	k.lastErr = err
	return payload, err
}

func (k *keySet) verify(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSigned(token, k.algs)
	if err != nil {
		return nil, errors.New("the token is not signed with an accepted algorithm")
	}
	if len(jws.Signatures) != 1 {
		return nil, errors.New("the token has not exactly one signature")
	}
	ring, err := k.remote.currentKeys(ctx)
	if err != nil {
		return nil, err
	}
	// Two retries: a shared fetch may have begun before the keys rotated.
	for try := 0; ; try++ {
		if payload, ok := ring.verify(jws); ok {
			return payload, nil
		}
		if try == 2 {
			return nil, errors.New("no key of the provider verifies the token's signature")
		}
		if ring, err = k.remote.refetchKeys(ctx, ring.generation, k.purpose); err != nil {
			return nil, err
		}
	}
}

// verify tries the keys with the token's key id, or all keys if it has none.
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

// currentKeys returns the keys, and fetches them if there are none yet or they are old.
func (r *remote) currentKeys(ctx context.Context) (keyring, error) {
	r.mu.Lock()
	ring, now := r.keys, r.now()
	r.mu.Unlock()
	if ring.generation > 0 && age(now, ring.at) < keysTTL {
		return ring, nil
	}
	got, err := share(ctx, r, "keys", func(ctx context.Context) (keyring, error) { return r.updateKeys(ctx, metadataTTL) })
	switch {
	case err == nil:
		return got, nil
	case ring.generation > 0 && age(now, ring.at) < maxStale:
		return ring, nil
	default:
		return keyring{}, err
	}
}

// refetchKeys fetches the keys again because none of generation gen verified a token, unless that has been done since
// or the rate limit is reached.
func (r *remote) refetchKeys(ctx context.Context, gen uint64, why purpose) (keyring, error) {
	return share(ctx, r, "keys", func(ctx context.Context) (keyring, error) {
		r.mu.Lock()
		ring, now := r.keys, r.now()
		r.mu.Unlock()
		if ring.generation > gen {
			return ring, nil
		}
		if !r.refetches[why].allow(now) {
			return keyring{}, errors.New(
				"no key of the provider verifies the token's signature, and they were fetched again a moment ago")
		}
		return r.updateKeys(ctx, 10*time.Second) // jwks_uri may have moved with the keys
	})
}

// updateKeys fetches jwks_uri and caches the keys. maxAge limits the age of the metadata that name it.
func (r *remote) updateKeys(ctx context.Context, maxAge time.Duration) (keyring, error) {
	m, err := r.metadata(ctx, maxAge)
	if err != nil {
		return keyring{}, err
	}
	keys, ignored, err := r.fetchKeys(ctx, m.KeysURL)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.health.keyProblem = err.Error()
		r.log.Warn("provider keys unavailable", zap.String("problem", err.Error()))
		return keyring{}, &Error{Kind: Unavailable, Reason: "keys", Err: err}
	}
	r.health.keyProblem = ""
	r.keys = keyring{keys: keys, ignored: ignored, at: r.now(), generation: r.keys.generation + 1}
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
		return nil, 0, errors.New("the keys cannot be fetched: " + describe(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, 0, errors.New("the keys cannot be fetched: " + describe(err))
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("the keys cannot be fetched: status %d", resp.StatusCode)
	}
	return parseKeys(body)
}

// parseKeys returns the keys of a JWKS that may verify signatures, and the number of ignored ones. Unknown keys are
// ignored (RFC 7517, section 5), and so are weak ones.
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
		return nil, ignored, fmt.Errorf("there is no usable key: %d are weak, malformed or not for signatures", ignored)
	}
	return keys, ignored, nil
}

// parseKey reads one key from only the members that are needed, instead of with go-jose: a malformed certificate beside
// a key must not make it unusable, and go-jose refuses RSA keys over 4096 bits unless a process-wide variable is set,
// which is Caddy's to set.
func parseKey(raw []byte) (key jose.JSONWebKey, err error) {
	var m jsonObject
	if err := json.Unmarshal(raw, &m); err != nil {
		return key, err
	}
	if m.get("d").present() {
		return key, errors.New("the key is private")
	}
	switch kind, _ := m.get("kty").asString(); kind {
	case "RSA":
		key.Key, err = m.rsaKey()
	case "EC", "OKP":
		key.Key, err = m.curveKey()
	default:
		err = errors.New("unknown kty")
	}
	key.KeyID, _ = m.get("kid").asString()
	key.Algorithm, _ = m.get("alg").asString()
	key.Use, _ = m.get("use").asString()
	return key, err
}

func (c jsonObject) rsaKey() (*rsa.PublicKey, error) {
	n, err := c.bigInt("n")
	if err != nil {
		return nil, err
	}
	e, err := c.bigInt("e")
	if err != nil || !e.IsInt64() || e.Int64() > math.MaxInt32 {
		return nil, errors.New("the exponent is not usable")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (c jsonObject) curveKey() (any, error) {
	used := make(map[string]string)
	for _, name := range []string{"kty", "crv", "x", "y"} {
		if v := c.get(name); v.present() {
			text, _ := v.asString()
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

// bigInt reads a Base64urlUInt (RFC 7518, section 2).
func (c jsonObject) bigInt(name string) (*big.Int, error) {
	text, _ := c.get(name).asString()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(b) == 0 {
		return nil, errors.New("a number is malformed")
	}
	return new(big.Int).SetBytes(b), nil
}

// usable reports whether a key may verify signatures. It refuses symmetric and private keys (a published one is no
// secret), keys for encryption, and RSA keys below 2048 or over 8192 bits or with an even modulus or a bad exponent.
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
