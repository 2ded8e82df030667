package web_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

var cli = account.Actor{Kind: account.CommandLine}

// both makes an account that has a password and an administrator's group at the provider, and a group that was given here.
// It returns a browser that is signed in through the provider.
func (ow *oidcWorld) both(t *testing.T) (*browser, store.User) {
	t.Helper()
	ow.idp.SetClaim("groups", []string{"admins", "there"})
	b := ow.browser()
	b.viaProvider("").wantRedirect(t, "/")
	u := ow.user(t, "ada-2")
	groups := []string{"admins", "here", "there"}
	if _, err := ow.Accounts.Update(t.Context(), cli, u.ID, account.Patch{Groups: &groups}); err != nil {
		t.Fatal(err)
	}
	if _, err := ow.Accounts.ResetPassword(t.Context(), cli, u.ID, account.Reset{Password: adaPass}); err != nil {
		t.Fatal(err)
	}
	b = ow.browser()
	b.viaProvider("").wantRedirect(t, "/")
	return b, u
}

func (ow *oidcWorld) wantRights(t *testing.T, b *browser, role string, groups ...string) {
	t.Helper()
	who := b.who()
	if who.User.Role != role || !slices.Equal(who.User.Groups, groups) {
		t.Errorf("acts as %s with %v, want %s with %v", who.User.Role, who.User.Groups, role, groups)
	}
	var me struct {
		Role   string
		Groups []string
	}
	b.get("/api/v1/me").want(t, http.StatusOK).json(t, &me)
	if me.Role != role || !slices.Equal(me.Groups, groups) {
		t.Errorf("me says %+v", me)
	}
	b.json("PATCH", "/api/v1/me", `{"name":"`+who.User.Username+`"}`).want(t, http.StatusOK).json(t, &me)
	if me.Role != role || !slices.Equal(me.Groups, groups) {
		t.Errorf("me says after a change %+v", me)
	}
	// What the pages let through and what the service does are one.
	l, err := ow.oidc.Service.Sessions.Resolve(t.Context(), b.token())
	if err != nil {
		t.Fatal(err)
	}
	actor := account.Actor{UserID: l.User.ID, SessionID: l.Session.ID, AuthAt: l.Session.AuthAt}
	if err := ow.Accounts.AuthorizeRead(t.Context(), actor); (err == nil) != (role == "admin") {
		t.Errorf("role %s, and looking at what administrators see gives %v", role, err)
	}
}

func TestRightsOfAProviderEndWithIt(t *testing.T) {
	t.Parallel()
	admins := func(c *oidc.Config) { c.AdminGroups = []string{"admins"} }
	for name, c := range map[string]struct {
		act     func(t *testing.T, w *oidcWorld, b *browser)
		session bool // the provider's session lives on
		role    string
		groups  []string
	}{
		"nothing happens": {func(*testing.T, *oidcWorld, *browser) {}, true, "admin", []string{"admins", "here", "there"}},
		"the group is gone at the next refresh": {func(_ *testing.T, w *oidcWorld, _ *browser) {
			w.idp.SetClaim("groups", "there")
			w.Clock.Advance(6 * time.Minute)
		}, true, "user", []string{"here", "there"}},
		"the line admin_group is gone": {func(t *testing.T, w *oidcWorld, _ *browser) {
			w.reconfigure(t, func(c *oidc.Config) { c.AdminGroups = nil })
		}, true, "user", []string{"admins", "here", "there"}},
		"the provider is gone": {func(t *testing.T, w *oidcWorld, _ *browser) {
			w.reconfigure(t, func(c *oidc.Config) { c.Name = "other" })
		}, false, "", nil},
		"another issuer has the name": {func(t *testing.T, w *oidcWorld, _ *browser) {
			w.reconfigure(t, func(c *oidc.Config) { c.Issuer = "http://127.0.0.1:1" })
		}, false, "", nil},
		"the identity is unlinked there": {func(t *testing.T, w *oidcWorld, b *browser) {
			b.post("/account/providers", "action", "unlink", "issuer", w.idp.Issuer, "subject", "user-1").wantRedirect(t, prefix+"/account/providers")
		}, true, "user", []string{"here"}},
		"the identity is deleted in the store": {func(t *testing.T, w *oidcWorld, _ *browser) {
			err := w.Store.Change(t.Context(), func(tx store.Tx) error { return tx.DeleteIdentity(t.Context(), w.idp.Issuer, "user-1") })
			if err != nil {
				t.Fatal(err)
			}
		}, true, "user", []string{"here"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, admins)
			b, _ := w.both(t)
			pass := w.browser().signIn("ada-2", adaPass)
			w.wantRights(t, b, "admin", "admins", "here", "there")
			w.wantRights(t, pass, "user", "here") // signed in here, nobody there says anything
			c.act(t, w, b)
			w.oidc.Service.Sessions.InvalidateAll() // as a reload does
			if b.signedIn() != c.session {
				t.Fatalf("the provider's session lives: %t", !c.session)
			}
			if c.session {
				w.Clock.Advance(time.Second)
				b.get("/account")
				w.wantRights(t, b, c.role, c.groups...)
			}
			w.wantRights(t, pass, "user", "here")
			w.wantRights(t, w.browser().signIn("ada-2", adaPass), "user", "here")
		})
	}
}

func TestARoleGivenHereOutlivesTheProvider(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
	b, u := w.both(t)
	admin := store.RoleAdmin
	if _, err := w.Accounts.Update(t.Context(), cli, u.ID, account.Patch{Role: &admin, PinRole: true}); err != nil {
		t.Fatal(err)
	}
	w.idp.SetClaim("groups", nil)
	b.viaProvider("").wantRedirect(t, "/")
	w.wantRights(t, b, "admin", "here")
	w.wantRights(t, w.browser().signIn("ada-2", adaPass), "admin", "here")
}

// A group that was given here first is not the provider's, no matter who else says it, too.
func TestAGroupGivenHereOutlivesTheProviders(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	groups := []string{"staff"}
	if _, err := w.Accounts.Update(t.Context(), cli, b.who().User.ID, account.Patch{Groups: &groups}); err != nil {
		t.Fatal(err)
	}
	for _, says := range []any{"staff", nil, []string{"staff", "x"}, nil} {
		w.idp.SetClaim("groups", says)
		b.viaProvider("").wantRedirect(t, "/")
		if got := b.who().User.Groups; !slices.Contains(got, "staff") {
			t.Fatalf("the provider says %v, and the groups are %v", says, got)
		}
	}
}

// Anyone who is an administrator by a provider's word alone does not count as the one that a store has to have.
func TestAnAdministratorByAProvidersWordIsNeverTheLastOne(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
	w.idp.SetClaim("groups", "admins")
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	user, off := store.RoleUser, false
	for name, p := range map[string]account.Patch{"demoted": {Role: &user}, "turned off": {Active: &off}} {
		if _, err := w.Accounts.Update(t.Context(), cli, w.root.ID, p); err == nil {
			t.Errorf("the last administrator who was made here was %s", name)
		}
	}
	if err := w.Accounts.Delete(t.Context(), cli, w.root.ID); err == nil {
		t.Error("the last administrator who was made here was deleted")
	}
	w.idp.SetClaim("groups", "staff")
	b.viaProvider("").wantRedirect(t, "/")
	w.wantRights(t, b, "user", "staff")
	if u := w.user(t, "ada-2"); u.Role != store.RoleUser || u.RoleProvided {
		t.Errorf("the account is %+v", u)
	}
}

// Two sessions of one person, of different proofs: each is judged by its own, whichever came last.
func TestASessionIsCheckedByItsOwnProof(t *testing.T) {
	t.Parallel()
	for _, order := range [][]bool{{true, false}, {false, true}} {
		w := newOIDCWorld(t)
		browsers := map[bool]*browser{}
		for _, verified := range order {
			w.idp.SetClaim("email", map[bool]string{true: "ada@corp.example", false: "ada@corp.example"}[verified])
			w.idp.SetClaim("email_verified", verified)
			w.idp.SetClaim("groups", map[bool]string{true: "good", false: "other"}[verified])
			browsers[verified] = w.browser()
			browsers[verified].viaProvider("").wantRedirect(t, "/")
		}
		for name, change := range map[string]func(*oidc.Config){
			"domain": func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "domain", Values: []string{"corp.example"}}} },
			"email":  func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "email", Values: []string{"ada@corp.example"}}} },
			"group":  func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"good"}}} },
		} {
			reloaded := w.reloaded(t, change)
			if w.fresh(t, reloaded, browsers[true]) == nil {
				t.Errorf("%v, allow %s: the session with the proof has ended", order, name)
			}
		}
		l := w.fresh(t, w.oidc, browsers[true])
		if !l.User.EmailVerified || !slices.Equal(l.User.Groups, []string{"good"}) {
			t.Errorf("%v: acts as %+v", order, l.User)
		}
		l = w.fresh(t, w.oidc, browsers[false])
		if l.User.EmailVerified || !slices.Equal(l.User.Groups, []string{"other"}) {
			t.Errorf("%v: acts as %+v", order, l.User)
		}
		reloaded := w.reloaded(t, func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "domain", Values: []string{"corp.example"}}} })
		if w.fresh(t, reloaded, browsers[false]) != nil || browsers[false].signedIn() {
			t.Errorf("%v: the session without the proof goes on", order)
		}
		if !browsers[true].signedIn() {
			t.Errorf("%v: the other one has ended with it", order)
		}
	}
}

// An address is given to somebody else, who comes with another subject: the account stays its owner's.
func TestASecondSubjectNeverJoinsAnAccount(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.Link = oidc.LinkVerifiedEmail })
	w.idp.SetClaim("email", "ada@example.test")
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	if b.who().User.ID != w.ada.ID {
		t.Fatal("the first one was not joined")
	}
	w.idp.AddUser("user-2", map[string]any{"email": "ada@example.test", "email_verified": true, "preferred_username": "ada"})
	w.idp.SignInAs("user-2")
	c := w.browser()
	c.viaProvider("").wantRedirect(t, "/")
	if who := c.who(); who.User.ID == w.ada.ID {
		t.Fatalf("the second subject became %+v", who.User)
	}
	if ids, err := w.Store.Identities(t.Context(), w.ada.ID); err != nil || len(ids) != 1 {
		t.Errorf("the account has the identities %+v, %v", ids, err)
	}
}
