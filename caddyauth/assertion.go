package caddyauth

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// The option assertion: a signed identity for apps that should not believe bare headers. signedidentity.go makes it.

// AssertionConfig sends the app a signed identity: a JSON Web Token that it verifies with the keys at jwks.json.
type AssertionConfig struct {
	// Header is the name of the request header; default Gatehouse-Assertion.
	Header string `json:"header,omitempty"`
	// Audience is what the app compares with `aud`; default the site's origin, such as https://app.example.com.
	Audience string `json:"audience,omitempty"`
	// Lifetime is how long an assertion is valid, from 10s to 1h, and never longer than the session; default 5m.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// Claims are those that are sent beside iss, aud, sub, iat, nbf, exp and jti: preferred_username, email (with
	// email_verified), name, groups, role, auth_time, amr, acr and sid; default all.
	Claims []string `json:"claims,omitempty"`
}

// defaultAssertionHeader is taken from every client's request, whether or not the option is used.
const defaultAssertionHeader = "Gatehouse-Assertion"

const (
	defaultLifetime  = 5 * time.Minute
	shortestLifetime = 10 * time.Second
	longestLifetime  = time.Hour
)

// assertionClaims are the claims that can be chosen.
var assertionClaims = []string{
	"preferred_username", "email", "name", "groups", "role", "auth_time", "amr", "acr", "sid",
}

// parseAssertion reads `assertion [<Header>] { … }`.
func (g *Gate) parseAssertion(d *caddyfile.Dispenser) error {
	g.Assertion = new(AssertionConfig)
	args := d.RemainingArgs()
	switch len(args) {
	case 0:
	case 1:
		g.Assertion.Header = args[0]
		if args[0] == "" {
			return d.Err("assertion: the name of the header is empty; leave it out for " + defaultAssertionHeader)
		}
	default:
		return d.Err("assertion takes one name of a header at most, and a block")
	}
	if err := g.checkAssertion(); err != nil {
		return d.WrapErr(err)
	}
	return block(d, func(option string) (err error) {
		a := g.Assertion
		switch option {
		case "audience":
			a.Audience, err = oneArg(d)
		case "lifetime":
			err = durationArg(d, &a.Lifetime)
		case "claims":
			a.Claims, err = someArgs(d)
		default:
			return d.Errf("unrecognized option %q; assertion knows audience, lifetime and claims", option)
		}
		if err != nil {
			return err
		}
		if err := g.checkAssertion(); err != nil {
			return d.WrapErr(err)
		}
		return nil
	})
}

// checkAssertion refuses what cannot be signed or sent.
func (g *Gate) checkAssertion() error {
	a := g.Assertion
	if a == nil {
		return nil
	}
	if err := g.checkAssertionHeader(cmp.Or(a.Header, defaultAssertionHeader)); err != nil {
		return err
	}
	if l := time.Duration(a.Lifetime); l != 0 && (l < shortestLifetime || l > longestLifetime) {
		return fmt.Errorf("assertion lifetime: %s; use %s to %s", span(l), span(shortestLifetime), span(longestLifetime))
	}
	switch {
	case strings.ContainsAny(a.Audience, "{}"):
		return errors.New("assertion audience: placeholders are not replaced here; write the value itself")
	case a.Audience != "" && identifier.CheckGroup(a.Audience) != "": // what is compared, like the name of a group
		return fmt.Errorf("assertion audience: %q: %w", a.Audience, identifier.CheckGroup(a.Audience))
	}
	for _, name := range a.Claims {
		if name == "email_verified" {
			return errors.New("assertion claims: email_verified comes with email; write email")
		}
		if !slices.Contains(assertionClaims, name) {
			return fmt.Errorf("assertion claims: there is no claim %q to choose; use %s", name,
				strings.Join(assertionClaims, ", "))
		}
	}
	return repeated("assertion claims", a.Claims, same)
}

// checkAssertionHeader refuses names that mean something else, to HTTP or to this gate.
func (g *Gate) checkAssertionHeader(name string) error {
	if !validName(name) {
		return fmt.Errorf("assertion %q: use letters, digits and '-' only in the name of a header", name)
	}
	canonical := http.CanonicalHeaderKey(name)
	if reserved[canonical] {
		return fmt.Errorf("assertion %s: it means something to HTTP itself; choose a name such as %s", canonical,
			defaultAssertionHeader)
	}
	if why := takenBy(canonical); why != "" && canonical != defaultAssertionHeader {
		return fmt.Errorf("assertion %s: %s; choose a name such as %s", canonical, why, defaultAssertionHeader)
	}
	plain := func(h identityHeader) bool { return h.name == canonical }
	configured := func(h HeaderConfig) bool { return http.CanonicalHeaderKey(h.Name) == canonical }
	if slices.ContainsFunc(defaultHeaders, plain) || slices.ContainsFunc(g.Headers, configured) {
		return fmt.Errorf("assertion %s: a plain value is sent under this name; choose another one", canonical)
	}
	return nil
}

// signedHeader is what this gate signs, and where it goes.
type signedHeader struct {
	name     string // canonical
	audience string // "" for the site's origin
	lifetime time.Duration
	claims   []string // nil for all
}

// has reports whether a claim is sent.
func (s *signedHeader) has(claim string) bool {
	return s.claims == nil || slices.Contains(s.claims, claim)
}

// provisionAssertion has the header taken from every client's request.
func (g *Gate) provisionAssertion() error {
	a := g.Assertion
	if a == nil {
		return nil
	}
	g.signed = &signedHeader{
		name: http.CanonicalHeaderKey(cmp.Or(a.Header, defaultAssertionHeader)), audience: a.Audience,
		lifetime: cmp.Or(time.Duration(a.Lifetime), defaultLifetime), claims: a.Claims,
	}
	g.app.guarded.add(g.signed.name)
	g.app.secret.add(g.signed.name)
	return nil
}

// anyAudience are the gates on sites for every host whose assertions name the host that the client asked for: whoever
// is let in here would get one for any app. It warns of them.
func (p *plan) anyAudience() (list []bypass) {
	for _, r := range append(slices.Clone(p.routes), p.errors...) {
		if r.anyHost() {
			list = append(list, r.anyAudience()...)
		}
	}
	return list
}

func (r *planRoute) anyAudience() (list []bypass) {
	for _, h := range r.handlers {
		if h.anyAudience {
			list = append(list, bypass{place: cmp.Or(h.at, h.path), text: "this site is for every host, and the assertion is " +
				"for the host that a client asks for, so that whoever may come in here gets one for any app: add audience " +
				"<text> to the assertion, or give the site a host"})
		}
		for _, l := range h.lists {
			for _, inner := range l.routes {
				if inner.anyHost() {
					list = append(list, inner.anyAudience()...)
				}
			}
		}
	}
	return list
}
