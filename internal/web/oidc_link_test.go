package web_test

import (
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// linkProvider links the provider to the account of the browser and returns the response to the callback.
func (b *browser) linkProvider() answer {
	b.w.T.Helper()
	a := b.post("/account/providers", "action", "link", "provider", "test").want(b.w.T, http.StatusOK, "Continue to Testify")
	return b.callback(refresh(a))
}

// refresh returns where a page leads to at once.
func refresh(a answer) string {
	_, rest, _ := strings.Cut(a.body, `http-equiv="refresh" content="0; url=`)
	address, _, _ := strings.Cut(rest, `"`)
	return html.UnescapeString(address)
}

func TestASignedInPersonLinksAndUnlinksAProvider(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.idp.SetClaim("groups", "from-there")
	b := w.browser().signIn("ada", adaPass)
	b.linkProvider().wantRedirect(t, prefix+"/account/providers")
	page := b.get("/account/providers").want(t, http.StatusOK, "Testify", "ada@example.com", "is linked")
	if strings.Contains(page.body, w.idp.LastIDToken()) {
		t.Error("the page shows a token")
	}
	c := w.browser()
	c.viaProvider("").wantRedirect(t, "/")
	if who := c.who(); who.User.ID != w.ada.ID || !slices.Equal(who.User.Groups, []string{"dev", "from-there", "ops"}) {
		t.Fatalf("signed in as %+v", who.User)
	}
	// Linking what is linked changes nothing; what somebody else has linked cannot be had.
	b.linkProvider().wantRedirect(t, prefix+"/account/providers")
	r := w.browser().signIn("root", rootPass)
	r.linkProvider().want(t, http.StatusConflict, "already signs in to another account")
	b.post("/account/providers", "action", "unlink", "issuer", w.idp.Issuer, "subject", "user-1").wantRedirect(t, prefix+"/account/providers")
	if c.signedIn() {
		t.Error("the session that began with the identity goes on")
	}
	if !b.signedIn() {
		t.Error("the session that unlinked has ended")
	}
	if who := b.who(); !slices.Equal(who.User.Groups, []string{"dev", "ops"}) {
		t.Errorf("the identity's groups are still there: %v", who.User.Groups)
	}
	d := w.browser()
	d.viaProvider("").wantRedirect(t, "/")
	if d.who().User.ID == w.ada.ID {
		t.Error("the identity still signs in")
	}
	for _, action := range []string{"identity.link", "identity.unlink"} {
		if e := w.audited(t, action); len(e) != 1 || e[0].Actor != "ada" {
			t.Errorf("%s: %+v", action, e)
		}
	}
}

func TestLinkingNeedsARecentProofAndOneOfOurPages(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.post("/account/providers").want(t, http.StatusUnprocessableEntity)
	r := request("POST", "/account/providers", "application/x-www-form-urlencoded", "action=link&provider=test")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	b.send(r).want(t, http.StatusForbidden)
	w.Clock.Advance(11 * time.Minute)
	to := prefix + "/reauth?rt=" + url.QueryEscape(prefix+"/account/providers")
	b.post("/account/providers", "action", "link", "provider", "test").wantRedirect(t, to)
	b.post("/account/providers", "action", "unlink", "issuer", "x", "subject", "y").wantRedirect(t, to)
	w.browser().post("/account/providers", "action", "link", "provider", "test").want(t, http.StatusUnauthorized)
}

// A flow that links belongs to the session's user, no matter who comes back.
func TestALinkFlowCannotBeFinishedInAnotherSession(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser().signIn("ada", adaPass)
	a := b.post("/account/providers", "action", "link", "provider", "test")
	b.signIn("root", rootPass) // the same browser, another person
	b.callback(refresh(a)).want(t, http.StatusBadRequest)
	for _, id := range []string{w.ada.ID, w.root.ID} {
		if ids, err := w.Store.Identities(t.Context(), id); err != nil || len(ids) != 0 {
			t.Errorf("identities %v, %v", ids, err)
		}
	}
}

func TestTheLastWayInCannotBeUnlinked(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	b.post("/account/providers", "action", "unlink", "issuer", w.idp.Issuer, "subject", "user-1").want(t, http.StatusConflict, "only way to sign in")
	if !b.signedIn() {
		t.Error("the session has ended")
	}
	w.browser().viaProvider("").wantRedirect(t, "/")
	// Somebody else's identity is not found, and nothing happens to it.
	c := w.browser().signIn("ada", adaPass)
	c.post("/account/providers", "action", "unlink", "issuer", w.idp.Issuer, "subject", "user-1").wantRedirect(t, prefix+"/account/providers")
	w.browser().viaProvider("").wantRedirect(t, "/")
}

// People without a password confirm at their provider that it is them.
func TestReauthenticationAtTheProvider(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	w.Clock.Advance(11 * time.Minute)
	page := b.get("/reauth?rt="+url.QueryEscape(prefix+"/account/providers")).want(t, http.StatusOK, "/oidc/test/start?reauth=1&amp;to=")
	if strings.Contains(page.body, `type="password"`) {
		t.Error("asks for a password that the account has not got")
	}
	old := b.token()
	address := b.start("?reauth=1&to=" + url.QueryEscape(prefix+"/account/providers"))
	if q, _ := url.Parse(address); q.Query().Get("prompt") != "login" || q.Query().Get("max_age") != "0" {
		t.Errorf("the provider is not told to ask again: %s", address)
	}
	b.callback(address).wantRedirect(t, prefix+"/account/providers")
	if b.token() == old {
		t.Error("the session has kept its token")
	}
	b.post("/account/providers", "action", "unlink", "issuer", "x", "subject", "y").wantRedirect(t, prefix+"/account/providers") // allowed again

	// Somebody else at the provider proves nothing; nor does a provider that did not ask.
	w.idp.SignInAs("user-2")
	b.callback(b.start("?reauth=1")).want(t, http.StatusForbidden, "somebody else")
	w.idp.SignInAs("user-1")
	claim("auth_time", w.Clock.Now().Add(-time.Hour).Unix())(t, w.idp)
	b.callback(b.start("?reauth=1")).want(t, http.StatusBadRequest, unproved)
	// Another site cannot set it off.
	r := request("GET", "/oidc/test/start?reauth=1", "", "")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	b.send(r).wantRedirect(t, prefix+"/reauth")
}

// The provider, and what comes to nothing there, do not lose where somebody was going who has to prove who they are.
func TestReauthenticationAtTheProviderReturnsToOddAddresses(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	back := b.asked("/wiki//Main")
	b.viaProvider("").wantRedirect(t, "/")
	b.get("/reauth?back="+back).want(t, http.StatusOK, "/oidc/test/start?back="+back+"&amp;reauth=1")
	stranger := w.browser()
	theirs := stranger.asked("/wiki//Main")
	stranger.get("/oidc/test/start?reauth=1&back="+theirs).wantRedirect(t, prefix+"/reauth?back="+theirs)
	own := prefix + "/account/providers"
	w.browser().get("/oidc/test/start?reauth=1&to="+url.QueryEscape(own)).wantRedirect(t, prefix+"/reauth?rt="+url.QueryEscape(own))
	w.idp.SignInAs("user-2")
	b.callback(b.start("?reauth=1&back="+back)).want(t, http.StatusForbidden, prefix+"/reauth?back="+back)
	w.idp.SignInAs("user-1")
	b.callback(b.start("?reauth=1&back="+back)).wantRedirect(t, origin+"/wiki//Main")
}
