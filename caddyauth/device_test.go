package caddyauth_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

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
