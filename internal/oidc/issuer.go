package oidc

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
)

// IssuerConfig says who signs JWTs that are no sign-in, such as those of CI systems and clusters, and where the keys
// are.
type IssuerConfig struct {
	Issuer  string // iss, exactly
	KeysURL string // address of the JWKS; "" for the one that discovery names
	Keys    []byte // the JWKS itself, in place of an address
	// Insecure allows http, and addresses of this machine and its networks.
	Insecure bool
}

// Validate returns the first problem with c, naming the option. It makes no requests.
func (c *IssuerConfig) Validate() error {
	if err := (&Config{Issuer: c.Issuer, Insecure: c.Insecure}).checkIssuer(); err != nil {
		return err
	}
	if c.KeysURL != "" && !isUsableURL(c.KeysURL, c.Insecure) {
		return errors.New("jwks: is not the address of a key set; use one such as https://id.example.com/jwks; http only " +
			"with insecure_http")
	}
	if c.Keys == nil {
		return nil
	}
	if _, _, err := parseKeys(c.Keys); err != nil {
		return &Error{Kind: Misconfigured, Reason: "jwks: the file cannot be used", Err: err}
	}
	return nil
}

// Issuer verifies the JWTs of one issuer, with the keys of that one only. It is safe for concurrent use. Its keys are
// in the [Pool], and fetched when the first token comes.
type Issuer struct {
	name   string
	now    func() time.Time
	file   keyring
	remote *remote // nil for keys of a file
}

// Issuer returns the issuer that c describes.
func (p *Pool) Issuer(c *IssuerConfig) (*Issuer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	i := &Issuer{name: c.Issuer, now: p.now}
	if c.Keys != nil {
		keys, unusable, err := parseKeys(c.Keys)
		if err != nil {
			return nil, err
		}
		i.file = keyring{keys: keys, unusable: unusable, generation: 1}
		return i, nil
	}
	i.remote = p.keysRemote(c)
	return i, nil
}

// keysRemote returns the state of an issuer whose keys are all that is needed of it. It is another one than that of a
// provider with the same address: what strangers send must not use up requests that sign-ins need.
func (p *Pool) keysRemote(c *IssuerConfig) *remote {
	like := Config{Issuer: c.Issuer, Insecure: c.Insecure}
	if c.KeysURL != "" {
		like.Endpoints = map[string]string{EndpointKeys: c.KeysURL}
	}
	return p.cached("keys only "+like.poolKey(), func() *remote {
		r := &remote{
			issuer: c.Issuer, discovery: like.discovery(), endpoints: maps.Clone(like.Endpoints), insecure: c.Insecure,
			keysOnly: true, now: p.now, log: p.log.With(zap.String("issuer", c.Issuer)),
			refetches: map[purpose]*rateLimit{forMachine: newRateLimit(1)},
		}
		r.client = newClient(c.Insecure, p.roots, maxKeysBody, r.recordDate)
		return r
	})
}

// issuerKeys implements go-oidc's KeySet for one token, with an issuer's keys.
type issuerKeys struct {
	issuer *Issuer
	algs   []jose.SignatureAlgorithm

	key     *jose.JSONWebKey // that verified the signature
	lastErr error            // last error of VerifySignature: go-oidc keeps only its text
}

// VerifySignature implements go-oidc's KeySet.
func (k *issuerKeys) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, k.key, err = k.verify(ctx, token)
	k.lastErr = err
	return payload, err
}

var errNoKey = errors.New("no key of the issuer verifies the token's signature")

func (k *issuerKeys) verify(ctx context.Context, token string) ([]byte, *jose.JSONWebKey, error) {
	jws, err := jose.ParseSigned(token, k.algs)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, nil, errors.New("the token is not signed with an accepted algorithm")
	}
	r := k.issuer.remote
	if r == nil {
		return k.issuer.file.mustVerify(jws)
	}
	before, _, _ := r.knownKeys()
	ring, err := r.currentKeys(ctx)
	if err != nil {
		return nil, nil, err
	}
	if payload, key := ring.verify(jws); key != nil {
		return payload, key, nil
	}
	return r.verifyUnknown(ctx, jws, ring, ring.generation != before.generation)
}

// mustVerify is verify, with an error if no key fits.
func (ring keyring) mustVerify(jws *jose.JSONWebSignature) ([]byte, *jose.JSONWebKey, error) {
	payload, key := ring.verify(jws)
	if key == nil {
		return nil, nil, errNoKey
	}
	return payload, key, nil
}

// verifyUnknown fetches the keys again: the issuer may have a new one. Anybody can send tokens that no key verifies, so
// that happens once a minute, and not at all where the keys were fetched for this very token.
func (r *remote) verifyUnknown(ctx context.Context, jws *jose.JSONWebSignature, ring keyring, fetched bool,
) ([]byte, *jose.JSONWebKey, error) {
	if fetched {
		r.refetches[forMachine].allow(r.now()) // counts as the fetch of this minute
		return nil, nil, errNoKey
	}
	again, err := r.refetchKeys(ctx, ring.generation, forMachine)
	if err != nil {
		return nil, nil, errNoKey // there are keys, and none is this token's: that is no outage
	}
	return again.mustVerify(jws)
}
