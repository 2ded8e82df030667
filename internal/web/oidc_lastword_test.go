package web_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// What a provider has said last of somebody holds for all tokens, in whatever session they are made.

// made makes a token as the account page does, with the session of a browser.
func (ow *oidcWorld) made(t testing.TB, b *browser) string {
	t.Helper()
	s := ow.storedSession(t, b)
	it, err := ow.Accounts.Programs.CreateOwn(t.Context(), account.Actor{UserID: s.UserID, SessionID: s.ID, AuthAt: s.AuthAt},
		account.NewToken{Name: "x", Hosts: []string{store.AllHosts}})
	if err != nil {
		t.Fatal(err)
	}
	return it.Text
}

func inOnly(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"in"}}} }

func TestATokenMadeInAnOlderSessionIsDeniedAsTheOthersAre(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, inOnly)
	w.idp.SetClaim("groups", []string{"in", "staff"})
	old := w.browser()
	old.viaProvider("").wantRedirect(t, "/")
	before := w.made(t, old)
	w.idp.SetClaim("groups", []string{"out"})
	w.browser().viaProvider("") // denied
	w.wantTokenGroups(t, "made before the denial", before, refusedToken)
	w.wantTokenGroups(t, "made after the denial in an older session", w.made(t, old), refusedToken)
}

func TestATokenMadeInAnOlderSessionHasNoOlderGroups(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.idp.SetClaim("groups", []string{"in", "staff"})
	old := w.browser()
	old.viaProvider("").wantRedirect(t, "/")
	before := w.made(t, old)
	w.idp.SetClaim("groups", []string{"in"})
	w.browser().viaProvider("").wantRedirect(t, "/")
	w.wantTokenGroups(t, "made before", before, []string{"in"})
	w.wantTokenGroups(t, "made after, in an older session", w.made(t, old), []string{"in"})
}

func TestASlowRefreshBringsNoOlderRightsBack(t *testing.T) {
	t.Parallel()
	for name, now := range map[string][]string{"fewer groups": {"in"}, "denied": {"out"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, inOnly)
			w.idp.SetClaim("groups", []string{"in", "staff"})
			old := w.signedInFor(t, 6*time.Minute)
			token := w.tokenOf(t, w.storedSession(t, old), "test")
			var once atomic.Bool
			w.idp.SetFaults(func(l *provider.Faults) {
				l.Handle = func(e string, rw http.ResponseWriter, _ *http.Request) bool {
					if e != "userinfo" || !once.CompareAndSwap(false, true) {
						return false
					}
					w.idp.SetClaim("groups", now)
					w.browser().viaProvider("") // meanwhile
					rw.Header().Set("Content-Type", "application/json")
					_ = json.NewEncoder(rw).Encode(map[string]any{"sub": "user-1", "groups": []string{"in", "staff"}})
					return true
				}
			})
			w.fresh(t, w.oidc, old)
			want := []string{"in"}
			if now[0] == "out" {
				want = refusedToken
			}
			w.wantTokenGroups(t, "after the slow refresh", token, want)
		})
	}
}

func TestARuleAboutTheProviderEndsWithIt(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(t *testing.T, w *oidcWorld, b *browser){
		"refused refresh": func(t *testing.T, w *oidcWorld, b *browser) {
			w.idp.Revoke()
			w.Clock.Advance(6 * time.Minute)
			if w.fresh(t, w.oidc, b) != nil {
				t.Fatal("goes on")
			}
		},
		"unlinked by an administrator": func(t *testing.T, w *oidcWorld, _ *browser) {
			if err := w.Store.Change(t.Context(), func(tx store.Tx) error {
				return tx.DeleteIdentity(t.Context(), w.idp.Issuer, "user-1")
			}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for field, cfg := range map[string]func(*oidc.Config){
			"no allow":      func(*oidc.Config) {},
			"allow subject": func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "subject", Values: []string{"user-1"}}} },
		} {
			t.Run(name+", "+field, func(t *testing.T) {
				t.Parallel()
				w := newOIDCWorld(t, cfg)
				b, _ := w.both(t)
				text := w.tokenOf(t, w.storedSession(t, b), "test")
				act(t, w, b)
				l, _, err := w.oidc.Service.Sessions.ResolveToken(t.Context(), text, netip.Addr{}, 0)
				if err == nil {
					l, err = w.oidc.Check(t.Context(), l)
				}
				if err != nil {
					return // refused: fine
				}
				rule := policy.Rule{Field: policy.FieldProvider, Values: []string{"test"}}
				if rule.SatisfiedBy(policy.Subject{User: &l.User, Provider: login.ProviderOf(l)}) {
					t.Errorf("require provider test lets the token in, though the provider vouches for nobody")
				}
			})
		}
	}
}

func TestWhoGetsInIsCountedWithReplacedTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, err := w.Accounts.Programs.Create(t.Context(), w.cli(), w.ada.ID, account.NewToken{Name: "x", Hosts: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	limits := *w.Accounts.Tokens
	limits.MaxExpiry = time.Hour // a stricter configuration
	w.Accounts.Tokens = &limits
	if _, err := w.Accounts.Programs.Rotate(t.Context(), w.cli(), old.ID, 168*time.Hour); err != nil {
		t.Fatal(err)
	}
	if left, err := w.Accounts.AccessLeft(t.Context(), w.ada.ID); err != nil || left.Tokens != 2 {
		t.Errorf("right after: %+v, %v", left, err)
	}
	w.Clock.Advance(2 * time.Hour)
	_, _, err = w.Sessions.ResolveToken(t.Context(), old.Text, netip.Addr{}, 0)
	left, lerr := w.Accounts.AccessLeft(t.Context(), w.ada.ID)
	if err == nil && left.None() {
		t.Errorf("the old token gets in, and AccessLeft says %+v, %v", left, lerr)
	}
}
