package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// Leeway is how much a provider's clock and ours may differ.
const Leeway = time.Minute

const (
	leeway     = Leeway
	maxToken   = 64 << 10 // of an ID token or logout token
	maxSubject = 255      // Core, section 2: sub has 255 ASCII characters at most
)

// verifiedToken is a token whose signature, issuer, audience and times are verified once verifyID or VerifyLogout has
// returned it.
type verifiedToken struct {
	raw       string
	subject   string
	sid       string
	algorithm string
	authTime  time.Time // zero if not given
	claims    jsonObject
}

// signedNow reports whether the token comes from the provider's present response, and not from the store.
func (v *verifiedToken) signedNow() bool { return v.algorithm != "" }

// expectedToken holds the values that an ID token has to match, besides issuer and audience.
type expectedToken struct {
	nonce       string // required nonce
	accessToken string // at_hash, if present, must be its hash
	refresh     bool   // token of a refresh response: the nonce may be missing (Core, section 12.2)
}

// verifyID checks an ID token (OpenID Connect Core 1.0, section 3.1.3.7).
func (r *remote) verifyID(ctx context.Context, c *Config, m *metadata, raw string,
	want expectedToken,
) (*verifiedToken, error) {
	keys := &keySet{remote: r, purpose: forSignIn, algs: m.allowedAlgorithms(c)}
	v, err := r.parse(raw, keys.algs, func(typ string) bool { return !strings.HasSuffix(typ, "+jwt") })
	if err != nil {
		return nil, err
	}
	t, err := verifier(c, keys).Verify(ctx, raw)
	if err != nil {
		return nil, keys.explain("ID token", err)
	}
	if err := t.Claims(&v.claims); err != nil {
		return nil, fail(Invalid, "ID token: its claims are not an object, or one has a duplicate member")
	}
	if !v.claims.is("iss", t.Issuer) || !v.claims.is("sub", t.Subject) {
		return nil, fail(Invalid, "ID token: iss or sub is missing") // or in another case, which encoding/json accepts
	}
	if err := v.checkCommon(c, r.now()); err != nil {
		return nil, r.explainTimes(v, err)
	}
	v.subject = t.Subject
	if !validSub(v.subject) {
		return nil, fail(Invalid, "ID token: sub is missing or malformed")
	}
	err = v.checkID(t, want)
	return v, err
}

// checkID checks the claims that bind an ID token to this flow.
func (v *verifiedToken) checkID(t *gooidc.IDToken, want expectedToken) error {
	nonce, _ := v.claims.get("nonce").asString()
	if fits := want.nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(want.nonce)) == 1; !fits &&
		(nonce != "" || !want.refresh) {
		return fail(Invalid, "ID token: nonce does not match")
	}
	if v.claims.get("at_hash").present() {
		if !v.claims.is("at_hash", t.AccessTokenHash) || want.accessToken == "" ||
			t.VerifyAccessToken(want.accessToken) != nil {
			return fail(Invalid, "ID token: at_hash does not match the access token")
		}
	}
	// Optional: what is no time proves nothing recent, and keeps nobody out.
	v.authTime, _ = v.claims.get("auth_time").asTime()
	v.sid, _ = v.claims.get("sid").asString()
	if v.claims.get("sid").present() && (v.sid == "" || len(v.sid) > 512 || !plainText(v.sid)) {
		return fail(Invalid, "ID token: sid is malformed")
	}
	return nil
}

func verifier(c *Config, keys *keySet) *gooidc.IDTokenVerifier {
	algs := make([]string, len(keys.algs))
	for i, a := range keys.algs {
		algs[i] = string(a)
	}
	// The times are checked in checkCommon, with leeway and with our clock.
	return gooidc.NewVerifier(c.Issuer, keys, &gooidc.Config{
		ClientID: c.ClientID, SupportedSigningAlgs: algs,
		SkipExpiryCheck: true,
	})
}

// parse checks the form and the header of a token. Nothing in it is trusted yet.
func (r *remote) parse(raw string, algs []jose.SignatureAlgorithm, typ func(string) bool) (*verifiedToken, error) {
	if len(raw) <= maxToken && strings.Count(raw, ".") == 4 {
		return nil, fail(Misconfigured, "the token is encrypted (JWE), which is not supported; "+
			"turn the encryption of ID tokens off for this client at the provider")
	}
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 || strings.ContainsAny(raw, "{ \t\r\n") {
		return nil, fail(Invalid, "the token is not a compact JWS of at most 64 KiB")
	}
	if len(algs) == 0 {
		return nil, fail(Misconfigured,
			"none of the provider's signature algorithms is accepted (RS256, PS256, ES256, EdDSA); see sign_alg")
	}
	jws, err := jose.ParseSigned(raw, algs)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, fail(Invalid, "the token is not signed with an accepted algorithm (%s)", joinAlgs(algs))
	}
	h := jws.Signatures[0].Protected
	if _, has := h.ExtraHeaders["crit"]; has {
		return nil, fail(Invalid, "the token requires an extension (crit)")
	}
	kind, _ := h.ExtraHeaders[jose.HeaderType].(string)
	if !typ(strings.TrimPrefix(strings.ToLower(kind), "application/")) {
		return nil, fail(Invalid, "the token has the wrong typ: %s", Clean(kind, 40))
	}
	return &verifiedToken{raw: raw, algorithm: h.Algorithm}, nil
}

func joinAlgs(algs []jose.SignatureAlgorithm) string {
	s := make([]string, len(algs))
	for i, a := range algs {
		s[i] = string(a)
	}
	return strings.Join(s, ", ")
}

// checkCommon checks the claims that ID tokens and logout tokens share: audience, authorized party, times.
func (v *verifiedToken) checkCommon(c *Config, now time.Time) error {
	aud, ok := v.claims.get("aud").asStrings()
	if !ok || !slices.Contains(aud, c.ClientID) {
		return fail(Invalid, "the token is for another client: aud")
	}
	// With several audiences only azp says to whom it was issued; without it any of them could have replayed it here.
	if (v.claims.get("azp").present() || len(aud) > 1) && !v.claims.is("azp", c.ClientID) {
		return fail(Invalid, "the token was issued to another client: azp")
	}
	if !v.claims.get("iat").present() || !v.claims.get("exp").present() {
		return fail(Invalid, "iat or exp is missing")
	}
	return v.claims.checkTimes(now)
}

// checkTimes checks iat, exp and nbf, those that are given.
func (c jsonObject) checkTimes(now time.Time) error {
	if iat := c.get("iat"); iat.present() {
		if t, ok := iat.asTime(); !ok || t.After(now.Add(leeway)) {
			return aboutTime(fail(Invalid, "iat is malformed, or in the future"))
		}
	}
	if exp := c.get("exp"); exp.present() {
		if t, ok := exp.asTime(); !ok || !now.Before(t.Add(leeway)) {
			return aboutTime(fail(Invalid, "the token has expired: exp"))
		}
	}
	if nbf := c.get("nbf"); nbf.present() {
		if t, ok := nbf.asTime(); !ok || t.After(now.Add(leeway)) {
			return aboutTime(fail(Invalid, "the token is not valid yet: nbf"))
		}
	}
	return nil
}

// clockFault is how far in the future a token may have been issued for its provider's clock to be the likely cause.
const clockFault = time.Hour

// explainTimes names a clock that is wrong, with what was measured: for the person nothing is wrong with the sign-in.
func (r *remote) explainTimes(v *verifiedToken, err error) error {
	var e *Error
	if !errors.As(err, &e) || !e.aboutTime {
		return err
	}
	now := r.now()
	r.mu.Lock()
	skew, known := r.health.skew, r.health.skewKnown
	r.mu.Unlock()
	if !known || skew.Abs() <= leeway {
		iat, ok := v.claims.get("iat").asTime()
		if skew = iat.Sub(now).Round(time.Second); !ok || skew <= leeway || skew > clockFault {
			return err
		}
	}
	side := "ahead of"
	if skew < 0 {
		side = "behind"
	}
	return fail(Misconfigured, "%s; the provider's clock is %s %s this machine's: set both by NTP", e.Reason, skew.Abs(),
		side)
}

// explain returns why go-oidc refused a token. go-oidc flattens causes, so without lastErr a provider whose keys cannot
// be fetched would look like one that sends invalid tokens.
func (k *keySet) explain(what string, err error) error { return explain(k.lastErr, what, err) }

// explain is keySet.explain, with the error of the signature's verification.
func explain(lastErr error, what string, err error) error {
	if lastErr != nil {
		if KindOf(lastErr) != "" {
			return lastErr
		}
		return &Error{Kind: Invalid, Reason: what, Err: lastErr}
	}
	return fail(Invalid, "%s: %s", what, Clean(strings.TrimPrefix(err.Error(), "oidc: "), 300))
}

// plainText reports whether s is valid text without control characters. Invalid Unicode, such as half of a surrogate
// pair, is refused: decoding turns it into a replacement character, and different values would become equal.
func plainText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f || r == utf8.RuneError })
}
