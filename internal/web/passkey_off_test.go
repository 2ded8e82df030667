package web_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
)

// Where passkeys are off, or only not for signing in, their addresses are not there.
func TestPasskeysThatAreOff(t *testing.T) {
	t.Parallel()
	w, key, k := withPasskey(t)
	w.Login.Second.NoPasskeyLogin = true
	b := w.browser().signIn("ada", adaPass)
	c := b.options("/reauth")
	b.post("/login/passkey", "state", c.State, "assertion", key.Get(c.PublicKey)).want(t, 404)
	b.post("/login/passkey/options").wantProblem(t, 404, "not-found")
	if page := w.browser().get("/login").want(t, 200); strings.Contains(page.body, "data-passkey") {
		t.Error("the button is there")
	}
	b.get("/account/passkeys").want(t, 200)
	w.Login.Second.NoPasskeys = true
	b.get("/account/passkeys").want(t, 404)
	b.get("/account/passkeys/"+k.ID+"/rename").want(t, 404)
	b.json("GET", "/api/v1/me/passkeys", "").wantProblem(t, 404, "not-found")
	b.post("/account/passkeys/options").wantProblem(t, 404, "not-found")
}

// Where browsers offer none, pages say why, and sign people in otherwise.
func TestPasskeysWhereBrowsersOfferNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) {})
	w.insecure = true
	b := w.browser()
	if page := b.get("/login").want(t, 200); strings.Contains(page.body, "data-passkey") {
		t.Error("the button is there")
	}
	b.post("/login/passkey/options").wantProblem(t, 422, "invalid")
	b.post("/login/passkey", "state", "x", "assertion", "{}").want(t, 401)
	b.signIn("ada", adaPass).get("/account/passkeys").want(t, 200, "over HTTPS only")
}

func TestPasskeysInTheAPI(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t), authenticator.New(origin)
	b := w.browser().signIn("ada", adaPass)
	var c ceremony
	b.json("POST", "/api/v1/me/passkeys", "{}").want(t, 200).json(t, &c)
	made := key.Create(c.PublicKey)
	send := func(v map[string]string) answer {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b.json("POST", "/api/v1/me/passkeys", string(out))
	}
	p := send(map[string]string{"state": "x", "attestation": made}).wantProblem(t, 422, "invalid")
	if len(p.Errors) != 1 || p.Errors[0].Field != "attestation" {
		t.Errorf("%+v", p)
	}
	var k struct {
		ID, Name string
		RPID     string `json:"rp_id"`
		Signs    bool   `json:"signs_in"`
	}
	send(map[string]string{"state": c.State, "attestation": made, "name": "Key"}).want(t, 201).json(t, &k)
	if k.Name != "Key" || k.RPID != host || !k.Signs {
		t.Errorf("%+v", k)
	}
	list := b.json("GET", "/api/v1/me/passkeys", "").want(t, 200, `"items":[{`, `"next":""`, k.ID)
	for _, secret := range []string{w.passkeys(w.ada)[0].Handle, url.QueryEscape(c.State)} {
		if strings.Contains(list.body, secret) {
			t.Errorf("%s is in the list", secret)
		}
	}
	b.json("PATCH", "/api/v1/me/passkeys/"+k.ID, `{"name":"Other"}`).want(t, 200, `"name":"Other"`)
	root := w.browser().signIn("root", rootPass)
	root.json("PATCH", "/api/v1/me/passkeys/"+k.ID, `{"name":"Other"}`).wantProblem(t, 404, "not-found")
	root.json("DELETE", "/api/v1/me/passkeys/"+k.ID, "").wantProblem(t, 404, "not-found")
	b.json("DELETE", "/api/v1/me/passkeys/"+k.ID, "").want(t, 204)
	if len(w.passkeys(w.ada)) > 0 {
		t.Error("it is still there")
	}
}

// Where passkeys are all that counts and none can be made, whoever has to have one is told why, and not sent in circles.
func TestADemandForPasskeysThatCannotBeMadeHereSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insecure = true
	w.Login.Second = login.SecondFactors{Mode: login.MFARequired, GraceSet: true, NoTOTP: true}
	b := w.browser()
	b.post("/login", "username", "ada", "password", adaPass).wantRedirect(t, "/_auth/login/enrol")
	page := b.get("/login/enrol").want(t, 200, "over HTTPS only")
	if strings.Contains(page.body, `data-passkey="create"`) {
		t.Error("offers what cannot work")
	}
	b.post("/login/enrol/passkey/options").wantProblem(t, 422, "invalid")
	if b.signedIn() {
		t.Error("signed in without what is demanded")
	}
}
