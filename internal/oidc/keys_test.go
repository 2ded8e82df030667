package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func published(t *testing.T, key any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "a", Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func usableOf(t *testing.T, key map[string]any) int {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		t.Fatal(err)
	}
	keys, _, _ := parseKeys(doc)
	return len(keys)
}

// Certificates in a JWK are never used; those that providers publish are often malformed.
func TestOtherMembersOfAJWKChangeNothing(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for kind, key := range map[string]map[string]any{
		"EC": published(t, ec.Public()), "RSA": published(t, rs.Public()),
		"OKP": published(t, ed),
	} {
		for name, beside := range map[string]map[string]any{
			"nothing": {}, "an empty certificate": {"x5c": []string{""}}, "no certificate": {"x5c": []string{"AAAA"}},
			"x5c of another type":         {"x5c": 5},
			"a thumbprint in hexadecimal": {"x5t": "0123456789abcdef0123456789abcdef01234567"},
			"no thumbprint":               {"x5t": "!", "x5t#S256": "!"},
			"an address that is none":     {"x5u": "::"}, "d that is null": {"d": nil},
			"members nobody knows": {"iat": 1, "issuer": "x"},
		} {
			with := maps.Clone(key)
			maps.Copy(with, beside)
			if usableOf(t, with) != 1 {
				t.Errorf("%s with %s cannot be used", kind, name)
			}
		}
		for name, bad := range map[string]map[string]any{
			"a private part": {"d": "AQ"}, "a private part of another type": {"d": 5}, "use enc": {"use": "enc"},
			"another kind": {"kty": "oct", "k": "AQ"},
			"no kind":      {"kty": nil}, "kind of another type": {"kty": 5},
		} {
			with := maps.Clone(key)
			maps.Copy(with, bad)
			if usableOf(t, with) != 0 {
				t.Errorf("%s with %s is used", kind, name)
			}
		}
	}
	for _, member := range []string{"x", "y", "crv"} {
		without := published(t, ec.Public())
		delete(without, member)
		if usableOf(t, without) != 0 {
			t.Errorf("EC without %s is used", member)
		}
	}
	off := published(t, ec.Public())
	off["y"] = off["x"]
	if usableOf(t, off) != 0 {
		t.Error("a point that is not on the curve is used")
	}
}

func TestOnlyValidNumbersAreRSAKeys(t *testing.T) {
	t.Parallel()
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	n := rs.N.Bytes()
	odd := func(bits uint) []byte {
		x := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return x.Add(x, big.NewInt(1)).Bytes()
	}
	for name, c := range map[string]struct {
		n, e any
		good bool
	}{
		"as it is": {text(n), "AQAB", true}, "leading zeros": {text(append([]byte{0, 0}, n...)), "AAEAAQ", true},
		"padding":    {text(n) + "==", "AQAB", true},
		"exponent 3": {text(n), "Aw", true}, "exponent 1": {text(n), "AQ", false}, "exponent 2": {text(n), "Ag", false},
		"even exponent": {text(n), "BA", false},
		"exponent 0":    {text(n), "AA", false}, "huge exponent": {text(n), text(n), false},
		"even modulus": {text(new(big.Int).Sub(rs.N, big.NewInt(1)).Bytes()), "AQAB", false},
		"8192 bits":    {text(odd(8192)), "AQAB", true}, "8193 bits": {text(odd(8193)), "AQAB", false},
		"2047 bits":            {text(odd(2047)), "AQAB", false},
		"a number as a number": {5, "AQAB", false}, "nothing": {"", "AQAB", false},
		"not base64url": {"+/" + text(n)[2:], "AQAB", false},
	} {
		if got := usableOf(t, map[string]any{"kty": "RSA", "n": c.n, "e": c.e}) == 1; got != c.good {
			t.Errorf("%s: used %t", name, got)
		}
	}
}

// A key that cannot be used is named with the reason; one for encryption is not mentioned.
func TestUnusableKeysAreNamedWithTheReason(t *testing.T) {
	t.Parallel()
	for want, key := range map[string]any{
		`key 1: it is not a JSON object, or has a duplicate member`:                       "text",
		`key "a": its kind (kty) is unknown: "null"`:                                      map[string]any{"kid": "a"},
		`key "a": it is a shared secret (oct), which proves nothing once it is published`: map[string]any{"kid": "a", "kty": "oct"},
		`key "a": it is a private key; the provider has published a secret`:               map[string]any{"kid": "a", "kty": "EC", "d": "AQ"},
		`key "a": its use is neither sig nor enc but "tls"`:                               map[string]any{"kid": "a", "use": "tls"},
		`key "a": n is not base64url`:                                                     map[string]any{"kid": "a", "kty": "RSA", "n": "+/", "e": "AQAB"},
		`key "a": it has 32 bits; RSA keys need 2048 or more`:                             map[string]any{"kid": "a", "kty": "RSA", "n": "_____w", "e": "AQAB"},
		`key "a": it is no point of a known curve (crv "secp256k1")`:                      map[string]any{"kid": "a", "kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ"},
		"": map[string]any{"kid": "a", "kty": "RSA", "use": "enc"},
	} {
		doc, err := json.Marshal(map[string]any{"keys": []any{key}})
		if err != nil {
			t.Fatal(err)
		}
		keys, unusable, err := parseKeys(doc)
		if len(keys) != 0 || KindOf(err) != Misconfigured || joinSome(unusable) != want {
			t.Errorf("%s: %d keys, %q, want %q, %v", doc, len(keys), unusable, want, err)
		}
	}
}

// counted counts the requests that reach a provider.
type counted struct {
	next  http.RoundTripper
	calls *int
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.calls++
	return c.next.RoundTrip(r)
}

// Anybody can send logout tokens: they must not become as many requests to a provider whose keys are away.
func TestKeysThatCannotBeFetchedAreNotRequestedAgainAtOnce(t *testing.T) {
	t.Parallel()
	calls, now := 0, fuzzNow
	down := canned{"/.well-known/openid-configuration": fuzzDiscovery}
	r := fuzzRemote(fuzzDiscovery, nil)
	r.now = func() time.Time { return now }
	r.client = &http.Client{Transport: counted{next: down, calls: &calls}}
	for range 20 {
		if _, err := r.currentKeys(t.Context()); KindOf(err) != Misconfigured {
			t.Fatalf("keys with status 404: %v", err)
		}
	}
	if calls != 2 {
		t.Errorf("%d requests, want one for the metadata and one for the keys", calls)
	}
	down["/jwks"] = fuzzJWKS(t, idp.RSA(0))
	now = now.Add(firstBackoff)
	if ring, err := r.currentKeys(t.Context()); err != nil || len(ring.keys) != 1 {
		t.Errorf("after the back-off: %v", err)
	}
	delete(down, "/jwks")
	now = now.Add(time.Hour)
	for range 20 {
		if ring, err := r.currentKeys(t.Context()); err != nil || len(ring.keys) != 1 {
			t.Errorf("old keys do not serve: %v", err)
		}
	}
	if calls != 5 {
		t.Errorf("%d requests", calls)
	}
	now = now.Add(-12 * time.Hour) // a clock that was set back is no reason to wait
	down["/jwks"] = fuzzJWKS(t, idp.RSA(1))
	if ring, err := r.currentKeys(t.Context()); err != nil || ring.keys[0].KeyID != "rsa1" {
		t.Errorf("after the clock was set back: %v", err)
	}
}
