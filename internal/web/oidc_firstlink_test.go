package web_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

// newFirstLink is a world in which ada has an account here, and somebody at the provider has her address.
func newFirstLink(t *testing.T) *oidcWorld {
	t.Helper()
	w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.Link = oidc.LinkVerifiedEmail })
	w.idp.SetClaim("email", "ada@example.test")
	w.idp.SetClaim("email_verified", true)
	w.idp.SetClaim("groups", []string{"owners"})
	return w
}

func (ow *oidcWorld) identities(t *testing.T) []store.Identity {
	t.Helper()
	ids, err := ow.Store.Identities(t.Context(), ow.ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// Whoever has the address of an account at a provider gets nothing of it before the second step is passed: no link, no
// group, no role. Wrong codes, giving up and waiting leave the account as it was.
func TestTheFirstLinkByEMailWaitsForTheSecondStep(t *testing.T) {
	t.Parallel()
	w := newFirstLink(t)
	phone, _ := w.addApp(w.ada)
	before := w.User(w.ada.ID)
	stranger := w.browser()
	untouched := func(when string) {
		t.Helper()
		u := w.User(w.ada.ID)
		if ids := w.identities(t); len(ids) > 0 || len(u.ProvidedGroups) > 0 || u.Role != before.Role || stranger.signedIn() {
			t.Errorf("%s: %+v, %+v", when, ids, u)
		}
		if e := w.world.audited("identity.link"); len(e) > 0 {
			t.Errorf("%s: audited %v", when, e)
		}
	}
	stranger.viaProvider("").wantRedirect(t, "/_auth/login/verify")
	untouched("after the first step")
	stranger.post("/login/verify", "code", phone.wrong()).want(t, 401)
	untouched("after a wrong code")
	stranger.post("/logout")
	untouched("given up")
	stranger.viaProvider("").wantRedirect(t, "/_auth/login/verify")
	w.Clock.Advance(6 * time.Minute)
	stranger.post("/login/verify", "code", phone.code()).want(t, 401)
	untouched("too late")

	owner, second := w.browser(), w.browser()
	owner.viaProvider("").wantRedirect(t, "/_auth/login/verify")
	second.viaProvider("").wantRedirect(t, "/_auth/login/verify")
	owner.post("/login/verify", "code", phone.code()).wantRedirect(t, "/")
	if s := owner.session(); s.UserID != w.ada.ID || s.Methods != "ext otp mfa" || s.Provider != "test" {
		t.Errorf("%+v", s)
	}
	if who := owner.who(); !slices.Contains(who.User.Groups, "owners") || len(w.identities(t)) != 1 {
		t.Errorf("%+v", who.User)
	}
	if e := w.world.audited("identity.link"); len(e) != 1 {
		t.Errorf("audited %v", e)
	}
	second.post("/login/verify", "code", phone.code()).wantRedirect(t, "/") // linked by the other meanwhile
	if n := len(w.identities(t)); n != 1 {
		t.Errorf("%d identities", n)
	}
	again := w.browser()
	again.viaProvider("").wantRedirect(t, "/_auth/login/verify")
	again.post("/login/verify", "code", phone.code()).wantRedirect(t, "/")
}

// What is due after the link decides as well: a passkey that is not asked for today is asked for where the rights that come
// with the link demand it.
func TestAFirstLinkThatBringsADutyIsMadeAfterIt(t *testing.T) {
	t.Parallel()
	w := newFirstLink(t)
	key := authenticator.New(origin)
	w.browser().signIn("ada", adaPass).addPasskey(key, "Laptop")
	w.Login.Second = login.SecondFactors{Groups: []string{"owners"}}
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/_auth/login/verify")
	if ids := w.identities(t); len(ids) > 0 || b.signedIn() {
		t.Fatalf("%+v", ids)
	}
	b.use2(key).wantRedirect(t, "/")
	if len(w.identities(t)) != 1 || !slices.Contains(b.who().User.Groups, "owners") {
		t.Errorf("%+v", b.who().User)
	}
}

// The link is decided anew when the second step is passed: what has changed since the first one counts.
func TestAFirstLinkIsDecidedWhenTheSignInIsComplete(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *oidcWorld){
		"the option is gone": func(w *oidcWorld) {
			w.reconfigure(t, func(cfg *oidc.Config) { cfg.Link = oidc.LinkNever })
		},
		"the address is another": func(w *oidcWorld) {
			w.Edit(w.ada.ID, func(u *store.User) { u.Email = "other@example.test" })
		},
		"the address is not verified": func(w *oidcWorld) {
			w.Edit(w.ada.ID, func(u *store.User) { u.EmailVerified = false })
		},
		"nobody may sign in any more": func(w *oidcWorld) {
			w.reconfigure(t, func(cfg *oidc.Config) {
				cfg.Allow = []oidc.Allow{{Field: "group", Values: []string{"nobody"}}}
			})
		},
	} {
		w := newFirstLink(t)
		phone, _ := w.addApp(w.ada)
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/_auth/login/verify")
		change(w)
		b.post("/login/verify", "code", phone.code())
		if ids := w.identities(t); len(ids) > 0 || b.signedIn() {
			t.Errorf("%s: %+v", name, ids)
		}
	}
}
