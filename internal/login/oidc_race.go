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

// A sign-in at a provider takes minutes, and the exchange of the code seconds. Whatever ends sessions meanwhile has to end
// this one, too, although there is none yet: the transaction that makes it looks at what ended since the browser set out.

// logoutMark is the kind of mark that a logout from a provider leaves.
const logoutMark = "oidc.logout"

// What a logout from a provider is about.
const (
	bySubject        = "sub"     // all sessions of a person
	bySID            = "sid"     // one session at the provider
	bySubjectWithSID = "sub+sid" // one session of a person: those that know no sid may be the meant one
)

func logoutKey(about, issuer, value string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d:%s %s", about, len(issuer), issuer, value))
	return hex.EncodeToString(sum[:])
}

// markLoggedOut notes a logout from a provider.
func markLoggedOut(ctx context.Context, tx store.Tx, issuer, subject, sid string, now time.Time) error {
	keys := map[string]string{bySubject: subject}
	if sid != "" {
		keys = map[string]string{bySID: sid, bySubjectWithSID: subject}
	}
	for what, value := range keys {
		if value == "" {
			continue
		}
		if err := tx.Mark(ctx, logoutMark, logoutKey(what, issuer, value), now.Add(store.EndedFor)); err != nil {
			return err
		}
	}
	return nil
}

// loggedOut reports whether the provider has told of a logout of the person or the session since begun.
func loggedOut(ctx context.Context, tx store.Tx, p *oidc.Person, started time.Time) (bool, error) {
	keys := map[string]string{bySubject: p.Subject, bySID: p.SID}
	if p.SID == "" {
		keys = map[string]string{bySubject: p.Subject, bySubjectWithSID: p.Subject}
	}
	for what, value := range keys {
		if ended, err := tx.Marked(ctx, logoutMark, logoutKey(what, p.Issuer, value), started.Add(store.EndedFor)); err != nil || ended {
			return ended, err
		}
	}
	return false, nil
}

// checkNotEnded returns nil while nothing was ended that a sign-in depends on since it began: the person's sessions, here or at the
// provider, everybody's, and the session of the browser that set out or came back. One that another sign-in or a renewal of
// the same browser has replaced was not ended: many tabs may sign in at once.
func (o *OIDC) checkNotEnded(ctx context.Context, tx store.Tx, f oidc.CallbackResult, live *session.Live, userID string) error {
	keys := []string{userID, store.EndedAll}
	if f.SessionID != "" {
		keys = append(keys, f.SessionID)
	}
	if live != nil {
		keys = append(keys, live.Session.ID)
	}
	ended, err := loggedOut(ctx, tx, f.Person, f.StartedAt)
	for _, key := range keys {
		if err != nil || ended {
			break
		}
		ended, err = tx.Marked(ctx, store.MarkEnded, key, f.StartedAt.Add(store.EndedFor))
	}
	switch {
	case err != nil:
		return err
	case ended:
		return &oidc.Error{Kind: oidc.Expired, Reason: "sessions of the person or the browser were ended while the sign-in was under way"}
	}
	return nil
}
