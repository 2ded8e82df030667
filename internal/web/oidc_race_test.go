package web_test

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// during calls fn once while the provider responds at an endpoint, a moment after the sign-in has begun.
func (ow *oidcWorld) during(endpoint string, fn func()) {
	var done atomic.Bool
	ow.idp.SetFaults(func(l *provider.Faults) {
		l.Handle = func(e string, _ http.ResponseWriter, _ *http.Request) bool {
			if e == endpoint && done.CompareAndSwap(false, true) {
				ow.Clock.Advance(time.Second)
				fn()
			}
			return false
		}
	})
}

// Whatever ends sessions ends the sign-in that is under way, at any moment of it.
func TestWhatEndsSessionsEndsASignInUnderWay(t *testing.T) {
	t.Parallel()
	off := false
	for name, end := range map[string]func(t *testing.T, w *oidcWorld, b *browser, u store.User){
		"signing out in this browser": func(t *testing.T, w *oidcWorld, b *browser, _ store.User) { w.copyOf(b).post("/logout") },
		"signing out everywhere": func(t *testing.T, w *oidcWorld, b *browser, _ store.User) {
			w.copyOf(b).post("/logout", "everywhere", "1")
		},
		"turning the account off": func(t *testing.T, w *oidcWorld, _ *browser, u store.User) {
			if _, err := w.Accounts.Update(t.Context(), cli, u.ID, account.Patch{Active: &off}); err != nil {
				t.Error(err)
			}
		},
		"turning it off and on": func(t *testing.T, w *oidcWorld, _ *browser, u store.User) {
			on := true
			for _, p := range []*bool{&off, &on} {
				if _, err := w.Accounts.Update(t.Context(), cli, u.ID, account.Patch{Active: p}); err != nil {
					t.Error(err)
				}
			}
		},
		"ending the person's sessions": func(t *testing.T, w *oidcWorld, _ *browser, u store.User) {
			if _, err := w.Accounts.EndSessions(t.Context(), cli, u.ID); err != nil {
				t.Error(err)
			}
		},
		"a logout of the person at the provider": func(t *testing.T, w *oidcWorld, _ *browser, _ store.User) {
			w.accepts(t, w.idp.LogoutToken("user-1", "", nil))
		},
	} {
		for _, endpoint := range []string{"authorize", "token", "userinfo"} {
			for _, purpose := range []string{"", "?reauth=1"} {
				t.Run(name+", "+endpoint+purpose, func(t *testing.T) {
					t.Parallel()
					w := newOIDCWorld(t)
					b := w.browser()
					b.viaProvider("").wantRedirect(t, "/")
					u := w.user(t, "ada-2")
					w.Clock.Advance(time.Minute)
					w.during(endpoint, func() { end(t, w, b, u) })
					if a := b.callback(b.start(purpose)); a.StatusCode < 400 {
						t.Errorf("status %d", a.StatusCode)
					}
					if b.signedIn() || w.sessions(t) != 0 {
						t.Errorf("there are %d sessions", w.sessions(t))
					}
				})
			}
		}
	}
	t.Run("a logout of the session at the provider", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.during("userinfo", func() { w.accepts(t, w.idp.LogoutToken("", w.sid(t), nil)) })
		b := w.browser()
		b.viaProvider("").want(t, http.StatusBadRequest)
		if b.signedIn() || w.sessions(t) != 0 {
			t.Error("there is a session")
		}
		w.idp.ClearFaults()
		b.viaProvider("").wantRedirect(t, "/") // begun afterwards: another matter
	})
}

// copyOf returns a browser with the same cookies, so that two requests of one browser are under way at once.
func (ow *oidcWorld) copyOf(b *browser) *browser {
	c := ow.browser()
	for k, v := range b.cookies {
		c.cookies[k] = v
	}
	return c
}

func TestSigningOutDropsTheSignInsThatABrowserHasUnderWay(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	address := b.start("")
	b.post("/logout").wantRedirect(t, prefix+"/logged-out")
	b.callback(address).want(t, http.StatusBadRequest)
	if b.signedIn() {
		t.Error("signed in after signing out")
	}
}

// A refresh and a confirmation at once: the newer tokens stay, and spent ones never come back.
func TestSpentTokensNeverComeBack(t *testing.T) {
	t.Parallel()
	t.Run("confirmed at the provider during the refresh", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetClaim("groups", "old")
		b := w.signedInFor(t, 6*time.Minute)
		c := w.copyOf(b)
		c.cookies = map[string]string{b.tokenName(): b.token()}
		address := c.start("?reauth=1")
		w.during("userinfo", func() {
			w.idp.SetClaim("groups", "new")
			c.callback(address).wantRedirect(t, prefix+"/account")
			w.idp.SetClaim("groups", "old") // what the slower response says
		})
		_ = w.fresh(t, w.oidc, b)
		w.idp.ClearFaults()
		if l := w.fresh(t, w.oidc, c); l == nil || !slices.Equal(l.User.Groups, []string{"new"}) {
			t.Fatalf("the older answer has replaced the newer one: %+v", l)
		}
		for range 3 {
			w.Clock.Advance(6 * time.Minute)
			if w.fresh(t, w.oidc, c) == nil {
				t.Fatal("the session has lost its tokens")
			}
		}
	})
	t.Run("confirmed with the password during the refresh", func(t *testing.T) {
		t.Parallel()
		for _, endpoint := range []string{"token", "userinfo"} {
			w := newOIDCWorld(t)
			b, _ := w.both(t)
			w.Clock.Advance(6 * time.Minute)
			c := w.copyOf(b)
			live, err := w.oidc.Service.Sessions.Resolve(t.Context(), b.token())
			if err != nil {
				t.Fatal(err)
			}
			w.during(endpoint, func() {
				proof, err := w.Login.Reverify(context.Background(), login.Client{}, live.User, adaPass)
				if err != nil {
					t.Error(err)
				}
				in, err := w.Login.StepUp(context.Background(), login.Client{}, proof, live)
				if err != nil {
					t.Error(err)
				}
				c.cookies[c.tokenName()] = in.Token
			})
			_ = w.fresh(t, w.oidc, b)
			w.idp.ClearFaults()
			for range 3 {
				w.Clock.Advance(6 * time.Minute)
				if w.fresh(t, w.oidc, c) == nil {
					t.Fatalf("%s: the session has lost its tokens", endpoint)
				}
			}
		}
	})
}

// failing is a store that takes no changes for a while.
type failing struct {
	store.Store
	broken atomic.Bool
}

func (f *failing) Change(ctx context.Context, fn func(store.Tx) error) error {
	if f.broken.Load() {
		return store.ErrUnavailable
	}
	return f.Store.Change(ctx, fn)
}

// The provider has rotated the token, and the store does not take the new one: it is kept until the store does.
func TestARotatedTokenOutlivesAStoreThatFails(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.RefreshGrace = 10 * time.Minute })
	b := w.signedInFor(t, 6*time.Minute)
	f := &failing{Store: w.Store}
	w.oidc.Service.Store = f
	w.during("token", func() { f.broken.Store(true) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := w.oidc.Service.Sessions.Resolve(ctx, b.token())
	if err == nil {
		_, err = w.oidc.Refresh(ctx, b.token(), l)
	}
	if err != nil {
		t.Fatalf("the session has ended: %v", err)
	}
	w.idp.ClearFaults()
	t.Run("the store is back", func(t *testing.T) {
		f.broken.Store(false)
		calls := w.idp.Calls("token")
		// The refresh above goes on behind the requests; what it stores is used at the next one that is due.
		w.refreshes(t, b, "the new token to be used", func() bool { return w.idp.Calls("token") > calls })
	})
	t.Run("the store stays away", func(t *testing.T) {
		w.Clock.Advance(6 * time.Minute)
		f.broken.Store(true)
		if w.fresh(t, w.oidc, b) == nil {
			t.Fatal("the session has ended at once")
		}
		w.Clock.Advance(11 * time.Minute)
		for deadline := time.Now().Add(40 * time.Second); w.fresh(t, w.oidc, b) != nil; w.Clock.Advance(time.Minute) {
			if time.Now().After(deadline) {
				t.Fatal("the session outlives refresh_grace")
			}
		}
	})
}

// refreshes asks for the session again and again, up to nine minutes later, until ok. The session must not end.
func (ow *oidcWorld) refreshes(t *testing.T, b *browser, what string, ok func() bool) {
	t.Helper()
	for range 9 {
		ow.Clock.Advance(time.Minute)
		for next := time.Now().Add(300 * time.Millisecond); time.Now().Before(next); time.Sleep(20 * time.Millisecond) {
			if ow.fresh(t, ow.oidc, b) == nil {
				t.Fatalf("the session ended, in place of %s", what)
			}
			if ok() {
				return
			}
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// A session that another sign-in of the same browser replaces was not ended: many tabs sign in at once.
func TestASignInInAnotherTabEndsNone(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"token", "userinfo"} {
		w := newOIDCWorld(t)
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		tab := w.copyOf(b)
		first, second := b.start(""), tab.start("")
		w.during(endpoint, func() { tab.callback(second).wantRedirect(t, "/") })
		b.callback(first).wantRedirect(t, "/")
	}
}
