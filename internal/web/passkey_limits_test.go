package web_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The last second factor of who has to have one stays, and so does the last way in.
func TestTheLastPasskeyStaysWhereItIsNeeded(t *testing.T) {
	t.Parallel()
	w, key, k := withPasskey(t)
	b := w.browser().signIn("ada", adaPass)
	b.use(key, "/reauth", "/reauth").wantRedirect(t, "/_auth/account")
	w.Login.Second.Mode = login.MFARequired
	b.post("/account/passkeys/"+k.ID+"/remove").want(t, 403)
	w.Login.Second.Mode = login.MFAOptional
	change := store.PasswordChange{At: w.Clock.Now()}
	if err := w.Store.Change(t.Context(), func(tx store.Tx) error { return tx.SetPassword(t.Context(), w.ada.ID, change) }); err != nil {
		t.Fatal(err)
	}
	b.post("/account/passkeys/"+k.ID+"/remove").want(t, 403, "only way to sign in")
	if len(w.passkeys(w.ada)) != 1 {
		t.Error("it is gone")
	}
}

func TestAPasskeyMadeInASignIn(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t), authenticator.New(origin)
	w.Login.Second.Mode, w.Login.Second.GraceSet = login.MFARequired, true
	b := w.browser()
	b.post("/login", "username", "ada", "password", adaPass, "rt", "/x").wantRedirect(t, "/_auth/login/enrol")
	b.get("/login/enrol").want(t, 200, `data-passkey="create"`, `data-options="/_auth/login/enrol/passkey/options"`)
	c := b.options("/login/enrol/passkey")
	b.post("/login/enrol/passkey", "state", "x", "attestation", key.Create(c.PublicKey)).want(t, 422, "The passkey was not accepted")
	b.post("/login/enrol/passkey", "state", c.State, "attestation", key.Create(c.PublicKey), "name", "Phone").
		want(t, 200, "recovery", `href="/x"`)
	if s := b.session(); !b.signedIn() || s.Methods != "pwd pop user mfa" {
		t.Errorf("%+v", s)
	}
	codes, err := w.Store.RecoveryCodes(t.Context(), w.ada.ID)
	if err != nil || codes.Left == 0 || w.passkeys(w.ada)[0].Name != "Phone" {
		t.Errorf("%+v, %v", codes, err)
	}
}

// A thief who sets a PIN on a key that had none, and gets in where its owner signs in without a password, has proved
// nothing that only the owner knows: the key opens nothing alone afterwards, neither by a second step nor by a step-up.
func TestUserVerificationIsNotBelievedAfterAProviderAlone(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b, key := w.browser(), authenticator.New(origin)
	key.Flags = authenticator.UserPresent
	b.viaProvider("").wantRedirect(t, "/")
	c := b.options("/account/passkeys")
	b.post("/account/passkeys", "state", c.State, "attestation", key.Create(c.PublicKey)).wantRedirect(t, "/_auth/account/passkeys")
	u, err := w.Store.User(t.Context(), b.session().UserID)
	if err != nil {
		t.Fatal(err)
	}
	key.Flags |= authenticator.UserVerified
	alone := func(when string, methods string) {
		t.Helper()
		if s := b.session(); s.Methods != methods || w.passkeys(u)[0].UserVerified {
			t.Errorf("after %s: %q, and the store believes it: %t", when, s.Methods, w.passkeys(u)[0].UserVerified)
		}
		w.browser().use(key, "/login/passkey", "/login/passkey").want(t, 401)
	}
	b.use(key, "/reauth", "/reauth").wantRedirect(t, "/_auth/account")
	alone("a step-up", "ext pop mfa")
	w.Login.Second.Mode = login.MFARequired
	b = w.browser()
	b.viaProvider("").wantRedirect(t, "/_auth/login/verify")
	b.use2(key).wantRedirect(t, "/")
	alone("a second step", "ext pop mfa")
	if e := w.world.audited("passkey.flags"); len(e) > 0 {
		t.Errorf("audited %v", e)
	}
}

// Whoever sends passkeys after the limit of an address is told to wait, and leaves no more traces than that.
func TestRefusedPasskeysBeyondTheLimitAreNotRecordedOneByOne(t *testing.T) {
	t.Parallel()
	w, key, _ := withPasskey(t)
	w.Login.Second.Mode = login.MFARequired
	const most, more = 8, 2
	b := w.half()
	w.Login.Limits.Client = most
	c := b.options("/login/verify")
	other := authenticator.New(origin)
	other.Handle = key.Handle
	status := map[int]int{}
	for range most + more {
		status[b.post("/login/verify/passkey", "state", c.State, "assertion", other.Get(c.PublicKey)).StatusCode]++
	}
	if status[429] < more || status[401]+status[429] != most+more {
		t.Errorf("answers %v", status)
	}
	if n := len(w.audited("mfa.fail")); n > status[401] || n == 0 {
		t.Errorf("%d events of %d attempts that were judged", n, status[401])
	}
}

// The cookie of before is worthless once a passkey was made in the session, which proves it: whoever has stolen it does
// not get to the level that its owner has got to.
func TestMakingAPasskeyRenewsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, add := range map[string]func(b *browser, key *authenticator.Key){
		"the page": func(b *browser, key *authenticator.Key) { b.addPasskey(key, "Laptop") },
		"the API": func(b *browser, key *authenticator.Key) {
			var c ceremony
			b.json("POST", "/api/v1/me/passkeys", "{}").want(t, 200).json(t, &c)
			body, err := json.Marshal(map[string]string{"state": c.State, "attestation": key.Create(c.PublicKey)})
			if err != nil {
				t.Fatal(err)
			}
			b.json("POST", "/api/v1/me/passkeys", string(body)).want(t, 201)
		},
	} {
		b, thief := w.browser().signIn("ada", adaPass), w.browser()
		for cookie, value := range b.cookies {
			thief.cookies[cookie] = value
		}
		w.Clock.Advance(time.Minute)
		add(b, authenticator.New(origin))
		if !b.signedIn() || thief.signedIn() {
			t.Errorf("%s: the owner is signed in: %t, the thief: %t", name, b.signedIn(), thief.signedIn())
		}
		if s := b.session(); s.Methods != "pwd pop user mfa" || !s.MFAAt.Equal(w.Clock.Now()) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// Whoever has got hold of a one-time link gets no further than the second factor, also where that is younger than the
// link. It signs in alone again once it was used beside the password that was set.
func TestALinkDoesNotGetAroundAPasskeyThatIsYounger(t *testing.T) {
	t.Parallel()
	w, second := newWorld(t), "another long passphrase"
	link, err := w.Accounts.ResetPassword(t.Context(), account.Actor{Kind: account.CommandLine}, w.ada.ID, account.Reset{})
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Minute)
	b, key := w.browser().signIn("ada", adaPass), authenticator.New(origin)
	b.addPasskey(key, "Laptop")
	b.json("PATCH", "/api/v1/me/factors", `{"ask_second_factor": true}`).want(t, 200)
	holder := w.browser()
	holder.get("/link/"+link.Token).wantRedirect(t, "/_auth/welcome")
	holder.post("/welcome", "password", second).wantRedirect(t, "/_auth/login/verify")
	if holder.signedIn() {
		t.Error("the holder of the link is signed in")
	}
	w.browser().use(key, "/login/passkey", "/login/passkey").want(t, 401)
	holder.use2(key).wantRedirect(t, "/")
	w.browser().use(key, "/login/passkey", "/login/passkey").wantRedirect(t, "/")
}

// Of several passkeys one was lost: sessions that were raised by a passkey may rest on that one, and lose what it gave
// them. The one that removes it goes on, and so does what an app has proved.
func TestRemovingOneOfSeveralPasskeysLowersOtherSessions(t *testing.T) {
	t.Parallel()
	w, key, lost := withPasskey(t)
	b, other := w.browser().signIn("ada", adaPass), authenticator.New(origin)
	b.addPasskey(other, "Phone")
	alone, finder, raised := w.browser(), w.browser(), w.browser().signIn("ada", adaPass)
	alone.use(other, "/login/passkey", "/login/passkey").wantRedirect(t, "/")
	finder.use(key, "/login/passkey", "/login/passkey").wantRedirect(t, "/")
	raised.use(other, "/reauth", "/reauth")
	phone, _ := w.addApp(w.ada)
	coded := w.signInWith(phone)
	coded.use(key, "/reauth", "/reauth")
	b.use(other, "/reauth", "/reauth")
	b.post("/account/passkeys/"+lost.ID+"/remove").wantRedirect(t, "/_auth/account/passkeys?removed="+lost.ID)
	for _, c := range []struct {
		name, want string
		who        *browser
		proved     bool
	}{
		{"by the one that is left", "", alone, false},
		{"by the one that is gone", "", finder, false},
		{"with a password before", "pwd", raised, false},
		{"with a code before", "pwd otp mfa", coded, true},
		{"here", "pwd pop user mfa", b, true},
	} {
		if s := c.who.session(); s.Methods != c.want || s.MFAAt.IsZero() == c.proved || !c.who.signedIn() {
			t.Errorf("%s: %q, proved at %v", c.name, s.Methods, s.MFAAt)
		}
	}
}
