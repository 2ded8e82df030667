package caddyauth_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// The decision table: the session, the kind of request, and the response.

func TestAnonymousRequestsNeverReachTheApp(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tapi /api/*\n}")
	for name, c := range map[string]struct {
		method, path string
		header       []string
		status       int
		kind         string // "redirect", "page" or "problem"
	}{
		"a page load":                               {"GET", "/a/b?c=d&e=%2F", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, 302, "redirect"},
		"a page load without Fetch Metadata":        {"GET", "/", []string{"Accept", "text/html,*/*"}, 302, "redirect"},
		"HEAD of a page":                            {"HEAD", "/", []string{"Accept", "text/html"}, 302, "redirect"},
		"a form that a browser sends":               {"POST", "/save", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, 401, "page"},
		"a form without Fetch Metadata":             {"POST", "/save", []string{"Accept", "text/html"}, 401, "page"},
		"fetch, though it accepts HTML":             {"GET", "/", []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, 401, "problem"},
		"an image":                                  {"GET", "/x.png", []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 401, "problem"},
		"curl":                                      {"GET", "/", []string{"Accept", "*/*"}, 401, "problem"},
		"HTML with a quality, among the best":       {"GET", "/", []string{"Accept", "application/json;q=0.4, Text/HTML ; level=1;Q=0.4, */*;q=0.1"}, 302, "redirect"},
		"HTML that is not what it likes most":       {"GET", "/", []string{"Accept", "application/json, Text/HTML ; level=1;Q=0.4, */*"}, 401, "problem"},
		"HTML is what it does not want":             {"GET", "/", []string{"Accept", "*/*, text/html;q=0.0"}, 401, "problem"},
		"HTML in another type's parameter":          {"GET", "/", []string{"Accept", `application/json;profile="text/html"`}, 401, "problem"},
		"nothing but a request line":                {"GET", "/", nil, 401, "problem"},
		"PUT":                                       {"PUT", "/", nil, 401, "problem"},
		"an unknown method":                         {"FROB", "/", []string{"Accept", "text/html"}, 401, "problem"},
		"a method in lower case":                    {"get", "/", []string{"Accept", "text/html"}, 401, "problem"},
		"OPTIONS":                                   {"OPTIONS", "/", nil, 401, "problem"},
		"a preflight, which is not allowed here":    {"OPTIONS", "/", []string{"Origin", "https://x.example", "Access-Control-Request-Method", "GET"}, 401, "problem"},
		"an api path, though a browser loads it":    {"GET", "/api/x", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, 401, "problem"},
		"a WebSocket":                               {"GET", "/ws", []string{"Connection", "Upgrade", "Upgrade", "websocket", "Accept", "text/html"}, 401, "problem"},
		"a health checker's User-Agent":             {"GET", "/", []string{"User-Agent", "GoogleHC/1.0"}, 401, "problem"},
		"forwarded headers that point to elsewhere": {"GET", "/", []string{"X-Forwarded-Uri", "/public", "X-Original-Url", "/public", "X-Rewrite-Url", "/public", "X-Forwarded-Prefix", "/_auth"}, 401, "problem"},
		"a Basic password":                          {"GET", "/", []string{"Authorization", "Basic YWRtaW46Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ=="}, 401, "problem"},
		"a Bearer token":                            {"GET", "/", []string{"Authorization", "Bearer x"}, 401, "problem"},
		"a made-up cookie":                          {"GET", "/", []string{"Cookie", "gatehouse=" + strings.Repeat("A", 43)}, 401, "problem"},
		"a broken cookie":                           {"GET", "/", []string{"Cookie", "gatehouse=%00\"; gatehouse="}, 401, "problem"},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser()
			a := b.do(b.request(c.method, c.path, nil, c.header...))
			if a.StatusCode != c.status {
				t.Fatalf("status %d, want %d\n%s", a.StatusCode, c.status, a.body)
			}
			if cc := a.Header.Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control %q", cc)
			}
			if v := a.Header.Get("Vary"); v != "Cookie, Accept, Sec-Fetch-Mode, Authorization" {
				t.Errorf("Vary %q", v)
			}
			switch ct := a.Header.Get("Content-Type"); c.kind {
			case "redirect":
				want := "/_auth/login"
				if c.path != "/" {
					want += "?rt=" + url.QueryEscape(c.path)
				}
				if l := a.Header.Get("Location"); l != want && l != want+"?rt=%2F" {
					t.Errorf("Location %q, want %q", l, want)
				}
			case "page":
				if !strings.HasPrefix(ct, "text/html") || !strings.Contains(a.body, "Nothing was saved") || !strings.Contains(a.body, "/_auth/login") {
					t.Errorf("%s: %s", ct, a.body)
				}
			case "problem":
				if ct != "application/problem+json" {
					t.Fatalf("Content-Type %q", ct)
				}
				if www := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(www, "Bearer realm=") {
					t.Errorf("WWW-Authenticate %q", www)
				}
				if c.method == "HEAD" {
					return
				}
				p := a.json(t)
				for _, field := range []string{"type", "title", "detail", "login_url", "request_id"} {
					if v, _ := p[field].(string); v == "" {
						t.Errorf("the problem has no %s: %s", field, a.body)
					}
				}
				if p["status"] != 401.0 {
					t.Errorf("status in the body: %v", p["status"])
				}
			}
		})
	}
	if n := s.up.count(); n != 0 {
		t.Errorf("%d requests reached the app", n)
	}
}

func TestASignedInPersonReachesTheAppWithTheIdentity(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("admin {\n\temail root@example.com\n\tname \"Root Ä\"\n}"))
	b := s.browser()
	a := b.post("/_auth/login", "username", "admin", "password", adminPass, "rt", "/deep?x=1&y=%20")
	if a.StatusCode != 303 || a.Header.Get("Location") != "/deep?x=1&y=%20" {
		t.Fatalf("sign-in: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	r := b.request("POST", "/x", strings.NewReader("body"), "Cookie", "app=1; other=2", "Remote-User", "forged")
	if a := b.do(r); a.StatusCode != 200 {
		t.Fatalf("%d\n%s", a.StatusCode, a.body)
	}
	got := s.up.last()
	for k, want := range map[string]string{"Remote-User": "admin", "Remote-Email": "root@example.com", "Remote-Name": "Root Ä", "Remote-Role": "admin", "Remote-Groups": ""} {
		if v := got.Header[k]; len(v) != 1 || v[0] != want {
			t.Errorf("%s = %q, want %q", k, v, want)
		}
	}
	if id := got.Header.Get("Remote-Id"); len(id) != 26 {
		t.Errorf("Remote-Id %q", id)
	}
	if c := got.Header.Get("Cookie"); !strings.Contains(c, "app=1") || !strings.Contains(c, "other=2") || strings.Contains(c, "gatehouse") {
		t.Errorf("the app sees the cookies %q", c)
	}
	if got.Body != "body" || got.Method != "POST" || got.URI != "/x" {
		t.Errorf("the request was changed: %+v", got)
	}
}

// raw sends bytes and returns what comes back.
func (s *caddyServer) raw(text string) string {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, 5*time.Second)
	if err != nil {
		return "no answer: " + err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return "no answer: " + err.Error()
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "no answer: " + err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.Status + "\n" + string(body)
}

// folds reports whether an upstream may read name as want.
func folds(name, want string) bool {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
	return strings.EqualFold(strings.Trim(clean, "-"), want)
}

// On every path, public ones too, the app never sees an identity that a client sent, in any spelling.
func TestForgedIdentityNeverReachesTheApp(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public/*\n\toptional /open/*\n\theader X-Auth-User user\n}",
		withGlobal(""))
	b := s.browser()
	b.signIn(adminName, adminPass)
	spellings := []string{
		"Remote-User", "remote-user", "REMOTE_USER", "Remote.User", "Remote~User", "Remote!User", "Remote-User-", "-Remote-User",
		"_Remote_User_", "Remote_user", "X-Auth-User", "X_AUTH_USER", "x.auth.user", "X-Auth_User", "Remote-Groups", "remote_groups", "Remote-Role",
		"Remote-Email", "Remote.Name", "Remote-Id", "Proxy", "Gatehouse-Assertion", "GATEHOUSE_ASSERTION",
	}
	cookies := map[string]string{"anonymous": "", "signed in": "Cookie: gatehouse=" + b.cookie() + "\n"}
	for who, cookie := range cookies {
		for _, path := range []string{"/public/x", "/open/x", "/private/x"} {
			before := s.up.count()
			var h strings.Builder
			for _, name := range spellings {
				h.WriteString(name + ": forged\n" + name + ": twice\n")
			}
			response := s.raw("POST " + path + " HTTP/1.1\nHost: " + s.addr + "\n" + h.String() + cookie +
				"Connection: close, X-Auth-User, remote-user\nTransfer-Encoding: chunked\nTrailer: Remote-User, X_Auth_User, X-Other\n\n2\nhi\n0\nRemote-User: forged\nX_Auth_User: forged\nX-Other: forged\n\n")
			if path == "/private/x" && cookie == "" {
				if s.up.count() != before {
					t.Errorf("%s %s reached the app: %s", who, path, response)
				}
				continue
			}
			if s.up.count() != before+1 {
				t.Fatalf("%s %s did not reach the app: %s", who, path, response)
			}
			got := s.up.last()
			for _, headers := range []http.Header{got.Header, got.Trailer} {
				for name, values := range headers {
					for _, v := range values {
						if v == "forged" || v == "twice" {
							t.Errorf("%s %s: the app sees %s: %s", who, path, name, v)
						}
					}
					for _, guarded := range []string{"remote-user", "remote-groups", "remote-role"} {
						if folds(name, guarded) {
							t.Errorf("%s %s: the app sees %s, which is not sent here", who, path, name)
						}
					}
				}
			}
			want := ""
			if cookie != "" && path != "/public/x" {
				want = "admin"
			}
			if u := strings.Join(got.Header["X-Auth-User"], "|"); u != want {
				t.Errorf("%s %s: X-Auth-User %q, want %q", who, path, u, want)
			}
		}
	}
}

// An upgrade to anything but WebSocket would be a tunnel past the gate.
func TestNoTunnelOtherThanAWebSocket(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public\n}")
	s.raw("GET /public HTTP/1.1\nHost: " + s.addr + "\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n")
	got := s.up.last()
	if got.URI != "/public" || got.Header.Get("Upgrade") != "" || got.Header.Get("Http2-Settings") != "" {
		t.Errorf("the app was offered h2c: %+v", got)
	}
	if a := s.raw("GET /private HTTP/1.1\nHost: " + s.addr + "\nConnection: Upgrade\nUpgrade: h2c\n\n"); !strings.HasPrefix(a, "401") {
		t.Errorf("an upgrade request was answered %q", a)
	}
}

// End to end: what the gate considers public is what the app serves; everything ambiguous is protected.
func TestRulesDenyWithAPageThatSaysWhy(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\toptional /open\n}\ngatehouse /ops/* {\n\trequire group ops\n}\ngatehouse /admins/* {\n\trequire role admin\n\trequire user admin\n}")
	b := s.browser()
	b.signIn(adminName, adminPass)
	if !b.reaches("/") || !b.reaches("/admins/x") {
		t.Error("the rules refuse whom they admit")
	}
	a := b.page("/ops/x")
	if a.StatusCode != 403 || !strings.Contains(a.body, "ops") || !strings.Contains(a.body, "admin") {
		t.Errorf("%d\n%s", a.StatusCode, a.body)
	}
	if f := b.fetch("/ops/x"); f.StatusCode != 403 || f.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", f.StatusCode, f.Header.Get("Content-Type"))
	}
	for _, evasion := range []string{"/x/..;/ops/y", `/x\..\ops/y`, "/x%5c..%5cops/y", "/OPS/x", "//ops/x", "/%6fps/x"} {
		if r := s.raw("GET " + evasion + " HTTP/1.1\nHost: " + s.addr + "\nConnection: close\n\n"); !strings.HasPrefix(r, "401") {
			t.Errorf("%q walks around the rule: %s", evasion, r)
		}
	}
}

// A gate with a matcher guards its part; its pages and its protection from forged identity are for the whole site.
func TestUngatedPartsAreSafeFromForgedIdentity(t *testing.T) {
	s := startAdmin(t, "gatehouse /admin/*")
	b := s.browser()
	if a := b.do(b.request("GET", "/elsewhere", nil, "Remote-User", "forged", "Cookie", "gatehouse="+strings.Repeat("A", 43)+"; a=1")); a.StatusCode != 200 {
		t.Fatalf("an unguarded part answers %d", a.StatusCode)
	}
	if got := s.up.last(); got.Header.Get("Remote-User") != "" || got.Header.Get("Cookie") != "a=1" {
		t.Errorf("the app sees %v", got.Header)
	}
	if a := b.fetch("/admin/x"); a.StatusCode != 401 {
		t.Errorf("the guarded part answers %d", a.StatusCode)
	}
	if a := b.page("/_auth/login"); a.StatusCode != 200 {
		t.Errorf("the sign-in page answers %d", a.StatusCode)
	}
}

func TestPublicOptionalAndPreflight(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /health /static/*\n\toptional /blog/*\n\tallow_preflight\n}")
	anonymous, b := s.browser(), s.browser()
	b.signIn(adminName, adminPass)
	for path, identity := range map[string]string{"/health": "", "/static/x": "", "/blog/x": "admin"} {
		if !anonymous.reaches(path) {
			t.Errorf("%s is closed", path)
		}
		if u := s.up.last().Header.Get("Remote-User"); u != "" {
			t.Errorf("%s: anonymous is %q", path, u)
		}
		if !b.reaches(path) {
			t.Errorf("%s is closed to people who are signed in", path)
		}
		if u := s.up.last().Header.Get("Remote-User"); u != identity {
			t.Errorf("%s: Remote-User %q, want %q", path, u, identity)
		}
	}
	if a := anonymous.do(anonymous.request("OPTIONS", "/x", nil, "Origin", "https://x.example", "Access-Control-Request-Method", "PUT")); a.StatusCode != 200 {
		t.Errorf("a preflight was answered %d", a.StatusCode)
	}
	if a := anonymous.do(anonymous.request("OPTIONS", "/x", nil, "Origin", "https://x.example")); a.StatusCode != 401 {
		t.Errorf("OPTIONS that is no preflight was answered %d", a.StatusCode)
	}
}

func TestPlaceholdersHaveTheIdentity(t *testing.T) {
	s := startAdmin(t, `gatehouse {
		optional /who
		public /public
	}
	respond /who "[{http.auth.user.id}|{http.auth.user.role}|{http.auth.user.provider}|{http.auth.user.email}]"
	respond /public "[{http.auth.user.id}|{http.auth.user.uid}]"`)
	b := s.browser()
	if a := b.fetch("/who"); a.body != "[|||]" {
		t.Errorf("anonymous: %s", a.body)
	}
	b.signIn(adminName, adminPass)
	if a := b.fetch("/who"); a.body != "[admin|admin|local|]" {
		t.Errorf("signed in: %s", a.body)
	}
	if a := b.fetch("/public"); a.body != "[|]" {
		t.Errorf("public: %s", a.body)
	}
}

// The identity of another authentication before the gate is dropped.
func TestOnlyTheGateSetsTheIdentity(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	s := startAdmin(t, "@app not path /_auth/*\nroute {\n\tbasic_auth @app {\n\t\tbob "+string(hash)+"\n\t}\n\tgatehouse /app/* {\n\t\tpublic /app/public\n\t}\n\trespond \"[{http.auth.user.id}]\"\n}")
	b := s.browser()
	b.signIn(adminName, adminPass)
	for path, want := range map[string]string{"/app/x": "[admin]", "/app/public": "[]", "/x": "[bob]"} {
		r := b.request("GET", path, nil)
		r.SetBasicAuth("bob", "x")
		if a := b.do(r); a.body != want {
			t.Errorf("%s: %d, the rest of Caddy is told %s, want %s", path, a.StatusCode, a.body, want)
		}
	}
}

// Several directives on one site: the identity of one is known to the rest of Caddy, whichever comes last, and
// the names of the last one that guards the request are sent.
func TestSeveralGatesAgreeOnTheIdentity(t *testing.T) {
	s := startAdmin(t, `gatehouse
	gatehouse /named/* {
		header X-Who user
	}
	gatehouse /elsewhere/* {
		require role admin
		public /elsewhere/public
	}
	respond /who "[{http.auth.user.id}|{http.auth.user.role}]"
	respond /named/who "[{http.auth.user.id}|{http.auth.user.role}]"`)
	b := s.browser()
	b.signIn(adminName, adminPass)
	for _, path := range []string{"/who", "/named/who"} {
		if a := b.fetch(path); a.body != "[admin|admin]" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	b.reaches("/named/x")
	if got := s.up.last().Header; got.Get("X-Who") != "admin" || got.Get("Remote-User") != "" {
		t.Errorf("the app is told %v", got)
	}
	b.reaches("/elsewhere/x")
	if got := s.up.last().Header; got.Get("Remote-User") != "admin" {
		t.Errorf("the app is told %v", got)
	}
}

// Who has to set a new password first passes nowhere, and is anonymous on optional paths.
func TestARequiredPasswordChangeBlocksEverythingElse(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\toptional /open\n\tpublic /public\n}", withGlobal("tokens"))
	root := s.browser()
	root.signIn(adminName, adminPass)
	made := root.api("POST", "users", fields{"username": "eve", "password": otherPass})
	id, _ := made.json(t)["id"].(string)
	if a := root.api("POST", "users/"+id+"/reset-password", fields{"password": "a temporary passphrase", "must_change": true}); a.StatusCode/100 != 2 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	eve := s.browser()
	eve.signIn("eve", "a temporary passphrase")
	if a := eve.page("/x"); a.StatusCode != 302 || !strings.Contains(a.Header.Get("Location"), "/_auth/account/password") {
		t.Errorf("a page: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	if a := eve.fetch("/x"); a.StatusCode != 403 {
		t.Errorf("a program: %d", a.StatusCode)
	}
	if !eve.reaches("/open") || s.up.last().Header.Get("Remote-User") != "" || !eve.reaches("/public") {
		t.Error("open paths are closed, or tell who it is")
	}
	token, program := s.addToken("eve"), s.browser()
	ask := func(path string) (status int, user string) {
		a := program.do(program.plain("GET", path, "Authorization", "Bearer "+token))
		return a.StatusCode, s.up.last().Header.Get("Remote-User")
	}
	for path, want := range map[string]int{"/x": 403, "/open": 200, "/public": 200} {
		if status, user := ask(path); status != want || user != "" {
			t.Errorf("%s with a token: %d for %q", path, status, user)
		}
	}
	defer func() {
		if status, user := ask("/x"); status != 200 || user != "eve" {
			t.Errorf("with a token afterwards: %d for %q", status, user)
		}
	}()
	if a := eve.post("/_auth/account/password", "current_password", "a temporary passphrase", "new_password", "my own new passphrase"); a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if !eve.reaches("/x") {
		t.Error("still held")
	}
}
