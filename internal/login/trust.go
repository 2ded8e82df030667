package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Trusted browsers. Whoever proves a second factor may ask not to be asked for it again in that browser for a while.
// It gets a random token of its own, of which the store has the hash; the token of the known browser, which a password
// alone earns, has nothing to do with it. What the trust stands on, the store knows: it ends there.

// TrustedCookie is the name, after Gatehouse's prefix, of the cookie with the tokens of trusted browsers.
const TrustedCookie = "trusted"

// maxTrusted is the number of accounts that one browser is trusted for.
const maxTrusted = 4

// MaxTrustBrowser is the longest that a browser may be trusted for.
const MaxTrustBrowser = 90 * 24 * time.Hour

// ParseTrusted returns the tokens of trusted browsers in a cookie value; malformed ones are dropped.
func ParseTrusted(value string) []string { return parseTokens(value, maxTrusted) }

// Is reports whether the request comes from a trusted browser, whether or not it still is one.
func (c Client) Is(b store.TrustedBrowser) bool {
	return slices.ContainsFunc(c.Trusted, func(token string) bool {
		hash := store.HashToken(token)
		return subtle.ConstantTimeCompare(hash[:], b.Hash[:]) == 1
	})
}

// MayTrust reports whether a user may have a browser trusted: no administrator who has to have a second factor may.
func (c SecondFactors) MayTrust(u store.User) bool {
	return c.TrustBrowser > 0 && c.Mode != MFAOff && !u.IsService() && (u.Role != store.RoleAdmin || !c.Demands(u))
}

// TrustLasts reports whether a browser of a user is still trusted. The option counts as it is now: whoever shortens it
// ends trust that was given for longer.
func (c SecondFactors) TrustLasts(b store.TrustedBrowser, u store.User, now time.Time) bool {
	return c.MayTrust(u) && b.UserID == u.ID && now.Before(b.ExpiresAt) && now.Before(b.CreatedAt.Add(c.TrustBrowser))
}

// Believed returns the methods of a session without trust in its browser, where this configuration would not have let
// it in by it, and when a second factor was proved then.
func (c SecondFactors) Believed(s *store.Session, u store.User) (assurance.Methods, time.Time) {
	m := assurance.Methods(s.Methods)
	if !strings.Contains(s.Methods, assurance.Trusted) || !m.Has(assurance.Trusted) {
		return m, s.MFAAt
	}
	if c.MayTrust(u) && s.CreatedAt.Before(s.MFAAt.Add(c.TrustBrowser)) {
		return m, s.MFAAt
	}
	return m.Lose(s.MFAAt, assurance.Trusted)
}

// believed returns a session with what [SecondFactors.Believed] believes of it.
func (c SecondFactors) believed(l *session.Live) *session.Live {
	m, at := c.Believed(&l.Session, l.User)
	if string(m) == l.Session.Methods {
		return l
	}
	acting := *l
	acting.Session.Methods, acting.Session.MFAAt = string(m), at
	return &acting
}

// nextStep is what a sign-in goes through before there is a session.
type nextStep struct {
	purpose store.HalfLoginPurpose // "" for nothing
	due     time.Time              // until when it can be put off
	trust   *store.TrustedBrowser  // what stands in for a second step that there would be, or nil
}

func (s *Service) nextStep(ctx context.Context, r store.Reader, c Client, u store.User, via SignInOptions) (
	n nextStep, err error,
) {
	n.purpose, n.due = s.stepDue(u, via)
	if n.purpose != store.HalfLoginVerify {
		return n, nil
	}
	if n.trust, err = s.trustedIn(ctx, r, c, u, via); n.trust != nil {
		n.purpose = ""
	}
	return n, err
}

// stepDue is [SecondFactors.next] for a sign-in. Before an identity is linked, a second factor that there is has to be
// proved, also where only the rights that come with the link demand it.
func (s *Service) stepDue(u store.User, via SignInOptions) (store.HalfLoginPurpose, time.Time) {
	step, due := s.Second.next(u, via.Methods, via, s.Clock().UTC())
	if via.Link && step == "" && s.Second.Has(u) {
		step = store.HalfLoginVerify
	}
	return step, due
}

// trustedIn returns the trust in the browser of a sign-in, nil for none. A link is never enough with it: who has it is
// known by a mailbox, or by whoever has handed it over. Nor is an account at a provider that has to be linked first.
func (s *Service) trustedIn(ctx context.Context, r store.Reader, c Client, u store.User, via SignInOptions) (
	*store.TrustedBrowser, error,
) {
	if via.Method == MethodLink || via.Link || !s.Second.MayTrust(u) {
		return nil, nil //nolint:nilnil // no trust
	}
	for _, token := range c.Trusted {
		b, err := r.TrustedBrowser(ctx, store.HashToken(token))
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case s.Second.TrustLasts(b, u, s.Clock()):
			return &b, nil
		}
	}
	return nil, nil //nolint:nilnil // no trust
}

// enterTrusted starts the session of a sign-in in a trusted browser. The second factor was proved when the trust was
// given: what asks for a recent one is not met by it.
func (s *Service) enterTrusted(ctx context.Context, tx store.Tx, c Client, p Proof, u store.User, via SignInOptions,
	b store.TrustedBrowser, out *SignedIn,
) error {
	via.Methods, via.MFAAt = via.Methods.With(assurance.Trusted), b.MFAAt
	if err := s.enter(ctx, tx, c, p, u, via, out); err != nil {
		return err
	}
	return tx.UseTrustedBrowser(ctx, b.Hash, s.Clock().UTC(), c.ip(), session.ClipUserAgent(c.UserAgent))
}

// trustBrowser trusts the browser in which a half-login has just ended with methods, where its person asked for that.
func (s *Service) trustBrowser(ctx context.Context, tx store.Tx, c Client, h store.HalfLogin, u store.User,
	methods []string, out *SignedIn,
) error {
	proved := h.Purpose == store.HalfLoginVerify && assurance.Of(methods...).ProvesFactor()
	if !c.TrustBrowser || !proved || !s.Second.MayTrust(u) {
		return nil
	}
	tokens := []string{store.NewToken()} // one that was planted in the browser is not adopted
	for _, token := range c.Trusted {
		b, err := tx.TrustedBrowser(ctx, store.HashToken(token))
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case b.UserID != u.ID && len(tokens) < maxTrusted:
			tokens = append(tokens, token)
		}
	}
	now := s.Clock().UTC()
	b := store.TrustedBrowser{
		ID: store.NewID(now), Hash: store.HashToken(tokens[0]), UserID: u.ID, MFAAt: now, CreatedAt: now,
		ExpiresAt: now.Add(s.Second.TrustBrowser), IP: c.ip(), UserAgent: session.ClipUserAgent(c.UserAgent),
	}
	if err := tx.CreateTrustedBrowser(ctx, b); err != nil {
		return err
	}
	out.Trusted = strings.Join(tokens, ".")
	return s.auditFactor(ctx, tx, c, u, "browser.trust", map[string]string{
		"browser": b.ID, "until": b.ExpiresAt.Format(time.RFC3339),
	})
}
