package web_test

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// tokenOf stores a token that is made in a session, as of a provider, and returns its text.
func (ow *oidcWorld) tokenOf(t testing.TB, s store.Session, provider string) (text string) {
	t.Helper()
	text = store.NewToken()
	err := ow.Store.Change(t.Context(), func(tx store.Tx) error {
		return tx.CreateToken(t.Context(), store.Token{
			ID: store.NewID(ow.Clock.Now()), Hash: store.HashToken(text), UserID: s.UserID, Hosts: []string{store.AllHosts},
			Methods: store.TokenAll, Provider: provider, Issuer: s.Issuer, Subject: s.Subject, Claims: s.Claims,
			CreatedAt: ow.Clock.Now(),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refusedToken stands for the groups of a token that is refused.
var refusedToken = []string{"refused"}

// tokenGroups returns the groups with which a token acts.
func (ow *oidcWorld) tokenGroups(t testing.TB, text string) []string {
	t.Helper()
	l, _, err := ow.oidc.Service.Sessions.ResolveToken(t.Context(), text, netip.Addr{}, 0)
	if err == nil {
		l, err = ow.oidc.Check(t.Context(), l)
	}
	switch {
	case errors.Is(err, session.ErrNone):
		return refusedToken
	case err != nil:
		t.Fatal(err)
	}
	return l.User.Groups
}

func (ow *oidcWorld) wantTokenGroups(t testing.TB, when, text string, want []string) {
	t.Helper()
	if got := ow.tokenGroups(t, text); !slices.Equal(got, want) {
		t.Errorf("%s: the token acts with %v, want %v", when, got, want)
	}
}

// Whichever way the provider is asked, and whether it lets the person in or not, the tokens that were made in a session
// of it have the rights that it gives now. What it says about another client of itself is nothing to them.
func TestTokensFollowWhatTheirProviderSaysLast(t *testing.T) {
	t.Parallel()
	type world = *oidcWorld
	ways := map[string]func(t *testing.T, w world, b *browser){
		"a sign-in elsewhere":           func(_ *testing.T, w world, _ *browser) { w.browser().viaProvider("") },
		"a sign-in in the same browser": func(_ *testing.T, _ world, b *browser) { b.viaProvider("") },
		"a step-up":                     func(_ *testing.T, _ world, b *browser) { b.callback(b.start("?reauth=1")) },
		"linking again": func(_ *testing.T, _ world, b *browser) {
			b.callback(refresh(b.post("/account/providers", "action", "link", "provider", "test")))
		},
		"a refresh": func(t *testing.T, w world, b *browser) {
			w.Clock.Advance(6 * time.Minute)
			w.fresh(t, w.oidc, b)
		},
	}
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"in"}}} })
			all := []string{"in", "staff"}
			w.idp.SetClaim("groups", all)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			s := w.oneSession(t)
			token, other := w.tokenOf(t, s, "test"), w.tokenOf(t, s, "other")
			w.wantTokenGroups(t, "at first", token, all)
			for _, c := range []struct{ says, want []string }{
				{[]string{"in"}, []string{"in"}}, {all, all}, {[]string{"staff"}, refusedToken}, {all, all}, {nil, refusedToken},
			} {
				w.idp.SetClaim("groups", c.says)
				ask(t, w, b)
				w.wantTokenGroups(t, "the provider says "+strings.Join(c.says, " and "), token, c.want)
				if got := w.storedGroups(t, token); !slices.Equal(got, c.says) { // where other rules allow it
					t.Errorf("the token keeps %v, not %v", got, c.says)
				}
				if !b.signedIn() { // it was denied, too
					w.idp.SetClaim("groups", all)
					b.viaProvider("").wantRedirect(t, "/")
					w.wantTokenGroups(t, "after another sign-in", token, all)
				}
			}
			if got, _, err := w.Store.TokenByHash(t.Context(), store.HashToken(other)); err != nil || got.Claims != s.Claims {
				t.Errorf("the token of another client has the claims %s, %v", got.Claims, err)
			}
		})
	}
}

// A provider that takes a sign-in back takes along what it gave to tokens; one that is down says nothing.
func TestARefusedRefreshTakesTheProvidersRightsFromTokens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act  func(t *testing.T, w *oidcWorld, b *browser)
		want []string
	}{
		"refused": {func(_ *testing.T, w *oidcWorld, _ *browser) { w.idp.Revoke() }, nil},
		"about somebody else": {func(_ *testing.T, w *oidcWorld, _ *browser) {
			w.idp.SetFaults(func(l *provider.Faults) { l.ID = func(c map[string]any) { c["sub"] = "user-2" } })
		}, nil},
		"down for longer than refresh_grace": {func(t *testing.T, w *oidcWorld, b *browser) {
			w.idp.Down(true)
			w.fresh(t, w.oidc, b)
			w.Clock.Advance(2 * time.Hour)
		}, []string{"staff"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.idp.SetClaim("groups", "staff")
			b := w.signedInFor(t, 6*time.Minute)
			token := w.tokenOf(t, w.oneSession(t), "test")
			w.wantTokenGroups(t, "at first", token, []string{"staff"})
			c.act(t, w, b)
			if w.fresh(t, w.oidc, b) != nil {
				t.Fatal("the session goes on")
			}
			w.wantTokenGroups(t, name, token, c.want)
			w.idp.Down(false)
			w.idp.ClearFaults()
			w.browser().viaProvider("").wantRedirect(t, "/")
			w.wantTokenGroups(t, "after another sign-in", token, []string{"staff"})
		})
	}
}

// What a session has kept is older than what the provider has said since: a refresh that fails gives it to nobody.
func TestAFailingRefreshGivesNoOldRightsBack(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*provider.Provider){
		"unreachable": func(p *provider.Provider) { p.Down(true) },
		"it rotates the tokens, and fails then": func(p *provider.Provider) {
			p.SetFaults(func(l *provider.Faults) {
				l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
					if e == "userinfo" {
						w.WriteHeader(http.StatusInternalServerError)
					}
					return e == "userinfo"
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.idp.SetClaim("groups", []string{"in", "staff"})
			older, _ := w.both(t)
			token := w.tokenOf(t, w.storedSession(t, older), "test")
			w.Clock.Advance(6 * time.Minute)
			w.idp.SetClaim("groups", "in")
			w.browser().viaProvider("").wantRedirect(t, "/")
			w.wantTokenGroups(t, "after a sign-in", token, []string{"here", "in"})
			fail(w.idp)
			if w.fresh(t, w.oidc, older) == nil {
				t.Fatal("the session has ended")
			}
			w.wantTokenGroups(t, "after the refresh of an older session", token, []string{"here", "in"})
		})
	}
}

// A session whose identity is unlinked while it is refreshed keeps nothing of what the provider gave.
func TestARefreshDoesNotUndoAnUnlinking(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b, _ := w.both(t)
	token := w.tokenOf(t, w.storedSession(t, b), "test")
	w.Clock.Advance(6 * time.Minute)
	w.idp.SetFaults(func(l *provider.Faults) {
		l.Handle = func(e string, a http.ResponseWriter, _ *http.Request) bool {
			if e != "userinfo" { // which comes after the new tokens were stored
				return false
			}
			_ = w.Store.Change(t.Context(), func(tx store.Tx) error { return tx.DeleteIdentity(t.Context(), w.idp.Issuer, "user-1") })
			a.WriteHeader(http.StatusInternalServerError)
			return true
		}
	})
	if l := w.fresh(t, w.oidc, b); l == nil || !slices.Equal(l.User.Groups, []string{"here"}) {
		t.Errorf("the session acts as %+v", l)
	}
	w.wantTokenGroups(t, "unlinked", token, []string{"here"})
}

// storedSession returns the session of a browser as it is stored.
func (ow *oidcWorld) storedSession(t testing.TB, b *browser) store.Session {
	t.Helper()
	s, _, err := ow.Store.SessionByToken(t.Context(), store.HashToken(b.token()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// storedGroups returns the groups in the claims of a token as they are stored.
func (ow *oidcWorld) storedGroups(t testing.TB, text string) []string {
	t.Helper()
	got, _, err := ow.Store.TokenByHash(t.Context(), store.HashToken(text))
	if err != nil {
		t.Fatal(err)
	}
	return oidc.DecodeStoredClaims(got.Claims).Groups
}
