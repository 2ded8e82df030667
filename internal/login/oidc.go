package login

import (
	"context"
	"errors"
	"fmt"
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

	flights singleflight.Group
	starts  *otter.Cache[string, *rate.Limiter]
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
	return &OIDC{
		Service: s, Registry: reg, Reserved: reserved,
		starts: otter.Must(&otter.Options[string, *rate.Limiter]{MaximumSize: startClients}),
	}
}

// Throttled counts a request that makes a row in the store without any proof. It answers a *[ThrottledError].
func (o *OIDC) Throttled(c Client) error {
	key := ClientKey(c.IP)
	if key == "" {
		return nil
	}
	limiter, _ := o.starts.ComputeIfAbsent(key, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Every(startRefill), startBurst), false
	})
	if limiter != nil && !limiter.AllowN(o.Service.Clock(), 1) {
		return &ThrottledError{Wait: startRefill}
	}
	return nil
}

// Begin begins a sign-in at a provider. Errors: *[oidc.Error], [oidc.ErrNoProvider], *[ThrottledError], or technical.
func (o *OIDC) Begin(ctx context.Context, c Client, name string, s oidc.Start) (oidc.Begun, error) {
	if err := o.Throttled(c); err != nil {
		return oidc.Begun{}, err
	}
	return o.Registry.Begin(ctx, name, s)
}

// Finish ends a sign-in that a provider sent back. live is the session of the request, nil for none; cookie answers
// the value of one of our cookies. A failed one is in the audit log.
func (o *OIDC) Finish(ctx context.Context, c Client, name string, a oidc.Answer, cookie func(string) string, live *session.Live) (Arrival, error) {
	f, err := o.Registry.Finish(ctx, name, a, cookie)
	out := Arrival{Purpose: f.Purpose, ReturnTo: f.ReturnTo}
	if err == nil {
		err = o.arrive(ctx, c, name, f, live, &out)
	}
	if err != nil {
		o.refused(ctx, c, name, f, err)
	}
	return out, err
}

func (o *OIDC) arrive(ctx context.Context, c Client, name string, f oidc.Finished, live *session.Live, out *Arrival) error {
	cfg, ok := o.Registry.Config(name)
	if !ok {
		return oidc.ErrNoProvider
	}
	o.warnIgnored(name, f.Person)
	if err := cfg.Admit(f.Person); err != nil {
		return err
	}
	if f.Purpose == oidc.PurposeLogin {
		return o.signIn(ctx, c, cfg, f, out)
	}
	if live == nil || live.User.ID != f.UserID {
		return &oidc.Error{Kind: oidc.Expired, Reason: "the session that asked for this has ended"}
	}
	if f.Purpose == oidc.PurposeLink {
		return o.link(ctx, c, cfg, f.Person, live)
	}
	return o.reauth(ctx, c, f.Person, live, out)
}

// warnIgnored tells of what a provider signed and nothing here is decided by.
func (o *OIDC) warnIgnored(name string, p *oidc.Person) {
	for _, i := range p.Ignored {
		o.Service.Log.Warn("a value of a provider proves nothing and was left out", zap.String("provider", name), zap.String("claim", i.Claim),
			zap.String("reason", i.Fault.Error()), zap.String("example", i.Example), zap.Int("values", i.Count))
	}
}

// signIn turns a verified person into a session.
func (o *OIDC) signIn(ctx context.Context, c Client, cfg *oidc.Config, f oidc.Finished, out *Arrival) error {
	u, err := o.admit(ctx, c, cfg, f.Person, out)
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
	})
	var disabled *DisabledError
	if errors.As(err, &disabled) {
		return turnedOff(disabled.Pending)
	}
	return err
}

func turnedOff(pending bool) error {
	if pending {
		return &oidc.Error{Kind: oidc.Pending, Reason: "the account waits for an administrator"}
	}
	return &oidc.Error{Kind: oidc.Disabled, Reason: "the account is turned off"}
}

// reauth renews the session of somebody whom the provider has just asked again.
func (o *OIDC) reauth(ctx context.Context, c Client, p *oidc.Person, live *session.Live, out *Arrival) error {
	id, err := o.Service.Store.Identity(ctx, p.Issuer, p.Subject)
	if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != live.User.ID) {
		return &oidc.Error{Kind: oidc.OtherPerson, Reason: "somebody else signed in at the provider"}
	}
	if err != nil {
		return fmt.Errorf("looking up an identity: %w", err)
	}
	out.SignedIn, err = o.Service.Confirm(ctx, c, Proof{User: live.User}, live)
	return err
}

// refused notes a sign-in that came to nothing. What nobody can be blamed for is logged only.
func (o *OIDC) refused(ctx context.Context, c Client, name string, f oidc.Finished, err error) {
	kind := oidc.KindOf(err)
	o.Service.Log.Info("a sign-in through a provider came to nothing", zap.String("provider", name), zap.String("kind", string(kind)),
		zap.Error(err), zap.String("ip", c.ip()), zap.String("request_id", c.RequestID))
	outcome, count := store.Failure, "wrong"
	switch kind {
	case "", oidc.Down:
		count = "error"
	case oidc.NotAllowed, oidc.Unverified, oidc.Unknown, oidc.Pending, oidc.Disabled, oidc.LinkTaken, oidc.OtherPerson:
		outcome, count = store.Denied, "disabled"
	case oidc.Cancelled, oidc.Expired, oidc.Invalid, oidc.Refused, oidc.TooMany:
	}
	if f.Purpose == oidc.PurposeLogin || f.Purpose == "" {
		o.Service.count(MethodOIDC, count)
	}
	if kind == "" || kind == oidc.Expired || kind == oidc.Cancelled {
		return // anybody can send these by the thousand
	}
	e := store.Event{
		Actor: byProvider(name), Action: "session.sign_in", Target: "unknown user", Outcome: outcome,
		Details: map[string]string{"reason": string(kind), "provider": name},
	}
	if f.Person != nil {
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
