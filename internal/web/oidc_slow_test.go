package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// hang makes the token endpoint hang until release is called.
func hang(t *testing.T, idp *provider.Provider) (release func()) {
	t.Helper()
	gate := make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	idp.SetFaults(func(l *provider.Faults) {
		l.Handle = func(e string, _ http.ResponseWriter, _ *http.Request) bool {
			if e == "token" {
				<-gate
			}
			return false
		}
	})
	return release
}

// A warm request waits for a provider a second at most, the next ones not at all, and the answer counts when it comes.
func TestARequestWaitsForAProviderASecondAtMost(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.signedInFor(t, 6*time.Minute)
	w.oidc.RefreshWait = 0 // as in production
	release := hang(t, w.idp)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			began := time.Now()
			if w.fresh(t, w.oidc, b) == nil {
				t.Error("the session has ended")
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("waited for %s", d)
			}
		})
	}
	wg.Wait()
	began := time.Now()
	if w.fresh(t, w.oidc, b) == nil || time.Since(began) > 900*time.Millisecond {
		t.Errorf("the next request waited for %s", time.Since(began))
	}
	w.idp.Revoke()
	release()
	for deadline := time.Now().Add(10 * time.Second); w.fresh(t, w.oidc, b) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a refusal that came late ends nothing")
		}
	}
}

// A provider that hangs is asked for one session at a time, and no session outlives refresh_grace by that.
func TestRefreshesAtAProviderThatHangsDoNotPileUp(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	var all []*browser
	for range 5 {
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		all = append(all, b)
	}
	w.Clock.Advance(6 * time.Minute)
	w.oidc.RefreshWait = 0 // as in production
	release := hang(t, w.idp)
	before := w.idp.Calls("token")
	for _, b := range all {
		if w.fresh(t, w.oidc, b) == nil {
			t.Fatal("a session has ended")
		}
	}
	if n := w.idp.Calls("token") - before; n != 1 {
		t.Errorf("the token endpoint was asked %d times", n)
	}
	w.Clock.Advance(61 * time.Minute)
	deadline := time.Now().Add(40 * time.Second)
	for left := all[1:]; len(left) > 0; {
		left = slices.DeleteFunc(left, func(b *browser) bool { return w.fresh(t, w.oidc, b) == nil })
		w.Clock.Advance(31 * time.Second)
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions outlive refresh_grace", len(left))
		}
	}
	release()
}

// failUserinfoOf makes the userinfo of one person unusable.
func (ow *oidcWorld) failUserinfoOf(sub string) {
	ow.idp.SetFaults(func(f *provider.Faults) {
		f.UserInfo = func(c map[string]any) {
			if c["sub"] == sub {
				c["picture"] = string(make([]byte, 2<<20)) // larger than is read
			}
		}
	})
}

// What fails for one person keeps nobody else's session from its refreshes.
func TestWhatFailsForOnePersonSignsNobodyElseOut(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.idp.AddUser("evil", map[string]any{"preferred_username": "evil"})
	good, evil := w.browser(), w.browser()
	good.viaProvider("").wantRedirect(t, "/")
	evil.callback(evil.start("")+"&login_hint=evil").wantRedirect(t, "/")
	w.failUserinfoOf("evil")
	w.Clock.Advance(6 * time.Minute)
	for end := w.Clock.Now().Add(65 * time.Minute); w.Clock.Now().Before(end); w.Clock.Advance(30 * time.Second) {
		w.fresh(t, w.oidc, evil)
		w.Clock.Advance(500 * time.Millisecond)
		if w.fresh(t, w.oidc, good) == nil {
			t.Fatalf("signed out %s before the end", end.Sub(w.Clock.Now()))
		}
	}
	if w.fresh(t, w.oidc, evil) != nil {
		t.Error("a session outlives refresh_grace")
	}
}

// Neither does a token endpoint that fails for one person alone, even for who comes back after hours.
func TestASessionIsNotEndedBecauseTheProviderFailsForAnother(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	good, evil := w.browser(), w.browser()
	good.viaProvider("").wantRedirect(t, "/")
	evil.viaProvider("").wantRedirect(t, "/")
	w.Clock.Advance(6 * time.Minute)
	w.idp.SetFaults(func(f *provider.Faults) {
		f.Handle = func(e string, rw http.ResponseWriter, _ *http.Request) bool {
			if e == "token" {
				rw.WriteHeader(http.StatusBadGateway)
			}
			return e == "token"
		}
	})
	w.fresh(t, w.oidc, evil)
	if w.fresh(t, w.oidc, good) == nil {
		t.Fatal("a session has ended")
	}
	for range 100 {
		w.Clock.Advance(40 * time.Second)
		w.fresh(t, w.oidc, evil)
	}
	w.idp.SetFaults(func(f *provider.Faults) { f.Handle = nil })
	if w.fresh(t, w.oidc, good) == nil {
		t.Error("ended without an attempt of its own")
	}
}

// What waits for another process is not the provider's slowness.
func TestAWaitForAnotherProcessIsNoFailureOfTheProvider(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	a := w.browser()
	a.viaProvider("").wantRedirect(t, "/")
	sum := sha256.Sum256([]byte(w.oneSession(t).Sealed))
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	w.Clock.Advance(6 * time.Minute)
	now := w.Clock.Now()
	if err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		_, err := tx.UseOnce(t.Context(), "oidc.refresh", hex.EncodeToString(sum[:]), now, now.Add(20*time.Second))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	before := w.idp.Calls("token")
	w.fresh(t, w.oidc, a)
	if n := w.idp.Calls("token") - before; n != 0 {
		t.Fatalf("asked %d times for a session that another process refreshes", n)
	}
	if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token")-before != 1 {
		t.Error("the other session was not refreshed")
	}
}

// A refresh that is off asks nothing, and keeps no token to ask with.
func TestARefreshThatIsOffAsksNothing(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.signedInFor(t, 6*time.Minute)
	w.reconfigure(t, noRefresh)
	before := w.idp.Calls("token")
	if w.fresh(t, w.oidc, b) == nil {
		t.Error("a session from before has ended")
	}
	c := w.signedInFor(t, 6*time.Minute)
	if w.fresh(t, w.oidc, c) == nil || w.idp.Calls("token") != before+1 {
		t.Errorf("the token endpoint was asked %d times", w.idp.Calls("token")-before)
	}
}

// An open stream is refreshed as a request is, and that is no use of the session.
func TestARefreshThatIsRefusedEndsTheSessionOfAStream(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	seen := w.oneSession(t).LastSeenAt
	if err := w.oidc.RefreshStream(t.Context(), b.token()); err != nil || w.idp.Calls("token") != 1 {
		t.Errorf("refreshed before it was due: %v", err)
	}
	w.Clock.Advance(6 * time.Minute)
	if err := w.oidc.RefreshStream(t.Context(), b.token()); err != nil || w.idp.Calls("token") != 2 {
		t.Errorf("not refreshed: %v", err)
	}
	if l, err := w.Sessions.Peek(t.Context(), b.token()); err != nil || l.LastSeen().After(seen) {
		t.Errorf("a refresh counts as a use: %v", err)
	}
	w.Clock.Advance(6 * time.Minute)
	w.idp.Revoke()
	if err := w.oidc.RefreshStream(t.Context(), b.token()); !errors.Is(err, session.ErrNone) || w.sessions(t) != 0 {
		t.Errorf("the session goes on: %v", err)
	}
}
