package oidc

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/store"
)

// LogoutToken is a verified logout token. It names the sessions to end.
type LogoutToken struct {
	Issuer  string
	Subject string // may be "" if SID is set
	SID     string
	ID      string    // jti: accepted once
	Expires time.Time // remember ID at least until then
	// Algorithm is the signature algorithm. Pinned is true if the configuration names the algorithms or only one is
	// accepted. Otherwise it has to be the one of the session's ID token.
	Algorithm      string
	Pinned         bool
	usualAlgorithm string // of the ID tokens
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// VerifyLogout verifies a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6). An *[Error] of a
// technical kind means that it could not be verified; every other one, that it is invalid.
func (g *Registry) VerifyLogout(ctx context.Context, name, raw string) (LogoutToken, error) {
	p := g.names[name]
	if p == nil {
		return LogoutToken{}, ErrNoProvider
	}
	m, err := p.remote.metadata(ctx, metadataTTL)
	if err != nil {
		return LogoutToken{}, err
	}
	keys := &keySet{remote: p.remote, purpose: forLogout, algs: m.allowedAlgorithms(&p.Config)}
	v, err := p.remote.parse(raw, keys.algs, isLogoutType)
	if err != nil {
		return LogoutToken{}, fail(Invalid, "logout token: %s", err) // whatever its form, it is no use to send it again
	}
	payload, err := keys.VerifySignature(ctx, raw)
	if err != nil {
		return LogoutToken{}, keys.explain("logout token", err)
	}
	if err := json.Unmarshal(payload, &v.claims); err != nil {
		return LogoutToken{}, fail(Invalid, "logout token: its claims are not an object, or one has a duplicate member")
	}
	if hasMember(payload, "nonce") {
		return LogoutToken{}, fail(Invalid, "logout token: it has a nonce, so it is an ID token")
	}
	out, err := v.parseLogout(&p.Config, g.now())
	if err != nil {
		return LogoutToken{}, err
	}
	out.usualAlgorithm = p.remote.lastAlgorithm(p.Name)
	out.Algorithm, out.Pinned = v.algorithm, len(keys.algs) == 1 || len(p.SignAlgs) > 0
	return out, nil
}

// hasMember reports whether an object has a member of exactly that name, even if its value is null.
func hasMember(object []byte, name string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return false
	}
	_, has := members[name]
	return has
}

// isLogoutType accepts the typ of logout tokens, and the generic or missing typ that older providers send: such tokens
// are recognized by their events claim, and must not have a nonce.
func isLogoutType(typ string) bool { return typ == "" || typ == "jwt" || typ == "logout+jwt" }

// logoutTTL is how old a logout token without exp may be.
const logoutTTL = 10 * time.Minute

// parseLogout checks the claims, by exact member names, and returns them.
func (v *verifiedToken) parseLogout(c *Config, now time.Time) (LogoutToken, error) {
	if !v.claims.get("exp").present() {
		iat, ok := v.claims.get("iat").asTime()
		if !ok {
			return LogoutToken{}, fail(Invalid, "logout token: it has neither exp nor iat")
		}
		end := json.Number(strconv.FormatInt(iat.Add(logoutTTL-leeway).Unix(), 10)) // checkCommon adds the leeway
		v.claims.set("exp", jsonValue{v: end})
	}
	if !v.claims.is("iss", c.Issuer) {
		return LogoutToken{}, fail(Invalid, "logout token: iss is not this provider")
	}
	if err := v.checkCommon(c, now); err != nil {
		return LogoutToken{}, err
	}
	out := LogoutToken{Issuer: c.Issuer}
	for name, to := range map[string]*string{"sub": &out.Subject, "sid": &out.SID, "jti": &out.ID} {
		member := v.claims.get(name)
		text, is := member.asString()
		if member.present() && (!is || len(text) > 512 || !plainText(text)) {
			return LogoutToken{}, fail(Invalid, "logout token: jti, sub or sid is malformed")
		}
		*to = text
	}
	events, _ := v.claims.get("events").asObject()
	_, event := events.get(logoutEvent).asObject()
	switch {
	case !event:
		return LogoutToken{}, fail(Invalid, "logout token: events is missing or another one")
	case out.ID == "":
		return LogoutToken{}, fail(Invalid, "logout token: jti is missing")
	case out.Subject == "" && out.SID == "", out.Subject != "" && !validSub(out.Subject):
		return LogoutToken{}, fail(Invalid, "logout token: it names neither a person nor a session")
	}
	out.Expires, _ = v.claims.get("exp").asTime()
	out.Expires = out.Expires.Add(2 * leeway)
	return out, nil
}

// SignedLikeIDTokens reports whether the provider's last known ID token has the logout token's algorithm. It is for
// logout tokens that match no session with an ID token.
func (l LogoutToken) SignedLikeIDTokens() bool { return l.Pinned || l.Algorithm == l.usualAlgorithm }

// SignedLikeSession reports whether the ID token of a session has the logout token's algorithm. A provider signs both
// for a client with the same algorithm; a token with another one was not issued for us.
func (l LogoutToken) SignedLikeSession(t Tokens) bool {
	if l.Pinned || t.IDToken == "" {
		return true
	}
	jws, err := jose.ParseSigned(t.IDToken, supportedAlgorithms)
	return err == nil && len(jws.Signatures) == 1 && jws.Signatures[0].Protected.Algorithm == l.Algorithm
}

const (
	endSessionTimeout = 3 * time.Second // a provider that is down must not delay a sign-out
	maxIDTokenHint    = 6 << 10         // longer URLs are truncated or refused by some proxies and servers
)

// EndSession returns the URL to redirect a browser to so that the provider ends its session, too (OpenID Connect
// RP-Initiated Logout 1.0). returnTo is our absolute URL to return to. ok is false if the provider has no such
// endpoint, or its metadata is unavailable.
func (g *Registry) EndSession(ctx context.Context, s *store.Session, returnTo string) (address string, ok bool) {
	m := g.metadataFor(ctx, s)
	if m == nil || m.EndURL == "" {
		return "", false
	}
	u, err := url.Parse(m.EndURL)
	if err != nil {
		return "", false
	}
	q := u.Query()
	q.Set("client_id", g.names[s.Provider].ClientID)
	q.Set("post_logout_redirect_uri", returnTo)
	q.Set("state", store.NewToken()) // some providers require it; the page at returnTo has no side effects
	if t, err := g.Open(ctx, s); err == nil && t.IDToken != "" && len(t.IDToken) <= maxIDTokenHint {
		q.Set("id_token_hint", t.IDToken)
	}
	u.RawQuery = q.Encode()
	return u.String(), true
}

// EndSessionOrigin returns the origin of the end-session endpoint of a session's provider, or "" if it has none: pages
// whose sign-out form redirects there have to allow it in their Content-Security-Policy (form-action).
func (g *Registry) EndSessionOrigin(ctx context.Context, s *store.Session) string {
	m := g.metadataFor(ctx, s)
	if m == nil || m.EndURL == "" {
		return ""
	}
	return origin(m.EndURL)
}

// metadataFor returns the metadata of a session's provider, or nil if it is not available within a short time.
func (g *Registry) metadataFor(ctx context.Context, s *store.Session) *metadata {
	p := g.names[s.Provider]
	if p == nil || p.Issuer != s.Issuer {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endSessionTimeout)
	defer cancel()
	m, err := p.remote.metadata(ctx, maxStale)
	if err != nil {
		return nil
	}
	return m
}

// FrameOrigins returns the origins that may frame the front-channel logout of a provider: its own.
func (g *Registry) FrameOrigins(name string) []string {
	p := g.names[name]
	if p == nil {
		return nil
	}
	out := []string{origin(p.Issuer)}
	p.remote.mu.Lock()
	m := p.remote.meta
	p.remote.mu.Unlock()
	if m != nil && m.EndURL != "" && origin(m.EndURL) != out[0] {
		out = append(out, origin(m.EndURL))
	}
	return out
}

// origin returns the origin of a URL, or "" if it has none in a browser's sense.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	o, _ := reqctx.OriginOf(u)
	return o
}

// CheckFrontchannel validates the parameters of a front-channel logout (OpenID Connect Front-Channel Logout 1.0,
// section 2): iss and sid are both required. The session to end is found by sid and never by the browser's cookie, with
// which any page could sign users out.
func (g *Registry) CheckFrontchannel(name, issuer, sid string) error {
	p := g.names[name]
	switch {
	case p == nil:
		return ErrNoProvider
	case issuer != p.Issuer:
		return fail(Invalid, "front-channel logout: iss is missing or not this provider")
	case sid == "" || len(sid) > 512 || !plainText(sid):
		return fail(Invalid, "front-channel logout: sid is missing or malformed")
	}
	return nil
}
