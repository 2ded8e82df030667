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
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

const (
	keysTTL    = 10 * time.Minute // refetched after this, so that withdrawn keys go
	staleWait  = 2 * time.Second  // for a refetch while there are old keys
	minRSABits = 2048
	maxRSABits = 8192 // the limit of crypto/tls, too: verifying with larger keys is a denial of service
	maxKeys    = 64
)

// keyring holds a provider's keys as last fetched.
type keyring struct {
	keys       []jose.JSONWebKey
	at         time.Time
	generation uint64   // incremented with each fetch
	unusable   []string // keys for signatures that cannot be used, each with the reason
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
		if payload, key := ring.verify(jws); key != nil {
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

// verify tries the keys with the token's key id, or all keys if it has none. It returns the one that fits, or nil.
func (ring keyring) verify(jws *jose.JSONWebSignature) ([]byte, *jose.JSONWebKey) {
	h := jws.Signatures[0].Header
	for i := range ring.keys {
		key := &ring.keys[i]
		if (h.KeyID != "" && key.KeyID != h.KeyID) || (key.Algorithm != "" && key.Algorithm != h.Algorithm) {
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, key
		}
	}
	return nil, nil
}

// currentKeys returns the keys, and fetches them if there are none yet or they are old. Where that fails, old ones
// serve until they are older than maxStale, and nothing is requested again before a back-off.
func (r *remote) currentKeys(ctx context.Context) (keyring, error) {
	known, due, err := r.knownKeys()
	if !due {
		return known, err
	}
	if err == nil { // nobody waits long for a provider that hangs while there are keys
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, staleWait)
		defer cancel()
	}
	got, failed := share(ctx, r, "keys", func(ctx context.Context) (keyring, error) {
		if ring, due, err := r.knownKeys(); !due {
			return ring, err // a fetch has ended in between
		}
		return r.updateKeys(ctx, metadataTTL)
	})
	if failed != nil && err == nil {
		return known, nil
	}
	return got, failed
}

// knownKeys returns the keys in the cache, or why there are none. due reports whether they should be fetched.
func (r *remote) knownKeys() (ring keyring, due bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	fetched := r.keys.generation > 0
	if !fetched || age(now, r.keys.at) >= maxStale {
		err = fail(r.health.keyKind, "keys: %s", r.health.keyProblem)
	} else {
		ring = r.keys
	}
	wait := r.keyRetry.Sub(now) // longer than any back-off: the clock was set back
	fresh := fetched && age(now, r.keys.at) < keysTTL
	return ring, !fresh && (wait <= 0 || wait > maxBackoff), err
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
	keys, unusable, err := r.fetchKeys(ctx, m.KeysURL)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		now := r.now()
		r.health.keyProblem, r.health.keyKind, r.health.keysFailed = err.Error(), KindOf(err), now
		r.keyRetry = now.Add(backoff(r.keyFailures))
		r.keyFailures++
		r.logProblem("cannot use the keys of a provider", err)
		return keyring{}, &Error{Kind: KindOf(err), Reason: "keys", Err: err}
	}
	r.health.keyProblem, r.health.keyKind, r.keyFailures, r.keyRetry = "", "", 0, time.Time{}
	if len(unusable) > 0 && !slices.Equal(unusable, r.keys.unusable) {
		r.log.Warn("keys of a provider are not used; tokens that they sign are refused", zap.Strings("keys", unusable))
	}
	r.keys = keyring{keys: keys, unusable: unusable, at: r.now(), generation: r.keys.generation + 1}
	return r.keys, nil
}

func (r *remote) fetchKeys(ctx context.Context, address string) ([]jose.JSONWebKey, []string, error) {
	body, err := r.fetch(ctx, "the keys cannot be fetched", address)
	if err != nil {
		return nil, nil, err
	}
	return parseKeys(body)
}

// parseKeys returns the keys of a JWKS that may verify signatures, and why others may not. Keys for encryption are
// normal there; they are neither used nor reported. Nothing that is not needed of a key is read, and no key makes
// another one unusable (RFC 7517, section 5).
func parseKeys(body []byte) (keys []jose.JSONWebKey, unusable []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		if !json.Valid(body) {
			return nil, nil, fail(Unavailable, "the keys are not JSON; is jwks_uri right?")
		}
		return nil, nil, fail(Misconfigured, "the keys are not a JSON Web Key Set; is jwks_uri right?")
	}
	if len(set.Keys) > maxKeys {
		return nil, nil, fail(Misconfigured, "there are more than %d keys", maxKeys)
	}
	for i, raw := range set.Keys {
		key, err := parseKey(raw)
		switch {
		case errors.Is(err, errForEncryption):
		case err != nil:
			name := fmt.Sprintf("key %d", i+1)
			if key.KeyID != "" {
				name = fmt.Sprintf("key %q", Clean(key.KeyID, 60))
			}
			unusable = append(unusable, name+": "+err.Error())
		default:
			keys = append(keys, key)
		}
	}
	switch {
	case len(keys) > 0:
		return keys, unusable, nil
	case len(unusable) == 0:
		return nil, nil, fail(Misconfigured, "there is no key for signatures among the provider's %d keys", len(set.Keys))
	default:
		return nil, unusable, fail(Misconfigured, "there is no usable key: %s", joinSome(unusable))
	}
}

// joinSome joins the first of many texts.
func joinSome(list []string) string {
	const shown = 5
	if len(list) <= shown {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:shown], "; "), len(list)-shown)
}

// errForEncryption means that a key is for encryption: every provider that encrypts may publish one.
var errForEncryption = errors.New("the key is for encryption")

// parseKey reads one key from only the members that are needed, instead of with go-jose: a malformed certificate beside
// a key must not make it unusable, and go-jose refuses RSA keys over 4096 bits unless a process-wide variable is set,
// which is Caddy's to set.
func parseKey(raw []byte) (key jose.JSONWebKey, err error) {
	var m jsonObject
	if err := json.Unmarshal(raw, &m); err != nil {
		return key, errors.New("it is not a JSON object, or has a duplicate member")
	}
	key.KeyID, _ = m.get("kid").asString()
	key.Algorithm, _ = m.get("alg").asString()
	key.Use, _ = m.get("use").asString()
	switch {
	case key.Use == "enc", key.Use == "" && isEncryption(key.Algorithm):
		return key, errForEncryption
	case key.Use != "" && key.Use != "sig":
		return key, fmt.Errorf("its use is neither sig nor enc but %s", identifier.Example(key.Use))
	case m.get("d").present():
		return key, errors.New("it is a private key; the provider has published a secret")
	}
	switch kind, _ := m.get("kty").asString(); kind {
	case "RSA":
		key.Key, err = m.rsaKey()
	case "EC", "OKP":
		key.Key, err = m.curveKey()
	case "oct":
		err = errors.New("it is a shared secret (oct), which proves nothing once it is published")
	default:
		err = fmt.Errorf("its kind (kty) is unknown: %s", identifier.Example(m.get("kty").text()))
	}
	return key, err
}

// isEncryption reports whether an algorithm of a key is one for encryption (RFC 7518, section 4.1).
func isEncryption(alg string) bool {
	return strings.HasPrefix(alg, "RSA-OAEP") || strings.HasPrefix(alg, "ECDH-ES") || alg == "RSA1_5"
}

// rsaKey reads an RSA key of 2048 to 8192 bits with an odd modulus and an odd exponent over 2.
func (c jsonObject) rsaKey() (*rsa.PublicKey, error) {
	n, err := c.bigInt("n")
	if err != nil {
		return nil, err
	}
	e, err := c.bigInt("e")
	if err != nil {
		return nil, err
	}
	switch bits := n.BitLen(); {
	case bits < minRSABits:
		return nil, fmt.Errorf("it has %d bits; RSA keys need %d or more", bits, minRSABits)
	case bits > maxRSABits:
		return nil, fmt.Errorf("it has %d bits; RSA keys have %d at most", bits, maxRSABits)
	case n.Bit(0) == 0, !e.IsInt64(), e.Int64() > math.MaxInt32, e.Int64() < 3, e.Bit(0) == 0:
		return nil, errors.New("its modulus or exponent is no RSA key's")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// curveKey reads a key of an elliptic curve. Only those with an accepted algorithm are usable.
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
	if err := json.Unmarshal(plain, &key); err != nil || !key.Valid() || !key.IsPublic() {
		return nil, fmt.Errorf("it is no point of a known curve (crv %s)", identifier.Example(c.get("crv").text()))
	}
	switch key.Key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key.Key, nil
	default:
		return nil, fmt.Errorf("its curve is not for signatures: %s", identifier.Example(c.get("crv").text()))
	}
}

// bigInt reads a Base64urlUInt (RFC 7518, section 2).
func (c jsonObject) bigInt(name string) (*big.Int, error) {
	text, _ := c.get(name).asString()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	return new(big.Int).SetBytes(b), nil
}
