package machine_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func ec(t *testing.T, curve elliptic.Curve, alg jose.SignatureAlgorithm) idp.Key {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return idp.Key{Private: k, Alg: alg, ID: string(alg)}
}

func TestATokenIsAcceptedWithTheAlgorithmsOfItsIssuerOnly(t *testing.T) {
	t.Parallel()
	rsa := func(alg jose.SignatureAlgorithm) idp.Key {
		k := idp.RSA(1)
		k.Alg, k.ID = alg, string(alg)
		return k
	}
	ed := idp.Ed25519(t, "ed")
	keys := map[string]idp.Key{
		"RS256": rsa(jose.RS256), "RS384": rsa(jose.RS384), "RS512": rsa(jose.RS512), "PS256": rsa(jose.PS256),
		"PS384": rsa(jose.PS384), "PS512": rsa(jose.PS512), "EdDSA": ed, "ES256": ec(t, elliptic.P256(), jose.ES256),
		"ES384": ec(t, elliptic.P384(), jose.ES384), "ES512": ec(t, elliptic.P521(), jose.ES512),
	}
	usual := map[string]bool{"RS256": true, "ES256": true, "PS256": true, "EdDSA": true}
	for alg, key := range keys {
		w := newWorld(t)
		w.idp.Keys(key)
		token := key.Sign(w.claims(nil), nil)
		if usual[alg] {
			w.accepted(alg, token)
		} else {
			w.refused(alg, token)
		}
		w = newWorld(t, func(c *machine.Issuer) { c.SignAlgs = []string{alg} })
		w.idp.Keys(key)
		w.accepted(alg+" alone", key.Sign(w.claims(nil), nil))
		for other, k := range keys {
			if other != alg {
				w.refused(other+" for "+alg, k.Sign(w.claims(nil), nil))
			}
		}
	}
}

// What proves nothing is refused: none, shared secrets, the public key as a shared secret, another issuer's key.
func TestATokenThatTheIssuerHasNotSignedIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.sign(nil)
	w.accepted("good", good)
	parts := strings.Split(good, ".")
	other := idp.EC(t, "rsa0") // with the id of a key of the issuer
	for what, token := range map[string]string{
		"none":            idp.SignNone(w.claims(nil), "none"),
		"None":            idp.SignNone(w.claims(nil), "None"),
		"a list as alg":   idp.SignNone(w.claims(nil), []string{"RS256"}),
		"no signature":    parts[0] + "." + parts[1] + ".",
		"HS256":           idp.SignHMAC(w.claims(nil), []byte("secret-secret-secret-secret-secr")),
		"tampered":        idp.Tamper(good),
		"another key":     idp.RSA(2).Sign(w.claims(nil), map[string]any{"kid": "rsa0"}),
		"another kind":    other.Sign(w.claims(nil), nil),
		"other claims":    parts[0] + "." + strings.Split(w.sign(map[string]any{"jti": "two"}), ".")[1] + "." + parts[2],
		"two signatures":  good + "." + parts[2],
		"JSON":            `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"a line break":    parts[0] + "." + parts[1] + "\n." + parts[2],
		"padding":         parts[0] + "." + parts[1] + "=." + parts[2],
		"only dots":       "..",
		"nothing":         "",
		"encrypted":       good + ".a.b",
		"a single letter": "a",
	} {
		w.refused(what, token)
	}
}

// A key in the header is the forger's own, an address leads to it, and extensions change what a signature is over.
func TestAHeaderThatSaysMoreThanWhichKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forger := idp.RSA(2)
	jwk := forger.JWK()
	for what, header := range map[string]map[string]any{
		"jwk": {"jwk": jwk}, "jku": {"jku": w.idp.Issuer + "/jwks"}, "x5u": {"x5u": w.idp.Issuer + "/cert"},
		"x5c": {"x5c": []string{"AAAA"}}, "crit": {"crit": []string{"exp"}}, "b64": {"b64": true}, "cty": {"cty": "JWT"},
		"zip": {"zip": "DEF"}, "typ of a logout token": {"typ": "logout+jwt"},
		"typ of a logout token, in full": {"typ": "application/LOGOUT+JWT"},
		"typ of a security event":        {"typ": "secevent+jwt"}, "typ of a proof": {"typ": "dpop+jwt"},
		"typ that is no text": {"typ": 5}, "typ that is a list": {"typ": []string{"JWT"}},
	} {
		for _, key := range []idp.Key{idp.RSA(0), forger} {
			w.refused(what, signRaw(t, key, header, w.claims(nil)))
		}
	}
	for what, header := range map[string]map[string]any{
		"no typ": {}, "JWT": {"typ": "JWT"}, "at+jwt": {"typ": "at+jwt"}, "JOSE": {"typ": "JOSE"},
		"thumbprints": {"x5t": "AAAA", "x5t#S256": "AAAA"}, "what nobody knows": {"org": "x", "JKU": "x"},
	} {
		w.accepted(what, signRaw(t, idp.RSA(0), header, w.claims(map[string]any{"jti": what})))
	}
}

func TestTypeATJWTAcceptsAccessTokensOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *machine.Issuer) { c.AccessToken = true })
	for typ, good := range map[any]bool{
		"at+jwt": true, "AT+JWT": true, "application/at+jwt": true, "Application/at+JWT": true,
		"JWT": false, nil: false, "": false, "at+jwt ": false, "at-jwt": false, "logout+jwt": false, 5: false,
	} {
		token := idp.RSA(0).Sign(w.claims(map[string]any{"jti": fmt.Sprint(typ)}), map[string]any{"typ": typ})
		if good {
			w.accepted(fmt.Sprint(typ), token)
		} else {
			w.refused(fmt.Sprint(typ), token)
		}
	}
}

func TestOnlyTokensForUsAreAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *machine.Issuer) { c.Audiences = []string{audience, "gate"} })
	for _, good := range []any{audience, "gate", []any{"x", audience}, []any{audience, "gate"}} {
		w.accepted(fmt.Sprint(good), w.sign(map[string]any{"aud": good}))
	}
	for _, bad := range []any{
		nil, "", "x",
		[]any{},
		[]any{"x"},
		5, true,
		map[string]any{"a": audience},
		audience + "/", "https://APP.example.com",
		audience + " ",
		[]any{[]any{audience}},
		[]any{audience, 5},
		audience + "," + "gate", "gate gate", "gat", "gate2",
	} {
		w.refused(fmt.Sprint(bad), w.sign(map[string]any{"aud": bad}))
	}
}

func TestTimesHaveAMinuteOfSkew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := began.Unix()
	for _, c := range []struct {
		claim string
		value any
		good  bool
	}{
		{"exp", now + 1, true},
		{"exp", now - 59, true},
		{"exp", now - 60, false},
		{"exp", now - 3600, false},
		{"exp", nil, false},
		{"exp", "soon", false},
		{"exp", fmt.Sprint(now + 300), false},
		{"exp", 0, false},
		{"exp", -1, false},
		{"exp", 1e300, false},
		{"exp", []any{now + 300}, false},
		{"exp", float64(now) + 0.5, true},
		{"nbf", now + 60, true},
		{"nbf", now + 61, false},
		{"nbf", nil, true},
		{"nbf", "now", false},
		{"iat", now + 60, true},
		{"iat", now + 61, false},
		{"iat", nil, true},
		{"iat", true, false},
		{"iat", now - 1e7, true},
	} {
		token := w.sign(map[string]any{c.claim: c.value})
		if what := fmt.Sprintf("%s %v", c.claim, c.value); c.good {
			w.accepted(what, token)
		} else {
			w.refused(what, token)
		}
	}
}

func TestMaxAgeRefusesAnOlderTokenAndOneWithoutIat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *machine.Issuer) { c.MaxAge = 15 * time.Minute })
	now := began.Unix()
	w.accepted("young", w.sign(map[string]any{"iat": now - 900}))
	w.refused("old", w.sign(map[string]any{"iat": now - 960}))
	w.refused("without iat", w.sign(map[string]any{"iat": nil}))
	// Kept results end with the age, too.
	token := w.sign(map[string]any{"iat": now - 930})
	w.accepted("nearly old", token)
	w.clock.Advance(31 * time.Second)
	w.refused("now old", token)
}

func TestOver16KiBIsRefusedBeforeItIsParsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sized := func(over int) string {
		text := 11000
		for {
			token := w.sign(map[string]any{"pad": strings.Repeat("x", text)})
			if len(token) >= oidc.MaxJWT+over {
				return token
			}
			text++
		}
	}
	if token := sized(-4); len(token) <= oidc.MaxJWT {
		w.accepted("as large as may be", token)
	}
	large := sized(1)
	w.calls("one token", 1)
	w.refused("too large", large)
	huge := "eyJ" + strings.Repeat("A", 1<<20) + ".e30.AA"
	after := func(blanks string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(blanks+`{"alg":"RS256"}`)) + "." + strings.Repeat("A", oidc.MaxJWT) + ".AA"
	}
	for what, token := range map[string]string{
		"too large": large, "a megabyte": huge, "a blank first": after(" "), "many blanks first": after(strings.Repeat(" \r\n\t", 100)),
	} {
		if !w.set.Recognizes(token) {
			t.Errorf("%s: it is not recognized", what)
		}
	}
	for what, token := range map[string]string{
		"no JWT": strings.Repeat("x", 20000), "two dots": strings.Repeat("x", 20000) + "..", "dots": strings.Repeat(".", 20000),
	} {
		if w.set.Recognizes(token) {
			t.Errorf("%s: what belongs to the app is taken", what)
		}
		w.refused(what, token)
	}
}

// Whoever names a configured issuer anywhere is judged by it, and never passed on as somebody else's.
func TestATokenIsOursIfItNamesAConfiguredIssuer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := idp.RSA(0)
	twice := strings.Replace(string(payload(t, w.claims(nil))), "{", `{"iss":"https://other.example",`, 1)
	for what, token := range map[string]string{
		"two issuers": key.SignBytes([]byte(twice), nil), "broken behind": key.SignBytes([]byte(`{"iss":"`+w.idp.Issuer+`",`), nil),
		"no header": "." + strings.Split(w.sign(nil), ".")[1] + ".",
	} {
		if !w.set.Recognizes(token) {
			t.Errorf("%s: it is not recognized", what)
		}
		w.refused(what, token)
	}
	for what, token := range map[string]string{
		"another issuer":         w.sign(map[string]any{"iss": "https://other.example"}),
		"a slash more":           w.sign(map[string]any{"iss": w.idp.Issuer + "/"}),
		"another case":           w.sign(map[string]any{"iss": strings.ToUpper(w.idp.Issuer)}),
		"another name":           w.sign(map[string]any{"iss": nil, "ISS": w.idp.Issuer}),
		"within another":         w.sign(map[string]any{"iss": nil, "x": map[string]any{"iss": w.idp.Issuer}}),
		"a list":                 w.sign(map[string]any{"iss": []string{w.idp.Issuer}}),
		"claims that are a list": key.SignBytes([]byte(`["iss","`+w.idp.Issuer+`"]`), nil),
		"a token of ours":        "gatehouse_pat_0123456789", "nothing": "",
	} {
		if w.set.Recognizes(token) {
			t.Errorf("%s: it is recognized", what)
		}
		w.refused(what, token)
	}
	if (*machine.Set)(nil).Recognizes(w.sign(nil)) {
		t.Error("without issuers a token is recognized")
	}
}

func TestAResultIsKeptForAMinuteAndNeverPastItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.sign(nil)
	first := w.accepted("first", token)
	if again := w.accepted("again", token); again != first || first.Account != "deploy" || first.Issuer != "ci" ||
		len(first.ID) != len("ci:")+32 || !first.Expires.Equal(began.Add(5*time.Minute)) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	w.idp.Keys(idp.RSA(1)) // the key is withdrawn
	w.clock.Advance(59 * time.Second)
	w.accepted("kept", token)
	w.clock.Advance(10 * time.Minute)
	w.refused("expired", token)
	short := idp.RSA(1).Sign(w.claims(map[string]any{"exp": w.clock.Now().Unix() + 10}), nil)
	w.accepted("short", short)
	w.clock.Advance(70 * time.Second)
	w.refused("short, expired", short)
	w.clock.Advance(-70*time.Second - time.Hour)
	w.refused("before it was issued", short)
}
