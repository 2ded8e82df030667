package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// MethodOIDC is the method of sign-ins through a provider.
const MethodOIDC = "oidc"

// OIDC signs people in through providers. internal/oidc finds out whom a provider vouches for; here is decided who
// that is, and what they may do. One per configuration; see [NewOIDC].
type OIDC struct {
	Service  *Service
	Registry *oidc.Registry
	// Reserved usernames are given to nobody who comes from a provider: the one that the environment makes an
	// administrator of, above all.
	Reserved []string

	flights   singleflight.Group
	starts    *otter.Cache[string, *rate.Limiter]
	callbacks *otter.Cache[string, *rate.Limiter]
	refusals  *otter.Cache[string, *rate.Limiter] // by what and the name of a provider
	denied    *otter.Cache[string, *rate.Limiter] // by issuer and subject
	unsaved   *otter.Cache[string, unsavedTokens]
}

// Arrival is the end of a sign-in through a provider. ReturnTo and Purpose are set with an error, too, as soon as they
// are known.
type Arrival struct {
	Purpose  string // oidc.PurposeLogin, PurposeLink or PurposeReauth
	ReturnTo string // not judged
	SignedIn SignedIn
	Made     bool // an account was made
	// Twin: a local account has the same verified e-mail. It was not joined: that is for its owner to do.
	Twin bool
}

// Starts and posted answers of one client address: each is a row in the store, and costs its sender nothing. They are
// counted in memory: what they are kept from is filling the store, and a count there would be a write as well.
const (
	startBurst   = 300
	startRefill  = 200 * time.Millisecond
	startClients = 10_000 // addresses that are counted at the same time
)

// NewOIDC makes an OIDC for one configuration.
func NewOIDC(s *Service, reg *oidc.Registry, reserved []string) *OIDC {
	counts := func() *otter.Cache[string, *rate.Limiter] {
		return otter.Must(&otter.Options[string, *rate.Limiter]{MaximumSize: startClients})
	}
	return &OIDC{
		Service: s, Registry: reg, Reserved: reserved, starts: counts(), callbacks: counts(), refusals: counts(), denied: counts(),
		unsaved: otter.Must(&otter.Options[string, unsavedTokens]{MaximumSize: maxUnsaved}),
	}
}

// Throttled counts a request that makes a row in the store without any proof. It returns a *[ThrottledError].
func (o *OIDC) Throttled(c Client) error {
	key := ClientKey(c.IP)
	if key == "" {
		return nil
	}
	if !o.allow(o.starts, key, startRefill, startBurst) {
		return &ThrottledError{Wait: startRefill}
	}
	return nil
}

// allow counts one more of key and reports whether there is room for it.
func (o *OIDC) allow(counts *otter.Cache[string, *rate.Limiter], key string, refill time.Duration, burst int) bool {
	l := o.limiter(counts, key, refill, burst)
	return l == nil || l.AllowN(o.Service.Clock(), 1)
}

func (o *OIDC) limiter(counts *otter.Cache[string, *rate.Limiter], key string, refill time.Duration, burst int) *rate.Limiter {
	l, _ := counts.ComputeIfAbsent(key, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Every(refill), burst), false
	})
	return l
}

// Callbacks make us ask the token endpoint with our credentials, for whatever code somebody makes up. Those that come to
// nothing are counted, as wrong passwords are, and those under way: a whole office may sign in at nine.
const (
	callbackBurst  = 100
	callbackRefill = time.Second
	providerBurst  = 600
	providerRefill = 50 * time.Millisecond
	callbackWait   = 5 * time.Second
)

// limitCallback counts a callback until forgive says that it was a good one. It returns a *[ThrottledError]. The provider's
// count comes last, so that one address alone cannot use it up.
func (o *OIDC) limitCallback(c Client, name string) (forgive func(), err error) {
	now := o.Service.Clock()
	counts := []*rate.Limiter{o.limiter(o.refusals, "callback "+name, providerRefill, providerBurst)}
	if key := ClientKey(c.IP); key != "" {
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

// Begin begins a sign-in at a provider. Errors: *[oidc.Error], [oidc.ErrNoProvider], *[ThrottledError], or technical.
func (o *OIDC) Begin(ctx context.Context, c Client, name string, s oidc.Start) (oidc.Begun, error) {
	if err := o.Throttled(c); err != nil {
		return oidc.Begun{}, err
	}
	return o.Registry.Begin(ctx, name, s)
}

// Finish ends a sign-in that a provider sent back. live is the session of the request, nil for none; cookie returns
// the value of one of our cookies. A failed one is in the audit log.
func (o *OIDC) Finish(ctx context.Context, c Client, name string, a oidc.Answer, cookie func(string) string, live *session.Live) (Arrival, error) {
	forgive := func() {}
	if _, known := o.Registry.Config(name); known && cookie(oidc.CookieName(a.State)) != "" { // else nothing happens
		var err error
		if forgive, err = o.limitCallback(c, name); err != nil {
			return Arrival{}, err
		}
	}
	f, err := o.Registry.Finish(ctx, name, a, cookie)
	out := Arrival{Purpose: f.Purpose, ReturnTo: f.ReturnTo}
	if err == nil {
		err = o.complete(ctx, c, name, f, live, &out)
	}
	if err == nil || f.Person != nil { // nobody has guessed: the provider vouches for somebody, whom the rules here may not let in
		forgive()
	}
	if err != nil {
		o.recordFailure(ctx, c, name, f, err)
	}
	return out, err
}

func (o *OIDC) complete(ctx context.Context, c Client, name string, f oidc.CallbackResult, live *session.Live, out *Arrival) error {
	cfg, ok := o.Registry.Config(name)
	if !ok {
		return oidc.ErrNoProvider
	}
	o.warnIgnored(name, f.Person)
	if err := cfg.CheckAllowed(f.Person); err != nil {
		if live != nil && live.Session.Provider == name && live.Session.Issuer == f.Person.Issuer && live.Session.Subject == f.Person.Subject {
			// It is judged by what is said now; one of another client at the same issuer is judged by the rules of that one.
			return errors.Join(err, o.revokeSession(ctx, &live.Session, err))
		}
		return err
	}
	if f.Purpose == oidc.PurposeLogin {
		if err := o.checkReplacement(ctx, f, live); err != nil {
			return err
		}
		return o.signIn(ctx, c, cfg, f, live, out)
	}
	if live == nil || live.User.ID != f.UserID {
		return &oidc.Error{Kind: oidc.Expired, Reason: "the session that asked for this has ended"}
	}
	if f.Purpose == oidc.PurposeLink {
		return o.linkIdentity(ctx, c, cfg, f.Person, live)
	}
	return o.reauth(ctx, c, cfg, f, live, out)
}

// checkReplacement refuses to put another person's session in the place of the one that is there, when another site's page led to it.
func (o *OIDC) checkReplacement(ctx context.Context, f oidc.CallbackResult, live *session.Live) error {
	if !f.CrossSite || live == nil {
		return nil
	}
	id, err := o.Service.Store.Identity(ctx, f.Person.Issuer, f.Person.Subject)
	if ignoreNotFound(err) != nil {
		return fmt.Errorf("looking up an identity: %w", err)
	}
	if err != nil || id.UserID != live.User.ID {
		return &oidc.Error{Kind: oidc.Expired, Reason: "another site began the sign-in, and somebody else has signed in here meanwhile"}
	}
	return nil
}

// warnIgnored tells of what a provider signed and nothing here is decided by.
func (o *OIDC) warnIgnored(name string, p *oidc.Person) {
	for _, i := range p.Ignored {
		o.Service.Log.Warn("a value of a provider proves nothing and was left out", zap.String("provider", name), zap.String("claim", i.Claim),
			zap.String("reason", i.Fault.Error()), zap.String("example", i.Example), zap.Int("values", i.Count))
	}
}

// signIn turns a verified person into a session.
func (o *OIDC) signIn(ctx context.Context, c Client, cfg *oidc.Config, f oidc.CallbackResult, live *session.Live, out *Arrival) error {
	u, err := o.findOrCreateUser(ctx, c, cfg, f.Person, out)
	if err != nil {
		return err
	}
	p := f.Person
	sealed, err := o.Registry.Seal(ctx, p.Tokens, u.ID, p.Issuer, p.Subject)
	if err != nil {
		return err
	}
	out.SignedIn, err = o.Service.SignIn(ctx, c, Proof{User: u}, Via{
		Method: MethodOIDC, Provider: cfg.Name, Issuer: p.Issuer, Subject: p.Subject, SID: p.SID, Sealed: sealed, Remember: f.Remember,
		Claims: p.Stored().Encode(), AuthAt: p.AuthTime().UTC(),
		Check: func(ctx context.Context, tx store.Tx) error {
			if err := o.checkNotEnded(ctx, tx, f, live, u.ID); err != nil {
				return err
			}
			return checkIdentityOwner(ctx, tx, p, u.ID)
		},
	})
	var disabled *DisabledError
	switch {
	case errors.As(err, &disabled):
		return inactiveError(disabled.Pending)
	case errors.Is(err, ErrWrong):
		return &oidc.Error{Kind: oidc.Expired, Reason: "the person's sessions were ended while the sign-in was under way"}
	}
	return err
}

// checkIdentityOwner returns nil while an identity belongs to the account for which it has just been looked up: it may have been unlinked
// or moved since.
func checkIdentityOwner(ctx context.Context, tx store.Tx, p *oidc.Person, userID string) error {
	id, err := tx.Identity(ctx, p.Issuer, p.Subject)
	if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != userID) {
		return &oidc.Error{Kind: oidc.Expired, Reason: "the identity was unlinked or moved while the sign-in was under way"}
	}
	return err
}

func inactiveError(pending bool) error {
	if pending {
		return &oidc.Error{Kind: oidc.Pending, Reason: "the account waits for an administrator"}
	}
	return &oidc.Error{Kind: oidc.Disabled, Reason: "the account is turned off"}
}

// reauth renews the session of somebody whom the provider has just asked again. What the provider says now replaces what
// it said before, in the same transaction.
func (o *OIDC) reauth(ctx context.Context, c Client, cfg *oidc.Config, f oidc.CallbackResult, live *session.Live, out *Arrival) error {
	p := f.Person
	sealed, err := o.Registry.Seal(ctx, p.Tokens, live.User.ID, p.Issuer, p.Subject)
	if err != nil {
		return err
	}
	out.SignedIn, err = o.Service.stepUp(ctx, c, Proof{User: live.User}, live, p.AuthTime().UTC(),
		func(ctx context.Context, tx store.Tx, old *store.Session) error {
			if err := o.checkNotEnded(ctx, tx, f, live, live.User.ID); err != nil {
				return err
			}
			id, err := tx.Identity(ctx, p.Issuer, p.Subject)
			if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != live.User.ID) {
				return &oidc.Error{Kind: oidc.OtherPerson, Reason: "somebody else signed in at the provider"}
			}
			if err != nil {
				return err
			}
			if _, err := o.updateKnownUser(ctx, tx, c, cfg, p, id); err != nil {
				return err
			}
			if old.Issuer != p.Issuer || old.Subject != p.Subject {
				// Only the proof comes from there, and a logout from there takes it back.
				return tx.NameSession(ctx, old.ID, p.Issuer, p.Subject, p.SID)
			}
			old.Provider, old.Sealed, old.Claims = cfg.Name, sealed, p.Stored().Encode()
			if p.SID != "" {
				old.SID = p.SID
			}
			return nil
		})
	if errors.Is(err, ErrWrong) || errors.Is(err, store.ErrNotFound) {
		return &oidc.Error{Kind: oidc.Expired, Reason: "the session that asked for this has ended"}
	}
	return err
}

// recordFailure notes a sign-in that came to nothing. What nobody can be blamed for is logged only.
func (o *OIDC) recordFailure(ctx context.Context, c Client, name string, f oidc.CallbackResult, err error) {
	kind := oidc.KindOf(err)
	o.Service.Log.Info("a sign-in through a provider came to nothing", zap.String("provider", name), zap.String("kind", string(kind)),
		zap.Error(err), zap.String("ip", c.ip()), zap.String("request_id", c.RequestID))
	outcome, count := store.Failure, "wrong"
	switch kind {
	case "", oidc.Down:
		count = "error"
	case oidc.NotAllowed, oidc.Unverified, oidc.Unknown, oidc.Pending, oidc.Disabled, oidc.LinkTaken, oidc.OtherPerson:
		outcome, count = store.Denied, "disabled"
	case oidc.Canceled, oidc.Expired, oidc.Invalid, oidc.Refused, oidc.Unproved, oidc.TooMany:
	}
	if f.Purpose == oidc.PurposeLogin || f.Purpose == "" {
		o.Service.count(MethodOIDC, count)
	}
	if kind == "" || kind == oidc.Expired || kind == oidc.Canceled {
		return // anybody can send these by the thousand
	}
	e := store.Event{
		Actor: byProvider(name), Action: "session.sign_in", Target: "unknown user", Outcome: outcome,
		Details: map[string]string{"reason": string(kind), "provider": name},
	}
	if f.Person != nil {
		if !o.allow(o.denied, f.Person.Issuer+" "+f.Person.Subject, refusedRefill, refusedBurst) {
			return // they may come back as often as they like
		}
		e.Details["subject"] = oidc.Clean(f.Person.Subject, 80)
		if id, err := o.Service.Store.Identity(ctx, f.Person.Issuer, f.Person.Subject); err == nil {
			e.TargetID = id.UserID
			if u, err := o.Service.Store.User(ctx, id.UserID); err == nil {
				e.Target = u.Username
			}
		}
	}
	o.Service.audit(ctx, c, e)
}

func byProvider(name string) string { return store.ProviderPrefix + name }
