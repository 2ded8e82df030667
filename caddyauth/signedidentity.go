package caddyauth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assertion"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// setAssertion sends the signed identity upstream, if this gate has one. An error means that it cannot be signed now.
// Where the host is not known there is no origin to sign for, and the app gets none.
func (g *Gate) setAssertion(ctx context.Context, h http.Header, req *request) error {
	if g.signed == nil {
		return nil
	}
	delete(h, g.signed.name) // of a gate before this one
	if req.host == "" {
		return nil
	}
	text, err := g.signedIdentity(ctx, req)
	if err != nil {
		return fmt.Errorf("signing who it is: %w", err)
	}
	req.assertion[0] = text
	h[g.signed.name] = req.assertion[:]
	return nil
}

// removeAssertion removes what setAssertion has set.
func (g *Gate) removeAssertion(h http.Header) {
	if g.signed != nil {
		delete(h, g.signed.name)
	}
}

// signedTexts are the assertions of one session as it is: a change of the session, or of anything about its user, makes
// it another one, without any. So no text outlives what it says, be it a role, a group, the person or the sign-out.
type signedTexts struct {
	latest atomic.Pointer[signedText]
}

// signedText is one assertion. It does not change.
type signedText struct {
	gate   *Gate
	secure bool   // with host, the origin
	host   string // as in the request
	ring   *assertion.Ring
	from   int64 // Unix milliseconds; before it the clock was turned back
	until  int64 // Unix milliseconds
	text   string
	next   *signedText
}

// maxTexts limits the assertions of one session: one for each gate and origin that it was used with lately.
const maxTexts = 16

// signedTextsKey is what they are memoized for. A text is for one gate, and so for one configuration.
type signedTextsKey struct{}

// signedIdentity returns the assertion for a request: for up to half of its life the one that was signed before.
func (g *Gate) signedIdentity(ctx context.Context, req *request) (string, error) {
	keys, now := req.live.rt.Assertions, time.Now()
	texts := req.session.Memoize(signedTextsKey{}, noTexts).(*signedTexts) //nolint:errcheck // it returns nothing else
	if t := texts.find(g, req, now.UnixMilli()); t != nil && keys.Current(t.ring) {
		return t.text, nil
	}
	ring, err := keys.Get(ctx, req.live.opt.storeGrace)
	if err != nil {
		return "", err
	}
	if t := texts.find(g, req, now.UnixMilli()); t != nil && t.ring == ring {
		return t.text, nil // the keys were read again, and are the same
	}
	t, err := g.sign(req, ring, now)
	if err != nil {
		return "", err
	}
	texts.add(t, now.UnixMilli())
	return t.text, nil
}

func noTexts(*session.Live) any { return new(signedTexts) }

// find returns the text for a gate and the origin of a request, nil for none that may be used at a time.
func (s *signedTexts) find(g *Gate, req *request, now int64) *signedText {
	for t := s.latest.Load(); t != nil; t = t.next {
		if t.gate == g && t.secure == req.cookie.Secure && t.host == req.host {
			if t.from <= now && now < t.until {
				return t
			}
			return nil // those after it are older
		}
	}
	return nil
}

// add puts a text before all others, and drops those that are over or too many.
func (s *signedTexts) add(t *signedText, now int64) {
	for {
		old := s.latest.Load()
		kept := []*signedText{}
		for o := old; o != nil && len(kept) < maxTexts-1; o = o.next {
			if now < o.until && (o.gate != t.gate || o.secure != t.secure || o.host != t.host) {
				kept = append(kept, o)
			}
		}
		first := *t
		first.next = nil
		for _, o := range slices.Backward(kept) {
			same := *o
			same.next, first.next = first.next, &same
		}
		if s.latest.CompareAndSwap(old, &first) {
			return
		}
	}
}

// sign makes an assertion for the origin of a request.
func (g *Gate) sign(req *request, ring *assertion.Ring, now time.Time) (*signedText, error) {
	origin := req.pageOrigin()
	claims := g.claims(req.live.oidc, req.session)
	claims.Issuer, claims.Audience = origin, g.signed.audience
	if claims.Audience == "" {
		claims.Audience = origin
	}
	end := now.Add(g.signed.lifetime)
	for _, sessionEnd := range sessionEnds(req.session, now) {
		if sessionEnd.Before(end) {
			end = sessionEnd
		}
	}
	claims.SetTimes(now, end)
	text, err := ring.Sign(now, claims)
	if err != nil {
		return nil, err
	}
	until := now.Add(end.Sub(now) / 2)
	if other := ring.Switch(now); !other.IsZero() && other.Before(until) {
		until = other // then another key signs
	}
	return &signedText{
		gate: g, secure: req.cookie.Secure, host: req.host, ring: ring,
		from: now.UnixMilli(), until: until.UnixMilli(), text: text,
	}, nil
}

// pageOrigin returns the origin of the site, without a slash at the end.
func (req *request) pageOrigin() string {
	if req.cookie.Secure {
		return "https://" + req.host
	}
	return "http://" + req.host
}

// sessionEnds returns when a session that is used now ends, as far as that is known.
func sessionEnds(l *session.Live, now time.Time) (ends []time.Time) {
	if end := l.Session.ExpiresAt; !end.IsZero() {
		ends = append(ends, end)
	}
	if idle := l.Session.Idle; idle > 0 {
		ends = append(ends, now.Add(idle))
	}
	return ends
}

// claims returns what is signed of a session, without where and when.
func (g *Gate) claims(o *login.OIDC, l *session.Live) *assertion.Claims {
	u, s := &l.User, g.signed
	c := &assertion.Claims{Subject: u.ID}
	if s.has("preferred_username") {
		c.Username = u.Username
	}
	if s.has("email") {
		c.Email = o.EmailForApp(l)
		c.EmailVerified = new(c.Email != "" && u.EmailVerified)
	}
	if s.has("name") {
		c.Name = u.Name
	}
	if s.has("groups") {
		c.Groups = append([]string{}, g.sentGroups(u.Groups)...)
	}
	if s.has("role") {
		c.Role = string(u.Role)
	}
	if s.has("auth_time") && !l.Session.AuthAt.IsZero() {
		c.AuthTime = l.Session.AuthAt.Unix()
	}
	if s.has("amr") {
		c.AMR = l.Methods()
	}
	if s.has("acr") {
		c.ACR = string(l.Level())
	}
	if s.has("sid") {
		c.Session = assertion.SessionHash(l.Session.ID)
		if l.Token != nil {
			c.Session = l.Token.ID // by which its owner finds it
		}
	}
	return c
}
