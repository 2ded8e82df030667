package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// Algorithm signs every assertion (RFC 7518, section 3.4).
	Algorithm = jose.ES256
	// Overlap is how long a key is published before it signs, and after another one has taken its place. Verifiers may
	// cache the published keys for as long.
	Overlap = 24 * time.Hour
	// maxKeys bounds what is read from the store. A rotation leaves three at most.
	maxKeys = 8
	// maxRetired is how many of the keys that were replaced last are still known as ours.
	maxRetired = 64
)

// Ring holds the keys of one store at one time, oldest first. It does not change.
type Ring struct {
	keys    []*key
	retired []string  // ids of keys that no longer sign: whoever has one must not count as another issuer, either
	changed time.Time // by the clock of who changed it
	sealed  string    // as it is stored
}

// key signs from a time on, until the next key of its ring does.
type key struct {
	id      string // the thumbprint of the public key (RFC 7638)
	private *ecdsa.PrivateKey
	from    time.Time // the first key of a ring signs before that as well
	signer  jose.Signer
}

// storedRing is what the setting holds, sealed.
type storedRing struct {
	Keys    []storedKey `json:"keys"`
	Retired []string    `json:"retired,omitempty"` // thumbprints, oldest first
	Changed int64       `json:"changed"`           // Unix milliseconds
}

type storedKey struct {
	Private []byte `json:"private"` // PKCS #8
	From    int64  `json:"from"`    // Unix milliseconds
}

// newKey generates a key that signs from then on.
func newKey(from time.Time) (*key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return makeKey(private, from)
}

func makeKey(private *ecdsa.PrivateKey, from time.Time) (*key, error) {
	thumbprint, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("naming a key: %w", err)
	}
	k := &key{id: base64.RawURLEncoding.EncodeToString(thumbprint), private: private, from: from}
	k.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: Algorithm, Key: jose.JSONWebKey{Key: private, KeyID: k.id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("using a key: %w", err)
	}
	return k, nil
}

// marshal returns the ring as it is stored, before it is sealed.
func (r *Ring) marshal() ([]byte, error) {
	out := storedRing{Changed: r.changed.UnixMilli(), Retired: r.retired}
	for _, k := range r.keys {
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return nil, fmt.Errorf("encoding a key: %w", err)
		}
		out.Keys = append(out.Keys, storedKey{Private: der, From: k.from.UnixMilli()})
	}
	return json.Marshal(out)
}

// has reports whether a key is one of the ring, or was.
func (r *Ring) has(id string) bool {
	return slices.Contains(r.retired, id) || slices.ContainsFunc(r.keys, func(k *key) bool { return k.id == id })
}

// retire makes what r has that next has not part of the past of next.
func (r *Ring) retire(next *Ring) {
	next.retired = slices.Clone(r.retired)
	for _, k := range r.keys {
		if !next.has(k.id) {
			next.retired = append(next.retired, k.id)
		}
	}
	next.retired = next.retired[max(0, len(next.retired)-maxRetired):]
}

var errMalformed = errors.New("they are malformed")

// parseRing reads what marshal returned.
func parseRing(plain []byte) (*Ring, error) {
	var in storedRing
	if err := json.Unmarshal(plain, &in); err != nil {
		return nil, errMalformed // the error of the decoder may show some of it
	}
	if len(in.Keys) == 0 || len(in.Keys) > maxKeys {
		return nil, errMalformed
	}
	r := &Ring{changed: time.UnixMilli(in.Changed), retired: in.Retired}
	for i, k := range in.Keys {
		parsed, err := x509.ParsePKCS8PrivateKey(k.Private)
		private, ok := parsed.(*ecdsa.PrivateKey)
		if err != nil || !ok || private.Curve != elliptic.P256() || i > 0 && k.From <= in.Keys[i-1].From {
			return nil, errMalformed
		}
		made, err := makeKey(private, time.UnixMilli(k.From))
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, made)
	}
	return r, nil
}

// at returns the index of the key that signs at a time. A clock that was turned back makes an earlier key sign again,
// which is published again, too; before all of them it is the first one.
func (r *Ring) at(now time.Time) int {
	i := len(r.keys) - 1
	for i > 0 && now.Before(r.keys[i].from) {
		i--
	}
	return i
}

// Switch returns when the next key begins to sign, zero when there is none.
func (r *Ring) Switch(now time.Time) time.Time {
	if i := r.at(now) + 1; i < len(r.keys) {
		return r.keys[i].from
	}
	return time.Time{}
}

// published returns the keys with which assertions may be verified: the one that signs, those to come, and those that
// have signed until lately.
func (r *Ring) published(now time.Time) []*key {
	i := r.at(now)
	for i > 0 && now.Before(r.keys[i].from.Add(Overlap)) {
		i--
	}
	return r.keys[i:]
}

// PublicKeys returns the JWK Set (RFC 7517, section 5) for verifiers.
func (r *Ring) PublicKeys(now time.Time) ([]byte, error) {
	var set jose.JSONWebKeySet
	for _, k := range r.published(now) {
		set.Keys = append(set.Keys, jose.JSONWebKey{
			Key: k.private.Public(), KeyID: k.id, Algorithm: string(Algorithm), Use: "sig",
		})
	}
	return json.Marshal(set)
}

// Sign returns the claims, signed with the key of that time: a JWS in its compact form (RFC 7515, section 7.1).
func (r *Ring) Sign(now time.Time, c *Claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encoding the claims of an assertion: %w", err)
	}
	signed, err := r.keys[r.at(now)].signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing an assertion: %w", err)
	}
	return signed.CompactSerialize()
}
