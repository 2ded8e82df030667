package caddyauth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// platform is an issuer of machine JWTs and a Caddy that takes them, with the service account deploy.
type platform struct {
	*caddyServer
	idp   *idp.Provider
	store store.Store
	user  store.User
}

func startPlatform(t *testing.T, site, global string) *platform {
	t.Helper()
	p := &platform{idp: idp.New(t)}
	p.caddyServer = startAdmin(t, site, withGlobal(p.lines("")+global))
	p.store = p.openStore()
	now := time.Now()
	p.user = store.User{
		ID: store.NewID(now), Kind: store.KindService, Username: "deploy", Role: store.RoleUser, Active: true,
		Groups: []string{"deployers"}, Origin: store.OriginLocal, CreatedAt: now, UpdatedAt: now,
	}
	p.change(func(tx store.Tx) error { return tx.CreateUser(t.Context(), p.user) })
	return p
}

func (p *platform) lines(more string) string {
	return `token_issuer ci {
		issuer ` + p.idp.Issuer + `
		audience gate
		insecure_http
		as deploy {
			claim repository_id 456789
		}
		as ` + adminName + ` {
			claim repository_id 1
		}
		as nobody {
			claim repository_id 2 3
		}
		as deploy {
			claim repository_id 3
		}
		` + more + `
	}
	`
}

func (p *platform) change(fn func(store.Tx) error) {
	p.t.Helper()
	if err := p.store.Change(context.Background(), fn); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) update(change func(*store.User)) {
	p.t.Helper()
	p.change(func(tx store.Tx) error {
		u, err := tx.User(context.Background(), p.user.ID)
		if err != nil {
			return err
		}
		change(&u)
		_, err = tx.UpdateUser(context.Background(), u)
		return err
	})
}

// jwt returns a good token with changes; nil removes a claim.
func (p *platform) jwt(changes map[string]any) string {
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": p.idp.Issuer, "aud": "gate", "sub": "repo", "repository_id": "456789", "iat": now, "exp": now + 300,
		"jti": store.NewToken(),
	}
	for name, v := range changes {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return idp.RSA(0).Sign(claims, nil)
}

type answer struct {
	*http.Response
	body string
}

func (a answer) problem() string {
	var doc struct{ Type string }
	_ = json.Unmarshal([]byte(a.body), &doc)
	return doc.Type[strings.LastIndexByte(doc.Type, '/')+1:]
}

// ask sends a request with these headers, "Name: value".
func (p *platform) ask(path string, headers ...string) answer {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func bearer(token string) string { return "Authorization: Bearer " + token }

func (p *platform) expect(what string, a answer, status int, problem string) {
	p.t.Helper()
	if a.StatusCode != status || a.Header.Get("Location") != "" || problem != "" && a.problem() != problem {
		p.t.Errorf("%s: %s %q, want %d %s", what, a.Status, a.problem(), status, problem)
	}
	if got := strings.Join(a.Header.Values("WWW-Authenticate"), "\n"); problem == "token-invalid" &&
		!strings.Contains(got, `error="invalid_token"`) {
		p.t.Errorf("%s: WWW-Authenticate %q", what, got)
	}
}

func TestAMachineJWTActsAsItsServiceAccount(t *testing.T) {
	p := startPlatform(t, "gatehouse {\n\tpublic /public\n}", "")
	token := p.jwt(nil)
	p.expect("good", p.ask("/x", bearer(token)), http.StatusOK, "")
	if h := p.up.last().Header; h.Get("Remote-User") != "deploy" || h.Get("Remote-Groups") != "deployers" ||
		h.Get("Authorization") != "" {
		t.Errorf("the app sees %v", h)
	}
	p.expect("in another case", p.ask("/x", "Authorization: bEARER  "+token), http.StatusOK, "")
	before := p.up.count()
	p.expect("on a public path", p.ask("/public", bearer(token)), http.StatusOK, "")
	if h := p.up.last().Header; h.Get("Remote-User") != "" || h.Get("Authorization") != "" || p.up.count() != before+1 {
		t.Errorf("on a public path the app sees %v", h)
	}
	var session struct {
		User struct{ Username string }
		Auth struct{ Method string }
	}
	a := p.ask("/_auth/api/v1/session", bearer(token))
	if err := json.Unmarshal([]byte(a.body), &session); err != nil || session.User.Username != "deploy" ||
		session.Auth.Method != "token" {
		t.Errorf("session: %s, %v", a.body, err)
	}
	p.expect("me", p.ask("/_auth/api/v1/me", bearer(token)), http.StatusOK, "")
	for _, path := range []string{"/_auth/account", "/_auth/api/v1/users", "/_auth/login", "/_auth/api/v1/me/sessions"} {
		p.expect(path, p.ask(path, bearer(token)), http.StatusForbidden, "token-scope")
	}
	before = p.up.count()
	for what, changes := range map[string]map[string]any{
		"another repository": {"repository_id": "4567890"}, "another audience": {"aud": "x"}, "expired": {"exp": 1},
		"a person's name": {"repository_id": 1}, "no such account": {"repository_id": 2},
		"the first rule has no account": {"repository_id": 3}, "a logout token": {"events": map[string]any{}},
	} {
		for _, path := range []string{"/x", "/public", "/_auth/api/v1/session"} {
			p.expect(what+" "+path, p.ask(path, bearer(p.jwt(changes))), http.StatusUnauthorized, "token-invalid")
		}
	}
	p.expect("tampered", p.ask("/x", bearer(idp.Tamper(token))), http.StatusUnauthorized, "token-invalid")
	large := p.jwt(map[string]any{"pad": strings.Repeat("x", 12_400)}) // and less than Caddy takes
	p.expect("too large", p.ask("/x", bearer(large)), http.StatusUnauthorized, "token-invalid")
	b := p.browser()
	b.signIn(adminName, adminPass)
	p.expect("bad beside a live cookie", p.ask("/x", bearer(p.jwt(map[string]any{"aud": "x"})), "Cookie: gatehouse="+b.cookie()),
		http.StatusUnauthorized, "token-invalid")
	if n := p.up.count(); n != before {
		t.Errorf("%d requests got through", n-before)
	}
	if strings.Contains(p.logs.String(), token) {
		t.Error("a log has the token")
	}
}

func TestTheLogSaysWhyAJWTIsRefused(t *testing.T) {
	p := startPlatform(t, "gatehouse", "")
	for reason, changes := range map[string]map[string]any{
		"there is no active service account nobody": {"repository_id": 2}, "it is for somebody else: aud is": {"aud": "x"},
		"no rule (as) holds": {"repository_id": 4}, "the token has expired": {"exp": 1},
	} {
		token := p.jwt(changes)
		p.expect(reason, p.ask("/x", bearer(token)), http.StatusUnauthorized, "token-invalid")
		if log := p.logs.waitFor(t, reason); strings.Contains(log, token) {
			t.Errorf("%s: the log has the token", reason)
		}
	}
}

func TestAnAccountCountsOnTheNextRequestOfAJWTAndForStreams(t *testing.T) {
	app := streamUpstream(t)
	p := startPlatform(t, "gatehouse {\n\trequire group deployers\n}\nreverse_proxy /stream "+app.Listener.Addr().String(), "")
	token := p.jwt(nil)
	p.expect("active", p.ask("/x", bearer(token)), http.StatusOK, "")
	ended := p.openJWTStream(token)
	p.update(func(u *store.User) { u.Groups = nil })
	eventually(t, "the group to be gone", func() bool { return p.ask("/x", bearer(token)).StatusCode == http.StatusForbidden })
	p.update(func(u *store.User) { u.Groups = []string{"deployers"} })
	eventually(t, "the group to be back", func() bool { return p.ask("/x", bearer(token)).StatusCode == http.StatusOK })
	p.update(func(u *store.User) { u.Active = false })
	eventually(t, "the account to be off", func() bool { return p.ask("/x", bearer(token)).StatusCode == http.StatusUnauthorized })
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
	p.update(func(u *store.User) { u.Active = true })
	eventually(t, "the account to be on", func() bool { return p.ask("/x", bearer(token)).StatusCode == http.StatusOK })
}

func (p *platform) openJWTStream(token string) <-chan struct{} {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	fmt.Fprintf(c, "GET /stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", p.addr, token)
	br := bufio.NewReader(c)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for line := ""; !strings.Contains(line, "hello"); {
		if line, err = br.ReadString('\n'); err != nil {
			p.t.Fatalf("the stream does not begin: %v", err)
		}
	}
	_ = c.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, br)
		close(ended)
	}()
	return ended
}

// What names no configured issuer is the app's, and so is a JWT in any other place than a bearer token.
func TestOtherBearerTokensBelongToTheApp(t *testing.T) {
	p := startPlatform(t, "gatehouse {\n\tpublic /public\n}", "tokens\n")
	other := p.jwt(map[string]any{"iss": "https://other.example"})
	ours := p.jwt(nil)
	b := p.browser()
	b.signIn(adminName, adminPass)
	for what, header := range map[string]string{
		"another issuer": bearer(other), "no JWT": bearer("x.y.z"), "bare": "Authorization: " + ours,
		"another scheme": "Authorization: Token " + ours, "Proxy-Authorization": "Proxy-Authorization: Bearer " + ours,
	} {
		name, value, _ := strings.Cut(header, ": ")
		p.expect(what+" on a public path", p.ask("/public", header), http.StatusOK, "")
		if got := p.up.last().Header.Get(name); got != value && name != "Proxy-Authorization" { // Caddy's proxy drops that
			t.Errorf("%s: the app gets %q", what, got)
		}
		p.expect(what, p.ask("/x", header, "Accept: application/json"), http.StatusUnauthorized, "unauthorized")
		p.expect(what+" beside a cookie", p.ask("/x", header, "Cookie: gatehouse="+b.cookie()), http.StatusOK, "")
		if h := p.up.last().Header; h.Get("Remote-User") != adminName {
			t.Errorf("%s beside a cookie: the app sees %v", what, h)
		}
	}
	p.expect("Gatehouse-Token", p.ask("/x", "Gatehouse-Token: "+ours), http.StatusUnauthorized, "token-invalid")
	for what, headers := range map[string][]string{
		"twice": {bearer(ours), bearer(ours)}, "beside the app's": {bearer(other), bearer(ours)},
		"beside a token": {bearer(ours), "Gatehouse-Token: gatehouse_pat_x"},
	} {
		p.expect(what, p.ask("/x", headers...), http.StatusBadRequest, "token-repeated")
		p.expect(what+" on a public path", p.ask("/public", headers...), http.StatusBadRequest, "token-repeated")
	}
}

func TestSitesSayWhereMachineJWTsAreTaken(t *testing.T) {
	p := startPlatform(t, "gatehouse {\n\ttokens /api/*\n\tpass_token\n}", "")
	token := p.jwt(nil)
	p.expect("where they are taken", p.ask("/api/x", bearer(token)), http.StatusOK, "")
	if got := p.up.last().Header.Get("Authorization"); got != "Bearer "+token {
		t.Errorf("pass_token: the app gets %q", got)
	}
	p.expect("elsewhere", p.ask("/x", bearer(token)), http.StatusForbidden, "token-scope")
	p.expect("in two readings", p.ask("/api/..%2fx", bearer(token)), http.StatusForbidden, "token-scope")
	p.site = "gatehouse {\n\ttokens off\n}"
	if err := p.load(); err != nil {
		t.Fatal(err)
	}
	p.expect("off", p.ask("/api/x", bearer(token)), http.StatusForbidden, "token-scope")
	p.site, p.global = "gatehouse", strings.Replace(p.lines(""), "456789", "456780", 1)
	if err := p.load(); err != nil {
		t.Fatal(err)
	}
	p.expect("after a reload with another rule", p.ask("/x", bearer(token)), http.StatusUnauthorized, "token-invalid")
	p.site = "gatehouse {\n\tbasic /git/*\n}"
	if err := p.load(); err == nil || !strings.Contains(err.Error(), "basic: there are no tokens") {
		t.Errorf("basic without tokens: %v", err)
	}
}

func TestWithoutKeysAJWTIsNeitherGoodNorBad(t *testing.T) {
	p := startPlatform(t, "gatehouse {\n\tpublic /public\n}", "")
	p.idp.Down(true)
	for _, path := range []string{"/x", "/public", "/_auth/api/v1/session"} {
		a := p.ask(path, bearer(p.jwt(nil)))
		p.expect(path, a, http.StatusServiceUnavailable, "")
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
	if n := p.up.count(); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

func TestBadJWTsOfAnAddressAreLimitedAndGoodOnesGoOn(t *testing.T) {
	p := startPlatform(t, "gatehouse", "")
	good := p.jwt(nil)
	bad := p.jwt(map[string]any{"aud": "x"})
	throttled := 0
	for range 80 {
		switch a := p.ask("/x", bearer(bad)); a.StatusCode {
		case http.StatusTooManyRequests:
			throttled++
			if a.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		case http.StatusUnauthorized:
		default:
			t.Fatal(a.Status)
		}
	}
	if throttled == 0 {
		t.Error("nothing limits bad tokens")
	}
	p.expect("good", p.ask("/x", bearer(good)), http.StatusOK, "")
	b := p.browser()
	b.signIn(adminName, adminPass)
}

// The provider that people sign in with may issue machine JWTs, too; its ID tokens are none.
func TestIDTokensOfASignInAreNoMachineJWTs(t *testing.T) {
	p := startPlatform(t, "gatehouse", "")
	p.global += `oidc people {
		issuer ` + p.idp.Issuer + `
		client_id ` + p.idp.Client.ID + `
		client_secret "` + p.idp.Client.Secret + `"
		insecure_http
	}`
	if err := p.load(); err == nil || !strings.Contains(err.Error(), "audience: is the client_id") {
		t.Fatalf("an audience that is the client: %v", err)
	}
	p.global = strings.Replace(p.global, "audience gate", "audience api", 1)
	if err := p.load(); err != nil {
		t.Fatal(err)
	}
	p.expect("an access token", p.ask("/x", bearer(p.jwt(map[string]any{"aud": "api"}))), http.StatusOK, "")
	for _, aud := range []any{p.idp.Client.ID, []string{"api", p.idp.Client.ID}} {
		p.expect("an ID token", p.ask("/x", bearer(p.jwt(map[string]any{"aud": aud, "nonce": "n"}))),
			http.StatusUnauthorized, "token-invalid")
	}
}

// An assertion of ours is for an app. Even an issuer that is made of our own name and our own keys makes it no
// credential.
func TestOurOwnAssertionIsNoMachineJWT(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tassertion\n}")
	b := s.browser()
	b.signIn(adminName, adminPass)
	if !b.reaches("/x") {
		t.Fatal("nobody is signed in")
	}
	own := s.up.last().Header.Get("Gatehouse-Assertion")
	keys := filepath.Join(s.dir, "keys.json")
	if err := os.WriteFile(keys, []byte(s.browser().page("/_auth/jwks.json").body), 0o600); err != nil || own == "" {
		t.Fatal(err, own)
	}
	origin := "http://" + s.addr
	s.global = "token_issuer self {\n\tissuer " + origin + "\n\taudience " + origin + "\n\tjwks " + keys +
		"\n\tinsecure_http\n\tas robot {\n\t\tclaim preferred_username " + adminName + "\n\t}\n}"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	robot := store.User{
		ID: store.NewID(now), Kind: store.KindService, Username: "robot", Role: store.RoleUser, Active: true,
		Origin: store.OriginLocal, CreatedAt: now,
	}
	err := s.openStore().Change(t.Context(), func(tx store.Tx) error { return tx.CreateUser(t.Context(), robot) })
	if err != nil {
		t.Fatal(err)
	}
	before := s.up.count()
	a := s.browser().do(b.request("GET", "/x", nil, "Authorization", "Bearer "+own))
	if a.StatusCode != http.StatusUnauthorized || s.up.count() != before {
		t.Errorf("it gets %d", a.StatusCode)
	}
	if log := s.logs.waitFor(t, "a machine JWT is refused"); !strings.Contains(log, "an assertion of this gate") {
		t.Error("it is refused for another reason")
	}
}
