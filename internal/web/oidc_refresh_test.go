package web_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// fresh asks for the session as the gate does, and returns nil when it has ended.
func (ow *oidcWorld) fresh(t testing.TB, o *login.OIDC, b *browser) *session.Live {
	t.Helper()
	l, err := ow.oidc.Service.Sessions.Resolve(t.Context(), b.token())
	if err == nil {
		l, err = o.Refresh(t.Context(), b.token(), l)
	}
	if errors.Is(err, session.ErrNone) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// signedInFor signs in and lets time pass.
func (ow *oidcWorld) signedInFor(t testing.TB, d time.Duration) *browser {
	t.Helper()
	b := ow.browser()
	b.viaProvider("").wantRedirect(t, "/")
	ow.Clock.Advance(d)
	return b
}

func TestConformanceRefresh(t *testing.T) {
	t.Parallel()
	t.Run("oidcc-client-test-refresh-token", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetClaim("groups", []string{"staff"})
		b := w.signedInFor(t, 4*time.Minute)
		if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token") != 1 {
			t.Fatal("tokens that are not due were refreshed")
		}
		w.Clock.Advance(2 * time.Minute)
		w.idp.SetClaim("groups", []string{"board"})
		w.idp.SetClaim("name", "Ada King")
		info := w.idp.Calls("userinfo")
		l := w.fresh(t, w.oidc, b)
		if l == nil || w.idp.Calls("token") != 2 || w.idp.Calls("userinfo") != info+1 {
			t.Fatalf("not refreshed: %v, %d token calls", l, w.idp.Calls("token"))
		}
		if !slices.Equal(l.User.Groups, []string{"board"}) || l.User.Name != "Ada King" {
			t.Errorf("groups and names do not follow: %+v", l.User)
		}
		// The next one uses the next refresh token: the provider takes each once.
		w.Clock.Advance(6 * time.Minute)
		if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token") != 3 {
			t.Error("the second refresh did not work")
		}
	})
	for name, change := range map[string]func(map[string]any){
		"oidcc-client-test-refresh-token-invalid-issuer": func(c map[string]any) { c["iss"] = "https://evil.example" },
		"oidcc-client-test-refresh-token-invalid-sub":    func(c map[string]any) { c["sub"] = "user-2" },
		"invalid aud":                    func(c map[string]any) { c["aud"] = "other" },
		"a nonce of another sign-in":     func(c map[string]any) { c["nonce"] = "another" },
		"expired":                        func(c map[string]any) { c["exp"] = 1000 },
		"at_hash of another token":       func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
		"subject with the old userinfo ": func(c map[string]any) { delete(c, "sub") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.signedInFor(t, 6*time.Minute)
			w.idp.SetFaults(func(l *provider.Faults) { l.ID = change })
			info := w.idp.Calls("userinfo")
			if w.fresh(t, w.oidc, b) != nil || b.signedIn() || w.sessions(t) != 0 {
				t.Error("the session goes on")
			}
			if !strings.HasSuffix(name, "sub") && w.idp.Calls("userinfo") != info {
				t.Error("userinfo was called after a bad answer")
			}
		})
	}
	t.Run("userinfo of somebody else", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.signedInFor(t, 6*time.Minute)
		w.idp.SetFaults(func(l *provider.Faults) { l.UserInfo = func(c map[string]any) { c["sub"] = "user-2" } })
		if w.fresh(t, w.oidc, b) != nil {
			t.Error("the session goes on")
		}
	})
	t.Run("without a new ID token", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.signedInFor(t, 6*time.Minute)
		w.idp.SetFaults(func(l *provider.Faults) { l.Token = func(a map[string]any) { delete(a, "id_token") } })
		w.idp.SetClaim("groups", "later")
		if l := w.fresh(t, w.oidc, b); l == nil || !slices.Equal(l.User.Groups, []string{"later"}) {
			t.Errorf("not refreshed: %+v", l)
		}
	})
}

// A refusal ends the session at that request, not when the cookie expires.
func TestARefusedRefreshEndsTheSession(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.signedInFor(t, 6*time.Minute)
	w.idp.Revoke()
	if w.fresh(t, w.oidc, b) != nil {
		t.Error("the session goes on")
	}
	if b.signedIn() || w.sessions(t) != 0 {
		t.Error("its row is still there")
	}
	if e := w.audited(t, "session.end"); len(e) != 1 || e[0].Actor != "provider:test" || e[0].Target != "ada-2" {
		t.Errorf("the audit log says %+v", e)
	}
}

// Down is normal: what says nothing about the person ends nothing, and is not asked again at every request.
func TestAProviderThatCannotBeAskedEndsNoSession(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*provider.Provider){
		"unreachable": func(p *provider.Provider) { p.Down(true) },
		"error 500": func(p *provider.Provider) {
			p.SetFaults(func(l *provider.Faults) {
				l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
					if e == "token" {
						w.WriteHeader(http.StatusInternalServerError)
					}
					return e == "token"
				}
			})
		},
		"our secret has changed": func(p *provider.Provider) { p.Client.Secret = "another one" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.signedInFor(t, 6*time.Minute)
			lie(w.idp)
			for range 5 {
				if w.fresh(t, w.oidc, b) == nil {
					t.Fatal("the session has ended")
				}
			}
			if n := w.idp.Calls("token"); n > 2 {
				t.Errorf("the token endpoint was asked %d times", n)
			}
			w.idp.Down(false)
			w.idp.ClearFaults()
			w.idp.Client.Secret = w.cfg.Secret
			w.Clock.Advance(time.Minute)
			calls := w.idp.Calls("token")
			if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token") != calls+1 {
				t.Error("not refreshed when the provider is back")
			}
		})
	}
}

// reloaded returns the sign-in of a changed configuration, over the same store.
func (ow *oidcWorld) reloaded(t *testing.T, change func(*oidc.Config)) *login.OIDC {
	t.Helper()
	cfg := ow.cfg
	change(&cfg)
	reg, err := oidc.NewRegistry(oidc.NewPool(oidc.PoolOptions{Clock: ow.Clock.Now}), ow.Store, []oidc.Config{cfg}, oidc.Options{Clock: ow.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return login.NewOIDC(ow.oidc.Service, reg, nil)
}

func TestRulesThatChangedActAtTheRefresh(t *testing.T) {
	t.Parallel()
	t.Run("not allowed any more", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t, func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"staff"}}} })
		w.idp.SetClaim("groups", "staff")
		b := w.signedInFor(t, 6*time.Minute)
		w.idp.SetClaim("groups", "visitors")
		if w.fresh(t, w.oidc, b) != nil {
			t.Error("the session goes on")
		}
	})
	t.Run("a rule for verified addresses acts on the next request", func(t *testing.T) {
		t.Parallel()
		for verified, want := range map[bool]bool{true: true, false: false} {
			w := newOIDCWorld(t)
			w.idp.SetClaim("email", "ada@corp.example")
			w.idp.SetClaim("email_verified", verified)
			b := w.signedInFor(t, time.Second)
			reloaded := w.reloaded(t, func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "domain", Values: []string{"corp.example"}}} })
			if got := w.fresh(t, reloaded, b) != nil; got != want {
				t.Errorf("verified %t: the session goes on: %t", verified, got)
			}
		}
	})
	t.Run("a provider that is not configured vouches for nobody", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.signedInFor(t, time.Second)
		for name, reloaded := range map[string]*login.OIDC{
			"renamed":            w.reloaded(t, func(c *oidc.Config) { c.Name = "other" }),
			"another, same name": w.reloaded(t, func(c *oidc.Config) { c.Issuer = "http://127.0.0.1:1" }),
			"none":               nil,
		} {
			if w.fresh(t, reloaded, b) != nil {
				t.Errorf("%s: the session goes on", name)
			}
		}
		if w.fresh(t, w.oidc, b) == nil {
			t.Error("it was ended for those who know the provider")
		}
	})
	t.Run("a stricter rule acts on the next request", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetClaim("groups", "visitors")
		b, c := w.signedInFor(t, time.Second), w.browser()
		w.idp.SignInAs("user-2")
		w.idp.AddUser("user-2", map[string]any{"groups": "staff"})
		c.viaProvider("").wantRedirect(t, "/")
		if w.fresh(t, w.oidc, b) == nil {
			t.Fatal("not signed in")
		}
		calls := w.idp.Calls("token")
		reloaded := w.reloaded(t, func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"staff"}}} })
		if w.fresh(t, reloaded, b) != nil || b.signedIn() {
			t.Error("the session goes on")
		}
		if w.fresh(t, reloaded, c) == nil {
			t.Error("somebody who is allowed is out")
		}
		if w.idp.Calls("token") != calls {
			t.Error("the provider was asked")
		}
	})
	t.Run("unlinked", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		b := w.signedInFor(t, 6*time.Minute)
		err := w.Store.Change(t.Context(), func(tx store.Tx) error { return tx.DeleteIdentity(t.Context(), w.idp.Issuer, "user-1") })
		if err != nil {
			t.Fatal(err)
		}
		if w.fresh(t, w.oidc, b) != nil {
			t.Error("the session goes on")
		}
	})
	t.Run("no administrator any more", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
		w.idp.SetClaim("groups", "admins")
		b := w.signedInFor(t, 6*time.Minute)
		w.idp.SetClaim("groups", "staff")
		if l := w.fresh(t, w.oidc, b); l == nil || l.User.Role != store.RoleUser {
			t.Errorf("the role is %+v", l)
		}
	})
}

// A provider that rotates refresh tokens takes a second use for theft: many requests, also of many processes, use each
// once.
func TestARefreshTokenIsUsedOnceHoweverManyAsk(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.signedInFor(t, 6*time.Minute)
	w.idp.SetFaults(func(l *provider.Faults) { l.Delay = 50 * time.Millisecond })
	// A second process on the same store: nothing shared but that.
	other := login.NewOIDC(w.oidc.Service, w.oidc.Registry, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		o := w.oidc
		if i%2 == 1 {
			o = other
		}
		wg.Go(func() {
			if w.fresh(t, o, b) == nil {
				t.Error("the session has ended")
			}
		})
	}
	wg.Wait()
	if n := w.idp.Calls("token"); n != 2 {
		t.Errorf("the token endpoint was asked %d times, want once to sign in and once to refresh", n)
	}
	w.Clock.Advance(6 * time.Minute)
	if w.fresh(t, other, b) == nil || w.idp.Calls("token") != 3 {
		t.Error("the new refresh token was lost")
	}
}

// A session that is renewed (reauth) while its tokens are refreshed keeps the new ones.
func TestARenewedSessionKeepsItsTokens(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	b.callback(b.start("?reauth=1")).wantRedirect(t, prefix+"/account")
	w.Clock.Advance(6 * time.Minute)
	calls := w.idp.Calls("token")
	if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token") != calls+1 {
		t.Fatal("the renewed session is not refreshed")
	}
	a := b.post("/logout", "provider", "1")
	if !strings.HasPrefix(a.location(), w.idp.Issuer+"/end?") || !strings.Contains(a.location(), "id_token_hint=") {
		t.Errorf("Location %q", a.location())
	}
}

// What the provider keeps us from knowing stays unknown: tokens of another session, moved in the store, are not opened.
func TestTokensCannotBeMovedToAnotherPersonsSession(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	w.idp.SignInAs("user-2")
	c := w.browser()
	c.viaProvider("").wantRedirect(t, "/")
	page, err := w.Store.Sessions(t.Context(), store.SessionQuery{Now: w.Clock.Now()})
	if err != nil || len(page.Items) != 2 {
		t.Fatal(page, err)
	}
	from, to := page.Items[0].Session, page.Items[1].Session
	err = w.Store.Change(t.Context(), func(tx store.Tx) error {
		return tx.SetSessionTokens(t.Context(), to.ID, to.Sealed, store.SessionTokens{Sealed: from.Sealed})
	})
	if err != nil {
		t.Fatal(err)
	}
	to.Sealed = from.Sealed
	if tok, err := w.oidc.Registry.Open(t.Context(), &to); err == nil {
		t.Errorf("opened %d bytes", len(tok.IDToken))
	}
}

func TestTheStatusSaysHowAProviderDoes(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	s := w.oidc.Registry.Status()[0]
	if !s.CheckedAt.IsZero() || w.idp.Calls("discovery") != 0 {
		t.Error("the provider was asked before anybody wanted to sign in")
	}
	w.browser().viaProvider("").wantRedirect(t, "/")
	s = w.oidc.Registry.Status()[0]
	if s.Name != "test" || s.Label != "Testify" || s.Problem != "" || s.Keys != 1 || !slices.Equal(s.Algs, []string{"RS256", "ES256", "EdDSA"}) ||
		s.Method != "client_secret_basic" || s.LastSuccess.IsZero() || !s.SkewKnown || s.Skew != 0 || s.SkewBad || !s.EndSession || !s.Backchannel {
		t.Errorf("status %+v", s)
	}
	claim("iss", "https://evil.example")(t, w.idp)
	w.browser().viaProvider("").want(t, http.StatusBadRequest)
	w.idp.Down(true)
	s, err := w.oidc.Registry.Check(t.Context(), "test")
	if err != nil || !strings.Contains(s.LastError, "ID token") || s.Problem == "" || strings.Contains(s.Problem, "127.0.0.1:") && strings.Contains(s.Problem, "->") {
		t.Errorf("status %+v, %v", s, err)
	}
	if c := w.oidc.Registry.Choices(t.Context()); len(c) != 1 || !c[0].Down {
		t.Errorf("choices %+v", c)
	}
	w.idp.Down(false)
	if s, err = w.oidc.Registry.Check(t.Context(), "test"); err != nil || s.Problem != "" {
		t.Errorf("after a check of a provider that is back: %+v, %v", s, err)
	}
	if _, err := w.oidc.Registry.Check(t.Context(), "nobody"); !errors.Is(err, oidc.ErrNoProvider) {
		t.Errorf("got %v", err)
	}
}

func TestDeactivationEndsAFlowThatLinks(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser().signIn("ada", adaPass)
	a := b.post("/account/providers", "action", "link", "provider", "test")
	off := false
	if _, err := w.Accounts.Update(t.Context(), account.Actor{Kind: account.CommandLine}, w.ada.ID, account.Patch{Active: &off}); err != nil {
		t.Fatal(err)
	}
	b.callback(refresh(a)).want(t, http.StatusBadRequest)
	if ids, err := w.Store.Identities(t.Context(), w.ada.ID); err != nil || len(ids) != 0 {
		t.Errorf("identities %v, %v", ids, err)
	}
}
