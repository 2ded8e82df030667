package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Methods of sign-ins.
const (
	MethodOIDC  = "oidc"     // through a provider
	MethodLocal = "password" // with a password of an account here
	MethodLink  = "link"     // with a one-time link
)

// OIDC signs users in through providers. internal/oidc verifies a provider's claims; OIDC decides which account they
// belong to, and what it may do. There is one per configuration; see [NewOIDC].
type OIDC struct {
	Service  *Service
	Registry *oidc.Registry
	// Reserved are usernames that no provider's user gets, above all that of the administrator in the environment.
	Reserved []string
	// Background runs work that no request waits for; nil starts a goroutine.
	Background func(work func(context.Context))
	// RefreshWait is how long a request waits for the refresh of its session, zero for one second. A provider that takes
	// longer is asked in the background.
	RefreshWait time.Duration

	flights   singleflight.Group
	starts    *otter.Cache[string, *rate.Limiter]
	callbacks *otter.Cache[string, *rate.Limiter]
	refusals  *otter.Cache[string, *rate.Limiter] // by what and the name of a provider
	denied    *otter.Cache[string, *rate.Limiter] // by issuer and subject
	unsaved   *otter.Cache[string, unsavedTokens]
}

// SignInResult is the result of a flow at a provider. With an error, Purpose and ReturnTo are set, too, once they are
// known.
type SignInResult struct {
	Purpose        string // oidc.PurposeLogin, PurposeLink or PurposeStepUp
	ReturnTo       string // not validated
	SignedIn       SignedIn
	AccountCreated bool // an account was created
	// LocalAccountExists reports that a local account has the same verified e-mail. It was not linked: that is for its
	// owner to do.
	LocalAccountExists bool
}

// Limits on new flows and posted responses of one client address: each adds a row to the store, without authentication.
// They are counted in memory: a count in the store would be a write as well.
const (
	startBurst   = 300
	startRefill  = 200 * time.Millisecond
	startClients = 10_000 // addresses that are counted at once
)

// NewOIDC returns an OIDC for one configuration.
func NewOIDC(s *Service, reg *oidc.Registry, reserved []string) *OIDC {
	counts := func() *otter.Cache[string, *rate.Limiter] {
		return otter.Must(&otter.Options[string, *rate.Limiter]{MaximumSize: startClients})
	}
	o := &OIDC{
		Service: s, Registry: reg, Reserved: reserved, starts: counts(), callbacks: counts(), refusals: counts(),
		denied:  counts(),
		unsaved: otter.Must(&otter.Options[string, unsavedTokens]{MaximumSize: maxUnsaved}),
	}
	s.completeLink, s.revoke = o.completeLink, o.RevokeEnded
	return o
}

// Throttle counts an unauthenticated request that adds a row to the store. It returns a *[ThrottledError] beyond the
// limit.
func (o *OIDC) Throttle(c Client) error {
	key := ClientKey(c.IP)
	if key == "" {
		return nil
	}
	if !o.allow(o.starts, key, startRefill, startBurst) {
		return &ThrottledError{Wait: startRefill}
	}
	return nil
}

// allow counts an event for key and reports whether it is within the limit.
func (o *OIDC) allow(counts *otter.Cache[string, *rate.Limiter], key string, refill time.Duration, burst int) bool {
	l := o.limiter(counts, key, refill, burst)
	return l == nil || l.AllowN(o.Service.Clock(), 1)
}

func (o *OIDC) limiter(counts *otter.Cache[string, *rate.Limiter], key string, refill time.Duration,
	burst int,
) *rate.Limiter {
	l, _ := counts.ComputeIfAbsent(key, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Every(refill), burst), false
	})
	return l
}

// Limits on callbacks. Each makes us send a request to the token endpoint with our credentials, even for a made-up
// code. Only failed callbacks and those in progress count: a whole office may sign in at nine.
const (
	callbackBurst  = 100
	callbackRefill = time.Second
	providerBurst  = 600
	providerRefill = 50 * time.Millisecond
	callbackWait   = 5 * time.Second
)

// limitCallback counts a callback until forgive uncounts it. It returns a *[ThrottledError] beyond the limit. The
// provider's count comes last, so that one address or network alone cannot use it up.
func (o *OIDC) limitCallback(c Client, name string) (forgive func(), err error) {
	now := o.Service.Clock()
	counts := []*rate.Limiter{o.limiter(o.refusals, "callback "+name, providerRefill, providerBurst)}
	if key := NetworkKey(c.IP); key != "" {
		counts = append(counts, o.limiter(o.callbacks, key, callbackRefill, callbackBurst))
	}
	var taken []*rate.Reservation
	forgive = func() {
		for _, r := range taken {
			r.CancelAt(now)
		}
	}
	for _, l := range slices.Backward(counts) {
		if l == nil {
			continue
		}
		r := l.ReserveN(now, 1)
		taken = append(taken, r)
		if !r.OK() || r.DelayFrom(now) > 0 {
			forgive()
			return nil, &ThrottledError{Wait: callbackWait}
		}
	}
	return forgive, nil
}

// Begin begins a flow at a provider. Errors: *[oidc.Error], [oidc.ErrNoProvider], *[ThrottledError], or technical.
func (o *OIDC) Begin(ctx context.Context, c Client, name string, s oidc.FlowOptions) (oidc.AuthRequest, error) {
	if err := o.Throttle(c); err != nil {
		return oidc.AuthRequest{}, err
	}
	s.Limit = func() error {
		// Like a callback, a pushed request is one with our credentials. It is not forgiven: none costs its sender anything.
		if !o.allow(o.refusals, "start "+name, providerRefill, providerBurst) {
			return &ThrottledError{Wait: callbackWait}
		}
		return nil
	}
	a, err := o.Registry.Begin(ctx, name, s)
	if oidc.KindOf(err) != "" && o.allow(o.refusals, "begin "+name, refusedRefill, refusedBurst) {
		o.recordFailure(ctx, c, name, oidc.CallbackResult{Purpose: s.Purpose}, err)
	}
	return a, err
}

// Finish handles the callback of a flow. live is the session of the request, nil for none; cookie returns the value of
// one of our cookies. Failures are audited.
func (o *OIDC) Finish(ctx context.Context, c Client, name string, a oidc.AuthResponse, cookie func(string) string,
	live *session.Live,
) (SignInResult, error) {
	forgive := func() {}
	// Without provider or cookie no request is sent, and there is nothing to limit.
	if _, known := o.Registry.Config(name); known && cookie(oidc.FlowCookieName(a.State)) != "" {
		var err error
		if forgive, err = o.limitCallback(c, name); err != nil {
			return SignInResult{}, err
		}
	}
	f, err := o.Registry.Finish(ctx, name, a, cookie)
	out := SignInResult{Purpose: f.Purpose, ReturnTo: f.ReturnTo}
	if err == nil {
		err = o.complete(ctx, c, name, f, live, &out)
	}
	if err == nil || f.Claims != nil { // the code was valid, even if the rules deny the user
		forgive()
	}
	if err != nil {
		o.recordFailure(ctx, c, name, f, err)
	}
	return out, err
}

func (o *OIDC) complete(ctx context.Context, c Client, name string, f oidc.CallbackResult, live *session.Live,
	out *SignInResult,
) error {
	cfg, ok := o.Registry.Config(name)
	if !ok {
		return oidc.ErrNoProvider
	}
	o.Service.warnIgnored(name, f.Claims)
	if err := cfg.CheckAllowed(f.Claims); err != nil {
		return o.applyDenial(ctx, f.Claims, live, err)
	}
	if f.Purpose == oidc.PurposeLogin {
		if err := o.Service.checkReplacement(ctx, f, live); err != nil {
			return err
		}
		return o.signIn(ctx, c, cfg, f, live, out)
	}
	if live == nil || live.User.ID != f.UserID {
		return &oidc.Error{Kind: oidc.Expired, Reason: "the session that began the flow has ended"}
	}
	if f.Purpose == oidc.PurposeLink {
		return o.linkIdentity(ctx, c, cfg, f.Claims, live)
	}
	return o.reauth(ctx, c, cfg, f, live, out)
}

// checkReplacement refuses to replace a session with that of another user if another site's page started the flow
// (login CSRF).
func (s *Service) checkReplacement(ctx context.Context, f oidc.CallbackResult, live *session.Live) error {
	if !f.CrossSite || live == nil {
		return nil
	}
	id, err := s.Store.Identity(ctx, f.Claims.Issuer, f.Claims.Subject)
	if ignoreNotFound(err) != nil {
		return fmt.Errorf("looking up an identity: %w", err)
	}
	if err != nil || id.UserID != live.User.ID {
		return &oidc.Error{
			Kind:   oidc.Expired,
			Reason: "another site started the flow, and a different user has signed in meanwhile",
		}
	}
	return nil
}

// warnIgnored logs the claim values that were left out.
func (s *Service) warnIgnored(name string, p *oidc.Claims) {
	for _, i := range p.Ignored {
		s.Log.Warn("ignored a claim value of a provider", zap.String("provider", name), zap.String("claim", i.Claim),
			zap.String("reason", i.Fault.Error()), zap.String("example", i.Example), zap.Int("values", i.Count))
	}
}

// signIn starts a session for verified claims.
func (o *OIDC) signIn(ctx context.Context, c Client, cfg *oidc.Config, f oidc.CallbackResult, live *session.Live,
	out *SignInResult,
) error {
	u, link, err := o.findOrCreateUser(ctx, c, cfg, f.Claims, out)
	if err != nil {
		return err
	}
	p := f.Claims
	sealed, err := o.Registry.Seal(ctx, p.Tokens, u.ID, p.Issuer, p.Subject)
	if err != nil {
		return err
	}
	methods, mfaAt := methodsOf(cfg, p)
	out.SignedIn, err = o.Service.SignIn(ctx, c, Proof{User: u}, SignInOptions{
		Method: MethodOIDC, Provider: cfg.Name, Issuer: p.Issuer, Subject: p.Subject, Sub: p.Sub, SID: p.SID, Sealed: sealed,
		Remember: f.Remember, Return: f.ReturnTo, Link: link, LinkName: p.Name,
		Claims: p.Stored().Encode(), AuthAt: p.AuthTime().UTC(), Methods: methods, MFAAt: mfaAt,
		Check: func(ctx context.Context, tx store.Tx) error {
			if err := checkNotEnded(ctx, tx, f, live, u.ID); err != nil || link {
				return err
			}
			return checkIdentityOwner(ctx, tx, p, u.ID)
		},
	})
	var disabled *InactiveError
	switch {
	case errors.As(err, &disabled):
		return errInactive(disabled.Pending)
	case errors.Is(err, ErrInvalidCredentials):
		return &oidc.Error{Kind: oidc.Expired, Reason: "the user's sessions were ended while the flow was in progress"}
	}
	return err
}

// checkIdentityOwner returns an error if the identity has been unlinked or moved since its account was looked up.
func checkIdentityOwner(ctx context.Context, tx store.Tx, p *oidc.Claims, userID string) error {
	id, err := tx.Identity(ctx, p.Issuer, p.Subject)
	if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != userID) {
		return &oidc.Error{Kind: oidc.Expired, Reason: "the identity was unlinked or moved while the flow was in progress"}
	}
	return err
}

func errInactive(pending bool) error {
	if pending {
		return &oidc.Error{Kind: oidc.Pending, Reason: "the account waits for an administrator"}
	}
	return &oidc.Error{Kind: oidc.Inactive, Reason: "the account is inactive"}
}

// reauth rotates the session of a user whom the provider has just authenticated again (step-up). The new claims replace
// the session's in the same transaction.
func (o *OIDC) reauth(ctx context.Context, c Client, cfg *oidc.Config, f oidc.CallbackResult, live *session.Live,
	out *SignInResult,
) error {
	p := f.Claims
	sealed, err := o.Registry.Seal(ctx, p.Tokens, live.User.ID, p.Issuer, p.Subject)
	if err != nil {
		return err
	}
	out.SignedIn, err = o.Service.stepUpAt(ctx, c, Proof{User: live.User}, live, p.AuthTime().UTC(),
		func(ctx context.Context, tx store.Tx, old *store.Session) error {
			if err := checkNotEnded(ctx, tx, f, live, live.User.ID); err != nil {
				return err
			}
			id, err := tx.Identity(ctx, p.Issuer, p.Subject)
			if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != live.User.ID) {
				return &oidc.Error{Kind: oidc.DifferentUser, Reason: "a different user signed in at the provider"}
			}
			if err != nil {
				return err
			}
			if _, err := o.updateKnownUser(ctx, tx, c, cfg, p, id); err != nil {
				return err
			}
			if err := nameAfterStepUp(ctx, tx, old.ID, p); err != nil {
				return err
			}
			methods, mfaAt := methodsOf(cfg, p)
			old.Methods = string(assurance.Methods(old.Methods).With(strings.Fields(string(methods))...))
			if mfaAt.After(old.MFAAt) {
				old.MFAAt = mfaAt
			}
			if old.Issuer != p.Issuer || old.Subject != p.Subject {
				return nil // the session keeps its own identity
			}
			old.Provider, old.Sealed, old.Claims = cfg.Name, sealed, p.Stored().Encode()
			if p.SID != "" {
				old.SID = p.SID
			}
			return nil
		})
	if errors.Is(err, ErrInvalidCredentials) || errors.Is(err, store.ErrNotFound) {
		return &oidc.Error{Kind: oidc.Expired, Reason: "the session that began the flow has ended"}
	}
	return err
}

// nameAfterStepUp names a session after the person who was authenticated again, so that a logout at that provider ends
// it, which names sub, and unlinking does, which names the subject.
func nameAfterStepUp(ctx context.Context, tx store.Tx, id string, p *oidc.Claims) error {
	for _, subject := range []string{p.Subject, p.Sub} {
		if err := tx.AddSessionName(ctx, id, p.Issuer, subject, p.SID); err != nil {
			return err
		}
	}
	return nil
}

func byProvider(name string) string { return store.ProviderPrefix + name }
