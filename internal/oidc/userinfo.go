package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

// fetchClaims returns the claims of a verified ID token, completed by those of userinfo. first is for the tokens of a
// sign-in, false for those of a refresh.
func (p *provider) fetchClaims(ctx context.Context, m *metadata, tok *oauth2.Token, v *verifiedToken,
	t Tokens, first bool,
) (*Claims, error) {
	if err := checkAuthTime(v.authTime, time.Time{}, p.now()); err != nil {
		return nil, err
	}
	if v.algorithm != "" {
		p.remote.recordAlgorithm(p.Name, v.algorithm)
	}
	info, err := p.userinfo(ctx, m, tok.AccessToken, v.subject)
	var rejected *userinfoRejection
	if errors.As(err, &rejected) {
		t.NoUserinfo, err = true, p.withoutUserinfo(v, rejected, first || t.NoUserinfo)
	}
	if err != nil {
		return nil, err
	}
	person, err := p.buildClaims(v, info)
	if err != nil {
		return nil, err
	}
	person.Tokens = t
	return person, nil
}

// withoutUserinfo returns nil if the ID token is enough though the userinfo endpoint rejects the access token. Some
// providers accept it for another audience only (Entra, AD FS, Keycloak with lightweight tokens): then it is so from
// the first time on. A rejection that comes later is the provider's word on the person.
func (p *provider) withoutUserinfo(v *verifiedToken, rejected *userinfoRejection, usual bool) error {
	missing := p.missingClaims(v)
	switch {
	case usual && v.signedNow() && len(missing) == 0:
		p.remote.log.Info("the userinfo endpoint rejects the access token; the ID token is enough. "+
			"Write userinfo off to leave it out", zap.String("provider", p.Name), zap.Int("status", rejected.status))
		return nil
	case !rejected.byProvider:
		return fail(Unavailable, "%s, without an error of the provider's own", rejected)
	case usual && len(missing) > 0:
		return fail(Misconfigured, "%s, and the ID token has no %s, which the configuration needs; have the provider add "+
			"it to ID tokens, or let this client call userinfo", rejected, strings.Join(missing, ", "))
	default:
		return fail(Refused, "%s", rejected)
	}
}

// missingClaims returns the paths of claims that the configuration names or its rules need, and the ID token lacks.
func (p *provider) missingClaims(v *verifiedToken) []string {
	byEmail := p.Link == LinkVerifiedEmail || slices.ContainsFunc(p.Allow, func(a Allow) bool {
		return a.Field == "email" || a.Field == "domain"
	})
	var missing []string
	for _, c := range []struct {
		path, fallback string
		needed         bool
	}{
		{p.Claims.Username, "", false},
		{p.Claims.Name, "", false},
		{p.Claims.Email, "email", byEmail},
		{p.Claims.Groups, "groups", len(p.configuredGroups()) > 0},
	} {
		path := c.path
		if path == "" && c.needed {
			path = c.fallback
		}
		if path != "" && len(v.claims.lookupAll(path)) == 0 {
			missing = append(missing, path)
		}
	}
	return missing
}

// userinfo returns the claims of the userinfo endpoint, or none if the provider has no such endpoint, or it is not to
// be called. Their sub has to be that of the ID token (Core, section 5.3.2: token substitution).
func (p *provider) userinfo(ctx context.Context, m *metadata, accessToken, subject string) (jsonObject, error) {
	switch {
	case p.NoUserinfo:
		return jsonObject{}, nil
	case m.userinfoLost:
		return jsonObject{}, fail(Misconfigured, "the discovery document has no usable userinfo_endpoint; "+
			"name it with endpoint userinfo, or leave it out with userinfo off")
	case m.UserInfoURL == "":
		return jsonObject{}, nil
	}
	body, err := p.fetchUserinfo(ctx, m, accessToken)
	if err != nil {
		return jsonObject{}, err
	}
	var info jsonObject
	if err := json.Unmarshal(body, &info); err != nil {
		return jsonObject{}, fail(Invalid, "the userinfo response is not a JSON object, or has a duplicate member")
	}
	if subject == "" || !info.is("sub", subject) {
		return jsonObject{}, fail(Invalid, "the userinfo response is about a different subject: sub")
	}
	return info, nil
}

// fetchUserinfo returns what the userinfo endpoint responds; of a signed response the payload, verified.
func (p *provider) fetchUserinfo(ctx context.Context, m *metadata, accessToken string) ([]byte, error) {
	const failed = "the userinfo endpoint is unavailable"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserInfoURL, nil)
	if err != nil {
		return nil, fail(Misconfigured, "userinfo_endpoint is not an address")
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := p.remote.client.Do(req)
	if err != nil {
		return nil, failedRequest(failed, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, failedRequest(failed, err)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, &userinfoRejection{status: resp.StatusCode, byProvider: rejectsToken(resp, body)}
	case resp.StatusCode != http.StatusOK:
		return nil, fail(Unavailable, "the userinfo endpoint returned status %d", resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "application/jwt" {
		return p.verifyUserinfoJWT(ctx, m, string(body))
	}
	return body, nil
}

// userinfoRejection is a response of the userinfo endpoint that says 401 or 403.
type userinfoRejection struct {
	status     int
	byProvider bool // not by a proxy in between
}

func (r *userinfoRejection) Error() string {
	return fmt.Sprintf("the userinfo endpoint rejects the access token: status %d", r.status)
}

// rejectsToken reports whether a userinfo endpoint itself rejects the access token (RFC 6750, section 3). A status code
// alone may come from a proxy in between and must not end the session.
func rejectsToken(resp *http.Response, body []byte) bool {
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	var parsed jsonObject
	if json.Unmarshal(body, &parsed) != nil {
		return false
	}
	code, _ := parsed.get("error").asString()
	return code != "" && !clientErrorCodes[code]
}

// verifyUserinfoJWT verifies a userinfo response that is a JWT (Core, section 5.3.2).
func (p *provider) verifyUserinfoJWT(ctx context.Context, m *metadata, raw string) ([]byte, error) {
	keys := &keySet{remote: p.remote, purpose: forSignIn, algs: m.allowedAlgorithms(&p.Config)}
	raw = strings.TrimSpace(raw)
	if _, err := p.remote.parse(raw, keys.algs, func(string) bool { return true }); err != nil {
		return nil, err
	}
	payload, err := keys.VerifySignature(ctx, raw)
	if err != nil {
		return nil, keys.explain("userinfo", err)
	}
	var info jsonObject
	if err := json.Unmarshal(payload, &info); err != nil {
		return nil, fail(Invalid, "userinfo: its claims are not an object, or one has a duplicate member")
	}
	// Issuer, audience and times have to be right where they are given: otherwise the ID token of another sign-in, or an
	// old response, would pass.
	if info.get("iss").present() && !info.is("iss", p.Issuer) {
		return nil, fail(Invalid, "userinfo: iss is not this provider")
	}
	if v := info.get("aud"); v.present() {
		if aud, ok := v.asStrings(); !ok || !slices.Contains(aud, p.ClientID) {
			return nil, fail(Invalid, "userinfo: aud is not this client")
		}
	}
	if err := info.checkTimes(p.now()); err != nil {
		return nil, &Error{Kind: Invalid, Reason: "userinfo", Err: err}
	}
	return payload, nil
}
