package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Backchannel ends the sessions that a provider's logout token names. A bad token is an *[oidc.Error] of any kind but
// Down; one whose sessions have ended already is none. The token counts once (jti), in the same transaction: one that
// failed for a reason of ours may come again. A refused one is in the log, the audit log and the provider's status: a
// provider that cannot sign people out is not as well as it looks.
func (o *OIDC) Backchannel(ctx context.Context, c Client, name, raw string) error {
	l, err := o.Registry.VerifyLogout(ctx, name, raw)
	if err == nil {
		err = o.applyLogoutToken(ctx, c, name, l)
	}
	if kind := oidc.KindOf(err); kind != "" && kind != oidc.Down {
		o.RefusedLogout(ctx, c, name, err)
	}
	return err
}

func (o *OIDC) applyLogoutToken(ctx context.Context, c Client, name string, l oidc.LogoutToken) error {
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		now := o.Service.Clock().UTC()
		sum := sha256.Sum256([]byte(l.Issuer + "\n" + l.ID))
		first, err := tx.Once(ctx, "oidc.jti", hex.EncodeToString(sum[:]), now, l.Expires)
		if err != nil {
			return err
		}
		if !first {
			return &oidc.Error{Kind: oidc.Invalid, Reason: "logout token: it has been used before"}
		}
		ended, err := endByLogoutToken(ctx, tx, l, now)
		if err != nil {
			return err
		}
		if !o.signedLike(ctx, l, ended) {
			return &oidc.Error{Kind: oidc.Invalid, Reason: "logout token: it is not signed as the ID tokens are"}
		}
		if err := markLoggedOut(ctx, tx, l.Issuer, l.Subject, l.SID, now); err != nil {
			return err
		}
		return o.auditEnded(ctx, tx, c, name, "back-channel logout", ended)
	})
	if err != nil {
		return fmt.Errorf("logging out for a provider: %w", err)
	}
	return nil
}

// signedLike reports whether a logout token is signed as the ID tokens of the sessions that it ends were. Without any, or
// with none that says, it has to be signed as ID tokens usually are.
func (o *OIDC) signedLike(ctx context.Context, l oidc.LogoutToken, ended []store.Session) bool {
	compared := false
	for i := range ended {
		t, err := o.Registry.Open(ctx, &ended[i])
		if err != nil || t.IDToken == "" {
			continue
		}
		if !l.SignedLikeSession(t) {
			return false
		}
		compared = true
	}
	return compared || l.SignedLikeIDTokens()
}

// How many refused logout tokens of one provider are written down: anybody can send them.
const (
	refusedBurst  = 10
	refusedRefill = time.Minute
)

// RefusedLogout notes a logout from a provider that was refused.
func (o *OIDC) RefusedLogout(ctx context.Context, c Client, name string, err error) {
	if !o.Registry.RecordRefusedLogout(name, err) || !o.allow(o.refusals, "logout "+name, refusedRefill, refusedBurst) {
		return
	}
	o.Service.Log.Warn("refused a logout from a provider: sessions that it was to end go on", zap.String("provider", name),
		zap.Error(err), zap.String("ip", c.ip()), zap.String("request_id", c.RequestID))
	o.Service.audit(ctx, c, store.Event{
		Actor: byProvider(name), Action: "session.end", Target: "unknown user", Outcome: store.Denied,
		Details: map[string]string{"provider": name, "reason": "logout-token", "problem": oidc.Clean(err.Error(), 200)},
	})
}

// endByLogoutToken ends what a logout token names: one session at the provider by sid, or all of a person. Sessions of the
// person that know no sid may be the meant one and end with it.
func endByLogoutToken(ctx context.Context, tx store.Tx, l oidc.LogoutToken, now time.Time) ([]store.Session, error) {
	ended, err := tx.EndSessions(ctx, store.SessionSelector{Issuer: l.Issuer, Subject: l.Subject, SID: l.SID})
	if err != nil || l.SID == "" || l.Subject == "" {
		return ended, err
	}
	id, err := tx.Identity(ctx, l.Issuer, l.Subject)
	if err != nil {
		return ended, ignoreNotFound(err)
	}
	more, err := endSessionsWhere(ctx, tx, id.UserID, now, func(s *store.Session) bool {
		return s.Issuer == l.Issuer && s.Subject == l.Subject && s.SID == ""
	})
	return append(ended, more...), err
}

// endOtherIdentitySessions ends the sessions of a user that began with an identity, but for one.
func endOtherIdentitySessions(ctx context.Context, tx store.Tx, userID string, id store.Identity, keep string, now time.Time) error {
	_, err := endSessionsWhere(ctx, tx, userID, now, func(s *store.Session) bool {
		return s.Issuer == id.Issuer && s.Subject == id.Subject && s.ID != keep
	})
	return err
}

// endSessionsWhere ends the sessions of a user that which chooses.
func endSessionsWhere(ctx context.Context, tx store.Tx, userID string, now time.Time, which func(*store.Session) bool) ([]store.Session, error) {
	var ended []store.Session
	q := store.SessionQuery{UserID: userID, Now: now, Limit: 1000}
	for {
		page, err := tx.Sessions(ctx, q)
		if err != nil {
			return ended, err
		}
		for i := range page.Items {
			if !which(&page.Items[i].Session) {
				continue
			}
			gone, err := tx.EndSessions(ctx, store.SessionSelector{ID: page.Items[i].ID})
			if err != nil {
				return ended, err
			}
			ended = append(ended, gone...)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return ended, nil
		}
	}
}

// Frontchannel ends the session that a provider's frame names. Errors as of [OIDC.Backchannel].
func (o *OIDC) Frontchannel(ctx context.Context, c Client, name, issuer, sid string) error {
	if err := o.Registry.CheckFrontchannel(name, issuer, sid); err != nil {
		return err
	}
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		ended, err := tx.EndSessions(ctx, store.SessionSelector{Issuer: issuer, SID: sid})
		if err == nil {
			err = markLoggedOut(ctx, tx, issuer, "", sid, o.Service.Clock().UTC())
		}
		if err != nil {
			return err
		}
		return o.auditEnded(ctx, tx, c, name, "front-channel logout", ended)
	})
	if err != nil {
		return fmt.Errorf("logging out for a provider: %w", err)
	}
	return nil
}

// auditEnded writes the audit log for sessions that a provider ended.
func (o *OIDC) auditEnded(ctx context.Context, tx store.Tx, c Client, name, reason string, ended []store.Session) error {
	for i := range ended {
		u, err := tx.User(ctx, ended[i].UserID)
		if err != nil {
			return err
		}
		err = tx.AddEvent(ctx, c.stamp(store.Event{
			Actor: byProvider(name), Action: "session.end", TargetID: u.ID, Target: u.Username, Outcome: store.Success,
			Details: map[string]string{"session": ended[i].ID, "provider": name, "reason": reason},
		}, o.Service.Clock()))
		if err != nil {
			return err
		}
	}
	return nil
}
