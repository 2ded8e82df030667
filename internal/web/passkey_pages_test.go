package web_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
)

// lacks fails the test if a page has one of the texts.
func lacks(t *testing.T, a answer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("the page says %q:\n%s", text, a.body)
		}
	}
}

// No page asks for a code, or speaks of an app, where there is a passkey alone; beside other ways it is set apart.
func TestPagesNameThePasskeyWhereThereIsNoApp(t *testing.T) {
	t.Parallel()
	const or = `class="or"`
	w, _, _ := withPasskey(t)
	w.browser().signIn("root", rootPass).get("/account/two-factor").
		want(t, 200, "You have no passkeys", `href="/_auth/account/passkeys"`)
	w.Login.Second.Mode = login.MFARequired
	page := w.half().get("/login/verify").want(t, 200, "One more step", "Use a passkey", `class="pri wide"`)
	lacks(t, page, "Enter your code", or)

	phone, _ := w.addApp(w.ada)
	w.half().get("/login/verify").want(t, 200, "Enter your code", or, "Use a passkey")
	in := w.signInWith(phone)
	in.get("/account/two-factor").want(t, 200, "You have 1 passkey.", "Manage passkeys")
	in.get("/reauth").want(t, 200, or, "Use a passkey")
}

// Who has passkeys alone is told of recovery codes until there are some.
func TestWhoHasPasskeysAloneIsRemindedOfRecoveryCodes(t *testing.T) {
	t.Parallel()
	w, _, _ := withPasskey(t)
	b := w.browser().signIn("ada", adaPass)
	b.get("/account/passkeys").want(t, 200, "recovery codes let you in")
	lacks(t, b.get("/account/two-factor").want(t, 200, "You have no recovery codes.", "your only second factor"), "0 recovery codes")
	b.post("/account/two-factor", "ask_second_factor", "1").want(t, 200, "codes")
	lacks(t, b.get("/account/passkeys").want(t, 200), "recovery codes let you in")
	lacks(t, b.get("/account/two-factor").want(t, 200), "You have no recovery codes.", "your only second factor")
}

// A sign-in that goes through adding a second factor offers an app first, and says afterwards what was added.
func TestASignInSaysWhichFactorItAdded(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t, needing(map[string]assurance.Need{"passkey": {Level: assurance.PhishingResistant}})), authenticator.New(origin)
	w.Login.Second.Mode, w.Login.Second.GraceSet = login.MFARequired, true
	b := w.browser()
	b.post("/login", "username", "ada", "password", adaPass)
	b.get("/login/enrol").want(t, 200, `class="or"`, "security key", `<button type="button" class="wide">Create a passkey`)
	c := b.options("/login/enrol/passkey")
	made := b.post("/login/enrol/passkey", "state", c.State, "attestation", key.Create(c.PublicKey)).want(t, 200, "The passkey is set up")
	lacks(t, made, "authenticator app is set up")
	w.Login.Second.NoTOTP = true
	alone := w.browser()
	alone.post("/login", "username", "root", "password", rootPass)
	lacks(t, alone.get("/login/enrol").want(t, 200, `class="pri wide">Create a passkey`), `class="or"`)
}

// A place that asks for a passkey leads whoever has none to make one, and says so.
func TestAPlaceForPasskeysLeadsToMakingOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, needing(map[string]assurance.Need{"passkey": {Level: assurance.PhishingResistant}, "mfa": {Level: assurance.Two}}))
	b := w.browser().signIn("root", rootPass)
	b.get("/reauth?rt=/passkey").want(t, 200, `href="/_auth/account/passkeys?rt=%2Fpasskey">Create a passkey</a>`)
	b.get("/reauth?rt=/mfa").want(t, 200, `">Set up a second factor</a>`)
}
