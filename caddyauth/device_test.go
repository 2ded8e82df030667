package caddyauth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// program sends a form as a program does, which has no cookies.
func (s *caddyServer) program(path string, form url.Values) (status int, body map[string]any) {
	s.t.Helper()
	b := s.browser()
	a := b.do(b.request("POST", path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded"))
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		s.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	return a.StatusCode, body
}

// A program gets in with the token that its owner approved for it, where and how it asked for, and nowhere when the
// device sign-in is switched off in between; neither its codes nor its token are in a log.
func TestAProgramGetsInWithWhatItsOwnerApproved(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public\n}\nlog", withGlobal("tokens {\n\tdevice\n}"))
	ask := func(paths string) (device, user string) {
		status, got := s.program("/_auth/device/code", url.Values{"client_id": {"editor"}, "paths": {paths}})
		device, _ = got["device_code"].(string)
		user, _ = got["user_code"].(string)
		if status != 200 || got["verification_uri"] != "http://"+s.addr+"/_auth/device" || !store.ValidToken(device) {
			t.Fatalf("%d %v", status, got)
		}
		return device, user
	}
	poll := func(device string) (int, map[string]any) {
		return s.program("/_auth/device/token", url.Values{"client_id": {"editor"}, "device_code": {device}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}})
	}
	device, user := ask("/api/*")
	later, laterUser := ask("")
	if status, got := poll(device); status != 400 || got["error"] != "authorization_pending" {
		t.Fatalf("before anybody approved: %d %v", status, got)
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	if a := b.fetch("/_auth/device?user_code=" + user); a.StatusCode != 200 || !strings.Contains(a.body, "editor") {
		t.Fatalf("the page: %d %s", a.StatusCode, a.body)
	}
	for _, code := range []string{user, laterUser} {
		if a := b.post("/_auth/device", "user_code", strings.ToLower(code), "decision", "approve"); a.StatusCode != 303 {
			t.Fatalf("approving: %d %s", a.StatusCode, a.body)
		}
	}
	status, got := poll(device)
	token, _ := got["access_token"].(string)
	if status != 200 || !strings.HasPrefix(token, "gatehouse_pat_") || got["user"] != adminName {
		t.Fatalf("the token: %d %v", status, got)
	}
	for path, want := range map[string]int{"/api/x": 200, "/x": 403, "/_auth/api/v1/me": 200, "/_auth/device": 403} {
		c := s.browser()
		if a := c.do(c.request("GET", path, nil, "Authorization", "Bearer "+token)); a.StatusCode != want {
			t.Errorf("%s with the token: %d", path, a.StatusCode)
		}
	}
	c := s.browser()
	c.do(c.request("GET", "/public", nil, "Authorization", "Bearer "+token))
	log := s.logs.waitFor(t, `"uri":"/public"`)
	for name, secret := range map[string]string{"device code": device, "user code": user, "token": token} {
		if strings.Contains(log, secret) || strings.Contains(strings.ToLower(log), strings.ToLower(secret)) {
			t.Errorf("the log has the %s", name)
		}
	}
	s.global = "tokens"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/_auth/device/code", "/_auth/device/token", "/_auth/device"} {
		if a := b.post(path, "client_id", "editor", "device_code", later); a.StatusCode != 404 {
			t.Errorf("switched off, %s is %d", path, a.StatusCode)
		}
	}
	c = s.browser()
	if a := c.do(c.request("GET", "/api/x", nil, "Authorization", "Bearer "+token)); a.StatusCode != 200 {
		t.Errorf("a token that was fetched before: %d", a.StatusCode)
	}
}

// A site that takes no tokens says so before anybody approves one for it.
func TestASiteWithoutTokensLetsNoProgramAsk(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\ttokens off\n}", withGlobal("tokens {\n\tdevice\n}"))
	if status, got := s.program("/_auth/device/code", url.Values{"client_id": {"x"}}); status != 400 || got["error"] != "invalid_scope" || !strings.Contains(got["error_description"].(string), "takes no tokens") {
		t.Errorf("%d %v", status, got)
	}
	if status, got := s.program("/_auth/device/code", url.Values{"client_id": {"x"}, "hosts": {"b.test"}}); status != 200 {
		t.Errorf("for another site: %d %v", status, got)
	}
}

// A page that leads to another one with a code tells no log the code: signed out, by the form that signs in, long after
// the sign-in, by the form that asks again, and by forms that name no code in their own address.
func TestWhatAPageLeadsToIsInNoLog(t *testing.T) {
	s := startAdmin(t, "gatehouse\nlog", withGlobal("tokens {\n\tdevice\n}"))
	const code, at = "WDJB-MJHT", "/_auth/device?user_code=WDJB-MJHT"
	leads := func(what string, a response, n string) {
		t.Helper()
		if to := a.Header.Get("Location"); a.StatusCode != 303 || !strings.Contains(to, code) {
			t.Errorf("%s: %d leads to %q", what, a.StatusCode, to)
		}
		log := s.logs.waitFor(t, n)
		if strings.Contains(log, code) {
			t.Errorf("%s: the log has %s", what, log[strings.Index(log, code)-200:][:220])
		}
		if strings.Count(log, n) != 1 {
			t.Errorf("%s: %d lines in the log", what, strings.Count(log, n))
		}
	}
	send := func(b *browser, r *http.Request, n string) response {
		r.Header.Set("X-Number", n)
		return b.do(r)
	}
	b := s.browser()
	leads("signed out", send(b, b.request("GET", at, nil, "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), "no-1-"), "no-1-")
	leads("signing in", send(b, b.form("/_auth/login", "username", adminName, "password", adminPass, "to", at), "no-2-"), "no-2-")
	s.makeStale(b)
	leads("long after", send(b, b.request("GET", at, nil, "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), "no-3-"), "no-3-")
	leads("approving long after", send(b, b.form("/_auth/device", "user_code", code, "decision", "approve"), "no-4-"), "no-4-")
	leads("confirming", send(b, b.form("/_auth/reauth", "password", adminPass, "rt", at), "no-5-"), "no-5-")
}

// makeStale gives a browser a session whose sign-in was long ago.
func (s *caddyServer) makeStale(b *browser) {
	s.t.Helper()
	st, ctx := s.openStore(), s.t.Context()
	old, u, err := st.SessionByToken(ctx, store.HashToken(b.cookie()))
	if err != nil {
		s.t.Fatal(err)
	}
	site, _ := url.Parse("http://" + s.addr)
	text := store.NewToken()
	old.ID, old.TokenHash, old.UserID = store.NewID(time.Now()), store.HashToken(text), u.ID
	old.AuthAt = time.Now().Add(-time.Hour)
	if err := st.Change(ctx, func(tx store.Tx) error { return tx.CreateSession(ctx, old) }); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(site) {
		if c.Name == "gatehouse" {
			b.http.Jar.SetCookies(site, []*http.Cookie{{Name: c.Name, Value: text + c.Value[len(text):], Path: "/"}})
		}
	}
}
