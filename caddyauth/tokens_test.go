package caddyauth_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/store"
)

// addToken stores a token of a user and returns its text.
func (s *caddyServer) addToken(username string, with ...func(*store.Token)) string {
	s.t.Helper()
	st, ctx := s.openStore(), context.Background()
	u, err := st.UserByUsername(ctx, username)
	if err != nil {
		s.t.Fatal(err)
	}
	text, now := credential.New(u.IsService()), time.Now()
	token := store.Token{
		ID: store.NewID(now), Hash: store.HashToken(text), UserID: u.ID, Hosts: []string{"127.0.0.1"}, Methods: store.TokenAll, CreatedAt: now,
		Hint: credential.Hint(text),
	}
	for _, w := range with {
		w(&token)
	}
	if err := st.Change(ctx, func(tx store.Tx) error { return tx.CreateToken(ctx, token) }); err != nil {
		s.t.Fatal(err)
	}
	return text
}

// addPerson stores an active user without a password.
func (s *caddyServer) addPerson(username string, groups ...string) {
	s.t.Helper()
	now := time.Now()
	u := store.User{
		ID: store.NewID(now), Username: username, Role: store.RoleUser, Groups: groups, Active: true, Local: true,
		Origin: store.OriginLocal, CreatedAt: now,
	}
	ctx := context.Background()
	if err := s.openStore().Change(ctx, func(tx store.Tx) error { return tx.CreateUser(ctx, u) }); err != nil {
		s.t.Fatal(err)
	}
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// What each kind of credential gets on each kind of path.
func TestATokenIsCheckedOnEveryPath(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public/*\n\toptional /optional/*\n\tbasic /git/*\n\ttokens /git/* /api/* /public/* /optional/*\n\trequire group staff\n}",
		withGlobal("tokens"))
	s.addPerson("staffed", "staff")
	s.addPerson("other")
	good, other := s.addToken("staffed"), s.addToken("other")
	narrow := s.addToken("staffed", func(token *store.Token) { token.Paths, token.Methods = []string{"/api/one/*"}, store.TokenRead })
	elsewhere := s.addToken("staffed", func(token *store.Token) { token.Hosts = []string{"other.test"} })
	over := s.addToken("staffed", func(token *store.Token) { token.ExpiresAt = time.Now().Add(-time.Second) })
	unknown := credential.New(false)
	bearer := func(t string) http.Header { return http.Header{"Authorization": {"Bearer " + t}} }
	both := func(h, more http.Header) http.Header {
		out := h.Clone()
		for name, values := range more {
			out[name] = values
		}
		return out
	}
	browser := http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Accept": {"text/html"}}
	for _, c := range []struct {
		name, method, path string
		header             http.Header
		status             int
		problem, basic     string
	}{
		{"bearer", "GET", "/api/x", bearer(good), 200, "", ""},
		{"own header", "DELETE", "/api/x", http.Header{"Gatehouse-Token": {good}}, 200, "", ""},
		{"bare", "PUT", "/api/x", http.Header{"Authorization": {good}}, 200, "", ""},
		{"proxy", "GET", "/api/x", http.Header{"Proxy-Authorization": {"Bearer " + good}}, 200, "", ""},
		{"password", "GET", "/git/x", http.Header{"Authorization": {basicAuth("x", good)}}, 200, "", ""},
		{"username", "GET", "/git/x", http.Header{"Authorization": {basicAuth(good, "")}}, 200, "", ""},
		{"beside the app's own", "GET", "/api/x", http.Header{"Gatehouse-Token": {good}, "Authorization": {"Bearer app"}}, 200, "", ""},
		{"public", "GET", "/public/x", bearer(good), 200, "", ""},
		{"optional", "GET", "/optional/x", bearer(good), 200, "", ""},
		{"bad on public", "GET", "/public/x", bearer(unknown), 401, "token-invalid", ""},
		{"bad on optional", "GET", "/optional/x", bearer(unknown), 401, "token-invalid", ""},
		{"unknown", "GET", "/api/x", bearer(unknown), 401, "token-invalid", ""},
		{"malformed", "GET", "/api/x", bearer(good[:30]), 401, "token-invalid", ""},
		{"expired", "GET", "/api/x", bearer(over), 401, "token-invalid", ""},
		{"not a token of ours", "GET", "/public/x", http.Header{"Gatehouse-Token": {"x"}}, 401, "token-invalid", ""},
		{"rule", "GET", "/api/x", bearer(other), 403, "forbidden", ""},
		{"outside tokens", "GET", "/x", bearer(good), 403, "token-scope", ""},
		{"other host", "GET", "/api/x", bearer(elsewhere), 403, "token-scope", ""},
		{"other host on public", "GET", "/public/x", bearer(elsewhere), 403, "token-scope", ""},
		{"in scope", "GET", "/api/one/x", bearer(narrow), 200, "", ""},
		{"other path", "GET", "/api/two", bearer(narrow), 403, "token-scope", ""},
		{"other method", "POST", "/api/one/x", bearer(narrow), 403, "token-scope", ""},
		{"two", "GET", "/api/x", http.Header{"Authorization": {"Bearer " + good}, "Gatehouse-Token": {good}}, 400, "token-repeated", ""},
		{"twice", "GET", "/api/x", http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}, 400, "token-repeated", ""},
		{"a password beside a token", "GET", "/git/x", http.Header{"Authorization": {basicAuth(good, "x")}}, 400, "token-repeated", ""},
		{"basic elsewhere", "GET", "/api/x", http.Header{"Authorization": {basicAuth("x", good)}}, 401, "token-invalid", ""},
		{"basic of a browser", "GET", "/git/x", both(http.Header{"Authorization": {basicAuth("x", good)}}, browser), 401, "token-invalid", ""},
		{"basic with an origin", "GET", "/git/x", http.Header{"Authorization": {basicAuth("x", good)}, "Origin": {"http://a.test"}}, 401, "token-invalid", ""},
		{"bad basic", "GET", "/git/x", http.Header{"Authorization": {basicAuth("x", unknown)}}, 401, "token-invalid", "first"},
		{"nothing, basic path", "GET", "/git/x", nil, 401, "unauthorized", "first"},
		{"nothing, basic path, a foreign password", "GET", "/git/x", http.Header{"Authorization": {basicAuth("u", "p")}}, 401, "unauthorized", "first"},
		{"nothing, basic path, a script", "GET", "/git/x", http.Header{"Referer": {"http://a.test/"}}, 401, "unauthorized", ""},
		{"nothing, basic path, an old browser", "GET", "/git/x", http.Header{"User-Agent": {"Mozilla/5.0"}}, 401, "unauthorized", ""},
		{"nothing, basic path, a page", "GET", "/git/x", browser, 302, "", ""},
		{"nothing", "GET", "/api/x", nil, 401, "unauthorized", ""},
		{"our pages", "GET", "/_auth/account", bearer(good), 403, "token-scope", ""},
		{"our API", "GET", "/_auth/api/v1/me/sessions", bearer(good), 403, "token-scope", ""},
		{"users", "GET", "/_auth/api/v1/users", bearer(good), 403, "token-scope", ""},
		{"our page, with a slash", "GET", "/_auth/account/", bearer(good), 403, "token-scope", ""},
		{"our API, with a slash", "GET", "/_auth/api/v1/me/", bearer(good), 403, "token-scope", ""},
		{"our public pages", "GET", "/_auth/login", bearer(good), 403, "token-scope", ""},
		{"help", "GET", "/_auth/login/help", bearer(good), 403, "token-scope", ""},
		{"welcome", "GET", "/_auth/welcome", bearer(good), 403, "token-scope", ""},
		{"a link", "GET", "/_auth/link/x", bearer(good), 403, "token-scope", ""},
		{"health", "GET", "/_auth/healthz", bearer(good), 200, "", ""},
		{"no page", "GET", "/_auth/none", bearer(good), 403, "token-scope", ""},
		{"sign-in", "POST", "/_auth/login", bearer(good), 403, "token-scope", ""},
		{"me", "GET", "/_auth/api/v1/me", bearer(good), 200, "", ""},
		{"me, other host", "GET", "/_auth/api/v1/me", bearer(elsewhere), 403, "token-scope", ""},
		{"session", "GET", "/_auth/api/v1/session", bearer(narrow), 200, "", ""},
		{"session, unknown", "GET", "/_auth/api/v1/session", bearer(unknown), 401, "token-invalid", ""},
		{"assets, unknown", "GET", "/_auth/healthz", bearer(unknown), 401, "token-invalid", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := s.browser()
			r := b.request(c.method, c.path, nil)
			r.Header = http.Header{}
			for name, values := range c.header {
				r.Header[name] = values
			}
			a := b.do(r)
			if a.StatusCode != c.status {
				t.Fatalf("%d: %s", a.StatusCode, a.body)
			}
			if c.problem != "" && !strings.Contains(a.body, "/"+c.problem+`"`) {
				t.Errorf("the problem is %s", a.body)
			}
			lines := a.Header.Values("WWW-Authenticate")
			for i, line := range lines {
				if got := strings.HasPrefix(line, "Basic "); got != (c.basic != "" && i == 0) {
					t.Errorf("WWW-Authenticate %q", lines)
				}
			}
			if c.status == 401 && (len(lines) == 0 || strings.Contains(lines[len(lines)-1], "invalid_token") != (c.problem == "token-invalid")) {
				t.Errorf("WWW-Authenticate %q", lines)
			}
			if a.StatusCode == 200 && !strings.HasPrefix(c.path, "/_auth") {
				checkTokenIsHidden(t, s.up.last())
				if user := s.up.last().Header.Get("Remote-User"); (user == "staffed") == strings.HasPrefix(c.path, "/public") {
					t.Errorf("the app sees %q", user)
				}
			}
		})
	}
}

// checkTokenIsHidden fails if the app saw a credential of ours, or not its own.
func checkTokenIsHidden(t *testing.T, got seen) {
	t.Helper()
	for name, values := range got.Header {
		for _, v := range values {
			if strings.Contains(v, "gatehouse_") || strings.HasPrefix(v, "Basic ") {
				t.Errorf("the app sees %s: %s", name, v)
			}
		}
	}
	if own := got.Header.Get("Authorization"); own != "" && own != "Bearer app" {
		t.Errorf("the app's own credential became %q", own)
	}
}

// With a token the cookie is not looked at, and a bad token is not saved by one.
func TestATokenAloneCounts(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpass_token\n}", withGlobal("tokens"))
	s.addPerson("worker")
	b := s.browser()
	b.signIn(adminName, adminPass)
	if a := b.do(b.request("GET", "/x", nil, "Authorization", "Bearer "+credential.New(false))); a.StatusCode != 401 {
		t.Errorf("a bad token beside a session: %d", a.StatusCode)
	}
	token := s.addToken("worker")
	if a := b.do(b.request("GET", "/x", nil, "Authorization", "Bearer "+token)); a.StatusCode != 200 {
		t.Fatalf("a token beside a session: %d", a.StatusCode)
	}
	got := s.up.last()
	if got.Header.Get("Remote-User") != "worker" || got.Header.Get("Authorization") != "Bearer "+token {
		t.Errorf("the app sees %q with %q", got.Header.Get("Remote-User"), got.Header.Get("Authorization"))
	}
}

// Without tokens in the configuration none is taken, and what looks like one is kept from the app.
func TestWithoutTheOptionNoTokenIsTaken(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public\n}")
	s.addPerson("worker")
	token := s.addToken("worker")
	for _, path := range []string{"/x", "/public"} {
		b := s.browser()
		if a := b.do(b.request("GET", path, nil, "Authorization", "Bearer "+token)); a.StatusCode != 401 || s.up.count() != 0 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

func TestManyBadTokensAreRefusedAndGoodOnesGoOn(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("tokens"))
	s.addPerson("worker")
	good := s.addToken("worker")
	b := s.browser()
	ask := func(token string) response {
		return b.do(b.request("GET", "/x", nil, "Authorization", "Bearer "+token))
	}
	for i := range 60 {
		if a := ask(credential.New(false)); a.StatusCode != 401 {
			t.Fatalf("bad token %d: %d", i, a.StatusCode)
		}
	}
	if a := ask(credential.New(false)); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("the next one: %d", a.StatusCode)
	}
	if a := ask(good); a.StatusCode != 200 {
		t.Errorf("a good one: %d", a.StatusCode)
	}
	b.signIn(adminName, adminPass)
	if !b.reaches("/x") {
		t.Error("nobody can sign in from there")
	}
}

// Error routes, which decide anew, are run for whom the token stands for, and not for the cookie beside it.
func TestErrorRoutesServeTheOwnerOfTheToken(t *testing.T) {
	s := startAdmin(t, "gatehouse\nerror /boom 500\nhandle_errors {\n\treverse_proxy UPSTREAM\n}", withGlobal("tokens"))
	s.addPerson("worker")
	token := s.addToken("worker")
	b := s.browser()
	b.signIn(adminName, adminPass)
	for name, b := range map[string]*browser{"alone": s.browser(), "beside a session": b} {
		a := b.do(b.request("GET", "/boom", nil, "Authorization", "Bearer "+token))
		if user := s.up.last().Header.Get("Remote-User"); a.Header.Get("X-Upstream") != "yes" || user != "worker" {
			t.Errorf("%s: %d for %q", name, a.StatusCode, user)
		}
	}
}

// Each request with a token is counted once, by its result, however many gates and error routes it meets.
func TestRequestsWithATokenAreCountedOnce(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /metrics\n}\ngatehouse /two*\nmetrics /metrics\nerror /boom 500\nhandle_errors {\n\treverse_proxy UPSTREAM\n}",
		withGlobal("tokens"))
	s.addPerson("worker")
	good := s.addToken("worker")
	narrow := s.addToken("worker", func(token *store.Token) { token.Paths = []string{"/one"} })
	for _, c := range []struct{ path, token, more string }{
		{"/one", good, ""},
		{"/two", good, ""},
		{"/boom", good, ""},
		{"/_auth/api/v1/me", good, ""},
		{"/two", narrow, ""},
		{"/one", credential.New(false), ""},
		{"/two", credential.New(false), ""},
		{"/one", good, good},
	} {
		b := s.browser()
		r := b.request("GET", c.path, nil, "Authorization", "Bearer "+c.token)
		if c.more != "" {
			r.Header.Set("Gatehouse-Token", c.more)
		}
		b.do(r)
	}
	text := s.browser().fetch("/metrics").body
	for _, want := range []string{`{result="accepted"} 4`, `{result="scope"} 1`, `{result="invalid"} 2`, `{result="repeated"} 1`} {
		if !strings.Contains(text, "gatehouse_tokens_total"+want) {
			t.Errorf("no %s in %s", want, grep(text, "gatehouse_tokens_total"))
		}
	}
}
