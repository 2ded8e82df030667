package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// ownModules are section 6 of the reference and what others got wrong.
var ownModules = []module{
	{name: "invalid-authorization-response-iss", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Set("iss", "https://evil.example") }
	}), sees: unverifiable},
	{name: "remove-authorization-response-iss", lie: lies(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
	}), sees: unverifiable},
	{name: "valid-authorization-response-iss", lie: func(_ *testing.T, idp *provider.Provider) {
		idp.SetFaults(func(l *provider.Faults) {
			l.Metadata = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
			l.Callback = func(q url.Values) { q.Set("iss", idp.Issuer) }
		})
	}},
	{name: "authorization-response-with-invalid-state", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) }
	}), sees: "took too long"},
	{name: "authorization-response-with-missing-state", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Del("state") }
	}), sees: "took too long"},
	{name: "missing-nonce", lie: claim("nonce", nil), sees: unverifiable},
	{name: "nonce-empty", lie: claim("nonce", ""), sees: unverifiable},
	{name: "nonce-of-another-type", lie: claim("nonce", []string{"x"}), sees: unverifiable},
	{name: "expired-exp", lie: claim("exp", 1000), sees: unverifiable},
	{name: "missing-exp", lie: claim("exp", nil), sees: unverifiable},
	{name: "exp-of-another-type", lie: claim("exp", "soon"), sees: unverifiable},
	{name: "exp-beyond-all-numbers", lie: claim("exp", 1e300), sees: unverifiable},
	{name: "iat-in-the-far-future", lie: claim("iat", int64(1)<<36), sees: unverifiable},
	{name: "iat-null", lie: lies(func(l *provider.Faults) { l.ID = func(c map[string]any) { c["iat"] = nil } }), sees: unverifiable},
	{name: "nbf-in-the-future", lie: claim("nbf", int64(1)<<36), sees: unverifiable},
	{name: "exp-in-the-far-future", lie: claim("exp", int64(1)<<36)},
	{name: "secondary-aud-without-azp", lie: claim("aud", []string{"gate", "other"}), sees: unverifiable},
	{name: "valid-aud-as-array", lie: claim("aud", []string{"gate"})},
	{name: "secondary-aud-with-azp", lie: lies(func(l *provider.Faults) {
		l.ID = func(c map[string]any) { c["aud"], c["azp"] = []string{"other", "gate"}, "gate" }
	})},
	{name: "invalid-azp", lie: claim("azp", "other"), sees: unverifiable},
	{name: "aud-empty-array", lie: claim("aud", []string{}), sees: unverifiable},
	{name: "aud-of-another-type", lie: claim("aud", []any{"gate", 1}), sees: unverifiable},
	{name: "sub-empty", lie: claim("sub", ""), sees: unverifiable},
	{name: "sub-of-another-type", lie: claim("sub", 17), sees: unverifiable},
	{name: "sub-too-long", lie: claim("sub", strings.Repeat("x", 256)), sees: unverifiable},
	{name: "sub-with-control-characters", lie: claim("sub", "user\x00-1"), sees: unverifiable},
	{name: "sub-in-another-case", lie: lies(func(l *provider.Faults) {
		l.ID = func(c map[string]any) { c["SUB"] = c["sub"]; delete(c, "sub") }
	}), sees: unverifiable},
	{name: "sid-of-another-type", lie: claim("sid", 5), sees: unverifiable},
	{name: "null-alg", lie: signWith(func(c map[string]any) any { return provider.SignNone(c, nil) }), sees: unverifiable},
	{name: "alg-none-in-capitals", lie: signWith(func(c map[string]any) any { return provider.SignNone(c, "NONE") }), sees: unverifiable},
	{name: "alternate-alg-not-in-metadata", lie: func(t *testing.T, idp *provider.Provider) {
		idp.Keys(provider.EC(t, "ec"))
		idp.SetFaults(func(l *provider.Faults) {
			l.Metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"RS256"} }
		})
	}, sees: unverifiable},
	{name: "alternate-alg-not-configured", cfg: func(c *oidc.Config) { c.SignAlgs = []string{"ES256"} }, sees: unverifiable},
	{name: "configured-alg", cfg: func(c *oidc.Config) { c.SignAlgs = []string{"ES256"} }, lie: func(t *testing.T, idp *provider.Provider) {
		idp.Keys(provider.EC(t, "ec"))
	}},
	{name: "eddsa", lie: func(t *testing.T, idp *provider.Provider) { idp.Keys(provider.Ed25519(t, "ed")) }},
	{name: "key-of-the-attacker-in-the-header", lie: signWith(func(c map[string]any) any {
		k := provider.RSA(2) // not published
		return k.Sign(c, map[string]any{"jwk": k.JWK(), "kid": "rsa0"})
	}), sees: unverifiable},
	{name: "jku-and-x5u-are-not-followed", lie: func(_ *testing.T, idp *provider.Provider) {
		idp.SetFaults(func(l *provider.Faults) {
			l.Sign = func(c map[string]any) any {
				return provider.RSA(2).Sign(c, map[string]any{"jku": idp.Issuer + "/evil", "x5u": idp.Issuer + "/evil", "kid": "evil"})
			}
		})
	}, sees: unverifiable},
	{name: "crit-header", lie: signWith(func(c map[string]any) any {
		return provider.RSA(0).Sign(c, map[string]any{"crit": []string{"exp"}, "exp": 1})
	}), sees: unverifiable},
	{name: "typ-logout-token-as-id-token", lie: lies(func(l *provider.Faults) { l.Header = map[string]any{"typ": "logout+jwt"} }), sees: unverifiable},
	{name: "typ-access-token-as-id-token", lie: lies(func(l *provider.Faults) { l.Header = map[string]any{"typ": "application/at+jwt"} }), sees: unverifiable},
	{name: "jwks-with-weak-rsa-key", lie: func(t *testing.T, idp *provider.Provider) { idp.Keys(provider.WeakRSA(t, "weak")) }, sees: misconfigured},
	{name: "jwks-with-weak-key-beside-a-good-one", lie: func(t *testing.T, idp *provider.Provider) {
		idp.Keys(provider.WeakRSA(t, "weak"), provider.RSA(0))
	}, sees: unverifiable},
	{name: "jwks-with-odd-keys-beside-a-good-one", lie: lies(func(l *provider.Faults) {
		l.JWKS = func(keys []any) any {
			return map[string]any{"keys": []any{
				map[string]any{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa0"},
				map[string]any{"kty": "none"},
				map[string]any{},
				"text", 7, nil,
				map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa0"},
				keys[0],
			}}
		}
	})},
	{name: "jwks-with-duplicate-kid", lie: lies(func(l *provider.Faults) {
		l.JWKS = func(keys []any) any {
			other := provider.RSA(1)
			other.ID = "rsa0"
			return map[string]any{"keys": []any{other.JWK(), keys[0]}}
		}
	})},
	{name: "jwks-key-for-encryption", lie: func(_ *testing.T, idp *provider.Provider) {
		k := provider.RSA(0)
		k.Use = "enc"
		idp.Keys(k)
	}, sees: misconfigured},
	{name: "jwks-symmetric-key-only", lie: lies(func(l *provider.Faults) {
		l.JWKS = func([]any) any {
			return map[string]any{"keys": []any{map[string]any{"kty": "oct", "k": "c2VjcmV0", "kid": "k"}}}
		}
		l.Sign = func(c map[string]any) any { return provider.SignHMAC(c, []byte("secret-secret-secret-secret-secr")) }
	}), sees: unverifiable},
	{name: "token-type-in-lower-case", lie: lies(func(l *provider.Faults) { l.Token = func(a map[string]any) { a["token_type"] = "bearer" } })},
	{name: "token-type-in-upper-case", lie: lies(func(l *provider.Faults) { l.Token = func(a map[string]any) { a["token_type"] = "BEARER" } })},
	{name: "token-type-not-bearer", lie: lies(func(l *provider.Faults) { l.Token = func(a map[string]any) { a["token_type"] = "mac" } }), sees: unverifiable},
	{name: "token-response-without-expires-in", lie: lies(func(l *provider.Faults) { l.Token = func(a map[string]any) { delete(a, "expires_in") } })},
	{name: "token-response-without-id-token", lie: lies(func(l *provider.Faults) { l.Token = func(a map[string]any) { delete(a, "id_token") } }), sees: unverifiable},
	{name: "token-response-with-odd-id-token", lie: lies(func(l *provider.Faults) { l.Token = func(a map[string]any) { a["id_token"] = []int{1} } }), sees: unverifiable},
	{name: "id-token-of-a-megabyte", lie: claim("padding", strings.Repeat("x", 1<<19)), sees: unverifiable},
	{name: "id-token-in-json-form", lie: signWith(func(c map[string]any) any {
		parts := strings.Split(provider.RSA(0).Sign(c, nil), ".")
		return `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`
	}), sees: unverifiable},
	{name: "answer-with-code-and-error", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Set("error", "server_error") }
	}), sees: unverifiable},
	{name: "answer-with-two-codes", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Add("code", "another") }
	}), sees: unverifiable},
	{name: "answer-with-two-states", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Add("state", q.Get("state")) }
	}), sees: unverifiable},
	{name: "answer-without-code", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Del("code") }
	}), sees: unverifiable},
	{name: "error-with-markup-and-line-breaks", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) {
			q.Del("code")
			q.Set("error", "invalid_scope<script>alert(1)</script>")
			q.Set("error_description", "<img src=x onerror=alert(1)>\r\nSet-Cookie: a=b")
		}
	}), sees: "answered with an error"},
	{name: "wrong-code", lie: lies(func(l *provider.Faults) {
		l.Callback = func(q url.Values) { q.Set("code", "wrong") }
	}), sees: "answered with an error"},
	{name: "userinfo-without-sub", lie: lies(func(l *provider.Faults) {
		l.UserInfo = func(c map[string]any) { delete(c, "sub") }
	}), sees: unverifiable, info: true},
	{name: "userinfo-sub-in-another-case", lie: lies(func(l *provider.Faults) {
		l.UserInfo = func(c map[string]any) { c["Sub"] = c["sub"]; delete(c, "sub") }
	}), sees: unverifiable, info: true},
	{name: "no-userinfo-endpoint", lie: lies(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { delete(m, "userinfo_endpoint") }
	})},
	{name: "endpoints-on-another-scheme", lie: lies(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["token_endpoint"] = "file:///etc/passwd" }
	}), sees: misconfigured},
}
