package oidc

import (
	"context"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/site"
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
	// A token of another kind has another typ; providers that set none are told apart by events and nonce.
	v, err := p.remote.parse(raw, keys.algs, func(typ string) bool { return typ == "" || typ == "logout+jwt" })
	if err != nil {
		return Logout{}, err
	}
	t, err := verifier(&p.Config, keys).VerifyLogout(ctx, raw)
	if err != nil {
		return Logout{}, keys.explain("logout token", err)
	}
	if err := t.Claims(&v.claims); err != nil {
		return Logout{}, fail(Invalid, "logout token: its claims are not an object, or one has a member twice")
	}
	if err := v.common(&p.Config, g.now()); err != nil {
		return Logout{}, err
	}
	out := Logout{
		Issuer: p.Issuer, Subject: t.Subject, SID: t.SessionID, ID: t.TokenID, Algorithm: v.algorithm, Pinned: len(p.SignAlgs) > 0,
	}
	out.Expires, _ = v.claims.get("exp").instant()
	out.Expires = out.Expires.Add(2 * leeway)
	return out, v.checkLogout(out, t.Issuer)
}

// checkLogout checks the members by their exact names, which go-oidc does not.
func (v *verified) checkLogout(out Logout, issuer string) error {
	same := func(name, value string) bool {
		return v.claims.is(name, value) || !v.claims.get(name).there() && value == ""
	}
	events, _ := v.claims.get("events").object()
	_, event := events.get(logoutEvent).object()
	nonce := v.claims.get("nonce").there()
	switch {
	case !same("iss", issuer) || !same("sub", out.Subject) || !same("sid", out.SID) || !same("jti", out.ID):
		return fail(Invalid, "logout token: a member is misspelt")
	case !event:
		return fail(Invalid, "logout token: events is missing or another one")
	case nonce:
		return fail(Invalid, "logout token: it has a nonce, so it is an ID token")
	case len(out.ID) > 512 || len(out.Subject) > maxSubject || len(out.SID) > 512 ||
		!plainText(out.ID) || !plainText(out.Subject) || !plainText(out.SID):
		return fail(Invalid, "logout token: jti, sub or sid is malformed")
	}
	return nil
}

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

// EndSession answers where to send a browser so that the provider ends its session, too (OpenID Connect RP-Initiated
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

// EndOrigin answers the origin that a sign-out at the session's provider leads to, "" when there is none: pages that
// post to it have to say so in their content policy.
func (g *Registry) EndOrigin(ctx context.Context, s *store.Session) string {
	m := g.endpoints(ctx, s)
	if m == nil || m.EndURL == "" {
		return ""
	}
	return origin(m.EndURL)
}

// endpoints answers the metadata of a session's provider, nil when they are not to be had quickly.
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

// FrameOrigins answers which pages may frame the front-channel logout of a provider: its own.
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
	o, _ := site.OriginOf(u)
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

// Refresh asks the provider of a session for new tokens and claims. A *[Error] of kind Down says nothing about the
// person; with any other *[Error] the provider took the sign-in back, or its answer is about somebody else, and the
// session has to end. ok is false when there is nothing to refresh with.
func (g *Registry) Refresh(ctx context.Context, s *store.Session, t Tokens) (person *Person, ok bool, err error) {
	p := g.names[s.Provider]
	if p == nil || p.Issuer != s.Issuer || t.Refresh == "" {
		return nil, false, nil
	}
	m, err := p.remote.metadata(ctx, metadataLife)
	if err != nil {
		return nil, true, err
	}
	person, err = p.refresh(ctx, m, t)
	if err == nil && person.Subject != s.Subject {
		err = fail(Invalid, "refresh: the provider speaks of somebody else")
	}
	p.remote.record(p.Name, g.now(), err)
	if err != nil {
		return nil, true, err
	}
	return person, true, nil
}
