package web_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Somebody else's password sign-in in the same browser ends the session at the provider, too.
func TestASignInByAnotherUserRevokesTheTokensOfTheFormer(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	var ended []store.Session
	w.Login.Store = &login.EndingStore{Store: w.Store, Ended: func(l []store.Session) { ended = append(ended, l...) }}
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	b.viaProvider("").wantRedirect(t, "/")
	if len(ended) != 0 {
		t.Error("a new sign-in of the same user revokes the tokens")
	}
	b.post("/login", "username", "root", "password", rootPass)
	if len(ended) != 1 || b.who().User.Username != "root" {
		t.Errorf("%d sessions revoked", len(ended))
	}
}

// A token that comes for a session that was signed out meanwhile is revoked as well.
func TestATokenThatComesAfterTheSignOutIsRevoked(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	es := &login.EndingStore{Store: w.Store, Ended: w.oidc.RevokeEnded}
	w.Login.Store = es
	var mu sync.Mutex
	var issued string
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	hangs := false
	w.idp.SetFaults(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["revocation_endpoint"] = w.idp.Issuer + "/revoke" }
		l.Token = func(r map[string]any) {
			mu.Lock()
			issued, _ = r["refresh_token"].(string)
			wait := hangs
			mu.Unlock()
			if wait {
				asked <- struct{}{}
				<-answer
			}
		}
	})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	id := w.oneSession(t).ID
	w.Clock.Advance(6 * time.Minute)
	mu.Lock()
	hangs = true
	mu.Unlock()
	w.fresh(t, w.oidc, b)
	<-asked
	if err := es.Change(t.Context(), func(tx store.Tx) error {
		_, err := tx.EndSessions(context.Background(), store.SessionSelector{ID: id})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	close(answer)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		last := issued
		mu.Unlock()
		if slices.Contains(w.idp.Revoked(), last) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the token is not revoked")
		}
	}
}
