package web_test

import (
	"context"
	"slices"
	"strings"
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

// A token that comes for a session that was signed out meanwhile is revoked as well, also if the same person is signed
// in elsewhere. One that comes for a session whose place another one took is left alone: at many providers, both are one
// session there.
func TestATokenThatComesAfterTheSignOutIsRevoked(t *testing.T) {
	t.Parallel()
	signOut := func(b *browser) { b.post("/logout") }
	for name, c := range map[string]struct {
		noSID, elsewhere bool
		act              func(b *browser)
		revoked          bool
	}{
		"signed out":                           {act: signOut, revoked: true},
		"signed out here alone":                {elsewhere: true, act: signOut, revoked: true},
		"signed out, no sid":                   {noSID: true, act: signOut, revoked: true},
		"signed out here alone, no sid":        {noSID: true, elsewhere: true, act: signOut, revoked: true},
		"signed in anew":                       {act: func(b *browser) { b.viaProvider("") }},
		"signed in anew, no sid":               {noSID: true, act: func(b *browser) { b.viaProvider("") }},
		"signed in anew, and out, without sid": {noSID: true, act: func(b *browser) { b.viaProvider(""); b.post("/logout") }, revoked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.Login.Store = &login.EndingStore{Store: w.Store, Ended: w.oidc.RevokeEnded}
			w.oidc.Background = func(work func(context.Context)) { work(context.Background()) }
			w.idp.SetFaults(func(l *provider.Faults) {
				l.Metadata = func(m map[string]any) { m["revocation_endpoint"] = w.idp.Issuer + "/revoke" }
			})
			if c.noSID {
				claim("sid", nil)(t, w.idp)
			}
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			if c.elsewhere {
				w.browser().viaProvider("").wantRedirect(t, "/")
			}
			w.Clock.Advance(6 * time.Minute)
			received := w.refreshAround(t, b, func() { c.act(b) })
			for deadline := time.Now().Add(10 * time.Second); !slices.Contains(w.idp.Revoked(), received); time.Sleep(20 * time.Millisecond) {
				if !c.revoked || time.Now().After(deadline) {
					break
				}
			}
			if got := slices.Contains(w.idp.Revoked(), received); got != c.revoked {
				t.Errorf("the token is revoked: %t", got)
			}
		})
	}
}

// refreshAround refreshes the session of a browser. While the provider responds it does act. It returns the token of the
// response.
func (ow *oidcWorld) refreshAround(t *testing.T, b *browser, act func()) (received string) {
	t.Helper()
	asked, respond, first := make(chan string, 1), make(chan struct{}), true
	var mu sync.Mutex
	ow.idp.SetFaults(func(l *provider.Faults) {
		l.Token = func(r map[string]any) {
			mu.Lock()
			wait := first
			first = false
			mu.Unlock()
			if wait {
				issued, _ := r["refresh_token"].(string)
				asked <- issued
				<-respond
			}
		}
	})
	token, done := b.token(), make(chan struct{})
	live, err := ow.oidc.Service.Sessions.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		_, _ = ow.oidc.Refresh(context.Background(), token, live)
	}()
	received = <-asked
	act()
	close(respond)
	<-done
	return received
}

// A sign-in that is given up before its second step leaves no token behind: signed out, canceled, or after too many tries.
// The token of a completed one stays, and so does that of a session that is the same one at the provider.
func TestATokenOfASignInThatIsGivenUpIsRevoked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		elsewhere bool
		act       func(b *browser, phone app)
		revoked   int
	}{
		"signed out": {act: func(b *browser, _ app) { b.post("/logout") }, revoked: 1},
		"too many tries": {act: func(b *browser, phone app) {
			for range 12 {
				b.w.Clock.Advance(20 * time.Second)
				b.post("/login/verify/recovery", "recovery_code", strings.Repeat("0", 24))
			}
		}, revoked: 1},
		"completed": {act: func(b *browser, phone app) { b.post("/login/verify", "code", phone.code()).wantRedirect(t, "/") }},
		"the session at the provider goes on here": {elsewhere: true, act: func(b *browser, _ app) { b.post("/logout") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.oidc.Background = func(work func(context.Context)) { work(context.Background()) }
			w.idp.SetFaults(func(l *provider.Faults) {
				l.Metadata = func(m map[string]any) { m["revocation_endpoint"] = w.idp.Issuer + "/revoke" }
			})
			if c.elsewhere {
				claim("sid", "the same")(t, w.idp)
			}
			first := w.browser()
			first.viaProvider("").wantRedirect(t, "/")
			u, err := w.Store.User(t.Context(), first.session().UserID)
			if err != nil {
				t.Fatal(err)
			}
			if !c.elsewhere {
				first.post("/logout")
			}
			phone, _ := w.addApp(u)
			before := len(w.idp.Revoked())
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/_auth/login/verify")
			c.act(b, phone)
			if got := len(w.idp.Revoked()) - before; got != c.revoked {
				t.Errorf("%d tokens were revoked", got)
			}
		})
	}
}
