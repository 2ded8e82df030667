package oidc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// canned responds to requests by path, without a network.
type canned map[string][]byte

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	body, ok := c[r.URL.Path]
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
	}, nil
}

const fuzzIssuer = "https://id.example.com"

var fuzzNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fuzzRemote is a remote whose provider serves these documents.
func fuzzRemote(discovery, jwks []byte) *remote {
	c := canned{"/.well-known/openid-configuration": discovery, "/jwks": jwks}
	return &remote{
		issuer: fuzzIssuer, discovery: fuzzIssuer + "/.well-known/openid-configuration", now: func() time.Time { return fuzzNow }, log: zap.NewNop(), client: &http.Client{Transport: c},
		refetches: map[purpose]*rateLimit{forSignIn: newRateLimit(5), forLogout: newRateLimit(3)},
	}
}

var fuzzDiscovery = []byte(`{"issuer":"` + fuzzIssuer +
	`","authorization_endpoint":"https://id.example.com/a","token_endpoint":"https://id.example.com/t",` +
	`"jwks_uri":"https://id.example.com/jwks","userinfo_endpoint":"https://id.example.com/u","end_session_endpoint":"https://id.example.com/e",` +
	`"id_token_signing_alg_values_supported":["RS256","ES256","none","HS256"],"authorization_response_iss_parameter_supported":false}`)

func fuzzJWKS(t testing.TB, keys ...idp.Key) []byte {
	t.Helper()
	var list []any
	for _, k := range keys {
		list = append(list, k.JWK())
	}
	b, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var fuzzConfig = Config{Name: "test", Issuer: fuzzIssuer, ClientID: "gate", Secret: "s"}

func fuzzClaims() map[string]any {
	return map[string]any{
		"iss": fuzzIssuer, "sub": "user-1", "aud": "gate", "iat": fuzzNow.Unix(),
		"exp": fuzzNow.Unix() + 300, "nonce": "n-0123456789",
	}
}

// object returns m as JSON.
func object(t testing.TB, m map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzIDToken signs arbitrary claims with the provider's own key: only those of this flow are accepted.
func FuzzIDToken(f *testing.F) {
	r := fuzzRemote(fuzzDiscovery, fuzzJWKS(f, idp.RSA(0)))
	seeds := 0
	add := func(change func(map[string]any)) {
		c := fuzzClaims()
		change(c)
		f.Add(object(f, c))
		seeds++
	}
	add(func(map[string]any) {})
	add(func(c map[string]any) { c["aud"] = []string{"gate", "x"}; c["azp"] = "gate" })
	add(func(c map[string]any) { c["SUB"] = "other" })
	add(func(c map[string]any) { c["_claim_names"] = map[string]any{"a": "b"} })
	add(func(c map[string]any) { c["exp"] = 1e308; c["sid"] = "x"; c["auth_time"] = -1 })
	if seeds < 5 {
		f.Fatal("there are no seeds")
	}
	m, err := r.metadata(context.Background(), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if !json.Valid(payload) {
			return // the signer of this test wants JSON
		}
		v, err := r.verifyID(t.Context(), &fuzzConfig, m, signRaw(t, payload), expectedToken{nonce: "n-0123456789"})
		if err != nil {
			if KindOf(err) != Invalid {
				t.Errorf("kind %q: %v", KindOf(err), err)
			}
			return
		}
		var c map[string]any
		if err := json.Unmarshal(payload, &c); err != nil {
			t.Fatalf("accepted a payload that is no object: %s", payload)
		}
		if c["iss"] != fuzzIssuer || c["sub"] != v.subject || v.subject == "" || len(v.subject) > maxSubject ||
			c["nonce"] != "n-0123456789" {
			t.Errorf("accepted %s as %q", payload, v.subject)
		}
		if aud, ok := c["aud"].(string); (!ok || aud != "gate") && !strings.Contains(string(payload), "gate") {
			t.Errorf("accepted a token for another client: %s", payload)
		}
		if exp, ok := c["exp"].(float64); !ok || exp < float64(fuzzNow.Unix()-60) {
			t.Errorf("accepted an expired token: %s", payload)
		}
		if iat, ok := c["iat"].(float64); !ok || iat > float64(fuzzNow.Unix()+61) {
			t.Errorf("accepted a token from the future: %s", payload)
		}
	})
}

func signRaw(t *testing.T, payload []byte) string {
	t.Helper()
	return idp.RSA(0).SignBytes(payload, nil)
}

// FuzzToken verifies arbitrary tokens: without the key none is accepted.
func FuzzToken(f *testing.F) {
	good := idp.RSA(0).Sign(fuzzClaims(), nil)
	f.Add(good)
	f.Add(idp.SignNone(fuzzClaims(), "none"))
	f.Add(idp.SignHMAC(fuzzClaims(), []byte("secret-secret-secret-secret-secr")))
	f.Add(idp.RSA(1).Sign(fuzzClaims(), map[string]any{"jwk": idp.RSA(1).JWK()}))
	f.Add("..")
	f.Add(`{"payload":"e30","signatures":[]}`)
	jwks := fuzzJWKS(f, idp.RSA(0))
	f.Fuzz(func(t *testing.T, token string) {
		r := fuzzRemote(fuzzDiscovery, jwks)
		m, err := r.metadata(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := r.verifyID(t.Context(), &fuzzConfig, m, token, expectedToken{nonce: "n-0123456789"}); err == nil &&
			token != good {
			t.Errorf("accepted %q as %q", token, v.subject)
		}
	})
}

// FuzzLogoutToken signs arbitrary claims: an accepted logout token has the event, names a subject or a session, and is
// no ID token.
func FuzzLogoutToken(f *testing.F) {
	jwks := fuzzJWKS(f, idp.RSA(0))
	good := map[string]any{
		"iss": fuzzIssuer, "aud": "gate", "iat": fuzzNow.Unix(), "exp": fuzzNow.Unix() + 120, "jti": "j", "sub": "user-1",
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	f.Add(object(f, good))
	f.Add(object(f, fuzzClaims()))
	f.Add([]byte(`{"events":{"` + logoutEvent + `":[]},"sid":"x"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if !json.Valid(payload) {
			return
		}
		r := fuzzRemote(fuzzDiscovery, jwks)
		g := &Registry{
			names: map[string]*provider{"test": {Config: fuzzConfig, remote: r, now: r.now}}, now: r.now,
			log: zap.NewNop(),
		}
		l, err := g.VerifyLogout(t.Context(), "test", signRaw(t, payload))
		if err != nil {
			return
		}
		var c map[string]any
		if err := json.Unmarshal(payload, &c); err != nil {
			t.Fatalf("accepted a payload that is no object: %s", payload)
		}
		events, _ := c["events"].(map[string]any)
		_, event := events[logoutEvent].(map[string]any)
		_, nonce := c["nonce"]
		if !event || nonce || c["iss"] != fuzzIssuer || c["jti"] != l.ID || l.ID == "" || (l.Subject == "" && l.SID == "") ||
			l.Expires.IsZero() {
			t.Errorf("accepted %s as %+v", payload, l)
		}
	})
}

// FuzzDiscovery reads arbitrary discovery documents: every URL that is used afterwards is https.
func FuzzDiscovery(f *testing.F) {
	f.Add(fuzzDiscovery)
	f.Add([]byte(`{"issuer":"https://id.example.com"}`))
	f.Add([]byte(strings.ReplaceAll(string(fuzzDiscovery), "https://id.example.com/t", "http://169.254.169.254/")))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := fuzzRemote(doc, nil).metadata(t.Context(), time.Hour)
		if err != nil {
			if !KindOf(err).Technical() {
				t.Errorf("kind %q: %v", KindOf(err), err)
			}
			return
		}
		for _, u := range []string{m.AuthURL, m.TokenURL, m.KeysURL} {
			if !strings.HasPrefix(strings.ToLower(u), "https://") {
				t.Errorf("uses %q", u)
			}
		}
		for _, u := range []string{m.UserInfoURL, m.EndURL, m.RevokeURL, m.PushURL} {
			if u != "" && !strings.HasPrefix(strings.ToLower(u), "https://") {
				t.Errorf("uses %q", u)
			}
		}
		for _, a := range m.allowedAlgorithms(&fuzzConfig) {
			if strings.HasPrefix(string(a), "HS") || strings.EqualFold(string(a), "none") {
				t.Errorf("accepts %s", a)
			}
		}
	})
}

// FuzzJWKS reads arbitrary key sets: only public keys of sufficient strength are used.
func FuzzJWKS(f *testing.F) {
	f.Add(fuzzJWKS(f, idp.RSA(0), idp.EC(f, "ec"), idp.Ed25519(f, "ed")))
	f.Add(fuzzJWKS(f, idp.WeakRSA(f, "weak")))
	f.Add([]byte(
		`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AA"},null,[],{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Add([]byte(`{"keys":null}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, _, err := parseKeys(doc)
		if (err == nil) != (len(keys) > 0) || len(keys) > maxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			switch key := k.Key.(type) {
			case *rsa.PublicKey:
				if key.N.BitLen() < 2048 {
					t.Errorf("uses an RSA key of %d bits", key.N.BitLen())
				}
			case *ecdsa.PublicKey:
				if key.Curve.Params().BitSize < 256 {
					t.Errorf("uses a curve of %d bits", key.Curve.Params().BitSize)
				}
			default:
				if !k.IsPublic() {
					t.Errorf("uses a %T", k.Key)
				}
			}
		}
	})
}

// FuzzAuthResponse reads arbitrary callback parameters.
func FuzzAuthResponse(f *testing.F) {
	f.Add("state=" + strings.Repeat("A", 43) + "&code=x")
	f.Add("state=x&state=y")
	f.Add("error=access_denied&state=" + strings.Repeat("-", 43))
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		a, err := ParseAuthResponse(values)
		if err == nil && (len(a.State) != 43 || (a.Code == "") == (a.Error == "") ||
			strings.ContainsAny(a.Error+a.Description, "\r\n\x00")) {
			t.Errorf("accepted %q as %+v", query, a)
		}
	})
}
