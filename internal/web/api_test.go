package web_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

func keys(t testing.TB, raw string) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return slices.Sorted(maps.Keys(m))
}

func wantKeys(t testing.TB, raw string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := keys(t, raw); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
}

func TestSessionAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.browser().get("/api/v1/session").wantProblem(t, 401, "unauthorized")
	if p.LoginURL != "/_auth/login" {
		t.Errorf("%+v", p)
	}
	b := w.browser().signIn("ada", adaPass)
	start := w.Clock.Now()
	a := b.get("/api/v1/session").want(t, 200)
	if ct := a.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
	wantKeys(t, a.body, "user", "auth", "expires_at", "idle_expires_at")
	var s struct {
		User json.RawMessage
		Auth struct {
			Method, Provider string
			Time             time.Time
		}
		ExpiresAt     time.Time `json:"expires_at"`
		IdleExpiresAt time.Time `json:"idle_expires_at"`
	}
	a.json(t, &s)
	wantKeys(t, string(s.User), "id", "username", "email", "name", "role", "groups", "managed")
	if s.Auth.Method != "password" || s.Auth.Provider != "local" || !s.Auth.Time.Equal(start) ||
		!s.ExpiresAt.Equal(start.Add(7*24*time.Hour)) || !s.IdleExpiresAt.Equal(start.Add(12*time.Hour)) {
		t.Errorf("%+v", s)
	}
	if strings.Contains(a.body, b.token()) {
		t.Error("the token is in the answer")
	}
}

// Asking does not keep a session alive, however often.
func TestSessionAPIDoesNotExtend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	for range 11 {
		w.Clock.Advance(time.Hour)
		b.get("/api/v1/session").want(t, 200)
	}
	w.Clock.Advance(2 * time.Hour)
	b.get("/api/v1/session").wantProblem(t, 401, "unauthorized")
}

func TestMeAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	a := b.get("/api/v1/me").want(t, 200)
	wantKeys(t, a.body, "id", "kind", "username", "email", "name", "role", "groups", "active", "pending", "managed", "created_at", "updated_at", "last_login_at")
	var u struct {
		ID, Username, Name string
		Groups             []string
		LastLoginAt        time.Time `json:"last_login_at"`
	}
	a.json(t, &u)
	if u.ID != w.ada.ID || u.Username != "ada" || len(u.Groups) != 2 || !u.LastLoginAt.Equal(w.Clock.Now()) {
		t.Errorf("%+v", u)
	}
	if a := w.browser().signIn("root", rootPass).get("/api/v1/me"); !strings.Contains(a.body, `"groups":[]`) {
		t.Errorf("no groups are an empty list: %s", a.body)
	}
	b.json("PATCH", "/api/v1/me", `{"name":"Countess"}`).want(t, 200, `"name":"Countess"`)
	b.json("PATCH", "/api/v1/me", `{}`).want(t, 200)
	for _, f := range []string{`"email":"x@example.test"`, `"role":"admin"`, `"groups":["x"]`, `"active":true`, `"username":"x"`} {
		b.json("PATCH", "/api/v1/me", "{"+f+"}").wantProblem(t, 403, "role")
	}
	p := b.json("PATCH", "/api/v1/me", `{"name":"`+strings.Repeat("x", 300)+`"}`).wantProblem(t, 422, "invalid")
	if len(p.Errors) != 1 || p.Errors[0].Field != "name" || p.Errors[0].Detail == "" {
		t.Errorf("%+v", p)
	}
	fresh, err := w.Store.User(t.Context(), w.ada.ID)
	if err != nil || fresh.Name != "Countess" || fresh.Role != "user" || fresh.Email != "ada@example.test" {
		t.Errorf("%+v, %v", fresh, err)
	}
}

func TestPasswordAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, other := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass)
	p := b.json("POST", "/api/v1/me/password", `{"current_password":"wrong","new_password":"`+freshPass+`"}`).wantProblem(t, 422, "invalid")
	if len(p.Errors) != 1 || p.Errors[0].Field != "current_password" {
		t.Errorf("%+v", p)
	}
	p = b.json("POST", "/api/v1/me/password", `{"current_password":"`+adaPass+`","new_password":"short"}`).wantProblem(t, 422, "invalid")
	if len(p.Errors) != 1 || p.Errors[0].Field != "new_password" {
		t.Errorf("%+v", p)
	}
	old := b.token()
	b.json("POST", "/api/v1/me/password", `{"current_password":"`+adaPass+`","new_password":"`+freshPass+`","end_others":false}`).want(t, 204)
	if !other.signedIn() || !b.signedIn() || b.token() == old {
		t.Error("end_others false leaves the others, and renews this one")
	}
	b.json("POST", "/api/v1/me/password", `{"current_password":"`+freshPass+`","new_password":"`+adaPass+`"}`).want(t, 204)
	if other.signedIn() || !b.signedIn() {
		t.Error("left out, end_others is true")
	}
}

func TestOwnSessionsAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, other := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass)
	w.browser().signIn("root", rootPass)
	var list struct {
		Items []json.RawMessage
		Next  *string
	}
	a := b.get("/api/v1/me/sessions").want(t, 200)
	a.json(t, &list)
	if len(list.Items) != 2 || list.Next == nil || *list.Next != "" {
		t.Fatalf("%s", a.body)
	}
	current := 0
	for _, raw := range list.Items {
		wantKeys(t, string(raw), "id", "user", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "method", "provider", "current")
		var s struct {
			ID, User string
			Current  bool
		}
		if err := json.Unmarshal(raw, &s); err != nil || s.User != "ada" {
			t.Errorf("%s: %v", raw, err)
		}
		if s.Current {
			current++
			if s.ID != w.sessionOf(b) {
				t.Error("another session is marked as this one")
			}
		}
	}
	if current != 1 || strings.Contains(a.body, b.token()) {
		t.Errorf("%s", a.body)
	}
	b.get("/api/v1/me/sessions?limit=1").want(t, 200).json(t, &list)
	if len(list.Items) != 1 || *list.Next == "" {
		t.Errorf("a limit of 1 gives %d", len(list.Items))
	}
	b.get("/api/v1/me/sessions?limit=1&cursor="+*list.Next).want(t, 200).json(t, &list)
	if len(list.Items) != 1 || *list.Next != "" {
		t.Errorf("the second page has %d", len(list.Items))
	}
	for _, bad := range []string{"limit=0", "limit=1001", "limit=x", "limit=-1", "limit=9999999999999999999"} {
		b.get("/api/v1/me/sessions?"+bad).wantProblem(t, 400, "bad-request")
	}
	b.get("/api/v1/me/sessions?cursor=x").wantProblem(t, 400, "bad-cursor")
	b.do("DELETE", "/api/v1/me/sessions/"+w.sessionOf(other)).want(t, 204)
	if other.signedIn() || !b.signedIn() {
		t.Error("the wrong session was ended")
	}
	b.do("DELETE", "/api/v1/me/sessions/"+w.sessionOf(b)).want(t, 204)
	if b.token() != "" {
		t.Error("the cookie stays")
	}
}

// Every field with every type, and every malformed body, is the caller's fault and never ours.
func TestJSONBodiesAreStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	routes := map[[2]string][]string{
		{"PATCH", "/api/v1/me"}:                   {"name", "username", "email", "role", "groups", "active"},
		{"POST", "/api/v1/me/password"}:           {"current_password", "new_password", "end_others"},
		{"POST", "/api/v1/me/tokens"}:             {"name", "expires_at", "expires_in", "hosts", "paths", "methods"},
		{"POST", "/api/v1/me/tokens/{id}/rotate"}: {"keep"},
		{"PATCH", "/api/v1/me/factors"}:           {"ask_second_factor"},
		{"POST", "/api/v1/me/totp"}:               {},
		{"POST", "/api/v1/me/totp/{id}"}:          {"code", "name", "end_others"},
		{"PATCH", "/api/v1/me/totp/{id}"}:         {"name"},
		{"POST", "/api/v1/me/recovery-codes"}:     {"password"},
		{"POST", "/api/v1/me/passkeys"}:           {"state", "attestation", "name"},
		{"PATCH", "/api/v1/me/passkeys/{id}"}:     {"name"},
	}
	covered := 0
	for _, mp := range w.changing() {
		if strings.HasPrefix(mp[1], "/api/") && mp[0] != "DELETE" {
			if _, ok := routes[mp]; !ok {
				t.Errorf("%v takes a body that is not tested", mp)
			}
			covered++
		}
	}
	if covered != len(routes) {
		t.Errorf("%d of %d", covered, len(routes))
	}
	values := []string{`null`, `true`, `false`, `0`, `-1`, `1e400`, `1.5`, `""`, `"\u0000"`, `"\ud800"`, `[]`, `["x"]`, `{}`, `{"a":1}`, `"` + strings.Repeat("x", 100_000) + `"`}
	for mp, fields := range routes {
		for _, f := range fields {
			for _, v := range values {
				if mp[0] == "PATCH" && f == "name" && (v == `""` || v == `"\ud800"`) {
					continue // texts; the second reads as U+FFFD
				}
				a := b.json(mp[0], mp[1], `{"`+f+`":`+v+`}`)
				if a.StatusCode < 400 || a.StatusCode >= 500 || a.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%v {%q: %.40s}: status %d", mp, f, v, a.StatusCode)
				}
			}
			if a := b.json(mp[0], mp[1], `{"`+strings.ToUpper(f)+`":"x"}`); a.StatusCode != 422 {
				t.Errorf("%v takes %q: %d", mp, strings.ToUpper(f), a.StatusCode)
			}
			if a := b.json(mp[0], mp[1], `{"`+f+`":"x","`+f+`":"y"}`); a.StatusCode != 422 {
				t.Errorf("%v takes %q twice: %d", mp, f, a.StatusCode)
			}
		}
		for body, status := range map[string]int{
			``: 400, `null`: 400, `[]`: 400, `"x"`: 400, `1`: 400, `{`: 400, `{}{}`: 400, `{} x`: 400, `{"unknown":1}`: 422, "\xff": 400, `{"name":"` + "\xff" + `"}`: 400,
			strings.Repeat(`[`, 200_000): 400, `{"name":"` + strings.Repeat("x", 2<<20) + `"}`: 413,
		} {
			if without := map[string]int{
				"/api/v1/me/tokens/{id}/rotate": 404, // there is no such token
				"/api/v1/me/totp":               201,
				"/api/v1/me/recovery-codes":     403, // there is no second factor
			}[mp[1]]; body == "" && without != 0 {
				status = without // it may come without a body
			}
			if a := b.json(mp[0], mp[1], body); a.StatusCode != status {
				t.Errorf("%v %.20q: status %d, want %d", mp, body, a.StatusCode, status)
			}
		}
		for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", "application/json; charset=\"", "text/json"} {
			if a := b.send(request(mp[0], mp[1], ct, `{}`)); a.StatusCode != 415 {
				t.Errorf("%v with Content-Type %q: status %d", mp, ct, a.StatusCode)
			}
		}
	}
	if a := b.send(request("PATCH", "/api/v1/me", "application/json; charset=utf-8", `{"name":"x"}`)); a.StatusCode != 200 {
		t.Errorf("with a charset: %d", a.StatusCode)
	}
}

func TestUnknownAPIAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	for _, p := range []string{"/api/v1/nothing", "/api/v2/session", "/api/", "/api/v1/me/nothing", "/api/v1/session/x"} {
		a := b.get(p)
		if a.StatusCode == 308 {
			a = b.get(strings.TrimSuffix(p, "/"))
		}
		if a.StatusCode != 404 {
			t.Errorf("%s: %d", p, a.StatusCode)
		}
	}
	b.do("PUT", "/api/v1/me").wantProblem(t, 405, "method-not-allowed")
	b.do("POST", "/api/v1/session").wantProblem(t, 405, "method-not-allowed")
}

// The addresses above the ones there are belong to the API, too: a program gets a document, and stays below the prefix.
func TestTheRootsOfTheAPIAreUnknownAddresses(t *testing.T) {
	t.Parallel()
	for _, w := range []*world{newWorld(t), newWorld(t, func(c *config) {
		c.more = []web.Route{{Pattern: "/api/v1", Access: web.SignedIn}, {Pattern: "/api/v1/", Access: web.SignedIn}}
	})} {
		b := w.browser().signIn("ada", adaPass)
		for _, at := range []string{"/api", "/api/v1", "/api/v1?x=1"} {
			b.get(at).wantProblem(t, 404, "not-found")
			b.json("POST", at, `{"username":"x"}`).wantProblem(t, 404, "not-found")
		}
		b.get("/api/v1/").want(t, 308)
		b.json("POST", "/api/v1/", `{}`).wantProblem(t, 404, "not-found")
	}
}

// Forms: what is too large, of another kind, or said twice.
func TestFormsAreStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	n := 0
	for _, mp := range w.changing() {
		if strings.HasPrefix(mp[1], "/api/") {
			continue
		}
		n++
		at := address(mp[1])
		otherKind := 415
		if strings.HasPrefix(mp[1], "/device/") {
			otherKind = 400 // RFC 6749, section 5.2
		}
		lenient := slices.Contains([]string{
			"/logout", "/account/sessions/others", "/account/sessions/{id}/revoke", "/account/browsers", "/account/browsers/{id}/forget",
		}, mp[1]) // need no fields
		for ct, body := range map[string]string{"application/json": `{}`, "multipart/form-data; boundary=x": "--x--", "text/plain": "a=b"} {
			if lenient || (mp[1] == "/login" && strings.HasPrefix(ct, "multipart/")) {
				continue
			}
			if a := b.send(request("POST", at, ct, body)); a.StatusCode != otherKind {
				t.Errorf("%s takes %s: %d", at, ct, a.StatusCode)
			}
		}
		if a := b.send(request("POST", at, "application/x-www-form-urlencoded", "x="+strings.Repeat("y", 64<<10))); a.StatusCode != 413 {
			t.Errorf("%s takes more than 64 KiB: %d", at, a.StatusCode)
		}
		if a := b.send(request("POST", at, "application/x-www-form-urlencoded", "%zz")); a.StatusCode != 400 {
			t.Errorf("%s takes malformed escapes: %d", at, a.StatusCode)
		}
		if lenient {
			continue
		}
		zipped := request("POST", at, "application/x-www-form-urlencoded", "x=y")
		zipped.Header.Set("Content-Encoding", "gzip")
		if a := b.send(zipped); a.StatusCode != otherKind {
			t.Errorf("%s takes a compressed form: %d", at, a.StatusCode)
		}
	}
	if n < 9 {
		t.Errorf("only %d forms", n)
	}
	for _, f := range []string{"username", "password", "rt"} {
		w.browser().post("/login", "username", "ada", "password", adaPass, f, "x", f, "y").want(t, 400)
	}
}
