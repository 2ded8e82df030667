package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

const trustCookie = "__Host-gatehouse-trusted"

// month is how long browsers are trusted in a world with trust.
const month = 30 * 24 * time.Hour

// withTrust is a world in which browsers may be trusted, and ada has an authenticator app.
func withTrust(t testing.TB, change ...func(*config)) (w *world, phone app, codes []string) {
	t.Helper()
	w = newWorld(t, change...)
	w.Login.Second.TrustBrowser = month
	phone, codes = w.addApp(w.ada)
	return w, phone, codes
}

// trusted returns a browser that ada has had trusted, in which nobody is signed in.
func (a app) trusted() *browser {
	a.w.T.Helper()
	b := a.w.half()
	b.post("/login/verify", "code", a.code(), "trust_browser", "1").wantRedirect(a.w.T, "/")
	if !store.ValidToken(b.cookies[trustCookie]) {
		a.w.T.Fatalf("cookies: %v", b.cookies)
	}
	b.post("/logout")
	return b
}

// again signs ada in with her password, and reports whether that was enough.
func (b *browser) again(pass string) bool {
	b.w.T.Helper()
	a := b.post("/login", "username", "ada", "password", pass)
	switch {
	case a.StatusCode == http.StatusSeeOther && a.location() == "/_auth/login/verify" && !b.signedIn():
		return false
	case a.StatusCode == http.StatusSeeOther && b.signedIn():
		return true
	}
	b.w.T.Fatalf("%d %s", a.StatusCode, a.location())
	return false
}

func (b *browser) acr() string {
	b.w.T.Helper()
	var s struct{ Auth struct{ ACR string } }
	b.get("/api/v1/session").want(b.w.T, 200).json(b.w.T, &s)
	return s.Auth.ACR
}

// elsewhere returns a browser in which ada has given the password and a code.
func (a app) elsewhere() *browser {
	a.w.T.Helper()
	b := a.w.half()
	b.post("/login/verify", "code", a.code()).wantRedirect(a.w.T, "/")
	return b
}

// trustWorld is what the events that end trust happen in.
type trustWorld struct {
	*world
	phone app
	pass  string // ada's, afterwards
}

func (w *trustWorld) try(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// Trap 39: a trusted browser for ever. Trust ends with each of these, and what stands on it with it.
func TestTrustEndsWithEachOfItsEvents(t *testing.T) {
	t.Parallel()
	const newPass = "another good long passphrase"
	for name, happens := range map[string]func(w *trustWorld){
		"the password is changed": func(w *trustWorld) {
			w.phone.elsewhere().post("/account/password", "current_password", adaPass, "new_password", newPass,
				"confirm", newPass).want(w.T, 303)
			w.pass = newPass
		},
		"the password is reset": func(w *trustWorld) {
			link, err := w.Accounts.ResetPassword(w.T.Context(), cli, w.ada.ID, account.Reset{KeepSessions: true})
			w.try(err)
			_, err = w.Accounts.RedeemLink(w.T.Context(), login.Client{}, link.Token, account.LinkForm{Password: newPass})
			w.try(err)
			w.pass = newPass
		},
		"an authenticator app is added": func(w *trustWorld) { w.addApp(w.ada) },
		"an authenticator app is removed": func(w *trustWorld) {
			second, _ := w.addApp(w.ada)
			w.phone = second
			b := second.trusted() // since then
			w.phone.elsewhere().post("/account/two-factor/totp/"+w.first().ID+"/remove").want(w.T, 303)
			if b.again(adaPass) {
				w.T.Error("removed: a browser that was trusted in between is still")
			}
		},
		"a passkey is added": func(w *trustWorld) {
			w.phone.elsewhere().addPasskey(authenticator.New(origin), "Key")
		},
		"an administrator resets the second factors": func(w *trustWorld) {
			_, err := w.Accounts.Factors.ResetMFA(w.T.Context(), cli, w.ada.ID, account.ResetMFA{Codes: true})
			w.try(err)
		},
		"an administrator resets trusted browsers alone": func(w *trustWorld) {
			done, err := w.Accounts.Factors.ResetMFA(w.T.Context(), cli, w.ada.ID, account.ResetMFA{Browsers: true})
			if err != nil || done.Browsers != 1 || w.User(w.ada.ID).Factors.TOTPs != 1 {
				w.T.Errorf("%+v, %v", done, err)
			}
		},
		"the person forgets it": func(w *trustWorld) {
			b := w.phone.elsewhere()
			id := w.trustedOf(w.ada)[0].ID
			b.get("/account/browsers/"+id+"/forget").want(w.T, 200, "Forget this browser?")
			b.post("/account/browsers/"+id+"/forget").wantRedirect(w.T, "/_auth/account/browsers")
		},
		"the person forgets all": func(w *trustWorld) {
			w.phone.elsewhere().post("/account/browsers").wantRedirect(w.T, "/_auth/account/browsers")
		},
		"the person forgets it by the API": func(w *trustWorld) {
			b := w.phone.elsewhere()
			if a := b.do("DELETE", "/api/v1/me/browsers/"+w.trustedOf(w.ada)[0].ID); a.StatusCode != 204 {
				w.T.Errorf("%d %s", a.StatusCode, a.body)
			}
		},
		"the person forgets all by the API": func(w *trustWorld) {
			if a := w.phone.elsewhere().do("DELETE", "/api/v1/me/browsers"); a.StatusCode != 204 {
				w.T.Errorf("%d %s", a.StatusCode, a.body)
			}
		},
		"the person signs out everywhere else": func(w *trustWorld) {
			w.phone.elsewhere().post("/account/sessions/others").want(w.T, 303)
		},
		"an administrator ends the sessions": func(w *trustWorld) {
			_, err := w.Accounts.EndSessions(w.T.Context(), cli, w.ada.ID)
			w.try(err)
		},
		"an administrator ends everybody's sessions": func(w *trustWorld) {
			_, err := w.Accounts.EndAllSessions(w.T.Context(), cli)
			w.try(err)
		},
		"the person becomes an administrator": func(w *trustWorld) {
			w.Edit(w.ada.ID, func(u *store.User) { u.Role, u.RoleGranted = store.RoleAdmin, true })
		},
		"the account is turned off and on": func(w *trustWorld) {
			for _, on := range []bool{false, true} {
				w.Edit(w.ada.ID, func(u *store.User) { u.Active = on })
			}
		},
		"the option is switched off": func(w *trustWorld) { w.Login.Second.TrustBrowser = 0 },
		"the option is shortened":    func(w *trustWorld) { w.Login.Second.TrustBrowser = 6 * 24 * time.Hour },
		"its time is over":           func(w *trustWorld) { w.Clock.Advance(month) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, phone, _ := withTrust(t)
			b := phone.trusted()
			w.Clock.Advance(7 * 24 * time.Hour)
			other := &browser{w: w, cookies: map[string]string{trustCookie: b.cookies[trustCookie]}, header: b.header, ip: b.ip}
			if !other.again(adaPass) || !b.again(adaPass) || b.acr() != "aal2" {
				t.Fatal("there is no trust that could end")
			}
			tw := &trustWorld{world: w, phone: phone, pass: adaPass}
			happens(tw)
			if b.signedIn() && b.acr() != "aal1" {
				t.Errorf("a session that stood on it has %s", b.acr())
			}
			fresh := &browser{w: w, cookies: map[string]string{trustCookie: b.cookies[trustCookie]}, header: b.header, ip: b.ip}
			if u := w.User(w.ada.ID); u.Factors.TOTPs > 0 && fresh.again(tw.pass) {
				t.Error("the browser is still trusted")
			}
		})
	}
}

func (w *world) trustedOf(u store.User) []store.TrustedBrowser {
	w.T.Helper()
	list, err := w.Store.TrustedBrowsers(w.T.Context(), u.ID)
	if err != nil {
		w.T.Fatal(err)
	}
	return list
}

// first returns the authenticator app that ada had first.
func (w *world) first() store.TOTP {
	w.T.Helper()
	apps, err := w.Store.TOTPs(w.T.Context(), w.ada.ID)
	if err != nil {
		w.T.Fatal(err)
	}
	return apps[0]
}

// Trap 39: a trusted browser for others, and one that a recovery code made.
func TestACopiedCookieOfTrustIsNothingToAnother(t *testing.T) {
	t.Parallel()
	w, phone, codes := withTrust(t)
	bob := w.Add("bob", store.RoleUser)
	bobs, _ := w.addApp(bob)
	b := w.browser()
	b.cookies[trustCookie] = phone.trusted().cookies[trustCookie]
	for _, place := range []string{"gatehouse-trusted", "__Host-gatehouse", "__Host-gatehouse-device", "__Host-gatehouse-step"} {
		x := w.browser()
		x.cookies[place] = b.cookies[trustCookie]
		if x.signedIn() || x.again(adaPass) {
			t.Errorf("the token counts in the cookie %s", place)
		}
	}
	if alone := b.get("/account"); alone.StatusCode == 200 {
		t.Error("the cookie alone signs in")
	}
	w.setPassword(bob, adaPass)
	if a := b.post("/login", "username", "bob", "password", adaPass); a.location() != "/_auth/login/verify" {
		t.Errorf("bob: %d %s", a.StatusCode, a.location())
	}
	b.post("/login/verify", "code", bobs.code(), "trust_browser", "1").want(t, 303)
	b.post("/logout")
	if n := len(login.ParseTrusted(b.cookies[trustCookie])); n != 2 || !b.again(adaPass) {
		t.Errorf("two people in a browser: %d tokens", n)
	}

	r := w.half()
	page := r.get("/login/verify/recovery").want(t, 200)
	if strings.Contains(page.body, "trust_browser") {
		t.Error("the page for recovery codes offers to trust the browser")
	}
	r.post("/login/verify/recovery", "recovery_code", codes[0], "trust_browser", "1").wantRedirect(t, "/")
	if r.cookies[trustCookie] != "" || len(w.trustedOf(w.ada)) != 1 {
		t.Error("a recovery code has made a browser trusted")
	}
}

func (w *world) setPassword(u store.User, pass string) {
	w.T.Helper()
	hash, err := w.Login.Hasher.Hash(w.T.Context(), pass)
	if err != nil {
		w.T.Fatal(err)
	}
	err = w.Store.Change(w.T.Context(), func(tx store.Tx) error {
		return tx.SetPassword(w.T.Context(), u.ID, store.PasswordChange{Hash: hash, At: w.Clock.Now()})
	})
	if err != nil {
		w.T.Fatal(err)
	}
}

func TestTheSecondStepOffersToTrustTheBrowser(t *testing.T) {
	t.Parallel()
	w, phone, _ := withTrust(t)
	b := w.half()
	b.get("/login/verify").want(t, 200, `<input type="checkbox" id="trust_browser" name="trust_browser" value="1"`,
		"Trust this browser for 30 days")
	wrong := b.post("/login/verify", "code", phone.wrong(), "trust_browser", "1").want(t, 401, "checked")
	if b.cookies[trustCookie] != "" || strings.Count(wrong.body, `name="trust_browser"`) != 1 {
		t.Error("a wrong code trusts the browser, or the box is there twice")
	}
	for _, pairs := range [][]string{{"trust_browser", "1", "trust_browser", "0"}, {"trust_browser", "no"}} {
		b.post("/login/verify", append(pairs, "code", phone.wrong())...)
	}
	res := b.post("/login/verify", "code", phone.code(), "trust_browser", "1").want(t, 303)
	var cookie *http.Cookie
	for _, c := range res.Cookies() {
		if c.Name == trustCookie {
			cookie = c
		}
	}
	if cookie == nil || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Domain != "" ||
		cookie.MaxAge != int(month.Seconds()) {
		t.Errorf("cookie %v", cookie)
	}
	if details := w.audited("browser.trust"); len(details) != 1 || details[0]["browser"] != w.trustedOf(w.ada)[0].ID {
		t.Errorf("audited: %v", details)
	}

	for name, change := range map[string]func(){
		"without the option": func() { w.Login.Second.TrustBrowser = 0 },
		"of an administrator who has to prove a factor": func() {
			w.Login.Second.TrustBrowser, w.Login.Second.Mode = month, login.MFAAdmins
			w.Edit(w.ada.ID, func(u *store.User) { u.Role, u.RoleGranted = store.RoleAdmin, true })
		},
	} {
		change()
		b := w.half()
		if page := b.get("/login/verify").want(t, 200); strings.Contains(page.body, "trust_browser") {
			t.Errorf("%s: the box is there", name)
		}
		b.post("/login/verify", "code", phone.code(), "trust_browser", "1").want(t, 303)
		if b.cookies[trustCookie] != "" {
			t.Errorf("%s: the browser is trusted", name)
		}
	}
}

// With a passkey as the second step, the box is on its form, or goes along from that for a code.
func TestAPasskeyMakesABrowserTrusted(t *testing.T) {
	t.Parallel()
	w, key, _ := withPasskey(t)
	w.Login.Second.TrustBrowser = month
	w.Edit(w.ada.ID, func(*store.User) {})
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		return tx.SetFactors(t.Context(), w.ada.ID, store.Factors{Ask: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.half()
	if page := b.get("/login/verify").want(t, 200, `name="trust_browser"`); strings.Contains(page.body, "data-keep") {
		t.Error("there is no other form whose box could go along")
	}
	b.use(key, "/login/verify", "/login/verify/passkey", "trust_browser", "1").wantRedirect(t, "/")
	b.post("/logout")
	if !b.again(adaPass) || b.acr() != "aal2" {
		t.Error("the browser is not trusted")
	}
	w.addApp(w.ada)
	b = w.half()
	page := b.get("/login/verify").want(t, 200, `data-keep="trust_browser"`)
	if strings.Count(page.body, `name="trust_browser"`) != 1 {
		t.Error("the box is there twice")
	}
}

func TestTrustedBrowsersAreListed(t *testing.T) {
	t.Parallel()
	w, phone, _ := withTrust(t)
	b := phone.trusted()
	if !b.again(adaPass) {
		t.Fatal("not trusted")
	}
	id := w.trustedOf(w.ada)[0].ID
	b.get("/account/browsers").want(t, 200, "Firefox on Windows", "This browser", "192.0.2.7",
		"/_auth/account/browsers/"+id+"/forget", "Forget all browsers")
	b.get("/account/sessions").want(t, 200, `href="/_auth/account/browsers"`)
	var list struct {
		Items []struct {
			ID      string
			Current bool
			IP      string
		}
	}
	b.get("/api/v1/me/browsers").want(t, 200).json(t, &list)
	if len(list.Items) != 1 || list.Items[0].ID != id || !list.Items[0].Current || list.Items[0].IP != "192.0.2.7" {
		t.Errorf("%+v", list)
	}
	b.get("/api/v1/me/browsers/"+id).want(t, 200, id)
	if body := b.get("/api/v1/me/browsers").body; strings.Contains(body, b.cookies[trustCookie]) {
		t.Error("the list holds the token")
	}
	bob := w.Add("bob", store.RoleUser)
	w.setPassword(bob, adaPass)
	other := w.browser().signIn("bob", adaPass)
	for _, path := range []string{"/account/browsers/" + id + "/forget", "/api/v1/me/browsers/" + id} {
		if a := other.get(path); a.StatusCode != 404 {
			t.Errorf("another's: %s: %d", path, a.StatusCode)
		}
	}
	if a := other.post("/account/browsers/" + id + "/forget"); a.StatusCode != 404 || len(w.trustedOf(w.ada)) != 1 {
		t.Errorf("another forgets it: %d", a.StatusCode)
	}
	if a := other.do("DELETE", "/api/v1/me/browsers/"+id); a.StatusCode != 404 || len(w.trustedOf(w.ada)) != 1 {
		t.Errorf("another forgets it: %d", a.StatusCode)
	}
	w.Clock.Advance(11 * time.Minute) // it takes a proof of late
	b.post("/account/browsers/"+id+"/forget").want(t, 303)
	if a := b.do("DELETE", "/api/v1/me/browsers"); a.StatusCode != 403 || len(w.trustedOf(w.ada)) != 1 {
		t.Errorf("without a proof of late: %d, %d are left", a.StatusCode, len(w.trustedOf(w.ada)))
	}
	w.Login.Second.TrustBrowser = 0
	for _, path := range []string{"/account/browsers", "/api/v1/me/browsers", "/account/browsers/" + id + "/forget"} {
		if a := b.get(path); a.StatusCode != 404 {
			t.Errorf("with the option off: %s: %d", path, a.StatusCode)
		}
	}
}

// Whoever has found a trusted browser, and knows the password, gets no new recovery codes by them alone.
func TestNewCodesNeedAProofInATrustedBrowser(t *testing.T) {
	t.Parallel()
	_, phone, _ := withTrust(t)
	b := phone.trusted()
	if !b.again(adaPass) {
		t.Fatal("not trusted")
	}
	if a := b.post("/account/recovery-codes"); a.StatusCode == 200 {
		t.Error("codes were made by trust alone")
	}
	b.post("/account/recovery-codes", "password", adaPass).want(t, 200)
}

// To forget a browser is audited with which one, to forget all with how many, and to forget none is nothing that has
// happened.
func TestForgettingABrowserIsAudited(t *testing.T) {
	t.Parallel()
	w, phone, _ := withTrust(t)
	phone.trusted()
	id := w.trustedOf(w.ada)[0].ID
	b := phone.elsewhere()
	forget := func(path string) []map[string]string {
		t.Helper()
		if a := b.do("DELETE", "/api/v1/me/browsers"+path); a.StatusCode != 204 {
			t.Fatalf("%s: %d", path, a.StatusCode)
		}
		return w.audited("browser.forget")
	}
	if list := forget("/" + id); len(list) != 1 || list[0]["browser"] != id {
		t.Errorf("one: %v", list)
	}
	if list := forget(""); len(list) != 1 {
		t.Errorf("none: %v", list)
	}
	phone.trusted()
	if list := forget(""); len(list) != 2 || list[0]["browsers"] != "1" && list[1]["browsers"] != "1" {
		t.Errorf("all: %v", list)
	}
}
