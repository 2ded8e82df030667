package caddyauth_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

const signedHeader = "Gatehouse-Assertion"

// publicKeys reads the keys as an app does: without a session, at the address of a site.
func (s *caddyServer) publicKeys() (set jose.JSONWebKeySet) {
	s.t.Helper()
	a := s.browser().fetch("/_auth/jwks.json")
	if a.StatusCode != 200 {
		s.t.Fatalf("the keys: %d %s", a.StatusCode, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &set); err != nil {
		s.t.Fatal(err)
	}
	return set
}

// verify verifies an assertion as an app of an origin does, and returns its claims.
func (s *caddyServer) verify(text, issuer, audience string) (map[string]any, error) {
	s.t.Helper()
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, err
	}
	var known jwt.Claims
	var all map[string]any
	if err := parsed.Claims(s.publicKeys(), &known, &all); err != nil {
		return nil, err
	}
	return all, known.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()}, time.Second)
}

// asserted asks for a page of the app, and returns what it gets as proof.
func (b *browser) asserted(path string) string {
	b.t.Helper()
	if !b.reaches(path) {
		b.t.Fatalf("%s is closed", path)
	}
	values := b.s.up.last().Header.Values(signedHeader)
	if len(values) > 1 {
		b.t.Fatalf("the app got %d assertions", len(values))
	}
	return strings.Join(values, "")
}

// claimed is asserted, verified for the site's own origin.
func (b *browser) claimed(path string) map[string]any {
	b.t.Helper()
	claims, err := b.s.verify(b.asserted(path), "http://"+b.s.addr, "http://"+b.s.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	return claims
}

// person creates an account and returns its id.
func person(t *testing.T, root *browser, f fields) string {
	t.Helper()
	a := root.api("POST", "users", f)
	if a.StatusCode != 201 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	id, _ := a.json(t)["id"].(string)
	return id
}

func TestAnAppGetsASignedIdentityThatItCanVerify(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tassertion\n}")
	root := s.browser()
	root.signIn(adminName, adminPass)
	id := person(t, root, fields{"username": "ada", "password": otherPass, "email": "ada@example.com", "name": "Ada <L>", "groups": []string{"staff", "a.b"}})
	b := s.browser()
	before := time.Now().Unix()
	b.signIn("ada", otherPass)
	got := b.claimed("/x")
	after := time.Now().Unix()
	number := func(name string) int64 { f, _ := got[name].(float64); return int64(f) }
	if iat := number("iat"); iat < before || iat > after || number("nbf") != iat || number("exp") < iat+300 || number("exp") > iat+301 ||
		number("auth_time") < before || number("auth_time") > iat {
		t.Errorf("the times are %v", got)
	}
	if jti, _ := got["jti"].(string); len(jti) < 20 {
		t.Errorf("jti %q", jti)
	}
	sid, _ := got["sid"].(string)
	if sid == "" || sid == b.cookie() || strings.Contains(b.api("GET", "session", nil).body, sid) {
		t.Errorf("sid %q", sid)
	}
	for _, name := range []string{"iat", "nbf", "exp", "auth_time", "jti", "sid"} {
		delete(got, name)
	}
	origin := "http://" + s.addr
	want := map[string]any{
		"iss": origin, "aud": origin, "sub": id, "preferred_username": "ada", "email": "ada@example.com", "email_verified": true, "name": "Ada <L>",
		"groups": []any{"a.b", "staff"}, "role": "user",
		"amr": []any{"pwd"}, "acr": "aal1",
	}
	if g, w := jsonText(t, got), jsonText(t, want); g != w {
		t.Errorf("the app is told\n%s, want\n%s", g, w)
	}
	// Who has no groups has a list of none, and no address that others could have, too.
	rest := root.claimed("/")
	if g := jsonText(t, rest["groups"]); g != "[]" || rest["role"] != "admin" {
		t.Errorf("the administrator: %v", rest)
	}
	if _, found := rest["email"]; found || rest["email_verified"] != false {
		t.Errorf("without an address: %v", rest)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The keys are for anybody, on every site with a gate, for five minutes.
func TestTheKeysArePublicAndMayBeCached(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\trequire role admin\n}")
	for _, method := range []string{"GET", "HEAD"} {
		b := s.browser()
		a := b.do(b.request(method, "/_auth/jwks.json", nil))
		if a.StatusCode != 200 || a.Header.Get("Cache-Control") != "max-age=300" || a.Header.Get("Content-Type") != "application/jwk-set+json" ||
			a.Header.Get("Set-Cookie") != "" || (a.body == "") != (method == "HEAD") {
			t.Errorf("%s: %d %v %s", method, a.StatusCode, a.Header, a.body)
		}
	}
	if a := s.browser().post("/_auth/jwks.json"); a.StatusCode != 405 {
		t.Errorf("POST: %d", a.StatusCode)
	}
	set := s.publicKeys()
	if len(set.Keys) != 1 || !set.Keys[0].IsPublic() || set.Keys[0].Algorithm != "ES256" || set.Keys[0].Use != "sig" {
		t.Errorf("the keys are %+v", set)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if again := s.publicKeys(); again.Keys[0].KeyID != set.Keys[0].KeyID {
		t.Error("a reload made another key")
	}
}

// Who is nobody gets none, and none that a client has made up or copied; whoever is known gets their own.
func TestNoClientSendsAnAssertionToTheApp(t *testing.T) {
	site := "handle /beside/* {\n\treverse_proxy UPSTREAM\n}\nhandle /broken {\n\terror 500\n}\nhandle {\n\tGATE\n\treverse_proxy UPSTREAM\n}\nhandle_errors {\n\treverse_proxy UPSTREAM\n}"
	common := "public /public/*\n\toptional /open/*\n\tapi /api/*\n\tallow_preflight"
	for option, name := range map[string]string{"": signedHeader, "assertion": signedHeader, "assertion X-Proof-Of {\n\tlifetime 10s\n}": "X-Proof-Of"} {
		s := startAdmin(t, strings.Replace(site, "GATE", "gatehouse {\n"+common+"\n"+option+"\n}", 1))
		b := s.browser()
		b.signIn(adminName, adminPass)
		b.reaches("/x")
		own := s.up.last().Header.Get(name)
		if (own == "") != (option == "") {
			t.Fatalf("%q: the app gets %q", option, own)
		}
		for _, c := range []struct {
			method, path string
			signedIn     bool
			proof        bool // the app gets one for whoever asks
		}{
			{"GET", "/public/x", false, false},
			{"GET", "/public/x", true, false},
			{"GET", "/open/x", false, false},
			{"GET", "/open/x", true, true},
			{"GET", "/api/x", true, true},
			{"GET", "/x//y", true, true},
			{"OPTIONS", "/x", false, false},
			{"GET", "/beside/x", false, false},
			{"GET", "/beside/x", true, false},
			{"GET", "/broken", false, false},
			{"GET", "/broken", true, false},
		} {
			who := s.browser()
			if c.signedIn {
				who = b
			}
			before := s.up.count()
			r := who.request(c.method, c.path, nil, "Origin", "http://x.test", "Access-Control-Request-Method", "GET", "Connection", "close, "+name)
			for _, forged := range []string{"forged", own} {
				for _, spelling := range []string{name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.ToUpper(strings.ReplaceAll(name, "-", "_")), strings.ReplaceAll(name, "-", "."), "-" + name} {
					r.Header[spelling] = append(r.Header[spelling], forged)
				}
			}
			who.do(r)
			if s.up.count() != before+1 {
				t.Fatalf("%q %s %s: the app was asked %d times", option, c.method, c.path, s.up.count()-before)
			}
			var got []string
			for name, values := range s.up.last().Header {
				for _, v := range values {
					if v == "forged" || strings.Count(v, ".") == 2 && strings.HasPrefix(v, "eyJ") {
						got = append(got, name+": "+v)
					}
				}
			}
			want := []string(nil)
			if c.proof && option != "" {
				want = []string{name + ": " + own} // which is theirs: it was signed a moment ago
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q %s %s, signed in: %v: the app got %v", option, c.method, c.path, c.signedIn, got)
			}
		}
	}
}

// What is said is true when it is said: a change of role or groups, another person in the same browser, a new sign-in.
func TestAnAssertionIsNeverThatOfBefore(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tassertion {\n\t\tlifetime 1h\n\t}\n}")
	root := s.browser()
	root.signIn(adminName, adminPass)
	id := person(t, root, fields{"username": "ada", "password": otherPass, "role": "admin"})
	b := s.browser()
	b.signIn("ada", otherPass)
	first := b.asserted("/")
	if again := b.asserted("/other"); again != first {
		t.Error("a session that has not changed is signed again")
	}
	sid := b.claimed("/")["sid"]
	for _, c := range []struct {
		change fields
		claim  string
		want   any
	}{
		{fields{"role": "user"}, "role", "user"},
		{fields{"groups": []string{"staff"}}, "groups", []any{"staff"}},
		{fields{"groups": []string{}}, "groups", []any{}},
		{fields{"email": "ada@example.com"}, "email", "ada@example.com"},
		{fields{"name": "Ada"}, "name", "Ada"},
		{fields{"role": "admin"}, "role", "admin"},
	} {
		if a := root.api("PATCH", "users/"+id, c.change); a.StatusCode != 200 {
			t.Fatalf("%v: %d %s", c.change, a.StatusCode, a.body)
		}
		if got := b.claimed("/"); jsonText(t, got[c.claim]) != jsonText(t, c.want) || got["sid"] != sid {
			t.Errorf("after %v: %v", c.change, got)
		}
	}
	b.signIn(adminName, adminPass) // somebody else, in the same browser
	if got := b.claimed("/"); got["preferred_username"] != adminName || got["sid"] == sid {
		t.Errorf("after another sign-in: %v", got)
	}
	token := b.cookie()
	b.post("/_auth/logout")
	b.setCookie(token)
	if b.reaches("/") {
		t.Error("after the sign-out the app is reached")
	}
	b.signIn("ada", otherPass)
	if got := b.claimed("/"); got["sub"] != id || got["sid"] == sid {
		t.Errorf("after a new sign-in: %v", got)
	}
}

// Several directives on one request add up; of two for one header the last one counts.
func TestAssertionsOfSeveralDirectivesAddUp(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tassertion {\n\t\taudience one\n\t}\n\theader X-A user\n}\ngatehouse /two/* {\n\tassertion X-Two {\n\t\taudience two\n\t}\n}\n"+
		"gatehouse /three/* {\n\theader X-C user\n}\ngatehouse /four/* {\n\tassertion {\n\t\taudience four\n\t\tclaims email\n\t}\n}")
	b := s.browser()
	b.signIn(adminName, adminPass)
	for path, want := range map[string]map[string]string{
		"/x":       {signedHeader: "one"},
		"/two/x":   {signedHeader: "one", "X-Two": "two"},
		"/three/x": {signedHeader: "one"},
		"/four/x":  {signedHeader: "four"},
	} {
		if !b.reaches(path) {
			t.Fatal(path)
		}
		h := s.up.last().Header
		for _, name := range []string{signedHeader, "X-Two"} {
			audience, expected := want[name]
			if (h.Get(name) != "") != expected {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
				continue
			}
			if !expected {
				continue
			}
			claims, err := s.verify(h.Get(name), "http://"+s.addr, audience)
			if err != nil {
				t.Errorf("%s: %s: %v", path, name, err)
			}
			if _, found := claims["preferred_username"]; found == (path == "/four/x") {
				t.Errorf("%s: %s has %v", path, name, claims)
			}
		}
	}
}

// The app is told what the directive says, and of a provider's person what the provider has proved.
func TestAnAssertionSaysWhatTheDirectiveChose(t *testing.T) {
	idp := provider.New(t)
	idp.SetClaim("groups", []string{"app-dev", "staff", "cn=x,ou=y"})
	idp.SetClaim("email", "ada@example.com")
	always := []string{"aud", "exp", "iat", "iss", "jti", "nbf", "sub"}
	for _, c := range []struct {
		lines    string
		verified bool
		names    []string
		check    map[string]string
	}{
		{
			"assertion", true,
			[]string{"acr", "amr", "auth_time", "email", "email_verified", "groups", "name", "preferred_username", "role", "sid"},
			map[string]string{"amr": `["ext"]`, "acr": `"aal1"`, "email": `"ada@example.com"`, "email_verified": "true", "groups": `["app-dev","cn=x,ou=y","staff"]`},
		},
		{"assertion {\n claims email\n}", true, []string{"email", "email_verified"}, map[string]string{"email_verified": "true"}},
		{"assertion {\n claims email\n}", false, []string{"email_verified"}, map[string]string{"email_verified": "false"}},
		{"assertion {\n claims groups name\n}\nsend_groups_prefix app-", true, []string{"groups", "name"}, map[string]string{"groups": `["app-dev"]`}},
		{"assertion {\n claims groups\n}\nsend_groups nobody", true, []string{"groups"}, map[string]string{"groups": "[]"}},
		{"assertion {\n claims sid amr role auth_time preferred_username\n}", true, []string{"amr", "auth_time", "preferred_username", "role", "sid"}, nil},
	} {
		idp.SetClaim("email_verified", c.verified)
		s := startOIDC(t, idp, "", "gatehouse {\n"+c.lines+"\n}")
		b := s.browser()
		if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", c.lines, a.StatusCode, a.body)
		}
		got := b.claimed("/x")
		want := append(slices.Clone(always), c.names...)
		slices.Sort(want)
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
			t.Errorf("%s: the claims are %v, want %v", c.lines, names, want)
		}
		for name, value := range c.check {
			if g := jsonText(t, got[name]); g != value {
				t.Errorf("%s: %s is %s, want %s", c.lines, name, g, value)
			}
		}
	}
}

// An assertion says nothing about the time after its session.
func TestAnAssertionEndsWithItsSession(t *testing.T) {
	for lines, longest := range map[string]time.Duration{
		"absolute 1m":            time.Minute,
		"idle 30s\nabsolute 10m": 30 * time.Second,
		"idle 2h\nabsolute 3h":   time.Hour,
	} {
		s := startAdmin(t, "gatehouse {\n\tassertion {\n\t\tlifetime 1h\n\t}\n}", withGlobal("session {\n"+lines+"\n}"))
		b := s.browser()
		b.signIn(adminName, adminPass)
		got := b.claimed("/")
		life := time.Unix(int64(got["exp"].(float64)), 0).Sub(time.Unix(int64(got["iat"].(float64)), 0))
		if life > longest+time.Second || life < longest-20*time.Second {
			t.Errorf("%q: an assertion lives for %v", lines, life)
		}
	}
}
