package web_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

// signInWith signs ada in with a code of an app.
func (w *world) signInWith(a app) *browser {
	w.T.Helper()
	b := w.half()
	b.post("/login/verify", "code", a.code()).wantRedirect(w.T, "/")
	return b
}

// enroll has somebody who is signed in set an app up, and returns the page with the recovery codes.
func (b *browser) enroll(pairs ...string) (app, answer) {
	b.w.T.Helper()
	at := strings.TrimPrefix(b.post("/account/two-factor/totp").location(), "/_auth")
	phone := scannedBy(b, at)
	return phone, b.post(at, append([]string{"code", totp.Code(phone.secret, totp.Step(b.w.Clock.Now()))}, pairs...)...)
}

func scannedBy(b *browser, at string) app {
	b.w.T.Helper()
	page := b.get(at)
	m := setUpSecret.FindStringSubmatch(page.body)
	if m == nil {
		b.w.T.Fatalf("%s: status %d, no secret in\n%s", at, page.StatusCode, page.body)
	}
	return app{w: b.w, id: at[strings.LastIndex(at, "/")+1:], secret: decode32(b.w.T, strings.ReplaceAll(m[1], " ", ""))}
}

var shownCode = regexp.MustCompile(`<li>([0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){5})</li>`)

func shownCodes(a answer) []string {
	var codes []string
	for _, m := range shownCode.FindAllStringSubmatch(a.body, -1) {
		codes = append(codes, m[1])
	}
	return codes
}

func TestPeopleSetUpAnAuthenticatorApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	w.Clock.Advance(time.Second)
	other := w.browser().signIn("ada", adaPass)
	b.get("/account").want(t, 200, "no second factor", `href="/_auth/account/two-factor"`)
	b.get("/account/two-factor").want(t, 200, "You have no authenticator app", `action="/_auth/account/two-factor/totp"`)
	at := strings.TrimPrefix(b.post("/account/two-factor/totp").location(), "/_auth")
	page := b.get(at).want(t, 200, "<svg", `role="img"`, `name="end_others" value="1" checked`, `inputmode="numeric"`, "Sign out on my other devices")
	if page.Header.Get("Cache-Control") != "no-store" || page.Header.Get("Content-Encoding") != "" {
		t.Errorf("the page with the secret: %v", page.Header)
	}
	other.get(at).want(t, 404, "This set-up is over") // started elsewhere: nobody else sees the secret
	phone := scannedBy(b, at)
	b.post(at, "code", phone.wrong(), "name", "Phone", "end_others", "0").want(t, 422, "That code is not right", `value="Phone"`, "The clock of this site says")
	b.post(at, "code", totp.Code(phone.secret, totp.Step(w.Clock.Now())+6)).want(t, 422, "about 3 minutes ahead")
	before := b.token()
	a := b.post(at, "code", phone.code(), "name", "  Phone ", "end_others", "0", "end_others", "1").want(t, 200, "<h1>Recovery codes</h1>", "ada for Acme")
	if len(shownCodes(a)) != 10 || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("%d codes, %v", len(shownCodes(a)), a.Header)
	}
	if b.token() == before || !b.signedIn() || other.signedIn() {
		t.Error("this session is to be a new one, and the other is to end")
	}
	// Nothing shows the secret or a code again.
	for _, path := range []string{"/account/two-factor", "/account/recovery-codes", "/account", "/account/activity"} {
		again := b.get(path)
		if strings.Contains(again.body, totp.Encode(phone.secret)) || len(shownCodes(again)) > 0 || strings.Contains(again.body, shownCodes(a)[0]) {
			t.Errorf("%s shows a secret", path)
		}
	}
	b.get(at).wantRedirect(t, "/_auth/account/two-factor")
	b.get("/account/two-factor").want(t, 200, "set up already", "<bdi>Phone</bdi>", "You have 10 recovery codes left", `checked disabled`)
	b.post(at, "code", phone.code()).wantRedirect(t, "/_auth/account/two-factor")
	w.signInWith(phone)
}

func TestOtherSessionsEndOnlyWhereTheBoxIsTicked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pairs []string
		ends  bool
	}{{nil, false}, {[]string{"end_others", "0"}, false}, {[]string{"end_others", "0", "end_others", "1"}, true}} {
		w := newWorld(t)
		b, other := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass)
		b.enroll(c.pairs...)
		if other.signedIn() == c.ends {
			t.Errorf("%v: the other session goes on: %v", c.pairs, !c.ends)
		}
	}
}

// A form of a stale sign-in does nothing and leads to the step-up, which leads back.
func TestChangesOfSecondFactorsNeedARecentSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	phone, _ := b.enroll("name", "Phone")
	setup := strings.TrimPrefix(b.post("/account/two-factor/totp").location(), "/_auth")
	w.Clock.Advance(11 * time.Minute)
	for path, back := range map[string]string{
		"/account/two-factor/totp":                         "/account/two-factor",
		"/account/two-factor/totp/" + phone.id + "/remove": "/account/two-factor/totp/" + phone.id + "/remove",
		"/account/recovery-codes":                          "/account/recovery-codes",
	} {
		b.post(path).wantRedirect(t, "/_auth/reauth?rt="+strings.ReplaceAll("/_auth"+back, "/", "%2F"))
	}
	if a := b.get(setup); a.StatusCode == 200 || strings.Contains(a.body, "secret") {
		t.Error("a stale session sees the secret of an app that waits to be confirmed")
	}
	o, err := w.Accounts.Factors.Overview(t.Context(), b.user())
	if err != nil || len(o.Apps) != 1 || o.Codes.Left != 10 {
		t.Errorf("something was changed: %+v, %v", o, err)
	}
}

// user returns the user as the store has it now.
func (b *browser) user() store.User {
	b.w.T.Helper()
	u, err := b.w.Store.User(b.w.T.Context(), b.w.ada.ID)
	if err != nil {
		b.w.T.Fatal(err)
	}
	return u
}

func TestAppsAreRenamedAndRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	phone, _ := b.enroll("name", "Phone")
	at := "/account/two-factor/totp/" + phone.id
	b.get(at+"/rename").want(t, 200, `value="Phone"`)
	b.post(at+"/rename", "name", strings.Repeat("x", 65)).want(t, 422, `aria-invalid="true"`)
	b.post(at+"/rename", "name", "A & <b>").wantRedirect(t, "/_auth/account/two-factor")
	b.get("/account/two-factor").want(t, 200, "<bdi>A &amp; &lt;b&gt;</bdi>", "Saved.")
	b.get(at+"/remove").want(t, 200, "Remove A &amp; &lt;b&gt;?", "only second factor", "your recovery codes end")
	w.Login.Second = login.SecondFactors{Mode: login.MFARequired}
	b.post(at+"/remove").want(t, 403, "Add another first")
	w.Login.Second = login.SecondFactors{}
	b.post(at+"/remove").wantRedirect(t, "/_auth/account/two-factor")
	b.get("/account/two-factor").want(t, 200, "was removed", "You have no authenticator app")
	if u := b.user(); u.Factors.Any() {
		t.Errorf("%+v", u.Factors)
	}
	// Of another person there is nothing.
	root := w.browser().signIn("root", rootPass)
	mine, _ := b.enroll()
	for _, path := range []string{"", "/rename", "/remove"} {
		root.get("/account/two-factor/totp/"+mine.id+path).want(t, 404)
		root.post("/account/two-factor/totp/"+mine.id+path, "name", "x", "code", "123456").want(t, 404)
	}
	b.enroll("name", "Second")
	b.enroll("name", "Third")
	b.post("/account/two-factor/totp").want(t, 403, "no more are allowed")
	if a := b.get("/account/two-factor").want(t, 200, "as many apps as you may have"); strings.Contains(a.body, `action="/_auth/account/two-factor/totp"`) {
		t.Error("offers a fourth app")
	}
}

func TestRecoveryCodesAreShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.get("/account/recovery-codes").want(t, 200, "You have no recovery codes", "no second factor that they could stand in for")
	b.post("/account/recovery-codes").want(t, 403, "Add an authenticator app first")
	_, first := b.enroll()
	b.get("/account").want(t, 200, "not confirmed that your recovery codes are saved")
	page := b.get("/account/recovery-codes").want(t, 200, "10 of 10", "cannot be shown again", `name="version" value="`)
	version := regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(page.body)[1]
	w.Clock.Advance(time.Second)
	made := b.post("/account/recovery-codes", "version", version).want(t, 200, "Earlier ones no longer work")
	codes := shownCodes(made)
	if len(codes) != 10 || made.Header.Get("Cache-Control") != "no-store" || codes[0] == shownCodes(first)[0] {
		t.Fatalf("%d codes, %v", len(codes), made.Header)
	}
	// A reload sends the form again: the codes that may have been printed go on.
	if a := b.post("/account/recovery-codes", "version", version).want(t, 200, "already shown"); len(shownCodes(a)) > 0 {
		t.Error("a reload made new codes")
	}
	list := strings.Join(codes, "\n")
	file := b.post("/account/recovery-codes", "do", "download", "codes", list).want(t, 200, codes[0]+"\r\n", "ada for Acme")
	if file.Header.Get("Content-Type") != "text/plain; charset=utf-8" || file.Header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(file.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v", file.Header)
	}
	for _, bad := range []string{"", "<script>alert(1)</script>", codes[0] + "\n=cmd()", list + "\n" + codes[0]} {
		b.post("/account/recovery-codes", "do", "download", "codes", bad).want(t, 422)
	}
	b.post("/account/recovery-codes", "do", "saved", "saved", "1", "rt", "/reports").wantRedirect(t, "/reports")
	if a := b.get("/account"); strings.Contains(a.body, "not confirmed") {
		t.Error("the banner stays")
	}
	// Those of before are of no use, and each of the new ones works once.
	h := w.half()
	h.post("/login/verify/recovery", "recovery_code", shownCodes(first)[0]).want(t, 401)
	h.post("/login/verify/recovery", "recovery_code", codes[0]).wantRedirect(t, "/")
	h.get("/account/recovery-codes").want(t, 200, "9 of 10")
}

// Whoever found the sheet with the codes gets no new ones for it, and its owner is told what to do.
func TestAfterARecoveryCodeNewCodesNeedThePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, codes := w.addApp(w.ada)
	b := w.half()
	b.post("/login/verify/recovery", "recovery_code", codes[0]).wantRedirect(t, "/")
	b.get("/account").want(t, 200, "Replace what you lost", `href="/_auth/account/two-factor"`)
	b.get("/account/recovery-codes").want(t, 200, `type="password"`, "no proof for new ones")
	b.post("/account/recovery-codes").want(t, 422, "Enter your password")
	b.post("/account/recovery-codes", "password", "wrong-canary").want(t, 422, "The password is incorrect")
	if a := b.post("/account/recovery-codes", "password", adaPass).want(t, 200); len(shownCodes(a)) != 10 {
		t.Error("no codes")
	}
}

func TestFewCodesAndWhatHappenedAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone, codes := w.addApp(w.ada)
	for _, code := range codes[:8] {
		w.half().post("/login/verify/recovery", "recovery_code", code).wantRedirect(t, "/")
	}
	h := w.half()
	h.post("/login/verify", "code", phone.wrong()).want(t, 401)
	h.post("/login/verify", "code", phone.wrong()).want(t, 401)
	w.Clock.Advance(time.Minute)
	b := w.signInWith(phone)
	page := b.get("/account").want(t, 200, "You have 2 recovery codes left", "2 wrong codes were entered after your password", "somebody knows your password", "Firefox on Windows, 192.0.2.7")
	seen := regexp.MustCompile(`name="seen" value="(\d+)"`).FindStringSubmatch(page.body)
	b.post("/account/two-factor", "seen", seen[1]).wantRedirect(t, "/_auth/account")
	if a := b.get("/account"); strings.Contains(a.body, "wrong codes") {
		t.Error("told again")
	}
	b.post("/account/two-factor", "seen", "x").want(t, 422)
}

func TestWithoutSecondFactorsTheirPagesAreNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Login.Second = login.SecondFactors{Mode: login.MFAOff}
	b := w.browser().signIn("ada", adaPass)
	for _, path := range []string{"/account/two-factor", "/account/recovery-codes", "/account/two-factor/totp/" + store.NewID(w.Clock.Now())} {
		b.get(path).want(t, 404)
		b.post(path).want(t, 404)
	}
	if a := b.get("/account"); strings.Contains(a.body, "two-factor") || strings.Contains(a.body, "second factor") {
		t.Error("the overview speaks of second factors")
	}
}

// What people typed into a form of a session that ended is kept, but never a code or a secret.
func TestCodesAreNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, field := range []string{"code", "recovery_code", "codes", "password", "secret", "state", "assertion", "attestation"} {
		r := request("POST", "/account/recovery-codes", "application/x-www-form-urlencoded", field+"=canary&name=kept")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if a := w.browser().send(r).want(t, 401, "kept"); strings.Contains(a.body, "canary") {
			t.Errorf("%s is in the page", field)
		}
	}
}

// tourFactors adds the pages of second factors to a tour. The administrator has one then.
func (w *world) tourFactors(pages map[string]answer) {
	w.T.Helper()
	b := w.browser().signIn("root", rootPass)
	pages["factors, none"], pages["codes, none"] = b.get("/account/two-factor"), b.get("/account/recovery-codes")
	at := strings.TrimPrefix(b.post("/account/two-factor/totp").location(), "/_auth")
	pages["app"], pages["app, wrong"], pages["app, over"] = b.get(at), b.post(at, "code", "x"), b.get("/account/two-factor/totp/"+store.NewID(w.Clock.Now()))
	phone := scannedBy(b, at)
	pages["codes, made"] = b.post(at, "code", phone.code(), "name", "Ada L.")
	pages["overview, told"], pages["factors"], pages["codes"] = b.get("/account"), b.get("/account/two-factor"), b.get("/account/recovery-codes")
	pages["app, rename"], pages["app, rename wrong"] = b.get(at+"/rename"), b.post(at+"/rename", "name", strings.Repeat("x", 65))
	pages["app, remove"], pages["reauth, code"], pages["reauth, code wrong"] = b.get(at+"/remove"), b.get("/reauth"), b.post("/reauth", "code", "x")
	half := w.browser()
	half.post("/login", "username", "root", "password", rootPass)
	pages["verify"], pages["verify wrong"] = half.get("/login/verify"), half.post("/login/verify", "code", "x")
	pages["recovery"], pages["recovery wrong"] = half.get("/login/verify/recovery"), half.post("/login/verify/recovery", "recovery_code", "x")
	half.cookies["__Host-gatehouse-step"] = store.NewToken()
	pages["start again"] = half.get("/login/verify")
}
