package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A sign-in at a provider takes minutes, and the exchange of the code seconds. A logout in that time has to prevent the
// session that is about to be started: the transaction that starts it checks which sessions ended since the flow began.

// logoutMark is the kind of mark that records a logout at a provider.
const logoutMark = "oidc.logout"

// What a logout at a provider applies to.
const (
	bySubject        = "sub"     // all sessions of a subject
	bySID            = "sid"     // one session at the provider
	bySubjectWithSID = "sub+sid" // one session of a subject: recorded for sessions without sid, which may be that one
)

func logoutKey(about, issuer, value string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d:%s %s", about, len(issuer), issuer, value))
	return hex.EncodeToString(sum[:])
}

// markLoggedOut records a logout at a provider.
func markLoggedOut(ctx context.Context, tx store.Tx, issuer, subject, sid string, now time.Time) error {
	keys := map[string]string{bySubject: subject}
	if sid != "" {
		keys = map[string]string{bySID: sid, bySubjectWithSID: subject}
	}
	for what, value := range keys {
		if value == "" {
			continue
		}
		if err := tx.Mark(ctx, logoutMark, logoutKey(what, issuer, value), now.Add(store.EndedMarkTTL)); err != nil {
			return err
		}
	}
	return nil
}

// loggedOut reports whether a logout of the subject or of the session at the provider was recorded since started.
func loggedOut(ctx context.Context, tx store.Tx, p *oidc.Claims, started time.Time) (bool, error) {
	keys := map[string]string{bySubject: p.Sub, bySID: p.SID}
	if p.SID == "" {
		keys = map[string]string{bySubject: p.Sub, bySubjectWithSID: p.Sub}
	}
	for what, value := range keys {
		if ended, err := tx.Marked(ctx, logoutMark, logoutKey(what, p.Issuer, value),
			started.Add(store.EndedMarkTTL)); err != nil || ended {
			return ended, err
		}
	}
	return false, nil
}

// checkNotEnded returns an error if, since the flow began, sessions were ended that the sign-in depends on: the user's,
// here or at the provider, all sessions, or the browser's own at the beginning or at the callback. A session that was
// replaced by another sign-in or rotated in the same browser does not count as ended: several tabs may sign in at once.
func checkNotEnded(ctx context.Context, tx store.Tx, f oidc.CallbackResult, live *session.Live,
	userID string,
) error {
	keys := []string{userID, store.EndedAll}
	if f.SessionID != "" {
		keys = append(keys, f.SessionID)
	}
	if live != nil {
		keys = append(keys, live.Session.ID)
	}
	ended, err := loggedOut(ctx, tx, f.Claims, f.StartedAt)
	for _, key := range keys {
		if err != nil || ended {
			break
		}
		ended, err = tx.Marked(ctx, store.MarkEnded, key, f.StartedAt.Add(store.EndedMarkTTL))
	}
	switch {
	case err != nil:
		return err
	case ended:
		return &oidc.Error{
			Kind:   oidc.Expired,
			Reason: "sessions of the user or the browser were ended while the flow was in progress",
		}
	}
	return nil
}
