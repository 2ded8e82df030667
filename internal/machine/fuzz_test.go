package machine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

const fuzzIssuer = "https://ci.example.com"

func fuzzSet(f *testing.F) *machine.Set {
	f.Helper()
	keys, err := json.Marshal(map[string]any{"keys": []any{idp.RSA(0).JWK()}})
	if err != nil {
		f.Fatal(err)
	}
	now := func() time.Time { return began }
	set, err := machine.New(oidc.NewPool(oidc.PoolOptions{Clock: now}), []machine.Issuer{{
		Name: "ci", Issuer: fuzzIssuer, Audiences: []string{audience}, Keys: keys,
		Rules: []machine.Rule{
			rule("both", claim("a.b", "1", "x*"), claim("groups", "g")),
			rule("one", claim("groups", "h")),
		},
	}}, machine.Options{Clock: now})
	if err != nil {
		f.Fatal(err)
	}
	return set
}

// FuzzClaims signs arbitrary claims with the issuer's own key: an account is found only if all claims of its rule hold,
// as another reading of the same JSON has it.
func FuzzClaims(f *testing.F) {
	set := fuzzSet(f)
	base := `"iss":"` + fuzzIssuer + `","aud":"` + audience + `","exp":1772366700,`
	for _, more := range []string{
		`"a":{"b":1},"groups":["g"]`, `"a.b":"xy","groups":"g"`, `"a.b":null,"a":{"b":"1"},"groups":["h","g"]`, `"groups":["h"]`,
		`"a":{"b":1.0},"groups":"g"`, `"a":{"b":true},"groups":{"g":1}`, `"a":[[1]],"groups":[["g"]]`, `"Groups":"h"`,
		`"groups":"h","groups":"g"`, `"events":1,"groups":"h"`, `"exp":1e999,"groups":"h"`,
	} {
		f.Add("{" + base + more + "}")
	}
	f.Fuzz(func(t *testing.T, payload string) {
		if len(payload) > 8000 {
			return
		}
		token := idp.RSA(0).SignBytes([]byte(payload), nil)
		v, err := set.Verify(t.Context(), token)
		if err != nil {
			if !errors.Is(err, machine.ErrInvalid) || v.Account != "" {
				t.Errorf("%q: %+v, %v", payload, v, err)
			}
			return
		}
		var c map[string]any
		dec := json.NewDecoder(strings.NewReader(payload))
		dec.UseNumber()
		if err := dec.Decode(&c); err != nil {
			t.Fatalf("accepted what is no object: %q", payload)
		}
		texts := func(v any) (out []string) {
			list, is := v.([]any)
			if !is {
				list = []any{v}
			}
			for _, item := range list {
				switch item := item.(type) {
				case string:
					out = append(out, item)
				case json.Number:
					out = append(out, item.String())
				}
			}
			return out
		}
		groups := texts(c["groups"])
		ab := c["a.b"]
		if inner, ok := c["a"].(map[string]any); ok && ab == nil {
			ab = inner["b"]
		}
		first := slices.ContainsFunc(texts(ab), func(s string) bool { return s == "1" || strings.HasPrefix(s, "x") }) &&
			slices.Contains(groups, "g")
		if want := map[bool]string{true: "both", false: "one"}[first]; v.Account != want || !first && !slices.Contains(groups, "h") {
			t.Errorf("%q acts as %s", payload, v.Account)
		}
		if !set.Recognizes(token) {
			t.Errorf("%q is accepted and belongs to the app", payload)
		}
	})
}

// FuzzToken reads arbitrary tokens: without the key none is accepted, and none panics.
func FuzzToken(f *testing.F) {
	set := fuzzSet(f)
	claims := map[string]any{"iss": fuzzIssuer, "aud": audience, "exp": began.Unix() + 300, "groups": "h"}
	good := idp.RSA(0).Sign(claims, nil)
	for _, token := range []string{
		good, idp.SignNone(claims, "none"), idp.SignHMAC(claims, []byte("secret-secret-secret-secret-secr")), "", "..", "a.b.c",
		idp.RSA(1).Sign(claims, map[string]any{"jwk": idp.RSA(1).JWK()}), strings.Repeat("A", 20000) + "..", good + ".a.b",
	} {
		f.Add(token)
	}
	parts := strings.Split(good, ".")
	f.Fuzz(func(t *testing.T, token string) {
		set.Recognizes(token)
		v, err := set.Verify(t.Context(), token)
		if err == nil && !strings.HasPrefix(token, parts[0]+"."+parts[1]+".") {
			t.Errorf("%q acts as %s", token, v.Account)
		}
	})
}
