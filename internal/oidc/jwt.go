package oidc

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// MaxJWT is the size of the largest JWT that is read, in bytes.
const MaxJWT = 16 << 10

// ExpectedJWT is what a JWT has to be like, besides signed by its issuer and neither expired nor from the future.
type ExpectedJWT struct {
	Audiences   []string      // aud has to hold one of them
	NotFor      []string      // and none of these
	SignAlgs    []string      // accepted algorithms; empty for RS256, PS256, ES256 and EdDSA
	AccessToken bool          // typ has to be at+jwt (RFC 9068, section 4)
	MaxAge      time.Duration // the oldest iat; 0 for any, or none
}

// CheckSignAlg returns an error for algorithms that tokens may not be signed with: none, and shared secrets.
func CheckSignAlg(name string) error {
	return (&Config{SignAlgs: []string{name}}).checkAlgorithms()
}

func (w *ExpectedJWT) algorithms() []jose.SignatureAlgorithm {
	if len(w.SignAlgs) == 0 {
		return defaultAlgorithms
	}
	algs := make([]jose.SignatureAlgorithm, len(w.SignAlgs))
	for i, a := range w.SignAlgs {
		algs[i] = jose.SignatureAlgorithm(a)
	}
	return algs
}

// JWT is a verified JWT.
type JWT struct {
	Expires time.Time // exp
	Key     string    // thumbprint of the key that signed it (RFC 7638, with SHA-256), in base64url
	// Until is how long the result may be kept: exp, or when it is too old.
	Until  time.Time
	claims jsonObject
}

// Values returns the values of a claim as texts: a string as it is, numbers and booleans as they were written, and the
// elements of a list. What is absent, null, an object or a list within a list has none. Dots in the path lead into
// objects; a name with dots in it is found, too, the longest one first.
func (t *JWT) Values(path string) []string {
	var out []string
	for _, item := range t.claims.lookup(path).items() {
		switch v := item.v.(type) {
		case string:
			out = append(out, v)
		case json.Number:
			out = append(out, v.String())
		case bool:
			out = append(out, strconv.FormatBool(v))
		}
	}
	return out
}

// Verify verifies a JWT of this issuer (RFC 7519, section 7.2; RFC 8725, section 3). An *[Error] of a technical kind
// means that there are no keys to verify it with; every other one, that it is refused.
func (i *Issuer) Verify(ctx context.Context, raw string, want *ExpectedJWT) (*JWT, error) {
	if err := checkHeader(raw, want.AccessToken); err != nil {
		return nil, err
	}
	keys := &issuerKeys{issuer: i, algs: want.algorithms()}
	algs := make([]string, len(keys.algs))
	for n, a := range keys.algs {
		algs[n] = string(a)
	}
	// go-oidc knows one audience, and no leeway: both are checked below.
	t, err := gooidc.NewVerifier(i.name, keys, &gooidc.Config{
		SupportedSigningAlgs: algs, SkipClientIDCheck: true, SkipExpiryCheck: true,
	}).Verify(ctx, raw)
	if err != nil {
		return nil, explain(keys.lastErr, "JWT", err)
	}
	out := &JWT{}
	if err := t.Claims(&out.claims); err != nil {
		return nil, fail(Invalid, "JWT: its claims are not an object, or one has a duplicate member")
	}
	if !out.claims.is("iss", i.name) {
		return nil, fail(Invalid, "JWT: iss is missing") // or in another case, which encoding/json accepts
	}
	thumbprint, err := keys.key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fail(Invalid, "JWT: its key has no thumbprint")
	}
	out.Key = base64.RawURLEncoding.EncodeToString(thumbprint)
	if err := out.check(want, i.now()); err != nil {
		return nil, err
	}
	return out, nil
}

// forbidden are members of a header that say where to find the key, or that there is more to the token than a signature
// over claims: extensions, compression, another token within (RFC 7515, section 4.1; RFC 7797).
var forbidden = []string{"jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "zip", "enc"}

// checkHeader checks the form and the header of a JWT. Nothing in it is trusted yet.
func checkHeader(raw string, accessToken bool) error {
	if len(raw) > MaxJWT {
		return fail(Invalid, "JWT: it has more than %d bytes", MaxJWT)
	}
	first, _, _ := strings.Cut(raw, ".")
	if strings.Count(raw, ".") != 2 || strings.ContainsAny(raw, "{ \t\r\n") {
		return fail(Invalid, "JWT: it is not a compact JWS")
	}
	header, err := base64.RawURLEncoding.DecodeString(first)
	var h jsonObject
	if err != nil || json.Unmarshal(header, &h) != nil {
		return fail(Invalid, "JWT: its header is not an object, or has a duplicate member")
	}
	for _, name := range forbidden {
		if hasMember(header, name) {
			return fail(Invalid, "JWT: its header has %s, which is not accepted", name)
		}
	}
	typ, isText := h.get("typ").asString()
	kind := strings.TrimPrefix(strings.ToLower(typ), "application/")
	switch other := strings.HasSuffix(kind, "+jwt") && kind != "at+jwt"; {
	case h.get("typ").present() && !isText, other, accessToken && kind != "at+jwt":
		return fail(Invalid, "JWT: it has the wrong typ: %s", identifier.Example(h.get("typ").text()))
	}
	return nil
}

// check checks the claims, by exact member names.
func (t *JWT) check(want *ExpectedJWT, now time.Time) error {
	aud, ok := t.claims.get("aud").asStrings()
	in := func(list []string) bool {
		return slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(list, a) })
	}
	switch _, events := t.claims.members["events"]; {
	case events:
		return fail(Invalid, "JWT: it tells of events, as logout tokens do")
	case !ok || !in(want.Audiences):
		return fail(Invalid, "JWT: it is for somebody else: aud is %s", identifier.Example(t.claims.get("aud").text()))
	case in(want.NotFor):
		return fail(Invalid, "JWT: it is an ID token of a sign-in: aud is the client of an oidc provider")
	case !t.claims.get("exp").present():
		return fail(Invalid, "JWT: exp is missing")
	}
	if err := t.claims.checkTimes(now); err != nil {
		return err
	}
	for _, name := range []string{"sub", "jti"} {
		v := t.claims.get(name)
		if text, ok := v.asString(); v.present() && (!ok || !plainText(text)) {
			return fail(Invalid, "JWT: %s is malformed", name)
		}
	}
	t.Expires, _ = t.claims.get("exp").asTime()
	t.Until = t.Expires
	if want.MaxAge <= 0 {
		return nil
	}
	iat, ok := t.claims.get("iat").asTime()
	if !ok || !now.Before(iat.Add(want.MaxAge+leeway)) {
		return fail(Invalid, "JWT: iat is missing, or older than max_age")
	}
	if old := iat.Add(want.MaxAge + leeway); old.Before(t.Until) {
		t.Until = old
	}
	return nil
}

// UnverifiedIssuers returns the issuers that a JWT names, without any verification: whose it claims to be. There is
// more than one only in tokens that nobody should accept. It is nil for what is no JWT that is read.
func UnverifiedIssuers(raw string) []string {
	parts := strings.Split(raw, ".")
	if len(raw) > MaxJWT || len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []string
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return out
		}
		var iss string
		if name == "iss" && json.Unmarshal(value, &iss) == nil {
			out = append(out, iss)
		}
	}
	return out
}

// IsOversizedJWT reports whether text has the form of a JWT that is too large to be read.
func IsOversizedJWT(text string) bool {
	if len(text) <= MaxJWT || strings.Count(text, ".") != 2 {
		return false
	}
	first, _, _ := strings.Cut(text, ".")
	header := bufio.NewReader(base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(first)))
	for {
		b, err := header.ReadByte()
		if err != nil || !strings.ContainsRune(" \t\r\n", rune(b)) { // blanks may come before a JSON object
			return err == nil && b == '{'
		}
	}
}
