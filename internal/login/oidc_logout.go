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

// Backchannel ends the sessions that a provider's logout token names. An invalid token is an *[oidc.Error] of any kind
// that is not technical; a token that matches no session is not an error. A token is accepted once (jti), recorded in
// the same transaction, so that it can be sent again after a technical error. A refused token is logged, audited and
// shown in the provider's status: a provider that cannot sign users out is not healthy.
func (o *OIDC) Backchannel(ctx context.Context, c Client, name, raw string) error {
	l, err := o.Registry.VerifyLogout(ctx, name, raw)
	if err == nil {
		err = o.applyLogoutToken(ctx, c, name, l)
	}
	if kind := oidc.KindOf(err); kind != "" && !kind.Technical() {
		o.AuditRefusedLogout(ctx, c, name, err)
	}
	return err
}

func (o *OIDC) applyLogoutToken(ctx context.Context, c Client, name string, l oidc.LogoutToken) error {
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		now := o.Service.Clock().UTC()
		sum := sha256.Sum256([]byte(l.Issuer + "\n" + l.ID))
		first, err := tx.UseOnce(ctx, "oidc.jti", hex.EncodeToString(sum[:]), now, l.Expires)
		if err != nil {
			return err
		}
		if !first {
			return &oidc.Error{Kind: oidc.Invalid, Reason: "logout token: it has been used before"}
		}
		ended, err := endByLogoutToken(ctx, tx, l)
		if err != nil {
			return err
		}
		if !signedLike(ctx, o.Registry, l, ended) {
			return &oidc.Error{Kind: oidc.Invalid, Reason: "logout token: its algorithm is not that of the ID tokens"}
		}
		if err := markLoggedOut(ctx, tx, l.Issuer, l.Subject, l.SID, now); err != nil {
			return err
		}
		return o.Service.auditEnded(ctx, tx, c, name, "back-channel logout", ended)
	})
	if err != nil {
		return fmt.Errorf("ending sessions for a provider: %w", err)
	}
	return nil
}

// signedLike reports whether a logout token has the algorithm of the ID tokens of all sessions that it ends. If none of
// them has an ID token, it has to have that of the provider's last ID token.
func signedLike(ctx context.Context, reg *oidc.Registry, l oidc.LogoutToken, ended []store.Session) bool {
	compared := false
	for i := range ended {
		t, err := reg.Open(ctx, &ended[i])
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

// Rate limit of audit events about refused logout tokens of one provider: anybody can send them.
const (
	refusedBurst  = 10
	refusedRefill = time.Minute
)

// AuditRefusedLogout logs and audits a refused logout from a provider.
func (o *OIDC) AuditRefusedLogout(ctx context.Context, c Client, name string, err error) {
	if !o.Registry.RecordRefusedLogout(name, err) || !o.allow(o.refusals, "logout "+name, refusedRefill, refusedBurst) {
		return
	}
	o.Service.Log.Warn("refused a logout token: the sessions that it names continue", zap.String("provider", name),
		zap.Error(err), zap.String("ip", c.ip()), zap.String("request_id", c.RequestID))
	o.Service.audit(ctx, c, store.Event{
		Actor: byProvider(name), Action: "session.end", Target: "unknown user", Outcome: store.Denied,
		Details: map[string]string{"provider": name, "reason": "logout-token", "problem": oidc.Clean(err.Error(), 200)},
	})
}

// endByLogoutToken ends the sessions that a logout token names: those of one session at the provider (sid), or all of a
// subject. Sessions of the subject without a sid end, too, for they may belong to that session.
func endByLogoutToken(ctx context.Context, tx store.Tx, l oidc.LogoutToken) ([]store.Session, error) {
	ended, err := tx.EndSessions(ctx, store.SessionSelector{Issuer: l.Issuer, Subject: l.Subject, SID: l.SID})
	if err != nil || l.SID == "" || l.Subject == "" {
		return ended, err
	}
	// By their names: identity_key may know their users by another claim than sub.
	more, err := tx.EndSessions(ctx, store.SessionSelector{Issuer: l.Issuer, Subject: l.Subject, NoSID: true})
	return append(ended, more...), err
}

// endSessionsWhere ends the sessions of a user for which the predicate is true.
func endSessionsWhere(ctx context.Context, tx store.Tx, userID string, now time.Time,
	which func(*store.Session) bool,
) ([]store.Session, error) {
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

// Frontchannel ends the session that a front-channel logout names. Errors are those of [OIDC.Backchannel].
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
		return o.Service.auditEnded(ctx, tx, c, name, "front-channel logout", ended)
	})
	if err != nil {
		return fmt.Errorf("ending sessions for a provider: %w", err)
	}
	return nil
}

// auditEnded audits sessions that a provider ended.
func (s *Service) auditEnded(ctx context.Context, tx store.Tx, c Client, name, reason string,
	ended []store.Session,
) error {
	for i := range ended {
		u, err := tx.User(ctx, ended[i].UserID)
		if err != nil {
			return err
		}
		err = tx.AddEvent(ctx, c.stamp(store.Event{
			Actor: byProvider(name), Action: "session.end", TargetID: u.ID, Target: u.Username, Outcome: store.Success,
			Details: map[string]string{"session": ended[i].ID, "provider": name, "reason": reason},
		}, s.Clock()))
		if err != nil {
			return err
		}
	}
	return nil
}
