package caddyauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// api asks the JSON API as a page of ours does.
func (b *browser) api(method, path string, body any) response {
	b.t.Helper()
	var send io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		send = strings.NewReader(string(raw))
	}
	r := b.request(method, "/_auth/api/v1/"+path, send, "Accept", "application/json", "Origin", "http://"+b.s.addr,
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return b.do(r)
}

type fields map[string]any

// An operator's day through the API: make someone, change what they may, end their sessions, take the account away.
// Everything acts on the person's next request.
func TestAnAdministratorsChangesActOnTheNextRequest(t *testing.T) {
	s := startAdmin(t, "gatehouse /ops/* {\n\trequire group ops\n}\ngatehouse /admins/* {\n\trequire role admin\n}\ngatehouse")
	root := s.browser()
	root.signIn(adminName, adminPass)
	made := root.api("POST", "users", fields{"username": "ada", "email": "ada@example.com", "name": "Ada", "role": "user", "groups": []string{"dev"}, "password": otherPass})
	if made.StatusCode != 201 {
		t.Fatalf("making a user: %d\n%s", made.StatusCode, made.body)
	}
	user := made.json(t)
	id, _ := user["id"].(string)
	for _, field := range []string{"id", "username", "email", "name", "role", "groups", "active", "pending", "managed", "created_at", "updated_at", "last_login_at"} {
		if _, ok := user[field]; !ok {
			t.Errorf("the user has no %s: %s", field, made.body)
		}
	}
	ada := s.browser()
	ada.signIn("ADA@example.com", otherPass)
	if !ada.reaches("/") || ada.reaches("/ops/") || ada.reaches("/admins/") {
		t.Fatal("the rules do not hold")
	}
	if a := ada.api("GET", "users", nil); a.StatusCode != 403 {
		t.Errorf("a user lists users: %d", a.StatusCode)
	}
	change := func(patch fields) {
		t.Helper()
		if a := root.api("PATCH", "users/"+id, patch); a.StatusCode != 200 {
			t.Fatalf("PATCH %v: %d\n%s", patch, a.StatusCode, a.body)
		}
	}
	change(fields{"groups": []string{"ops"}})
	if !ada.reaches("/ops/") {
		t.Error("a new group does not act on the next request")
	}
	change(fields{"role": "admin"})
	if !ada.reaches("/admins/") {
		t.Error("a new role does not act on the next request")
	}
	change(fields{"role": "user", "groups": []string{}})
	if ada.reaches("/ops/") || ada.reaches("/admins/") {
		t.Error("what was taken away goes on")
	}
	if a := root.api("POST", "users/"+id+"/end-sessions", nil); a.StatusCode/100 != 2 {
		t.Errorf("ending sessions: %d\n%s", a.StatusCode, a.body)
	}
	if ada.reaches("/") {
		t.Error("an ended session goes on")
	}
	ada.signIn("ada", otherPass)
	change(fields{"active": false})
	if ada.reaches("/") {
		t.Error("a deactivated user is let through")
	}
	if a := s.browser().post("/_auth/login", "username", "ada", "password", otherPass); a.StatusCode == 303 {
		t.Error("a deactivated user signs in")
	}
	change(fields{"active": true})
	if ada.reaches("/") {
		t.Error("re-activation revived a session")
	}
	ada.signIn("ada", otherPass)
	if a := root.api("DELETE", "users/"+id, nil); a.StatusCode != 204 {
		t.Errorf("deleting: %d\n%s", a.StatusCode, a.body)
	}
	if ada.reaches("/") || s.canSignIn("ada", otherPass) {
		t.Error("a deleted user goes on")
	}
}

// An invitation: the link is shown once, opening it spends nothing, and it sets the password once.
func TestAnInvitationLinkSetsThePasswordOnce(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	root := s.browser()
	root.signIn(adminName, adminPass)
	made := root.api("POST", "users", fields{"username": "bob"})
	if made.StatusCode != 201 {
		t.Fatalf("%d\n%s", made.StatusCode, made.body)
	}
	link, _ := made.json(t)["link"].(string)
	if !strings.Contains(link, "/_auth/link/") || made.json(t)["expires_at"] == nil {
		t.Fatalf("no link: %s", made.body)
	}
	link = link[strings.Index(link, "/_auth/link/"):]
	for range 2 {
		s.browser().page(link)
	}
	bob := s.browser()
	to := bob.page(link).Header.Get("Location")
	if a := bob.post(to, "password", "short"); a.StatusCode != 422 {
		t.Errorf("a short password: %d", a.StatusCode)
	}
	if a := bob.post(to, "password", otherPass); a.StatusCode != 303 {
		t.Fatalf("setting the password: %d\n%s", a.StatusCode, a.body)
	}
	if !bob.reaches("/") || !s.canSignIn("bob", otherPass) {
		t.Error("the new password does not work")
	}
	if a := s.browser().page(link); a.StatusCode == 303 && !strings.Contains(a.Header.Get("Location"), "welcome") {
		t.Errorf("the spent link leads to %q", a.Header.Get("Location"))
	}
}

// The last administrator, yourself and a stale sign-in: refused with the reason, whichever way.
func TestGuardsHoldThroughTheAPI(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	root := s.browser()
	root.signIn(adminName, adminPass)
	me := root.api("GET", "session", nil).json(t)["user"].(map[string]any)["id"].(string)
	for _, c := range []struct {
		method string
		patch  any
	}{{"PATCH", fields{"role": "user"}}, {"PATCH", fields{"active": false}}, {"DELETE", nil}} {
		if a := root.api(c.method, "users/"+me, c.patch); a.StatusCode != 403 && a.StatusCode != 409 {
			t.Errorf("%s %v on oneself: %d\n%s", c.method, c.patch, a.StatusCode, a.body)
		}
	}
	if a := root.api("PATCH", "users/"+me, fields{"nonsense": 1}); a.StatusCode/100 != 4 {
		t.Errorf("an unknown field: %d", a.StatusCode)
	}
	r := root.request("PATCH", "/_auth/api/v1/users/"+me, strings.NewReader(`{"name":"x"}`), "Content-Type", "application/json", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if a := root.do(r); a.StatusCode != 403 {
		t.Errorf("a request from another site: %d", a.StatusCode)
	}
}

func TestOwnAccountThroughTheAPI(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b, other := s.browser(), s.browser()
	if a := b.api("GET", "session", nil); a.StatusCode != 401 || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("without a session: %d %s", a.StatusCode, a.body)
	}
	b.signIn(adminName, adminPass)
	other.signIn(adminName, adminPass)
	session := b.api("GET", "session", nil).json(t)
	auth, _ := session["auth"].(map[string]any)
	if auth["method"] != "password" || session["expires_at"] == nil || session["idle_expires_at"] == nil {
		t.Errorf("session: %v", session)
	}
	if a := b.api("PATCH", "me", fields{"name": "The <b>Root</b>"}); a.StatusCode != 200 || a.json(t)["name"] != "The <b>Root</b>" {
		t.Errorf("PATCH me: %d %s", a.StatusCode, a.body)
	}
	items, _ := b.api("GET", "me/sessions", nil).json(t)["items"].([]any)
	if len(items) != 2 {
		t.Fatalf("%d sessions", len(items))
	}
	for _, it := range items {
		row := it.(map[string]any)
		if id, _ := row["id"].(string); len(id) != 26 || id == b.cookie() {
			t.Errorf("session id %q", id)
		}
		for _, f := range []string{"user", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "method", "provider", "current"} {
			if _, ok := row[f]; !ok {
				t.Errorf("a session has no %s", f)
			}
		}
	}
	old := b.cookie()
	if a := b.api("POST", "me/password", fields{"current_password": "wrong", "new_password": otherPass, "end_others": true}); a.StatusCode/100 != 4 {
		t.Errorf("with the wrong current password: %d", a.StatusCode)
	}
	if a := b.api("POST", "me/password", fields{"current_password": adminPass, "new_password": otherPass, "end_others": true}); a.StatusCode/100 != 2 {
		t.Fatalf("changing the password: %d %s", a.StatusCode, a.body)
	}
	if b.cookie() == old || !b.reaches("/") || other.reaches("/") {
		t.Error("the changing browser should go on with a new id, and the others should be out")
	}
	stolen := s.browser()
	if a := stolen.do(stolen.request("GET", "/", nil, "Cookie", "gatehouse="+old)); a.StatusCode != 401 {
		t.Errorf("the old cookie answers %d", a.StatusCode)
	}
}

func TestAdminPagesAreServedOnTheirHostsOnly(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	s.global = "admin_host admin.example.test"
	if err := s.reload(s.everyHost(s.caddyfile())); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	if a := b.page("/_auth/admin"); a.StatusCode != 404 {
		t.Errorf("on another host: %d", a.StatusCode)
	}
	if a := b.api("GET", "users", nil); a.StatusCode != 404 {
		t.Errorf("the API on another host: %d", a.StatusCode)
	}
	if a := b.api("GET", "me", nil); a.StatusCode != 200 {
		t.Errorf("the own account on another host: %d", a.StatusCode)
	}
}

// The pages work under another prefix, and with the app's own addresses below the default one.
func TestAnotherPrefix(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("prefix /_gate/x"))
	b := s.browser()
	if a := b.page("/deep"); a.Header.Get("Location") != "/_gate/x/login?rt=%2Fdeep" {
		t.Errorf("Location %q", a.Header.Get("Location"))
	}
	if a := b.post("/_gate/x/login", "username", adminName, "password", adminPass); a.StatusCode != 303 {
		t.Errorf("sign-in: %d", a.StatusCode)
	}
	if !b.reaches("/_auth/login") {
		t.Error("the app's own /_auth is out of reach")
	}
}

// The smallest configuration of all: the directive, and nothing in the global options.
func TestTheDirectiveAloneIsEnough(t *testing.T) {
	setenv(t, "ADMIN_PASSWORD", adminPass)
	up := newUpstream(t)
	addr := testenv.Address(t)
	s := &caddyServer{t: t, up: up, addr: addr}
	err := loadCaddyfile(fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tgrace_period 1s\n}\nhttp://%s {\n\tbind 127.0.0.1\n\tgatehouse\n\treverse_proxy %s\n}\n", addr, up.Listener.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	b := s.browser()
	if a := b.page("/"); a.StatusCode != http.StatusFound {
		t.Errorf("anonymous: %d", a.StatusCode)
	}
	b.signIn(adminName, adminPass)
	if !b.reaches("/") {
		t.Error("the administrator does not get through")
	}
	if a := b.page("/_auth/admin"); a.StatusCode != 200 {
		t.Errorf("the admin page answers %d", a.StatusCode)
	}
}

// Refused sign-ins are in the audit log at once for anyone who reads it, and survive a graceful stop.
func TestRefusedSignInsAreInTheAuditLog(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	for range 3 {
		s.browser().post("/_auth/login", "username", "admin", "password", "wrong password here")
	}
	root := s.browser()
	root.signIn(adminName, adminPass)
	failures := func() (n int) {
		items, _ := root.api("GET", "audit?limit=100", nil).json(t)["items"].([]any)
		for _, it := range items {
			e := it.(map[string]any)
			for _, f := range []string{"id", "time", "actor", "action", "target", "outcome", "ip", "request_id", "details"} {
				if _, ok := e[f]; !ok {
					t.Fatalf("an event has no %s: %v", f, e)
				}
			}
			if e["action"] == "session.sign_in" && e["outcome"] == "failure" {
				n++
			}
		}
		return n
	}
	if n := failures(); n != 3 {
		t.Errorf("%d refused sign-ins in the log, want 3", n)
	}
	s.browser().post("/_auth/login", "username", "admin", "password", "wrong password here")
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	if n := failures(); n != 4 {
		t.Errorf("%d refused sign-ins after a restart, want 4", n)
	}
}
