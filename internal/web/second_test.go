package web_test

import (
	"encoding/base32"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

// app is an authenticator app of a test.
type app struct {
	w      *world
	id     string
	secret []byte
}

// addApp gives somebody a confirmed authenticator app, and returns the recovery codes that came with it.
func (w *world) addApp(u store.User) (app, []string) {
	w.T.Helper()
	ctx := w.T.Context()
	t, secret, err := w.Login.NewTOTP(ctx, u)
	if err != nil {
		w.T.Fatal(err)
	}
	var codes []string
	err = w.Store.Change(ctx, func(tx store.Tx) error {
		if err := tx.PutTOTP(ctx, t); err != nil {
			return err
		}
		u, err := tx.User(ctx, u.ID)
		if err != nil {
			return err
		}
		codes, err = login.AddTOTP(ctx, tx, u, t, "Old phone", totp.Step(w.Clock.Now()), w.Clock.Now())
		return err
	})
	if err != nil {
		w.T.Fatal(err)
	}
	return app{w, t.ID, secret}, codes
}

// code returns a code that was not used yet: the clock moves on to it.
func (a app) code() string {
	return totp.Code(a.secret, totp.Step(a.w.Clock.Advance(totp.Period)))
}

// wrong returns a code that is none of those that are accepted now.
func (a app) wrong() string {
	near := []string{}
	for d := int64(-2); d <= 2; d++ {
		near = append(near, totp.Code(a.secret, totp.Step(a.w.Clock.Now())+d))
	}
	for _, code := range []string{"000000", "111111", "222222", "333333", "444444", "555555"} {
		if !slices.Contains(near, code) {
			return code
		}
	}
	a.w.T.Fatal("every code is right")
	return ""
}

// half begins a sign-in that has a second step.
func (w *world) half(pairs ...string) *browser {
	w.T.Helper()
	b := w.browser()
	b.post("/login", append([]string{"username", "ada", "password", adaPass}, pairs...)...).wantRedirect(w.T, "/_auth/login/verify")
	if b.token() != "" || b.cookies["__Host-gatehouse-step"] == "" {
		w.T.Fatalf("cookies after the first step: %v", b.cookies)
	}
	return b
}

func TestTheSecondStepLeadsToWhereTheSignInWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone, codes := w.addApp(w.ada)
	for rt, want := range map[string]string{
		"": "/", "/reports?year=1": "/reports?year=1", "https://other.example.test/x": "https://other.example.test/x",
		"https://evil.example.test/": "/",
	} {
		b := w.half("rt", rt)
		page := b.get("/login/verify").want(t, 200, "<h1>Enter your code</h1>", "as ada", `inputmode="numeric"`,
			`autocomplete="one-time-code"`, "autofocus", `href="/_auth/login/verify/recovery"`, "You have 5 minutes")
		if strings.Contains(want, "other") && !strings.Contains(page.Header.Get("Content-Security-Policy"), "https://other.example.test") {
			t.Error("the browser may not follow the form to the other host")
		}
		code := phone.code()
		b.post("/login/verify", "code", " "+code[:3]+"-"+code[3:]).wantRedirect(t, want)
		if !b.signedIn() || b.cookies["__Host-gatehouse-step"] != "" {
			t.Errorf("%q: not signed in, or the half-login's cookie is still there: %v", rt, b.cookies)
		}
	}
	b := w.half("to", "/_auth/account/profile")
	b.get("/login/verify/recovery").want(t, 200, "<h1>Enter a recovery code</h1>", "as ada", `name="recovery_code"`)
	b.post("/login/verify/recovery", "recovery_code", strings.ToLower(strings.ReplaceAll(codes[4], "-", " "))).
		wantRedirect(t, "/_auth/account/profile")
	if !b.signedIn() {
		t.Error("a recovery code does not sign in")
	}
}

// Without a half-login these pages are the same for all, whoever else is signed in.
func TestPagesOfTheSecondStepNeedAHalfLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := store.NewID(w.Clock.Now())
	signedIn := w.browser().signIn("root", rootPass)
	for _, path := range []string{
		"/login/verify", "/login/verify/recovery", "/login/enrol", "/login/enrol/totp", "/login/enrol/totp/" + id,
	} {
		for _, cookie := range []string{"", "x", strings.Repeat("A", 500)} {
			for name, b := range map[string]*browser{"anonymous": w.browser(), "signed in": signedIn} {
				b.cookies["__Host-gatehouse-step"] = cookie
				if path != "/login/enrol/totp" {
					b.get(path).wantRedirect(t, "/_auth/login")
				}
				if a := b.post(path, "code", "123456", "later", "1"); a.StatusCode != 303 || a.location() != "/_auth/login" {
					t.Errorf("%s with cookie %q, %s: %d %s", path, cookie, name, a.StatusCode, a.location())
				}
			}
		}
		b := w.browser()
		b.cookies["__Host-gatehouse-step"] = store.NewToken()
		if path != "/login/enrol/totp" {
			b.get(path).want(t, 401, "<h1>Start again</h1>", `name="password"`)
		}
		b.post(path).want(t, 401, "Start again")
	}
}

func TestAHalfLoginOpensNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addApp(w.ada)
	b := w.half()
	step := b.cookies["__Host-gatehouse-step"]
	for _, place := range []string{"step", "session", "bearer"} {
		b := w.browser()
		switch place {
		case "step":
			b.cookies["__Host-gatehouse-step"] = step
		case "session":
			b.cookies["__Host-gatehouse"] = step
		case "bearer":
			b.header.Set("Authorization", "Bearer "+step)
		}
		b.get("/api/v1/session").want(t, 401)
		b.get("/account").wantRedirect(t, "/_auth/login?to=%2F_auth%2Faccount")
		b.get("/reauth").wantRedirect(t, "/_auth/login")
	}
	b.get("/login/enrol").wantRedirect(t, "/_auth/login/verify")
	b.post("/login/enrol/totp").wantRedirect(t, "/_auth/login/verify")
	b.post("/login/enrol", "later", "1").wantRedirect(t, "/_auth/login/verify")
	if n, err := w.Store.CountSessions(t.Context(), w.Clock.Now(), 0); err != nil || n != 0 {
		t.Errorf("%d sessions, %v", n, err)
	}
}

func TestAWrongCodeIsNamedBesideItsField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone, codes := w.addApp(w.ada)
	b := w.half()
	for _, c := range []struct{ path, field, value string }{
		{"/login/verify", "code", phone.wrong()},
		{"/login/verify", "code", ""},
		{"/login/verify", "code", "<b>x"},
		{"/login/verify/recovery", "recovery_code", "AAAA-BBBB"},
		{"/login/verify/recovery", "recovery_code", codes[0] + "A"},
	} {
		a := b.post(c.path, c.field, c.value).want(t, 401, "<title>Error: ", "That code is not right", `aria-invalid="true"`,
			`aria-describedby="`+c.field+"-e "+c.field+`-h"`, "autofocus", "as ada")
		if c.value != "" && strings.Contains(a.body, `value="`+c.value) || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q is in the page, or no challenge", c.value)
		}
	}
	b.post("/login/verify", "code", "1", "code", "2").want(t, 400)
	b.post("/login/verify", "code", phone.code()).wantRedirect(t, "/")
}

func TestGuessingCodesIsThrottledAndLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone, codes := w.addApp(w.ada)
	b := w.half()
	var a answer
	for range 9 {
		if a = b.post("/login/verify", "code", phone.wrong()); a.StatusCode == 429 {
			break
		}
	}
	a.want(t, 429, "Too many attempts", `name="code"`, "try again from <time")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.post("/login/verify", "code", totp.Code(phone.secret, totp.Step(w.Clock.Now())+1)).want(t, 429)
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		u, err := tx.User(t.Context(), w.ada.ID)
		if err != nil {
			return err
		}
		u.Factors.Failures = store.MaxMFAFailures
		return tx.SetFactors(t.Context(), u.ID, u.Factors)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Hour)
	b = w.half()
	if a := b.get("/login/verify").want(t, 200, "Too many wrong codes", `href="/_auth/login/verify/recovery"`); strings.Contains(a.body, `name="code"`) {
		t.Error("asks for a code that would not be accepted")
	}
	b.post("/login/verify", "code", phone.code()).want(t, 403, "<title>Error: ", "Too many wrong codes", `href="/_auth/login/verify/recovery"`)
	b.post("/login/verify/recovery", "recovery_code", codes[0]).wantRedirect(t, "/")
	w.half().get("/login/verify").want(t, 200, `name="code"`)
}

// A sign-in that cannot go on begins again, with the name as long as it is known.
func TestASignInThatIsOverStartsAgainWithTheName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone, _ := w.addApp(w.ada)
	b := w.half("rt", "/reports")
	w.Clock.Advance(5 * time.Minute)
	for _, a := range []answer{b.get("/login/verify"), b.post("/login/verify", "code", phone.code()), b.get("/login/verify/recovery")} {
		a.want(t, 401, "<title>Error: Start again", `value="ada"`, `name="rt" value="/reports"`, "took too long")
	}
	b = w.half()
	spent := b.cookies["__Host-gatehouse-step"]
	b.post("/login/verify", "code", phone.code()).wantRedirect(t, "/")
	again := w.browser()
	again.cookies["__Host-gatehouse-step"] = spent
	if a := again.post("/login/verify", "code", phone.code()).want(t, 401, "Start again"); strings.Contains(a.body, `value="ada"`) {
		t.Error("names somebody when nothing is known any more")
	}
	// The person says so.
	b = w.half("rt", "/reports")
	step := b.cookies["__Host-gatehouse-step"]
	b.post("/login/verify", "again", "1").wantRedirect(t, "/_auth/login?rt=%2Freports")
	if b.cookies["__Host-gatehouse-step"] != "" {
		t.Error("the cookie stays")
	}
	b.cookies["__Host-gatehouse-step"] = step
	b.post("/login/verify", "code", phone.code()).want(t, 401, "Start again")
}

var setUpSecret = regexp.MustCompile(`<code id="secret">([A-Z2-7 ]+)</code>`)

// scanned reads an app's secret from the page that sets it up.
func scanned(t *testing.T, w *world, page answer) app {
	t.Helper()
	m := setUpSecret.FindStringSubmatch(page.body)
	if m == nil {
		t.Fatalf("no secret in\n%s", page.body)
	}
	return app{w: w, secret: decode32(t, strings.ReplaceAll(m[1], " ", ""))}
}

func TestASignInGoesThroughSettingUpASecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Login.Second = login.SecondFactors{Mode: login.MFARequired, GraceSet: true}
	b := w.browser()
	b.post("/login", "username", "ada", "password", adaPass, "rt", "/reports").wantRedirect(t, "/_auth/login/enrol")
	if a := b.get("/login/enrol").want(t, 200, "Set up a second factor", "as ada"); strings.Contains(a.body, `name="later"`) {
		t.Error("offers to put it off")
	}
	b.post("/login/enrol", "later", "1").want(t, 403, "is over")
	b.get("/login/verify").wantRedirect(t, "/_auth/login/enrol")
	at := strings.TrimPrefix(b.post("/login/enrol/totp").location(), "/_auth")
	page := b.get(at).want(t, 200, "<svg", `role="img" aria-label="QR code`, "otpauth://totp/Acme:ada?", `name="code"`)
	phone := scanned(t, w, page)
	if got := strings.TrimPrefix(b.post("/login/enrol/totp").location(), "/_auth"); got != at {
		t.Errorf("begun again: %s and %s", got, at)
	}
	if again := scanned(t, w, b.get(at)); string(again.secret) != string(phone.secret) {
		t.Error("the page has another secret when it is loaded again")
	}
	a := b.post(at, "code", phone.wrong(), "name", "My <phone>").want(t, 401, "That code is not right", "The clock of this site says",
		`value="My &lt;phone&gt;"`)
	if string(scanned(t, w, a).secret) != string(phone.secret) {
		t.Error("another secret after a wrong code")
	}
	b.post(at, "code", totp.Code(phone.secret, totp.Step(w.Clock.Now())+8)).want(t, 401, "about 4 minutes ahead")
	b.post(at, "code", totp.Code(phone.secret, totp.Step(w.Clock.Now())-8)).want(t, 401, "about 4 minutes behind")
	b.post(at, "code", phone.code(), "name", strings.Repeat("x", 65)).want(t, 422, `aria-invalid="true"`)
	if b.token() != "" {
		t.Fatal("a session before the code")
	}
	a = b.post(at, "code", phone.code(), "name", "My phone").want(t, 200, "<h1>Recovery codes</h1>", `href="/reports"`, "Continue", `name="saved"`)
	if !b.signedIn() || b.cookies["__Host-gatehouse-step"] != "" {
		t.Error("not signed in with the page of the codes")
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("headers %v", a.Header)
	}
	if n := len(regexp.MustCompile(`<li>[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){5}</li>`).FindAllString(a.body, -1)); n != 10 {
		t.Errorf("%d codes in the page", n)
	}
	list, err := w.Store.Sessions(t.Context(), store.SessionQuery{UserID: w.ada.ID, Now: w.Clock.Now()})
	if err != nil || len(list.Items) != 1 || assurance.Methods(list.Items[0].Session.Methods).Shown() != "pwd otp mfa" {
		t.Errorf("sessions %+v, %v", list.Items, err)
	}
	apps, err := w.Store.TOTPs(t.Context(), w.ada.ID)
	if err != nil || len(apps) != 1 || apps[0].Name != "My phone" || !apps[0].Confirmed() {
		t.Errorf("apps %+v, %v", apps, err)
	}
	// Sent again by a reload, it begins nothing.
	b.post(at, "code", phone.code()).wantRedirect(t, "/_auth/login")
}

func TestAnOfferCanBePutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Login.Second = login.SecondFactors{Mode: login.MFARequired}
	b := w.browser()
	b.post("/login", "username", "ada", "password", adaPass, "rt", "/reports").wantRedirect(t, "/_auth/login/enrol")
	b.get("/login/enrol").want(t, 200, "or later", "It can wait until <time", `name="later"`, "15 Mar 2026")
	b.post("/login/enrol").wantRedirect(t, "/_auth/login/enrol")
	b.post("/login/enrol", "later", "1").wantRedirect(t, "/reports")
	if !b.signedIn() {
		t.Error("not signed in")
	}
}

// Who knows only the password cannot add a factor beside the owner's.
func TestEnrollmentEndsWhenThereIsAFactorMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Login.Second = login.SecondFactors{Mode: login.MFARequired, GraceSet: true}
	begin := func() (*browser, string) {
		b := w.browser()
		b.post("/login", "username", "ada", "password", adaPass).wantRedirect(t, "/_auth/login/enrol")
		return b, strings.TrimPrefix(b.post("/login/enrol/totp").location(), "/_auth")
	}
	first, at := begin()
	phone := scanned(t, w, first.get(at))
	other, _ := begin()
	other.get(at).want(t, 404, "This set-up is over") // of another browser
	w.addApp(w.ada)
	first.post(at, "code", phone.code()).want(t, 403, "There is a second factor already", `value="ada"`)
	other.get("/login/enrol").want(t, 403, "There is a second factor already")
	if apps, err := w.Store.TOTPs(t.Context(), w.ada.ID); err != nil || len(slices.DeleteFunc(apps, func(a store.TOTP) bool { return !a.Confirmed() })) != 1 {
		t.Errorf("apps %+v, %v", apps, err)
	}
}

func decode32(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whoever signs out has no sign-in under way any more, whoever was signed in.
func TestSigningOutEndsAHalfLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone, _ := w.addApp(w.ada)
	for name, b := range map[string]*browser{"nobody": w.browser(), "somebody else": w.browser().signIn("root", rootPass)} {
		b.post("/login", "username", "ada", "password", adaPass).wantRedirect(t, "/_auth/login/verify")
		step := b.cookies["__Host-gatehouse-step"]
		b.post("/logout")
		if b.cookies["__Host-gatehouse-step"] != "" {
			t.Errorf("%s: the cookie stays", name)
		}
		b.cookies["__Host-gatehouse-step"] = step
		b.post("/login/verify", "code", phone.code()).want(t, 401, "Start again")
	}
}
