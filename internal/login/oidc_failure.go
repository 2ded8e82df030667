package login

import (
	"context"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// refusedKinds are failures in which somebody has proved who they are, and may not come in.
var refusedKinds = map[oidc.Kind]bool{
	oidc.NotAllowed: true, oidc.Unverified: true, oidc.Unknown: true, oidc.Pending: true, oidc.Inactive: true,
	oidc.LinkTaken: true, oidc.DifferentUser: true,
}

// recordFailure logs, counts and audits a failed flow.
func (o *OIDC) recordFailure(ctx context.Context, c Client, name string, f oidc.CallbackResult, err error) {
	kind := oidc.KindOf(err)
	level := zap.InfoLevel
	if kind == oidc.Misconfigured {
		level = zap.ErrorLevel
	}
	o.Service.Log.Log(level, "sign-in through a provider failed", zap.String("provider", name),
		zap.String("kind", string(kind)), zap.Error(err), zap.String("ip", c.ip()), zap.String("request_id", c.RequestID))
	if f.Purpose == oidc.PurposeLogin || f.Purpose == "" {
		o.Service.count(MethodOIDC, failureCount(kind, err))
	}
	if o.auditsFailure(kind, name, f, err) {
		o.Service.audit(ctx, c, o.failureEvent(ctx, kind, name, f.Claims))
	}
}

// failureCount returns what a failed sign-in is counted as.
func failureCount(kind oidc.Kind, err error) string {
	switch {
	case oidc.FromBrowser(err): // whatever it says about the provider
		return "wrong"
	case kind == "", kind == oidc.Unavailable, kind == oidc.Misconfigured:
		return "error"
	case refusedKinds[kind]:
		return "disabled"
	}
	return "wrong"
}

// auditsFailure reports whether a failure is audited: of what anybody can cause by the thousand, nothing or a few.
func (o *OIDC) auditsFailure(kind oidc.Kind, name string, f oidc.CallbackResult, err error) bool {
	switch kind {
	case "", oidc.Expired, oidc.Canceled:
		return false
	}
	if oidc.FromBrowser(err) && !o.allow(o.refusals, "browser "+name, refusedRefill, refusedBurst) {
		return false
	}
	// A denied user can retry without limit.
	return f.Claims == nil || o.allow(o.denied, f.Claims.Issuer+" "+f.Claims.Subject, refusedRefill, refusedBurst)
}

// failureEvent returns the entry of the audit log. p is nil where nobody has proved who they are.
func (o *OIDC) failureEvent(ctx context.Context, kind oidc.Kind, name string, p *oidc.Claims) store.Event {
	e := store.Event{
		Actor: byProvider(name), Action: "session.sign_in", Target: "unknown user", Outcome: store.Failure,
		Details: map[string]string{"reason": string(kind), "provider": name},
	}
	if refusedKinds[kind] {
		e.Outcome = store.Denied
	}
	if p == nil {
		return e
	}
	e.Details["subject"] = oidc.Clean(p.Subject, 80)
	if id, err := o.Service.Store.Identity(ctx, p.Issuer, p.Subject); err == nil {
		e.TargetID = id.UserID
		if u, err := o.Service.Store.User(ctx, id.UserID); err == nil {
			e.Target = u.Username
		}
	}
	return e
}
