package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// load loads a page as browsers do.
func (b *browser) load(path string) answer {
	b.w.T.Helper()
	return b.send(navigation(path, pageLoad))
}

var pageLoad = http.Header{
	"Accept":         {"text/html,application/xhtml+xml,*/*;q=0.8"},
	"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"},
}

func newFirstWorld(t *testing.T, change ...func(*oidc.Config)) *oidcWorld {
	t.Helper()
	w := newOIDCWorld(t, change...)
	w.Deps.SignIn.First = "test"
	return w
}

// goesOn reports whether a response leads to the provider.
func (ow *oidcWorld) goesOn(a answer) bool {
	return a.StatusCode == http.StatusSeeOther && strings.HasPrefix(a.location(), ow.idp.Issuer)
}

func TestTheFirstProviderIsWhereASignInGoesAndComesBackFrom(t *testing.T) {
	t.Parallel()
	for query, back := range map[string]string{
		"": "/", "?rt=%2Freports%3Fa%3Db": "/reports?a=b", "?to=%2F_auth%2Faccount%2Fsessions": "/_auth/account/sessions",
		"?rt=https%3A%2F%2Fother.example.test%2Fx": "https://other.example.test/x", "?rt=https%3A%2F%2Fevil.example": "/",
	} {
		w := newFirstWorld(t)
		b := w.browser()
		a := b.load("/login" + query)
		if !w.goesOn(a) {
			t.Fatalf("%s: %d %q", query, a.StatusCode, a.location())
		}
		b.callback(a.location()).wantRedirect(t, back)
		if b.who().Auth.Provider != "test" {
			t.Errorf("%s: signed in by %+v", query, b.who().Auth)
		}
	}
}

// An address of the app that no stranger may write into a link goes along sealed.
func TestTheFirstProviderComesBackToOddAddresses(t *testing.T) {
	t.Parallel()
	w := newFirstWorld(t)
	for _, target := range []string{"/wiki//Main", "/api/queues/%2F/orders"} {
		b := w.browser()
		a := b.load("/login?back=" + b.asked(target))
		if !w.goesOn(a) {
			t.Fatalf("%s: %d %q", target, a.StatusCode, a.location())
		}
		b.callback(a.location()).wantRedirect(t, origin+target)
	}
}

// Everything else gets the page, which offers the provider.
func TestTheFirstProviderIsForPageLoadsOfPeopleWhoAreNotSignedIn(t *testing.T) {
	t.Parallel()
	w := newFirstWorld(t)
	with := func(name string, values ...string) http.Header {
		h := pageLoad.Clone()
		h[name] = values
		return h
	}
	for name, h := range map[string]http.Header{
		"a frame":          with("Sec-Fetch-Dest", "iframe"),
		"a fetch":          with("Sec-Fetch-Mode", "cors"),
		"said twice":       with("Sec-Fetch-Dest", "document", "iframe"),
		"ahead of time":    with("Sec-Purpose", "prefetch;prerender"),
		"ahead, as before": with("Purpose", "prefetch"),
		"a library":        with("X-Requested-With", "XMLHttpRequest"),
		"a program":        {"Accept": {"*/*"}},
		"nothing said":     {},
		"credentials":      with("Authorization", "Bearer x"),
	} {
		if a := w.browser().send(navigation("/login", h)).want(t, http.StatusOK, "Continue with Testify"); w.goesOn(a) {
			t.Error(name)
		}
	}
	if !w.goesOn(w.browser().send(navigation("/login", http.Header{"Accept": {"text/html"}}))) {
		t.Error("a browser over plain HTTP is not sent on")
	}
	for _, query := range []string{"?choose", "?choose=1&rt=%2Fx", "?canceled=test", "?switch=1"} {
		w.browser().load("/login"+query).want(t, http.StatusOK, "Continue with Testify", `name="password"`)
	}
	head := navigation("/login", pageLoad)
	head.Method = http.MethodHead
	w.browser().send(head).want(t, http.StatusOK)
	b := w.browser().signIn("ada", adaPass)
	b.load("/login").want(t, http.StatusOK, "You are signed in")
	b.load("/login?switch=1").want(t, http.StatusOK, "Continue with Testify")
}

func TestTheFirstProviderWaitsForThePersonAfterASignOut(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*testing.T, *browser){
		"the page":    func(t *testing.T, b *browser) { b.post("/logout").wantRedirect(t, "/_auth/logged-out") },
		"without one": func(t *testing.T, b *browser) { b.cookies = map[string]string{}; b.post("/logout") },
		"a link": func(t *testing.T, b *browser) {
			delete(b.cookies, b.tokenName()) // the session was over already
			b.get("/logout").wantRedirect(t, "/_auth/logged-out")
		},
		"one's session": func(t *testing.T, b *browser) { b.post("/account/sessions/" + b.w.sessionID(t) + "/revoke") },
		"the API":       func(t *testing.T, b *browser) { b.json("DELETE", "/api/v1/me/sessions/"+b.w.sessionID(t), "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFirstWorld(t)
			b := w.browser()
			b.callback(b.load("/login").location()).wantRedirect(t, "/")
			leave(t, b)
			if b.signedIn() {
				t.Fatal("still signed in")
			}
			w.Clock.Advance(24 * time.Hour)
			for range 2 {
				b.load("/login?rt=%2Fx").want(t, http.StatusOK, "Continue with Testify")
			}
			b.viaProvider("").wantRedirect(t, "/") // the person said so
			delete(b.cookies, b.tokenName())       // the session is over, and nobody signed out
			if !w.goesOn(b.load("/login")) {
				t.Error("it never goes on again")
			}
		})
	}
}

func (w *world) sessionID(t *testing.T) string {
	t.Helper()
	page, err := w.Store.Sessions(t.Context(), store.SessionQuery{Now: w.Clock.Now()})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page.Items, err)
	}
	return page.Items[0].ID
}

func TestTheFirstProviderWaitsForThePersonAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"canceled": "access_denied", "an error": "server_error"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFirstWorld(t)
			w.idp.SetFaults(func(l *provider.Faults) {
				l.Callback = func(q url.Values) { q.Del("code"); q.Set("error", fault) }
			})
			b := w.browser()
			a := b.callback(b.load("/login?rt=%2Freports").location())
			if a.StatusCode == http.StatusSeeOther {
				a = b.load(strings.TrimPrefix(a.location(), prefix))
			}
			if w.goesOn(a) || !strings.Contains(a.body, "rt=%2Freports") {
				t.Errorf("%d %q %s", a.StatusCode, a.location(), a.body)
			}
			b.load("/login").want(t, http.StatusOK, "Continue with Testify")
		})
	}
}

// A session that ends as soon as it has begun would send the browser round in circles.
func TestTheFirstProviderIsNoCircle(t *testing.T) {
	t.Parallel()
	w := newFirstWorld(t)
	b := w.browser()
	times := 0
	for ; times < 50; times++ {
		a := b.load("/login")
		if !w.goesOn(a) {
			break
		}
		b.callback(a.location())
		delete(b.cookies, b.tokenName())
	}
	if times < 1 || times > 5 {
		t.Errorf("it went on %d times", times)
	}
	for _, odd := range []string{"", "-1", "x", "99999999999999999999", "1.5"} {
		c := w.browser()
		c.cookies["__Host-gatehouse-first"] = odd
		c.load("/login").want(t, http.StatusOK)
	}
}

func TestTheFirstProviderIsNotForOnesThatDoNotWork(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *oidcWorld){
		"down":           func(_ *testing.T, w *oidcWorld) { w.idp.Down(true) },
		"another issuer": func(t *testing.T, w *oidcWorld) { w.reconfigure(t, func(c *oidc.Config) { c.Issuer += "/other" }) },
		"a wrong secret": func(t *testing.T, w *oidcWorld) {
			w.idp.Client.Secret = "another one"
			b := w.browser()
			b.callback(b.load("/login").location()).want(t, http.StatusServiceUnavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFirstWorld(t)
			spoil(t, w)
			w.browser().load("/login?rt=%2Fx").want(t, http.StatusOK, "Testify", `name="password"`)
		})
	}
}

func TestHiddenPasswordsAreBehindALink(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.Deps.SignIn.HidePasswords = true
	b := w.browser()
	page := b.load("/login?rt=%2Freports").want(t, http.StatusOK, "Continue with Testify", "/_auth/login?choose=1&amp;rt=%2Freports")
	if strings.Contains(page.body, `name="password"`) {
		t.Error("the form is there at once")
	}
	b.load("/login?choose=1&rt=%2Freports").want(t, http.StatusOK, `name="password"`, "Continue with Testify")
	b.post("/language", "page", "login", "language", "de", "choose", "1").wantRedirect(t, "/_auth/login?choose=1")
	b.post("/login", "username", "ada", "password", "wrong").want(t, http.StatusUnauthorized, `name="password"`)
	b.post("/login", "username", "ada", "password", adaPass, "rt", "/reports").wantRedirect(t, "/reports")
	alone := newWorld(t, func(c *config) { c.SignIn = web.SignIn{HidePasswords: true} })
	alone.browser().load("/login").want(t, http.StatusOK, `name="password"`) // there is nothing else
}

// passwordsOff is what the option sets.
func (ow *oidcWorld) passwordsOff(t *testing.T) *oidcWorld {
	t.Helper()
	ow.Deps.SignIn.HidePasswords = true
	ow.Login.Passwords, ow.Accounts.Passwords = login.ManagedPasswords, login.ManagedPasswords
	return ow
}

func (ow *oidcWorld) manage(t *testing.T) {
	t.Helper()
	if err := ow.Store.Change(t.Context(), func(tx store.Tx) error {
		u, err := tx.User(t.Context(), ow.root.ID)
		if err != nil {
			return err
		}
		u.Managed = true
		_, err = tx.UpdateUser(t.Context(), u)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutPasswordsOnlyTheManagedAdministratorHasOne(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.manage(t)
	before := w.browser().signIn("ada", adaPass) // a session from before
	w.passwordsOff(t)
	b := w.browser()
	for _, pass := range []string{adaPass, "wrong"} {
		b.post("/login", "username", "ada", "password", pass).want(t, http.StatusUnauthorized, "is incorrect")
	}
	b.load("/login").want(t, http.StatusOK, "Continue with Testify", "administrator of the server")
	w.browser().signIn("root", rootPass).get("/account/password").want(t, http.StatusOK)

	before.get("/account/password").want(t, http.StatusNotFound)
	before.post("/account/password", "current_password", adaPass, "new_password", freshPass).want(t, http.StatusNotFound)
	before.json("POST", "/api/v1/me/password", `{"current_password":"`+adaPass+`","new_password":"`+freshPass+`"}`).
		wantProblem(t, http.StatusForbidden, account.CodePasswordsOff)
	if page := before.get("/account").want(t, http.StatusOK); strings.Contains(page.body, "/account/password") {
		t.Error("the account page leads to a page that is not there")
	}
	before.get("/reauth").want(t, http.StatusOK)
	before.post("/reauth", "password", adaPass).want(t, http.StatusUnauthorized)
	if u, err := w.Store.User(t.Context(), w.ada.ID); err != nil || u.PasswordHash != w.ada.PasswordHash {
		t.Error("the password has changed", err)
	}
}

func TestWithoutPasswordsTheProviderConfirmsAndItsLastIdentityStays(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t).passwordsOff(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	page := b.get("/reauth").want(t, http.StatusOK, "/_auth/oidc/test/start?reauth=1")
	if strings.Contains(page.body, `name="password"`) {
		t.Error("it asks for a password")
	}
	u, err := w.Store.User(t.Context(), b.who().User.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Store.Change(t.Context(), func(tx store.Tx) error { // a password from before, that had to be changed
		return tx.SetPassword(t.Context(), u.ID, store.PasswordChange{Hash: w.ada.PasswordHash, MustChange: true, At: w.Clock.Now()})
	}); err != nil {
		t.Fatal(err)
	}
	c := w.browser()
	c.viaProvider("?rt=%2Freports").wantRedirect(t, "/reports")
	c.get("/account").want(t, http.StatusOK) // what cannot be changed holds nobody up
	ids, err := w.Store.Identities(t.Context(), u.ID)
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	c.post("/account/providers", "action", "unlink", "issuer", ids[0].Issuer, "subject", ids[0].Subject).want(t, http.StatusConflict)
}

// What a page tells people to do works: nothing leads to a password that is not accepted.
func TestWithoutPasswordsNoPageLeadsToOne(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t).passwordsOff(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	claim("auth_time", w.Clock.Now().Add(-time.Hour).Unix())(t, w.idp)
	w.Clock.Advance(account.FreshWindow + time.Minute)
	empty := emptyWorld(t)
	empty.Login.Passwords, empty.Accounts.Passwords = login.ManagedPasswords, login.ManagedPasswords
	for name, c := range map[string]struct {
		page answer
		want string
	}{
		"help":             {w.browser().get("/login/help").want(t, http.StatusOK), "sign in through a provider"},
		"step-up":          {b.get("/reauth").want(t, http.StatusOK), "needs a recent sign-in; this holds"},
		"nothing proved":   {b.callback(b.start("?reauth=1")).want(t, http.StatusBadRequest), "Sign out, and sign in again"},
		"no administrator": {empty.browser().get("/login").want(t, http.StatusServiceUnavailable), "user add admin --role admin --link"},
	} {
		text := strings.ReplaceAll(c.page.body, "reset-password --link", "")
		text = strings.ReplaceAll(strings.ReplaceAll(text, "ADMIN_PASSWORD", ""), "Passwords are not used here", "")
		if strings.Contains(strings.ToLower(text), "password") || !strings.Contains(text, c.want) {
			t.Errorf("%s:\n%s", name, c.page.body)
		}
	}
}

func TestWithoutPasswordsLinksSignInOrLeadToTheProviders(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t).passwordsOff(t)
	in := w.invited("grace") // on the command line
	page := in.b.get("/welcome").want(t, http.StatusOK, "signs you in as grace")
	if strings.Contains(page.body, `name="password"`) {
		t.Error("it asks for a password")
	}
	in.b.post("/welcome", "username", "grace", "password", freshPass).wantRedirect(t, "/")
	if !in.b.signedIn() {
		t.Error("not signed in")
	}
	in.b.get("/link/"+in.token).want(t, http.StatusGone)
	w.browser().post("/login", "username", "grace", "password", freshPass).want(t, http.StatusUnauthorized)

	w.Accounts.Passwords, w.Login.Passwords = login.AllPasswords, login.AllPasswords
	root := w.browser().signIn("root", rootPass)
	w.passwordsOff(t)
	actor := account.Actor{UserID: w.root.ID, Name: "root", SessionID: w.idOfSession(t, w.root), AuthAt: w.Clock.Now()}
	_, link, err := w.Accounts.Create(t.Context(), actor, account.NewUser{Username: "eve", Active: true})
	if err != nil || !root.signedIn() {
		t.Fatal(err)
	}
	b := w.browser()
	b.get("/link/"+link.Token).wantRedirect(t, "/_auth/welcome")
	page = b.get("/welcome").want(t, http.StatusOK, "/_auth/oidc/test/start", "eve")
	if strings.Contains(page.body, "<button class=\"pri wide\">") {
		t.Error("there is a form")
	}
	b.post("/welcome", "username", "eve", "password", freshPass).want(t, http.StatusForbidden, "Passwords are not used here")
	if b.signedIn() {
		t.Error("signed in")
	}
}

func (w *world) idOfSession(t *testing.T, u store.User) string {
	t.Helper()
	page, err := w.Store.Sessions(t.Context(), store.SessionQuery{UserID: u.ID, Now: w.Clock.Now()})
	if err != nil || len(page.Items) == 0 {
		t.Fatal(page.Items, err)
	}
	return page.Items[0].ID
}
