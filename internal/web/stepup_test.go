package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
)

// needing returns a configuration in which places of the app need something by the first part of their path.
func needing(places map[string]assurance.Need) func(*config) {
	return func(c *config) {
		c.Needs = func(_ *http.Request, page *url.URL, _ *session.Live) assurance.Need {
			return places[strings.TrimPrefix(page.Path, "/")]
		}
	}
}

func TestTheStepUpOffersWhatMeetsTheNeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, needing(map[string]assurance.Need{
		"mfa": {Level: assurance.Two}, "fresh": assurance.Fresh(15 * time.Minute), "freshmfa": assurance.FreshFactor(15 * time.Minute),
		"passkey": {Level: assurance.PhishingResistant},
	}))
	plain := w.browser().signIn("root", rootPass) // without a second factor
	phone, codes := w.addApp(w.ada)
	withCode := w.signInWith(phone)
	withRecovery := w.half()
	withRecovery.post("/login/verify/recovery", "recovery_code", codes[0]).wantRedirect(t, "/")
	const pass, code, met, enroll = `type="password"`, `name="code"`, "lately enough", `href="/_auth/account/two-factor?rt=`
	const add = `href="/_auth/account/passkeys?rt=`
	for _, c := range []struct {
		name string
		b    *browser
		old  bool // 20 minutes after the sign-in
		rt   string
		has  string
	}{
		{"one factor", plain, false, "/open", pass + met},
		{"one factor", plain, false, "/mfa", enroll},
		{"one factor", plain, false, "/fresh", pass + met},
		{"one factor", plain, true, "/fresh", pass},
		{"one factor", plain, false, "/freshmfa", enroll},
		{"one factor", plain, false, "/passkey", add},
		{"two factors", withCode, false, "/mfa", pass + code + met},
		{"two factors", withCode, false, "/freshmfa", pass + code + met},
		{"two factors", withCode, true, "/mfa", pass + code + met},
		{"two factors", withCode, true, "/fresh", pass + code},
		{"two factors", withCode, true, "/freshmfa", code},
		{"two factors", withCode, true, "/_auth/account/profile", pass + code},
		{"two factors", withCode, false, "/passkey", add},
		{"a recovery code", withRecovery, false, "/mfa", pass + code + met},
		{"a recovery code", withRecovery, false, "/freshmfa", code},
	} {
		if c.old {
			w.Clock.Advance(20 * time.Minute)
		}
		// What the address says of the need changes nothing.
		page := c.b.get("/reauth?need=mfa&max_age=0&rt="+c.rt).want(t, 200)
		for _, part := range []string{pass, code, met, enroll, add} {
			if strings.Contains(page.body, part) != strings.Contains(c.has, part) {
				t.Errorf("%s, %s, old: %v: %q is there: %v", c.name, c.rt, c.old, part, strings.Contains(page.body, part))
			}
		}
		if strings.Contains(c.has, met) != strings.Contains(page.body, ">Continue</a>") {
			t.Errorf("%s, %s: a link that goes on: %s", c.name, c.rt, page.body)
		}
		if c.old {
			w.Clock.Advance(-20 * time.Minute)
		}
	}
}

func TestAStepUpWithACodeRaisesTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	phone, _ := w.addApp(w.ada) // on another device
	before := b.token()
	b.post("/reauth", "code", phone.wrong(), "rt", "/_auth/account/profile").want(t, 401, "<title>Error: ", "That code is not right",
		`aria-invalid="true"`, `name="rt" value="/_auth/account/profile"`, `name="code"`)
	b.post("/reauth", "code", "1", "code", "2").want(t, 400)
	code := phone.code()
	b.post("/reauth", "code", code, "rt", "/_auth/account/profile").wantRedirect(t, "/_auth/account/profile")
	if b.token() == before || !b.signedIn() {
		t.Error("the session has the same token, or is over")
	}
	l, err := w.Sessions.Resolve(t.Context(), b.token())
	if err != nil || l.Level() != assurance.Two || l.Session.MFAAt.IsZero() {
		t.Errorf("%+v, %v", l, err)
	}
	b.post("/reauth", "code", code).want(t, 401, "That code is not right") // once
	for range 8 {
		b.post("/reauth", "code", phone.wrong())
	}
	a := b.post("/reauth", "code", totp.Code(phone.secret, totp.Step(w.Clock.Now())+1), "rt", "/_auth/account/profile").want(t, 429, `name="code"`, `name="rt" value="/_auth/account/profile"`)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if !b.signedIn() {
		t.Error("a refused step-up signs out")
	}
}

// Who is sent to set up a factor for a place comes to that place afterwards.
func TestSettingUpAFactorForAStepUpLeadsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, needing(map[string]assurance.Need{"payroll": {Level: assurance.Two}}))
	b := w.browser().signIn("ada", adaPass)
	b.get("/reauth?rt=/payroll?x=1").want(t, 200, `href="/_auth/account/two-factor?rt=%2Fpayroll%3Fx%3D1"`)
	b.get("/account/two-factor?rt=/payroll?x=1").want(t, 200, `name="rt" value="/payroll?x=1"`)
	at := strings.TrimPrefix(b.post("/account/two-factor/totp", "rt", "/payroll?x=1").location(), "/_auth")
	path, _, _ := strings.Cut(at, "?")
	b.get(at).want(t, 200, `name="rt" value="/payroll?x=1"`)
	phone := scannedBy(b, path)
	b.post(path, "code", phone.wrong(), "rt", "/payroll?x=1").want(t, 422, `name="rt" value="/payroll?x=1"`)
	b.post(path, "code", phone.code(), "rt", "/payroll?x=1").want(t, 200, `href="/payroll?x=1">Continue</a>`)
	b.get("/reauth?rt=/payroll?x=1").want(t, 200, "lately enough")
	for _, evil := range []string{"https://evil.example.test/", "//evil.example.test", "javascript:alert(1)"} {
		b.get("/account/two-factor?rt="+url.QueryEscape(evil)).want(t, 200)
		if to := b.post("/account/two-factor/totp", "rt", evil).location(); strings.Contains(to, "evil") || strings.Contains(to, "alert") {
			t.Errorf("%q leads to %s", evil, to)
		}
	}
}
