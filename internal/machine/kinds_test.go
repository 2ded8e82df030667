package machine_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func payload(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signRaw signs whatever header a forger may write, with an RSA key: libraries refuse to make some of them.
func signRaw(t *testing.T, k idp.Key, header, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"alg": string(k.Alg), "kid": k.ID}
	for name, v := range header {
		all[name] = v
	}
	input := base64.RawURLEncoding.EncodeToString(payload(t, all)) + "." +
		base64.RawURLEncoding.EncodeToString(payload(t, claims))
	sum := sha256.Sum256([]byte(input))
	signature, err := k.Private.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// A token of one kind is good for nothing else (RFC 8725, section 2.8).
func TestTokensOfOtherKindsActAsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const client = "gate"
	w.set = w.newSet(machine.Client{Issuer: w.idp.Issuer, ID: client}, machine.Client{Issuer: "https://x.example", ID: audience})
	idToken := map[string]any{"nonce": "n", "at_hash": "AAAA", "auth_time": began.Unix(), "azp": client, "sid": "s"}
	with := func(more map[string]any) map[string]any {
		c := w.claims(idToken)
		for name, v := range more {
			c[name] = v
		}
		return c
	}
	event := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	nested := idp.RSA(0).Sign(w.claims(nil), nil)
	for what, token := range map[string]string{
		"an ID token of a sign-in":               idp.RSA(0).Sign(with(map[string]any{"aud": client}), nil),
		"one for us and the client":              idp.RSA(0).Sign(with(map[string]any{"aud": []string{client, audience}}), nil),
		"one without its marks":                  w.sign(map[string]any{"aud": []string{audience, client}}),
		"a logout token":                         idp.RSA(0).Sign(w.claims(map[string]any{"events": event}), map[string]any{"typ": "logout+jwt"}),
		"a logout token of an older provider":    idp.RSA(0).Sign(w.claims(map[string]any{"events": event}), map[string]any{"typ": "JWT"}),
		"a logout token without a typ":           w.sign(map[string]any{"events": event}),
		"events of another form":                 w.sign(map[string]any{"events": "x"}),
		"another token in it":                    idp.RSA(0).SignBytes([]byte(nested), nil),
		"another token in it, which says so":     signRaw(t, idp.RSA(0), map[string]any{"cty": "JWT"}, w.claims(nil)),
		"claims in a list":                       idp.RSA(0).SignBytes([]byte(`[{}]`), nil),
		"a claim twice":                          idp.RSA(0).SignBytes([]byte(strings.Replace(string(payload(t, w.claims(nil))), "{", `{"aud":"x",`, 1)), nil),
		"a session's token":                      strings.Repeat("x", 43),
		"an assertion of ours by its own key":    assertion(t).Sign(w.claims(map[string]any{"iss": audience}), nil),
		"an assertion of ours, named as issuer":  assertion(t).Sign(w.claims(nil), nil),
		"a client's own statement (RFC 7523)":    idp.RSA(0).Sign(w.claims(map[string]any{"iss": client, "sub": client}), nil),
		"a token for the issuer itself":          w.sign(map[string]any{"aud": w.idp.Issuer}),
		"claims that name distributed ones only": w.sign(map[string]any{"repository_id": nil, "_claim_names": map[string]any{"repository_id": "s"}, "_claim_sources": map[string]any{"s": map[string]any{"endpoint": w.idp.Issuer + "/claims"}}}),
	} {
		w.refused(what, token)
	}
	w.accepted("a token for us", w.sign(nil))
}

// assertion is a key as the gate signs its own assertions with.
func assertion(t *testing.T) idp.Key {
	t.Helper()
	k := ec(t, elliptic.P256(), jose.ES256)
	k.ID = "thumbprint"
	return k
}

// Whatever issuer has the gate's own key among its keys, by mistake or on purpose.
func TestAnAssertionOfTheGateActsAsNobodyEvenWhereItsKeyIsTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own, other := assertion(t), ec(t, elliptic.P256(), jose.ES256)
	w.idp.Keys(own, other)
	public := jose.JSONWebKey{Key: own.Private.Public()}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	w.set, err = machine.New(w.pool, []machine.Issuer{w.config}, machine.Options{
		Clock: w.clock.Now,
		OwnKey: func(_ context.Context, key string) (bool, error) {
			return key == base64.RawURLEncoding.EncodeToString(thumbprint), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.accepted("of the issuer", other.Sign(w.claims(nil), nil))
	w.refused("of the gate", own.Sign(w.claims(nil), nil))
}
