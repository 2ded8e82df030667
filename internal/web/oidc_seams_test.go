package web_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// beside configures a second client at the same issuer.
func (ow *oidcWorld) beside(t *testing.T, change func(*oidc.Config)) {
	t.Helper()
	second := ow.cfg
	change(&second)
	reg, err := oidc.NewRegistry(oidc.NewPool(oidc.PoolOptions{Clock: ow.Clock.Now}), ow.Store, []oidc.Config{ow.cfg, second}, oidc.Options{Clock: ow.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	ow.oidc.Registry = reg
}

func TestAChangeOfOnesOwnNameTellsTheRightsOfThisSession(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
	_, _ = w.both(t)
	b := w.browser().signIn("ada-2", adaPass)
	r := request("PATCH", "/api/v1/me", "application/json", `{"name":"Ada B"}`)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	var me struct {
		Name, Role string
		Groups     []string
	}
	b.send(r).want(t, http.StatusOK).json(t, &me)
	if me.Name != "Ada B" || me.Role != "user" || len(me.Groups) != 1 || me.Groups[0] != "here" {
		t.Errorf("it says %+v", me)
	}
}

// One Keycloak with a client for staff and another one for pupils: who takes the wrong button is refused there.
func TestARefusalByAnotherClientOfTheIssuerEndsNoSession(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.beside(t, func(c *oidc.Config) {
		c.Name, c.Allow = "pupils", []oidc.Allow{{Field: "group", Values: []string{"pupils"}}}
	})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	r := request("GET", "/oidc/pupils/start", "", "")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	b.callback(b.send(r).want(t, http.StatusSeeOther).location()).want(t, http.StatusForbidden)
	if !b.signedIn() {
		t.Error("the session that nobody spoke of has ended")
	}
}

// hooked is a store that does something before its nth change.
type hooked struct {
	store.Store
	n    atomic.Int32
	hook func()
}

func (h *hooked) Change(ctx context.Context, fn func(store.Tx) error) error {
	if h.n.Add(-1) == 0 {
		h.hook()
	}
	return h.Store.Change(ctx, fn)
}

// The account is found in one transaction, and the session made in another.
func TestASignInComesToNothingWhenItsIdentityIsTakenAwayMeanwhile(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(w *oidcWorld, u store.User, id store.Identity) error{
		"unlinked": func(w *oidcWorld, u store.User, id store.Identity) error {
			return w.Accounts.UnlinkIdentity(context.Background(), cli, u.ID, id.ID())
		},
		"moved": func(w *oidcWorld, u store.User, id store.Identity) error {
			return w.Accounts.MoveIdentity(context.Background(), cli, u.ID, id.ID(), w.ada.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.browser().viaProvider("").wantRedirect(t, "/")
			u := w.user(t, "ada-2")
			id, err := w.Store.Identity(t.Context(), w.idp.Issuer, "user-1")
			if err != nil {
				t.Fatal(err)
			}
			h := &hooked{Store: w.Store, hook: func() {
				if err := act(w, u, id); err != nil {
					t.Error(err)
				}
			}}
			h.n.Store(2)
			w.oidc.Service.Store = h
			b := w.browser()
			b.viaProvider("").want(t, http.StatusBadRequest)
			if b.signedIn() || w.sessions(t) != 0 {
				t.Errorf("there are %d sessions", w.sessions(t))
			}
		})
	}
}

// An older version kept nothing that proves anything. To be refused for want of a right that nobody can tell of, for as
// long as the session lasts, would be worse than to sign in anew.
func TestASessionOfAnOlderVersionLeadsToASignInAndNotToARefusal(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
	w.idp.SetClaim("groups", "admins")
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	s := w.oneSession(t)
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		older := s
		older.Claims = ""
		return tx.ReplaceSession(t.Context(), s.ID, older)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.oidc.Service.Sessions.InvalidateAll()
	w.Clock.Advance(time.Second)
	if b.signedIn() {
		t.Error("it counts")
	}
	if w.sessions(t) != 1 {
		t.Error("it has ended, also for the older version beside this one")
	}
	b.viaProvider("").wantRedirect(t, "/")
	if b.who().User.Role != "admin" {
		t.Error("the sign-in gives no rights")
	}
}

func TestNamesOfPeopleKeepWhatTheirScriptNeeds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Ada 👩\u200d💻", "نیم\u200cفاصله", "क्\u200dष", "Zoë O'Brien-Łukasz", "❤️"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.idp.SetClaim("name", name)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			if got := b.who().User.Name; got != name {
				t.Errorf("%q became %q", name, got)
			}
		})
	}
	for _, name := range []string{"\u200d\u200d", "\u202e", "\ufe0f"} {
		w := newOIDCWorld(t)
		w.idp.SetClaim("name", name)
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		if got := b.who().User.Name; got != "" {
			t.Errorf("%q became %q", name, got)
		}
	}
}

func TestAnIdentityThatWasUsedUnderAnotherNameOfTheProviderIsAWayIn(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.browser().viaProvider("").wantRedirect(t, "/")
	u := w.user(t, "ada-2")
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		return tx.CreateIdentity(t.Context(), store.Identity{Issuer: w.idp.Issuer, Subject: "user-2", UserID: u.ID, Provider: "former", CreatedAt: w.Clock.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	b.post("/account/providers", "action", "unlink", "issuer", w.idp.Issuer, "subject", "user-1").wantRedirect(t, prefix+"/account/providers")
}

// A school at nine: hundreds of people behind one address, whom somebody has to let in first.
func TestPeopleWhomTheRulesDoNotLetInKeepNobodyElseOfTheirAddressOut(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.Create = oidc.CreatePending })
	for range 120 {
		w.browser().viaProvider("").want(t, http.StatusForbidden)
	}
	if n := len(w.audited(t, "session.sign_in")); n > 20 {
		t.Errorf("one person who waits is %d lines in the audit log", n)
	}
	// Made-up codes are counted as before.
	w.idp.SetFaults(func(l *provider.Faults) {
		l.Handle = func(e string, rw http.ResponseWriter, _ *http.Request) bool {
			if e != "token" {
				return false
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = rw.Write([]byte(`{"error":"invalid_grant"}`))
			return true
		}
	})
	for range 100 {
		w.browser().viaProvider("").want(t, http.StatusForbidden)
	}
	w.browser().viaProvider("").want(t, http.StatusTooManyRequests)
}

func TestAnOddLifeOfATokenLosesNoSignInAndNoRefreshToken(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"a fraction": 300.5, "text": "300", "text with a fraction": "300.0", "empty": "", "null": nil, "words": "soon", "an object": map[string]any{},
		"negative": -5, "beyond all numbers": 1e300, "a truth": true,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.idp.SetFaults(func(l *provider.Faults) { l.Token = func(a map[string]any) { a["expires_in"] = v } })
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			for range 2 { // the provider takes each refresh token once
				w.Clock.Advance(61 * time.Minute)
				calls := w.idp.Calls("token")
				if w.fresh(t, w.oidc, b) == nil || (w.idp.Calls("token") == calls && v != 1e300) {
					t.Fatal("the session was not refreshed")
				}
			}
		})
	}
}

// A firewall's page is no word of the provider on a person.
func TestOnlyTheProvidersOwnWordAtUserinfoEndsASession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status                int
		challenge, kind, body string
		ends                  bool
	}{
		"a challenge":         {401, `Bearer error="invalid_token"`, "", "", true},
		"a challenge, 403":    {403, `bearer error="insufficient_scope"`, "", "", true},
		"an error":            {403, "", "application/json", `{"error":"access_denied"}`, true},
		"a firewall":          {403, "", "text/html", "<html>blocked", false},
		"a proxy":             {401, `Basic realm="x"`, "text/html", "<html>", false},
		"an error about it":   {403, "", "application/json", `{"error":"temporarily_unavailable"}`, false},
		"an error of no text": {403, "", "application/json", `{"error":{"code":1}}`, false},
		"a fault":             {500, `Bearer error="invalid_token"`, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.signedInFor(t, 6*time.Minute)
			w.idp.SetFaults(func(l *provider.Faults) {
				l.Handle = func(e string, rw http.ResponseWriter, _ *http.Request) bool {
					if e != "userinfo" {
						return false
					}
					if c.challenge != "" {
						rw.Header().Set("WWW-Authenticate", c.challenge)
					}
					rw.Header().Set("Content-Type", c.kind)
					rw.WriteHeader(c.status)
					_, _ = rw.Write([]byte(c.body))
					return true
				}
			})
			if ended := w.fresh(t, w.oidc, b) == nil; ended != c.ends {
				t.Errorf("ended: %t", ended)
			}
		})
	}
}
