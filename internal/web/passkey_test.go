package web_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ceremony is what options respond with.
type ceremony struct {
	PublicKey json.RawMessage
	State     string
}

func (b *browser) options(path string) ceremony {
	b.w.T.Helper()
	var c ceremony
	b.post(path+"/options").want(b.w.T, 200).json(b.w.T, &c)
	return c
}

// addPasskey makes a passkey of whoever is signed in.
func (b *browser) addPasskey(key *authenticator.Key, name string) store.Passkey {
	b.w.T.Helper()
	c := b.options("/account/passkeys")
	b.post("/account/passkeys", "state", c.State, "attestation", key.Create(c.PublicKey), "name", name).
		wantRedirect(b.w.T, "/_auth/account/passkeys")
	list := b.w.passkeys(b.w.ada)
	return list[len(list)-1]
}

func (w *world) passkeys(u store.User) []store.Passkey {
	w.T.Helper()
	list, err := w.Store.Passkeys(w.T.Context(), u.ID)
	if err != nil {
		w.T.Fatal(err)
	}
	return list
}

// use proves a key at an address.
func (b *browser) use(key *authenticator.Key, options, path string, pairs ...string) answer {
	b.w.T.Helper()
	c := b.options(options)
	return b.post(path, append([]string{"state", c.State, "assertion", key.Get(c.PublicKey)}, pairs...)...)
}

// session returns the session of the browser.
func (b *browser) session() store.Session {
	b.w.T.Helper()
	s, _, err := b.w.Store.SessionByToken(b.w.T.Context(), store.HashToken(b.token()))
	if err != nil {
		b.w.T.Fatal(err)
	}
	return s
}

func (w *world) audited(action string) (details []map[string]string) {
	w.T.Helper()
	for _, e := range w.Events(action) {
		details = append(details, e.Details)
	}
	return details
}

// withPasskey is a world in which ada has a passkey.
func withPasskey(t testing.TB, change ...func(*config)) (*world, *authenticator.Key, store.Passkey) {
	t.Helper()
	w := newWorld(t, change...)
	key := authenticator.New(origin)
	return w, key, w.browser().signIn("ada", adaPass).addPasskey(key, "Laptop")
}

// A passkey that verifies its user is two factors: it signs in alone, in every state of the other factors, and leads where
// a password would have led.
func TestAPasskeySignsInAloneWithoutASecondStep(t *testing.T) {
	t.Parallel()
	w, key, _ := withPasskey(t)
	for name, prepare := range map[string]func(){
		"no other factor": func() {}, "an app": func() { w.addApp(w.ada) },
		"demanded": func() { w.Login.Second.Mode = login.MFARequired },
		"locked codes": func() {
			err := w.Store.Change(t.Context(), func(tx store.Tx) error {
				return tx.SetFactors(t.Context(), w.ada.ID, store.Factors{Failures: store.MaxMFAFailures})
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		prepare()
		b := w.browser()
		b.use(key, "/login/passkey", "/login/passkey", "rt", "/reports?year=1", "remember", "1").wantRedirect(t, "/reports?year=1")
		s := b.session()
		if !b.signedIn() || s.Methods != "pop user mfa" || !s.MFAAt.Equal(w.Clock.Now()) || !s.Remember || s.Method != "passkey" {
			t.Errorf("%s: %+v", name, s)
		}
		if w.User(w.ada.ID).Factors.Locked() {
			t.Errorf("%s: codes stay locked", name)
		}
		b.post("/logout")
	}
	signedIn := func(e map[string]string) bool { return e["methods"] == "pop user mfa" && e["method"] == "passkey" }
	if e := w.audited("session.sign_in"); !slices.ContainsFunc(e, signedIn) {
		t.Errorf("audited as %v", e)
	}
}

// Everything that is wrong with a passkey has one answer; only a good one learns that the account is off.
func TestARefusedPasskeyHasOneAnswer(t *testing.T) {
	t.Parallel()
	w, key, k := withPasskey(t)
	unknown, touch := authenticator.New(origin), authenticator.New(origin)
	unknown.Handle = key.Handle
	touch.Flags = authenticator.UserPresent
	w.browser().signIn("ada", adaPass).addPasskey(touch, "Touch")
	touch.Flags |= authenticator.UserVerified // a PIN that somebody has set on it since
	liar := *key
	liar.Origin = "https://evil.example.test"
	first := ""
	same := func(name string, a answer) {
		t.Helper()
		a.want(t, 401, "The passkey was not accepted")
		if strings.Contains(a.body, "data-autofill") {
			t.Errorf("%s: autofill would offer it again", name)
		}
		if first == "" {
			first = withoutNonce(a.body)
		} else if withoutNonce(a.body) != first {
			t.Errorf("%s: another page", name)
		}
	}
	b := w.browser()
	c := b.options("/login/passkey")
	good := key.Get(c.PublicKey)
	same("somebody else's browser", w.browser().post("/login/passkey", "state", c.State, "assertion", good))
	same("an unknown key", b.use(unknown, "/login/passkey", "/login/passkey"))
	same("a key that did not verify its user when it was made", b.use(touch, "/login/passkey", "/login/passkey"))
	same("another origin", b.use(&liar, "/login/passkey", "/login/passkey"))
	same("nothing", b.post("/login/passkey"))
	same("no state", b.post("/login/passkey", "assertion", good))
	b.post("/login/passkey", "state", c.State, "assertion", good).wantRedirect(t, "/")
	same("once more", w.with(b.cookies).post("/login/passkey", "state", c.State, "assertion", good))
	late := w.browser()
	c = late.options("/login/passkey")
	w.Clock.Advance(10 * time.Minute)
	same("too late", late.post("/login/passkey", "state", c.State, "assertion", key.Get(c.PublicKey)))
	w.Edit(w.ada.ID, func(u *store.User) { u.Active = false })
	w.browser().use(key, "/login/passkey", "/login/passkey").want(t, 403, "turned off")
	same("an unknown key, of an account that is off", w.browser().use(unknown, "/login/passkey", "/login/passkey"))
	after := w.passkeys(w.ada)
	if !slices.ContainsFunc(after, func(p store.Passkey) bool { return p.ID == k.ID && p.LastUsedAt.After(k.LastUsedAt) }) {
		t.Errorf("the passkeys are %+v, and one was used once", after)
	}
}

// with returns a browser with some cookies, but no session.
func (w *world) with(cookies map[string]string) *browser {
	b := w.browser()
	for name, value := range cookies {
		if strings.Contains(name, "ceremony") {
			b.cookies[name] = value
		}
	}
	return b
}

func withoutNonce(body string) string {
	for {
		i := strings.Index(body, `nonce="`)
		if i < 0 {
			return body
		}
		end := strings.IndexByte(body[i+7:], '"')
		body = body[:i] + body[i+7+end+1:]
	}
}

// Whoever looks at the sign-in page, or begins a ceremony on it, writes nothing, and learns nothing about anybody.
func TestOptionsSayNothingAndStoreNothing(t *testing.T) {
	t.Parallel()
	w, _, _ := withPasskey(t)
	empty := newWorld(t)
	before, bare := w.AllEvents(), func(w *world) string {
		var c ceremony
		var m map[string]any
		w.browser().post("/login/passkey/options").want(t, 200).json(t, &c)
		if err := json.Unmarshal(c.PublicKey, &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "challenge")
		out, err := json.Marshal(m)
		return string(out) + fmt.Sprint(err)
	}
	if a, b := bare(w), bare(empty); a != b {
		t.Errorf("%s and %s", a, b)
	}
	if after := w.AllEvents(); len(after) != len(before) {
		t.Errorf("%d events were %d", len(after), len(before))
	}
	for _, site := range []string{"cross-site", "same-site"} {
		b := w.browser()
		b.header.Set("Sec-Fetch-Site", site)
		for _, path := range []string{"/login/passkey", "/login/verify", "/reauth", "/account/passkeys", "/login/enrol/passkey"} {
			b.post(path+"/options").wantProblem(t, 403, "cross-site")
		}
	}
	w.browser().post("/login/verify/options").wantProblem(t, 401, "start-again")
	w.browser().post("/login/enrol/passkey/options").wantProblem(t, 401, "start-again")
	w.browser().post("/account/passkeys/options").wantProblem(t, 401, "unauthorized")
}

// After a password a touch is enough, and a passkey never changes how a password signs in unless that was asked for.
func TestAPasskeyAsTheSecondStep(t *testing.T) {
	t.Parallel()
	w, key, _ := withPasskey(t)
	w.browser().signIn("ada", adaPass) // the switch is off
	w.Login.Second.Mode = login.MFARequired
	key.Flags &^= authenticator.UserVerified
	b := w.half("rt", "/x")
	b.get("/login/verify").want(t, 200, `data-options="/_auth/login/verify/options"`, `action="/_auth/login/verify/passkey"`)
	other := authenticator.New(origin)
	other.Handle = key.Handle
	b.use(other, "/login/verify", "/login/verify/passkey").want(t, 401, "The passkey was not accepted", "as ada")
	b.use(key, "/login/passkey", "/login/verify/passkey").want(t, 401) // state of another ceremony
	b.use(key, "/login/verify", "/login/verify/passkey").wantRedirect(t, "/x")
	if s := b.session(); !b.signedIn() || s.Methods != "pwd pop mfa" || !s.MFAAt.Equal(w.Clock.Now()) {
		t.Errorf("%+v", s)
	}
	if e := w.audited("mfa.fail"); len(e) != 2 || e[0]["method"] != "passkey" {
		t.Errorf("audited %v", e)
	}
	a := w.half()
	c := a.options("/login/verify")
	w.half().post("/login/verify/passkey", "state", c.State, "assertion", key.Get(c.PublicKey)).want(t, 401)
}

// That an authenticator verifies its user is believed from a sign-in with a password on, or a step-up: a PIN that a thief
// has set on a key that had none opens nothing by itself.
func TestUserVerificationIsBelievedAfterAnotherFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := authenticator.New(origin)
	key.Flags = authenticator.UserPresent
	signedIn := w.browser().signIn("ada", adaPass)
	signedIn.addPasskey(key, "Touch")
	key.Flags |= authenticator.UserVerified
	w.browser().use(key, "/login/passkey", "/login/passkey").want(t, 401)
	if w.passkeys(w.ada)[0].UserVerified {
		t.Fatal("a refused sign-in has turned it on")
	}
	w.Login.Second.Mode = login.MFARequired
	w.half().use2(key).wantRedirect(t, "/")
	if !w.passkeys(w.ada)[0].UserVerified {
		t.Error("a sign-in with the password has not turned it on")
	}
	w.browser().use(key, "/login/passkey", "/login/passkey").wantRedirect(t, "/")
	if e := w.audited("passkey.flags"); len(e) != 1 || e[0]["turned_on"] != "user_verified" {
		t.Errorf("audited %v", e)
	}
}

func (b *browser) use2(key *authenticator.Key) answer {
	return b.use(key, "/login/verify", "/login/verify/passkey")
}

// What a synced passkey or a copied key says of itself is kept, and audited, and keeps nobody out.
func TestFlagsAndCountersAreAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := authenticator.New(origin)
	key.Counter = 7
	w.browser().signIn("ada", adaPass).addPasskey(key, "Key")
	in := func() {
		t.Helper()
		w.browser().use(key, "/login/passkey", "/login/passkey").wantRedirect(t, "/")
	}
	for _, key.Counter = range []uint32{8, 3, 4, 5, 6} {
		in()
	}
	if e := w.audited("passkey.counter"); len(e) != 1 || e[0]["before"] != "8" || e[0]["now"] != "3" || !w.passkeys(w.ada)[0].CounterBack {
		t.Errorf("audited %v", e)
	}
	w.browser().signIn("ada", adaPass).get("/account/passkeys").want(t, 200, "there may be a copy")
	key.Flags |= authenticator.BackupEligible | authenticator.BackedUp
	in()
	if e := w.audited("passkey.flags"); len(e) != 1 || e[0]["turned_on"] != "backup_eligible" || !w.passkeys(w.ada)[0].BackedUp {
		t.Errorf("audited %v", e)
	}
	key.Flags &^= authenticator.BackupEligible | authenticator.BackedUp
	w.browser().use(key, "/login/passkey", "/login/passkey").want(t, 401)
}

func TestAStepUpWithAPasskey(t *testing.T) {
	t.Parallel()
	w, key, _ := withPasskey(t)
	b := w.browser().signIn("ada", adaPass)
	w.Clock.Advance(time.Hour)
	b.post("/account/passkeys/options").wantProblem(t, 403, "reauth-required")
	b.get("/account/passkeys").want(t, 200, "/_auth/reauth?")
	b.get("/reauth").want(t, 200, `data-options="/_auth/reauth/options"`)
	before := b.token()
	other := authenticator.New(origin)
	other.Handle = key.Handle
	b.use(other, "/reauth", "/reauth").want(t, 401, "The passkey was not accepted")
	b.use(key, "/reauth", "/reauth", "rt", "/x").wantRedirect(t, "/x")
	s := b.session()
	if b.token() == before || s.Methods != "pwd pop user mfa" || !s.MFAAt.Equal(w.Clock.Now()) || !s.AuthAt.Equal(w.Clock.Now()) {
		t.Errorf("%+v", s)
	}
	b.options("/account/passkeys")
}

// Making one is proof of it for this session, and for no other.
func TestPasskeysAreKeptByTheirOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elsewhere := w.browser().signIn("ada", adaPass)
	b, key := w.browser().signIn("ada", adaPass), authenticator.New(origin)
	b.get("/account/passkeys").want(t, 200, "You have no passkeys", `data-passkey="create"`)
	c := b.options("/account/passkeys")
	made := key.Create(c.PublicKey)
	b.post("/account/passkeys", "state", c.State, "attestation", made, "name", strings.Repeat("x", 65)).want(t, 422)
	b.post("/account/passkeys", "state", "x", "attestation", made).want(t, 422, "The passkey was not accepted")
	b.post("/account/passkeys", "state", c.State, "attestation", made).wantRedirect(t, "/_auth/account/passkeys")
	b.post("/account/passkeys", "state", c.State, "attestation", made).want(t, 422)
	k := w.passkeys(w.ada)[0]
	b.get("/account/passkeys").want(t, 200, "This device, 2026-03", "Signs in by itself", "On one device only", host, "never")
	levels := map[string]assurance.Level{}
	for name, who := range map[string]*browser{"here": b, "elsewhere": elsewhere} {
		levels[name] = assurance.Methods(who.session().Methods).Level()
	}
	if levels["here"] != assurance.PhishingResistant || levels["elsewhere"] != assurance.One {
		t.Errorf("levels %v", levels)
	}
	root := w.browser().signIn("root", rootPass)
	c = root.options("/account/passkeys")
	thief := authenticator.New(origin)
	thief.ID = key.ID
	root.post("/account/passkeys", "state", c.State, "attestation", thief.Create(c.PublicKey)).want(t, 422, "registered already")
	for _, path := range []string{"/rename", "/remove"} {
		root.get("/account/passkeys/"+k.ID+path).want(t, 404)
		root.post("/account/passkeys/"+k.ID+path, "name", "x").want(t, 404)
	}
	b.get("/account/passkeys/"+k.ID+"/rename").want(t, 200, `value="This device, 2026-03"`)
	b.post("/account/passkeys/"+k.ID+"/rename", "name", " ").want(t, 422, "Give it a name")
	b.post("/account/passkeys/"+k.ID+"/rename", "name", " Büro <b> ").wantRedirect(t, "/_auth/account/passkeys")
	b.get("/account/passkeys/"+k.ID+"/remove").want(t, 200, "Büro &lt;b&gt;", "password manager")
	a := b.post("/account/passkeys/"+k.ID+"/remove").wantRedirect(t, "/_auth/account/passkeys?removed="+k.ID)
	next := strings.TrimPrefix(a.location(), prefix)
	b.get(next).want(t, 200, `data-passkey-removed="`+k.CredentialID+`" data-rp="`+host+`"`)
	if again := b.get(next).want(t, 200); strings.Contains(again.body, "data-passkey-removed") {
		t.Error("the signal is sent again")
	}
	if s := b.session(); strings.Contains(s.Methods, "pop") {
		t.Errorf("a session has still proved it: %q", s.Methods)
	}
	for _, action := range []string{"passkey.add", "passkey.rename", "passkey.remove"} {
		if e := w.audited(action); len(e) == 0 || e[0]["passkey"] != k.ID {
			t.Errorf("%s: %v", action, e)
		}
	}
}
