package oidc

import (
	"context"
	"crypto/subtle"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	leeway     = time.Minute // between the provider's clock and ours
	maxToken   = 64 << 10    // of an ID token or logout token
	maxSubject = 255         // Core, section 2: sub has 255 ASCII characters at most
)

// verified is a token whose signature, issuer, audience and times are right.
type verified struct {
	raw       string
	subject   string
	sid       string
	algorithm string
	authTime  time.Time // zero when it does not say
	claims    claims
}

// expect is what an ID token has to fit to, besides the provider and us.
type expect struct {
	nonce       string // must be this; "" with refresh
	accessToken string // at_hash must be its hash, if there is one
	refresh     bool   // of a refresh answer: may come without a nonce (Core, section 12.2)
}

// verifyID checks an ID token (OpenID Connect Core 1.0, section 3.1.3.7).
func (r *remote) verifyID(ctx context.Context, c *Config, m *metadata, raw string, want expect) (*verified, error) {
	keys := &keySet{r: r, why: forSignIn, algs: m.pinned(c)}
	v, err := r.parse(raw, keys.algs, func(typ string) bool { return !strings.HasSuffix(typ, "+jwt") })
	if err != nil {
		return nil, err
	}
	t, err := verifier(c, keys).Verify(ctx, raw)
	if err != nil {
		return nil, keys.explain("ID token", err)
	}
	if err := t.Claims(&v.claims); err != nil {
		return nil, fail(Invalid, "ID token: its claims are not an object, or one has a member twice")
	}
	if !v.claims.is("iss", t.Issuer) || !v.claims.is("sub", t.Subject) {
		return nil, fail(Invalid, "ID token: iss or sub is missing") // or in another case, which encoding/json takes for them
	}
	if err := v.common(c, r.now()); err != nil {
		return nil, err
	}
	v.subject = t.Subject
	if v.subject == "" || len(v.subject) > maxSubject || !plainText(v.subject) {
		return nil, fail(Invalid, "ID token: sub is missing or malformed")
	}
	return v, v.checkID(t, want)
}

// checkID checks what belongs to this one sign-in.
func (v *verified) checkID(t *gooidc.IDToken, want expect) error {
	nonce, _ := v.claims.get("nonce").text()
	if fits := want.nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(want.nonce)) == 1; !fits && (nonce != "" || !want.refresh) {
		return fail(Invalid, "ID token: nonce is not the one of this sign-in")
	}
	if v.claims.get("at_hash").there() {
		if !v.claims.is("at_hash", t.AccessTokenHash) || want.accessToken == "" || t.VerifyAccessToken(want.accessToken) != nil {
			return fail(Invalid, "ID token: at_hash does not fit the access token")
		}
	}
	if at := v.claims.get("auth_time"); at.there() {
		when, ok := at.instant()
		if !ok {
			return fail(Invalid, "ID token: auth_time is not a time")
		}
		v.authTime = when
	}
	v.sid, _ = v.claims.get("sid").text()
	if v.claims.get("sid").there() && (v.sid == "" || len(v.sid) > 512 || !plainText(v.sid)) {
		return fail(Invalid, "ID token: sid is malformed")
	}
	return nil
}

func verifier(c *Config, keys *keySet) *gooidc.IDTokenVerifier {
	algs := make([]string, len(keys.algs))
	for i, a := range keys.algs {
		algs[i] = string(a)
	}
	// The times are checked in common, with leeway and with our clock.
	return gooidc.NewVerifier(c.Issuer, keys, &gooidc.Config{ClientID: c.ClientID, SupportedSigningAlgs: algs, SkipExpiryCheck: true})
}

// parse looks at the form and the header of a token. Nothing of it is believed yet.
func (r *remote) parse(raw string, algs []jose.SignatureAlgorithm, typ func(string) bool) (*verified, error) {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 || strings.ContainsAny(raw, "{ \t\r\n") {
		return nil, fail(Invalid, "the token is not a compact JWS of at most 64 KiB")
	}
	if len(algs) == 0 {
		return nil, fail(Invalid, "the provider signs in no way that is accepted here (RS256, PS256, ES256, EdDSA); see sign_alg")
	}
	jws, err := jose.ParseSigned(raw, algs)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, fail(Invalid, "the token is not signed in one of the expected ways (%s)", joinAlgs(algs))
	}
	h := jws.Signatures[0].Protected
	if _, has := h.ExtraHeaders["crit"]; has {
		return nil, fail(Invalid, "the token asks for an extension (crit)")
	}
	kind, _ := h.ExtraHeaders[jose.HeaderType].(string)
	if !typ(strings.TrimPrefix(strings.ToLower(kind), "application/")) {
		return nil, fail(Invalid, "the token is of another kind: typ %s", Clean(kind, 40))
	}
	return &verified{raw: raw, algorithm: h.Algorithm}, nil
}

func joinAlgs(algs []jose.SignatureAlgorithm) string {
	s := make([]string, len(algs))
	for i, a := range algs {
		s[i] = string(a)
	}
	return strings.Join(s, ", ")
}

// common checks what holds for ID tokens and logout tokens: audience, authorized party, times.
func (v *verified) common(c *Config, now time.Time) error {
	aud, ok := v.claims.get("aud").texts()
	if !ok || !slices.Contains(aud, c.ClientID) {
		return fail(Invalid, "the token is for somebody else: aud")
	}
	// With several audiences only azp says for whom it was made; without it any of them could have passed it on.
	if (v.claims.get("azp").there() || len(aud) > 1) && !v.claims.is("azp", c.ClientID) {
		return fail(Invalid, "the token was issued to somebody else: azp")
	}
	if !v.claims.get("iat").there() || !v.claims.get("exp").there() {
		return fail(Invalid, "the token does not say when it was issued, or it never expires: iat, exp")
	}
	return v.claims.timely(now)
}

// timely checks the times that are given.
func (c claims) timely(now time.Time) error {
	if iat := c.get("iat"); iat.there() {
		if t, ok := iat.instant(); !ok || t.After(now.Add(leeway)) {
			return fail(Invalid, "iat is no time, or in the future")
		}
	}
	if exp := c.get("exp"); exp.there() {
		if t, ok := exp.instant(); !ok || !now.Before(t.Add(leeway)) {
			return fail(Invalid, "it has expired: exp")
		}
	}
	if nbf := c.get("nbf"); nbf.there() {
		if t, ok := nbf.instant(); !ok || t.After(now.Add(leeway)) {
			return fail(Invalid, "it is not valid yet: nbf")
		}
	}
	return nil
}

// explain returns why go-oidc refused a token. It flattens causes, so that a provider whose keys cannot be read would
// look like one that lies.
func (k *keySet) explain(what string, err error) error {
	if k.failed != nil {
		if KindOf(k.failed) != "" {
			return k.failed
		}
		return &Error{Kind: Invalid, Reason: what, Err: k.failed}
	}
	return fail(Invalid, "%s: %s", what, Clean(strings.TrimPrefix(err.Error(), "oidc: "), 300))
}

// plainText reports whether s is text without control characters, and whole: what is no Unicode text, such as half of a
// surrogate pair, is the same replacement character for everybody once it is decoded.
func plainText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f || r == utf8.RuneError })
}
