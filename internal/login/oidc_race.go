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

// markLogout is the kind of mark that a logout from a provider leaves.
const markLogout = "oidc.logout"

// What a logout from a provider is about.
const (
	allOf  = "sub"     // all sessions of a person
	oneOf  = "sid"     // one session at the provider
	someOf = "sub+sid" // one session of a person: those that know no sid may be the meant one
)

func logoutKey(about, issuer, value string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d:%s %s", about, len(issuer), issuer, value))
	return hex.EncodeToString(sum[:])
}

// markLoggedOut notes a logout from a provider.
func markLoggedOut(ctx context.Context, tx store.Tx, issuer, subject, sid string, now time.Time) error {
	about := map[string]string{allOf: subject}
	if sid != "" {
		about = map[string]string{oneOf: sid, someOf: subject}
	}
	for what, value := range about {
		if value == "" {
			continue
		}
		if err := tx.Mark(ctx, markLogout, logoutKey(what, issuer, value), now.Add(store.EndedFor)); err != nil {
			return err
		}
	}
	return nil
}

// loggedOut reports whether the provider has told of a logout of the person or the session since begun.
func loggedOut(ctx context.Context, tx store.Tx, p *oidc.Person, begun time.Time) (bool, error) {
	about := map[string]string{allOf: p.Subject, oneOf: p.SID}
	if p.SID == "" {
		about = map[string]string{allOf: p.Subject, someOf: p.Subject}
	}
	for what, value := range about {
		if gone, err := tx.Marked(ctx, markLogout, logoutKey(what, p.Issuer, value), begun.Add(store.EndedFor)); err != nil || gone {
			return gone, err
		}
	}
	return false, nil
}

// stands returns nil while nothing was ended that a sign-in depends on since it began: the person's sessions, here or at the
// provider, everybody's, and the session of the browser that set out or came back. One that another sign-in or a renewal of
// the same browser has replaced was not ended: many tabs may sign in at once.
func (o *OIDC) stands(ctx context.Context, tx store.Tx, f oidc.Finished, live *session.Live, userID string) error {
	keys := []string{userID, store.EndedAll}
	if f.SessionID != "" {
		keys = append(keys, f.SessionID)
	}
	if live != nil {
		keys = append(keys, live.Session.ID)
	}
	gone, err := loggedOut(ctx, tx, f.Person, f.BegunAt)
	for _, key := range keys {
		if err != nil || gone {
			break
		}
		gone, err = tx.Marked(ctx, store.MarkEnded, key, f.BegunAt.Add(store.EndedFor))
	}
	switch {
	case err != nil:
		return err
	case gone:
		return &oidc.Error{Kind: oidc.Expired, Reason: "sessions of the person or the browser were ended while the sign-in was under way"}
	}
	return nil
}
