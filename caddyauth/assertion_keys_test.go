package caddyauth_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-auth/gatehouse/internal/assertion"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

func signedBy(t *testing.T, text string) string {
	t.Helper()
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Headers[0].KeyID
}

func kidsOf(set jose.JSONWebKeySet) (list []string) {
	for _, k := range set.Keys {
		list = append(list, k.KeyID)
	}
	return list
}

// A rotation by another process reaches a running Caddy: the next key is there to be read, signs when its time has
// come, and what was signed before is good until it ends.
func TestARotationReachesARunningCaddy(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tassertion\n}")
	st := s.openStore()
	if _, err := assertion.Rotate(t.Context(), st, time.Now().Add(-100*time.Hour)); err != nil { // the first key is an old one
		t.Fatal(err)
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	first := b.asserted("/")
	// As if it had been made almost a day ago.
	r, err := assertion.Rotate(t.Context(), st, time.Now().Add(-assertion.Overlap+3*time.Second))
	if err != nil || r.Pending {
		t.Fatal(r, err)
	}
	withinASecond(t, "the next key to be published", func() bool { return slices.Contains(kidsOf(s.publicKeys()), r.Key) })
	var text string
	eventually(t, "the next key to sign", func() bool {
		text = b.asserted("/")
		return signedBy(t, text) == r.Key
	})
	if time.Now().Before(r.From) {
		t.Error("it signs before its time")
	}
	for _, good := range []string{first, text} {
		if _, err := s.verify(good, "http://"+s.addr, "http://"+s.addr); err != nil {
			t.Error(err)
		}
	}
	// A leaked key: gone from what is published and from what is signed.
	if r, err = assertion.Replace(t.Context(), st, time.Now()); err != nil {
		t.Fatal(err)
	}
	withinASecond(t, "the leaked key to be gone", func() bool {
		return slices.Equal(kidsOf(s.publicKeys()), []string{r.Key}) && signedBy(t, b.asserted("/")) == r.Key
	})
	if _, err := s.verify(text, "http://"+s.addr, "http://"+s.addr); err == nil {
		t.Error("what the leaked key has signed is still good")
	}
}

// Several Caddys publish the same keys, whichever of them made them, and whichever is asked to replace them.
func TestSeveralCaddysPublishTheSameKeys(t *testing.T) {
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			up := newUpstream(t)
			one, two := launch(t, e, up, ""), launch(t, e, up, "")
			one.wait()
			two.wait()
			kids := kidsOf(one.publicKeys())
			if len(kids) != 1 || !slices.Equal(kidsOf(two.publicKeys()), kids) {
				t.Fatalf("published %v and %v", kids, kidsOf(two.publicKeys()))
			}
			r, err := assertion.Replace(t.Context(), e.open(t), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []*node{one, two} {
				withinASecond(t, "the new key", func() bool { return slices.Equal(kidsOf(n.publicKeys()), []string{r.Key}) })
			}
		})
	}
}

// Keys that cannot be opened close the gates that need them, say what to do, and open them again when it is done.
func TestWithoutAKeyNobodyIsLetThroughUnsigned(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public\n\tassertion\n}")
	b := s.browser()
	b.signIn(adminName, adminPass)
	b.asserted("/")
	st := s.openStore()
	if err := st.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "assertion.keys", "s1.1.x") }); err != nil {
		t.Fatal(err)
	}
	withinASecond(t, "the gate to close", func() bool { return b.fetch("/").StatusCode == 503 })
	before := s.up.count()
	if a := b.page("/x"); a.StatusCode != 503 || s.up.count() != before {
		t.Errorf("%d, the app was asked: %v", a.StatusCode, s.up.count() != before)
	}
	if a := s.browser().fetch("/_auth/jwks.json"); a.StatusCode < 500 {
		t.Errorf("the keys: %d %s", a.StatusCode, a.body)
	}
	if !s.browser().reaches("/public") {
		t.Error("a public path is closed")
	}
	s.logs.waitFor(t, "rotate-keys --assertion --now")
	if _, err := assertion.Replace(t.Context(), st, time.Now()); err != nil {
		t.Fatal(err)
	}
	withinASecond(t, "the gate to open", func() bool { return b.reaches("/") })
	b.claimed("/")
}

// While the store is away, those who may go on are signed for as before; nobody else is.
func TestWithinGraceTheIdentityIsSigned(t *testing.T) {
	proxy, dsn := testenv.PostgresProxy(t)
	s := startAdmin(t, "gatehouse {\n\tassertion\n}\ngatehouse /other/* {\n\tassertion X-Other\n}", withGlobal("session {\n\tstore_grace 10s\n}"),
		func(s *caddyServer) { s.place = testenv.Place{Engine: "postgres", DSN: dsn} })
	b := s.browser()
	b.signIn(adminName, adminPass)
	kids := kidsOf(s.publicKeys())
	for try := 1; ; try++ { // on a machine that is so slow that the time is over, once more
		b.reaches("/")
		time.Sleep(time.Second) // waits: for news that confirm what was read, which come four times as often and show nowhere
		cut := time.Now()
		proxy.Cut()
		s.logs.waitFor(t, "store polling failed")
		cacheExpires(t, b)
		ok := b.reaches("/") && signedBy(t, s.up.last().Header.Get(signedHeader)) == kids[0] &&
			b.reaches("/other/x") && signedBy(t, s.up.last().Header.Get("X-Other")) == kids[0] // signed during the outage
		took := time.Since(cut)
		proxy.Heal()
		if ok {
			break
		}
		if took < 8*time.Second || try == 5 {
			t.Fatalf("%v after the store a session in use is not signed for", took)
		}
		eventually(t, "the store to be back", func() bool { return b.reaches("/") })
	}
}

// An assertion is nothing but an assertion: no session, no token, no way in anywhere.
func TestAnAssertionOpensNothing(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse {\n\tpublic /public\n\tassertion\n}")
	b := s.browser()
	if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 {
		t.Fatal(a.StatusCode)
	}
	text := b.asserted("/x")
	for what, header := range map[string][]string{
		"the header of the app":      {signedHeader, text},
		"a bearer token":             {"Authorization", "Bearer " + text},
		"a bare Authorization":       {"Authorization", text},
		"a token of ours":            {"Gatehouse-Token", text},
		"a proxy's credentials":      {"Proxy-Authorization", "Bearer " + text},
		"a session cookie":           {"Cookie", "gatehouse=" + text},
		"a secure session cookie":    {"Cookie", "__Host-gatehouse=" + text},
		"a session with a mark":      {"Cookie", "gatehouse=" + text[:51]},
		"the signature as a session": {"Cookie", "gatehouse=" + text[strings.LastIndexByte(text, '.')+1:][:43]},
		"an identity header":         {"Remote-User", text},
	} {
		for _, path := range []string{"/x", "/_auth/api/v1/session", "/_auth/api/v1/me", "/_auth/api/v1/users"} {
			before := s.up.count()
			a := s.browser().fetch(path, header...)
			if a.StatusCode != 401 && a.StatusCode != 400 || s.up.count() != before {
				t.Errorf("%s, %s: %d", what, path, a.StatusCode)
			}
		}
	}
	nobody := s.browser()
	for what, a := range map[string]response{
		"a logout token":      nobody.do(nobody.request("POST", "/_auth/oidc/test/backchannel-logout", strings.NewReader("logout_token="+text), "Content-Type", "application/x-www-form-urlencoded")),
		"a link":              nobody.page("/_auth/link/" + text),
		"a code":              nobody.page("/_auth/oidc/test/callback?state=x&code=" + text),
		"an ID token":         nobody.page("/_auth/oidc/test/callback?state=x&id_token=" + text),
		"a password":          nobody.post("/_auth/login", "username", "ada", "password", text),
		"a username":          nobody.post("/_auth/login", "username", text, "password", otherPass),
		"a hint to sign out":  nobody.post("/_auth/logout", "id_token_hint", text),
		"a session by its id": b.api("DELETE", "me/sessions/"+text, nil),
	} {
		if a.StatusCode == http.StatusOK && what != "a link" || nobody.cookie() != "" {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	if !b.reaches("/x") {
		t.Error("the session has ended")
	}
}

// Not even at a provider that publishes our keys as its own, for a client of the name that the assertion is for.
func TestAnAssertionIsNoIDToken(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "sign_alg ES256 RS256", "gatehouse {\n\tassertion {\n\t\taudience "+idp.Client.ID+"\n\t}\n}")
	b := s.browser()
	b.viaProvider("?rt=%2Fx")
	text, ours := b.asserted("/x"), s.publicKeys()
	idp.SetFaults(func(f *provider.Faults) {
		f.JWKS = func([]any) any { return ours }
		f.Token = func(response map[string]any) { response["id_token"] = text }
	})
	other := s.browser()
	other.viaProvider("?rt=%2Fx")
	if other.cookie() != "" || other.reaches("/x") {
		t.Error("an assertion signs somebody in")
	}
}

// No log of a request has an assertion that came with it: it may be good for the app of a gate in front.
func TestAnAssertionThatComesWithARequestIsInNoLog(t *testing.T) {
	s, logs := logged(t, "gatehouse {\n\tpublic /*\n\tassertion X-Proof\n}")
	b := s.browser()
	for _, name := range []string{signedHeader, "X-Proof"} {
		if a := b.fetch("/x", name, "eyJ.c4nary.x", name, "c4nary"); a.StatusCode != 200 {
			t.Fatal(a.StatusCode)
		}
		if got := s.up.last().Header.Get(name); got != "" {
			t.Errorf("the app got %q", got)
		}
	}
	b.fetch("/last")
	if all := logs("/last"); strings.Contains(all, "c4nary") || !strings.Contains(all, "X-Proof") {
		t.Errorf("a log has it: %s", all)
	}
}
