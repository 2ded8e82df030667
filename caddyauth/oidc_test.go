package caddyauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// startOIDC runs a Caddy whose only provider is idp, with further lines in its block.
func startOIDC(t testing.TB, idp *provider.Provider, lines, site string, opts ...option) *caddyServer {
	t.Helper()
	setenv(t, "TEST_CLIENT_SECRET", idp.Client.Secret)
	block := fmt.Sprintf(`oidc test {
			issuer %s
			client_id %s
			client_secret {env.TEST_CLIENT_SECRET}
			insecure_http
			%s
		}`, idp.Issuer, idp.Client.ID, lines)
	return startAdmin(t, site, append([]option{withGlobal(block)}, opts...)...)
}

// follow follows redirects, on the site and at the provider, until there is none.
func (b *browser) follow(a response) response {
	b.t.Helper()
	for range 10 {
		if a.StatusCode < 300 || a.StatusCode > 399 {
			return a
		}
		to, err := a.Request.URL.Parse(a.Header.Get("Location"))
		if err != nil {
			b.t.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodGet, to.String(), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		a = b.do(r)
	}
	b.t.Fatal("redirects without end")
	return a
}

// viaProvider signs in through the provider.
func (b *browser) viaProvider(query string) response {
	b.t.Helper()
	return b.follow(b.page("/_auth/oidc/test/start" + query))
}

func TestAProviderSignInReachesTheAppWithTheIdentity(t *testing.T) {
	idp := provider.New(t)
	idp.SetClaim("groups", []string{"staff", "dev"})
	s := startOIDC(t, idp, "", "gatehouse {\n require provider test\n require group staff\n require domain example.com\n }")
	b := s.browser()
	first := b.page("/reports?year=2026")
	login := b.page(strings.TrimPrefix(first.Header.Get("Location"), "http://"+s.addr))
	if !strings.Contains(login.body, "/_auth/oidc/test/start?rt=%2Freports%3Fyear%3D2026") || !strings.Contains(login.body, "Continue with Test") {
		t.Fatalf("the sign-in page offers no provider:\n%s", login.body)
	}
	a := b.viaProvider("?rt=%2Freports%3Fyear%3D2026")
	if a.StatusCode != 200 || a.Header.Get("X-Upstream") != "yes" || a.Request.URL.Path != "/reports" {
		t.Fatalf("status %d at %s: %s", a.StatusCode, a.Request.URL, a.body)
	}
	h := s.up.last().Header
	if h.Get("Remote-User") != "ada" || h.Get("Remote-Email") != "ada@example.com" || h.Get("Remote-Groups") != "dev,staff" ||
		h.Get("Remote-Name") != "Ada Lovelace" || h.Get("Remote-Role") != "user" {
		t.Errorf("the upstream saw %v", h)
	}
	if strings.Contains(fmt.Sprint(h), "gatehouse") {
		t.Errorf("the upstream saw a cookie of ours: %v", h)
	}
	j := b.fetch("/_auth/api/v1/session").json(t)
	if auth, _ := j["auth"].(map[string]any); auth["method"] != "oidc" || auth["provider"] != "test" {
		t.Errorf("session %v", j)
	}
}

// A provider that is down blocks no other sign-in.
func TestAProviderThatIsDownBlocksNothingElse(t *testing.T) {
	idp := provider.New(t)
	idp.Down(true)
	s := startOIDC(t, idp, "", "gatehouse")
	b := s.browser()
	if page := b.page("/_auth/login"); page.StatusCode != 200 || !strings.Contains(page.body, "can&#39;t be reached at the moment") {
		t.Errorf("the sign-in page does not say so:\n%s", page.body)
	}
	if a := b.page("/_auth/oidc/test/start"); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("start: %d %v", a.StatusCode, a.Header)
	}
	b.signIn(adminName, adminPass)
	if !b.reaches("/") {
		t.Error("a local sign-in does not work")
	}
	idp.Down(false)
	c := s.browser()
	eventually(t, "the provider to be tried again", func() bool { return c.page("/_auth/oidc/test/start").StatusCode == http.StatusSeeOther })
	if a := c.viaProvider(""); a.StatusCode != 200 {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	idp.Down(true)
	if !c.reaches("/") {
		t.Error("a session ended because its provider is down")
	}
}

// Nothing of a flow is in memory: a reload and a restart, which another Caddy is the same as, lose nothing.
func TestAHalfFinishedSignInSurvivesReloadAndRestart(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse")
	b := s.browser()
	started := b.page("/_auth/oidc/test/start?rt=%2Fkept")
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if a := b.follow(started); a.StatusCode != 200 || a.Request.URL.Path != "/kept" {
		t.Errorf("status %d at %s: %s", a.StatusCode, a.Request.URL, a.body)
	}
}

func TestManyTabsCanSignInAtOnce(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse")
	b := s.browser()
	var started []response
	for i := range 25 {
		started = append(started, b.page(fmt.Sprintf("/_auth/oidc/test/start?rt=%%2Ftab%d", i)))
	}
	u, _ := url.Parse("http://" + s.addr)
	if n := len(b.http.Jar.Cookies(u)); n > 22 {
		t.Errorf("the browser keeps %d cookies", n)
	}
	for i, want := range map[int]int{24: 200, 10: 200, 0: http.StatusBadRequest} {
		if a := b.follow(started[i]); a.StatusCode != want {
			t.Errorf("tab %d: status %d, want %d", i, a.StatusCode, want)
		}
	}
}

// A hundred people at once, a slow provider, one process.
func TestAHundredSignInsAtOnceMixUpNoIdentity(t *testing.T) {
	const people = 100
	idp := provider.New(t)
	for i := range people {
		idp.AddUser(fmt.Sprintf("person-%d", i), map[string]any{
			"preferred_username": fmt.Sprintf("p%d", i), "email": fmt.Sprintf("p%d@example.com", i), "email_verified": true,
			"groups": []string{fmt.Sprintf("group-%d", i)},
		})
	}
	idp.SetFaults(func(l *provider.Faults) { l.Delay = 50 * time.Millisecond })
	s := startOIDC(t, idp, "", "gatehouse")
	var wg sync.WaitGroup
	for i := range people {
		wg.Go(func() {
			a := signInAs(s, fmt.Sprintf("person-%d", i))
			var seen struct{ Header http.Header }
			if err := json.Unmarshal([]byte(a.body), &seen); a.StatusCode != 200 || err != nil {
				t.Errorf("person %d: %d %s", i, a.StatusCode, a.body)
				return
			}
			if h := seen.Header; h.Get("Remote-User") != fmt.Sprintf("p%d", i) || h.Get("Remote-Groups") != fmt.Sprintf("group-%d", i) ||
				h.Get("Remote-Email") != fmt.Sprintf("p%d@example.com", i) {
				t.Errorf("person %d became %v", i, h)
			}
		})
	}
	wg.Wait()
	if n := idp.Calls("discovery"); n > 2 {
		t.Errorf("the metadata were read %d times", n)
	}
}

// signInAs signs in an account of the provider. A server that says it is too busy is tried again, as people do.
func signInAs(s *caddyServer, subject string) response {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		b := s.browser()
		a := b.page("/_auth/oidc/test/start")
		if a.StatusCode == http.StatusSeeOther {
			a.Header.Set("Location", a.Header.Get("Location")+"&login_hint="+subject)
			a = b.follow(a)
		}
		if a.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return a
		}
	}
}

// Logout from the provider ends the session and its open streams.
func TestALogoutFromTheProviderEndsSessionsAndStreams(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse")
	stream := make(chan struct{})
	s.up.Config.Handler = streaming(s.up.Config.Handler, stream)
	b := s.browser()
	if a := b.viaProvider(""); a.StatusCode != 200 {
		t.Fatal(a.body)
	}
	res, err := b.http.Do(b.request("GET", "/stream", nil, "Accept", "text/event-stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 16)
	if _, err := res.Body.Read(buf); err != nil {
		t.Fatalf("the stream does not flow: %v", err)
	}
	c := s.browser()
	a := c.do(c.request("POST", "/_auth/oidc/test/backchannel-logout", strings.NewReader(url.Values{
		"logout_token": {idp.LogoutToken("user-1", "", nil)},
	}.Encode()), "Content-Type", "application/x-www-form-urlencoded"))
	if a.StatusCode != 200 {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	if b.reaches("/") {
		t.Error("the session goes on")
	}
	cut := make(chan struct{})
	go func() {
		for {
			if _, err := res.Body.Read(buf); err != nil {
				close(cut)
				return
			}
		}
	}()
	select {
	case <-cut:
	case <-time.After(3 * time.Second):
		t.Error("the stream goes on")
	}
	close(stream)
}

// streaming returns /stream with bytes until done is closed or the request ends.
func streaming(next http.Handler, done chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			_, _ = w.Write([]byte("data: x\n\n"))
			w.(http.Flusher).Flush()
			select {
			case <-done:
				return
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	})
}

// Neither Caddy's configuration, nor any log line, page, audit row or the database shows a secret of a
// sign-in.
func TestNoSecretOfAProviderSignInShowsAnywhere(t *testing.T) {
	idp := provider.New(t)
	idp.Client.Secret = "canary-client-secret-0123456789abcdef"
	s := startOIDC(t, idp, "", "log\n gatehouse")
	b := s.browser()
	started := b.page("/_auth/oidc/test/start")
	at, err := url.Parse(started.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	var refresh, access string
	idp.SetFaults(func(l *provider.Faults) {
		l.Token = func(a map[string]any) {
			refresh, access = a["refresh_token"].(string), a["access_token"].(string)
		}
	})
	if a := b.follow(started); a.StatusCode != 200 {
		t.Fatal(a.body)
	}
	id := idp.LastIDToken()
	var pages strings.Builder
	for _, path := range []string{
		"/_auth/account", "/_auth/account/providers", "/_auth/account/sessions", "/_auth/account/activity", "/_auth/logout",
		"/_auth/api/v1/session", "/_auth/api/v1/me", "/_auth/api/v1/me/sessions",
	} {
		pages.WriteString(b.page(path).body)
	}
	session := b.cookie()
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if log := s.logs.waitFor(t, "signed in"); !strings.Contains(log, "/_auth/oidc/test/start") || !strings.Contains(log, "/_auth/oidc/test/callback") {
		t.Fatal("the access log is not there to be looked at")
	}
	for place, text := range map[string]string{"the log": s.logs.String(), "a page": pages.String(), "the configuration": string(cfg), "the store": s.place.Rows(t)} {
		if len(text) < 200 {
			t.Fatalf("%s has next to nothing in it", place)
		}
		for name, secret := range map[string]string{
			"client secret": idp.Client.Secret, "ID token": id, "ID token's signature": id[strings.LastIndexByte(id, '.')+1:], "refresh token": refresh,
			"access token": access, "session token": session, "state": at.Query().Get("state"), "nonce": at.Query().Get("nonce"),
		} {
			if secret == "" {
				t.Fatalf("there is no %s to look for", name)
			}
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the %s", place, name)
			}
		}
	}
	if err := s.load(); err != nil { // for the clean-up
		t.Fatal(err)
	}
}

func TestTokensThatAreNotDueCostTheProviderNothing(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse")
	b := s.browser()
	if a := b.viaProvider(""); a.StatusCode != 200 {
		t.Fatal(a.body)
	}
	before := idp.Calls("token") + idp.Calls("userinfo") + idp.Calls("discovery") + idp.Calls("jwks")
	for range 20 {
		if !b.reaches("/") {
			t.Fatal("the session does not live")
		}
	}
	if n := idp.Calls("token") + idp.Calls("userinfo") + idp.Calls("discovery") + idp.Calls("jwks") - before; n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestAProviderWithABadOptionIsRefusedAtLoad(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse")
	dir := t.TempDir()
	empty, key := filepath.Join(dir, "empty"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, lines := range map[string]string{
		"oidc test client_secret":                         "issuer https://id.example.com\nclient_id 1\nclient_secret {env.NOBODY_SET_THIS}",
		"oidc test client_secret_file: the file is empty": "issuer https://id.example.com\nclient_id 1\nclient_secret_file " + empty,
		"oidc test client_secret_file":                    "issuer https://id.example.com\nclient_id 1\nclient_secret_file " + dir + "/missing",
		"oidc test client_key: the file holds no private": "issuer https://id.example.com\nclient_id 1\nauth_method private_key_jwt\nclient_key " + key,
		"oidc test icon":                                  "issuer https://id.example.com\nclient_id 1\nclient_secret s\nicon " + key,
		"oidc test client_id":                             "issuer https://id.example.com\nclient_id {env.NOBODY_SET_THIS}\nclient_secret s",
	} {
		s.global = "oidc test {\n" + lines + "\n}"
		if err := s.load(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("loaded with %q: %v", want, err)
		}
	}
}

// A session of a provider that is not configured any more is none: nowhere, and with a way to go on.
func TestASessionOfARemovedProviderIsNone(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse")
	b := s.browser()
	if a := b.viaProvider(""); a.StatusCode != 200 || !b.reaches("/x") {
		t.Fatalf("signing in: %d", a.StatusCode)
	}
	for name, global := range map[string]string{"renamed": strings.Replace(s.global, "oidc test", "oidc other", 1), "removed": ""} {
		known := s.global
		s.global = global
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		if a := b.fetch("/x"); a.StatusCode != 401 {
			t.Errorf("%s: the app is answered %d", name, a.StatusCode)
		}
		if a := b.fetch("/_auth/api/v1/session"); a.StatusCode != 401 {
			t.Errorf("%s: the session is answered %d %s", name, a.StatusCode, a.body)
		}
		if a := b.page("/_auth/account"); a.StatusCode != 303 || !strings.Contains(a.Header.Get("Location"), "/login") {
			t.Errorf("%s: the account page is answered %d", name, a.StatusCode)
		}
		if a := b.page("/_auth/login"); a.StatusCode != 200 || !strings.Contains(a.body, `name="password"`) {
			t.Errorf("%s: the sign-in page is answered %d\n%s", name, a.StatusCode, a.body)
		}
		s.global = known
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		if !b.reaches("/x") {
			t.Errorf("%s: the session was ended for good", name)
		}
	}
	token := b.cookie()
	s.global = ""
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	b.post("/_auth/logout")
	db := s.openStore()
	if _, _, err := db.SessionByToken(t.Context(), store.HashToken(token)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("signing out left the session: %v", err)
	}
}
