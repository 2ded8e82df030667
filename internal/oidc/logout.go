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

// Logout is a verified logout token: end what it names.
type Logout struct {
	Issuer  string
	Subject string // may be "" when SID is not
	SID     string
	ID      string    // jti: seen once
	Expires time.Time // keep ID at least until then
	// Algorithm is how it was signed. Pinned is false when the configuration does not say which it has to be: then it
	// has to be the one of the session's ID token.
	Algorithm string
	Pinned    bool
	usual     string // of the ID tokens
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// VerifyLogout checks a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6). An error of kind Down
// means that it could not be checked; every other *[Error], that it is bad.
func (g *Registry) VerifyLogout(ctx context.Context, name, raw string) (Logout, error) {
	p := g.names[name]
	if p == nil {
		return Logout{}, ErrNoProvider
	}
	m, err := p.remote.metadata(ctx, metadataLife)
	if err != nil {
		return Logout{}, err
	}
	keys := &keySet{r: p.remote, why: forLogout, algs: m.pinned(&p.Config)}
	v, err := p.remote.parse(raw, keys.algs, logoutKind)
	if err != nil {
		return Logout{}, err
	}
	payload, err := keys.VerifySignature(ctx, raw)
	if err != nil {
		return Logout{}, keys.explain("logout token", err)
	}
	if err := json.Unmarshal(payload, &v.claims); err != nil {
		return Logout{}, fail(Invalid, "logout token: its claims are not an object, or one has a member twice")
	}
	if hasMember(payload, "nonce") {
		return Logout{}, fail(Invalid, "logout token: it has a nonce, so it is an ID token")
	}
	out, err := v.logout(&p.Config, g.now())
	if err != nil {
		return Logout{}, err
	}
	out.usual = p.remote.algorithm(p.Name)
	out.Algorithm, out.Pinned = v.algorithm, len(keys.algs) == 1 || len(p.SignAlgs) > 0
	return out, nil
}

// hasMember reports whether an object has a member, be it null, by its exact name.
func hasMember(object []byte, name string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return false
	}
	_, has := members[name]
	return has
}

// logoutKind takes the kind that logout tokens should say they are, and those that say nothing of the sort, which older
// providers send: what they are is then told by their event and the nonce that they may not have.
func logoutKind(typ string) bool { return typ == "" || typ == "jwt" || typ == "logout+jwt" }

// logoutLife is how old a logout token may be that does not say when it ends.
const logoutLife = 10 * time.Minute

// logout checks the claims, by the exact names of the members, and returns what the token says.
func (v *verified) logout(c *Config, now time.Time) (Logout, error) {
	if !v.claims.get("exp").there() {
		iat, ok := v.claims.get("iat").instant()
		if !ok {
			return Logout{}, fail(Invalid, "logout token: it has neither exp nor iat")
		}
		end := json.Number(strconv.FormatInt(iat.Add(logoutLife-leeway).Unix(), 10)) // common adds the leeway
		v.claims.set("exp", value{v: end})
	}
	if !v.claims.is("iss", c.Issuer) {
		return Logout{}, fail(Invalid, "logout token: it comes from another provider: iss")
	}
	if err := v.common(c, now); err != nil {
		return Logout{}, err
	}
	out := Logout{Issuer: c.Issuer}
	for name, to := range map[string]*string{"sub": &out.Subject, "sid": &out.SID, "jti": &out.ID} {
		member := v.claims.get(name)
		text, is := member.text()
		if member.there() && (!is || len(text) > 512 || !plainText(text)) {
			return Logout{}, fail(Invalid, "logout token: jti, sub or sid is malformed")
		}
		*to = text
	}
	events, _ := v.claims.get("events").object()
	_, event := events.get(logoutEvent).object()
	switch {
	case !event:
		return Logout{}, fail(Invalid, "logout token: events is missing or another one")
	case out.ID == "":
		return Logout{}, fail(Invalid, "logout token: jti is missing")
	case out.Subject == "" && out.SID == "" || len(out.Subject) > maxSubject:
		return Logout{}, fail(Invalid, "logout token: it names neither a person nor a session")
	}
	out.Expires, _ = v.claims.get("exp").instant()
	out.Expires = out.Expires.Add(2 * leeway)
	return out, nil
}

// SignedAsUsual reports whether the provider signs ID tokens with the logout token's algorithm, as far as that is known
// without a session.
func (l Logout) SignedAsUsual() bool { return l.Pinned || l.Algorithm == l.usual }

// SignedLike reports whether the ID token that a session was made with has the logout token's algorithm. A provider
// signs both alike; a token that is signed by another of its keys was not made for us.
func (l Logout) SignedLike(t Tokens) bool {
	if l.Pinned || t.IDToken == "" {
		return true
	}
	jws, err := jose.ParseSigned(t.IDToken, known)
	return err == nil && len(jws.Signatures) == 1 && jws.Signatures[0].Protected.Algorithm == l.Algorithm
}

const (
	endTimeout = 3 * time.Second // a provider that is down must not hold up a sign-out
	maxHint    = 6 << 10         // longer addresses are cut or refused on the way
)

// EndSession returns where to send a browser so that the provider ends its session, too (OpenID Connect RP-Initiated
// Logout 1.0). returnTo is our own absolute address for the way back. ok is false when the provider has no such
// address, or it is not known.
func (g *Registry) EndSession(ctx context.Context, s *store.Session, returnTo string) (address string, ok bool) {
	m := g.endpoints(ctx, s)
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
	q.Set("state", store.NewToken()) // some providers ask for one; the page they return to changes nothing
	if t, err := g.Open(ctx, s); err == nil && t.IDToken != "" && len(t.IDToken) <= maxHint {
		q.Set("id_token_hint", t.IDToken)
	}
	u.RawQuery = q.Encode()
	return u.String(), true
}

// EndOrigin returns the origin that a sign-out at the session's provider leads to, "" when there is none: pages that
// post to it have to say so in their content policy.
func (g *Registry) EndOrigin(ctx context.Context, s *store.Session) string {
	m := g.endpoints(ctx, s)
	if m == nil || m.EndURL == "" {
		return ""
	}
	return origin(m.EndURL)
}

// endpoints returns the metadata of a session's provider, nil when they are not to be had quickly.
func (g *Registry) endpoints(ctx context.Context, s *store.Session) *metadata {
	p := g.names[s.Provider]
	if p == nil || p.Issuer != s.Issuer {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	m, err := p.remote.metadata(ctx, staleLife)
	if err != nil {
		return nil
	}
	return m
}

// FrameOrigins returns which pages may frame the front-channel logout of a provider: its own.
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

// origin returns scheme and host of an address, "" for one that browsers would not name so.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	o, _ := reqctx.OriginOf(u)
	return o
}

// Front checks what the provider's frame says: ours to end is only what this issuer names with a sid
// (OpenID Connect Front-Channel Logout 1.0, section 2). Cookies do not come along, and are not looked at: with them any
// page could sign people out.
func (g *Registry) Front(name, issuer, sid string) error {
	p := g.names[name]
	switch {
	case p == nil:
		return ErrNoProvider
	case issuer != p.Issuer:
		return fail(Invalid, "front-channel logout: iss is missing or another provider")
	case sid == "" || len(sid) > 512 || !plainText(sid):
		return fail(Invalid, "front-channel logout: sid is missing or malformed")
	}
	return nil
}
