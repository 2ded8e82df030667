package api

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/store"
)

// keysOf returns the names in a JSON object, sorted.
func keysOf(t *testing.T, v json.RawMessage) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(v, &m); err != nil {
		t.Fatalf("%s: %v", v, err)
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

const userKeys = "active created_at email groups id last_login_at managed name pending role updated_at username"

func TestUsersByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	b := w.signIn("ada")

	a := b.json(http.MethodPost, "/users", `{"username":"nina","email":"nina@example.com","name":"Nina","role":"user","groups":["b","a","b"],"active":true,"password":"`+otherPass+`"}`).want(t, http.StatusCreated)
	var u User
	a.read(t, &u)
	if keysOf(t, json.RawMessage(a.body)) != userKeys || u.Username != "nina" || !slices.Equal(u.Groups, []string{"a", "b"}) || !u.Active || u.LastLoginAt != nil {
		t.Errorf("made %s", a)
	}
	if got := a.header.Get("Location"); got != prefix+"/api/v1/users/"+u.ID {
		t.Errorf("Location %q", got)
	}
	made := a.header.Get("ETag")
	a = b.json(http.MethodGet, "/users/"+u.ID, nil).want(t, http.StatusOK)
	if a.header.Get("ETag") != made || made == "" || keysOf(t, json.RawMessage(a.body)) != userKeys {
		t.Errorf("read %s with %s", a, a.header.Get("ETag"))
	}

	a = b.with("If-Match", made).json(http.MethodPatch, "/users/"+u.ID, `{"name":"Nina Nine","groups":[]}`).want(t, http.StatusOK)
	if a.read(t, &u); u.Name != "Nina Nine" || len(u.Groups) != 0 || a.header.Get("ETag") == made {
		t.Errorf("changed to %s", a)
	}
	now := a.header.Get("ETag")
	for _, tag := range []string{made, `"x"`, "W/" + now, "1", `""`} {
		if a := b.with("If-Match", tag).json(http.MethodPatch, "/users/"+u.ID, `{"name":"No"}`); a.status != http.StatusPreconditionFailed || a.problem() != "stale" {
			t.Errorf("If-Match %s: %s", tag, a)
		}
		b.with("If-Match", tag).json(http.MethodDelete, "/users/"+u.ID, nil).want(t, http.StatusPreconditionFailed)
	}
	b.with("If-Match", `"x", `+now).json(http.MethodPatch, "/users/"+u.ID, `{"active":false}`).want(t, http.StatusOK)
	b.with("If-Match", "*").json(http.MethodPatch, "/users/"+u.ID, `{}`).want(t, http.StatusOK)
	if a = b.json(http.MethodDelete, "/users/"+u.ID, nil).want(t, http.StatusNoContent); a.body != "" {
		t.Error(a)
	}
	for _, m := range []string{http.MethodGet, http.MethodDelete} {
		if a := b.json(m, "/users/"+u.ID, nil); a.status != http.StatusNotFound || a.problem() != "not-found" {
			t.Error(a)
		}
	}
}

// Without a password a new user comes with a one-time link, which works, once, and which the log does not know.
func TestANewUserWithoutAPasswordGetsALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	b := w.signIn("ada")
	var made struct {
		ID        string    `json:"id"`
		Active    bool      `json:"active"`
		Link      string    `json:"link"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	b.json(http.MethodPost, "/users", `{"username":"nina"}`).want(t, http.StatusCreated).read(t, &made)
	if !made.Active || !made.ExpiresAt.Equal(w.clock.Now().Add(account.DefaultLinkTTL)) {
		t.Fatalf("%+v", made)
	}
	w.useLink(t, made.Link, "nina")
	// A reset makes another one. The old password goes on until it is used.
	var reset struct{ Link, ExpiresAt string }
	a := b.json(http.MethodPost, "/users/"+made.ID+"/reset-password", `{}`).want(t, http.StatusOK)
	if a.read(t, &reset); keysOf(t, json.RawMessage(a.body)) != "expires_at link" {
		t.Error(a)
	}
	w.useLink(t, reset.Link, "nina")
	for _, e := range w.allEvents() {
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range []string{made.Link, reset.Link} {
			if strings.Contains(string(raw), link[strings.LastIndex(link, "/")+1:]) {
				t.Errorf("the audit log holds a link: %s", raw)
			}
		}
	}
}

// useLink opens a link as a person does and sets goodPass, then finds it spent.
func (w *world) useLink(t *testing.T, link, username string) {
	t.Helper()
	path, ok := strings.CutPrefix(link, w.server.URL+prefix)
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	b := w.browser()
	b.get(path).want(t, http.StatusSeeOther)
	b.post("/welcome", url.Values{"password": {goodPass}}).want(t, http.StatusSeeOther)
	w.signIn(username)
	if a := w.browser().get(path); a.status == http.StatusSeeOther {
		again := w.browser()
		again.get(path)
		if a = again.post("/welcome", url.Values{"password": {otherPass}}); a.status < 400 {
			t.Errorf("the link works twice: %s", a)
		}
	}
}

func TestResetByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, tom := w.add("ada", store.RoleAdmin), w.add("tom", store.RoleUser)
	b, toms := w.signIn("ada"), w.signIn("tom")
	at := "/users/" + tom.ID + "/reset-password"
	for body, status := range map[string]int{
		`{"password":""}`: http.StatusUnprocessableEntity, `{"password":"short"}`: http.StatusUnprocessableEntity,
		`{"must_change":true}`: http.StatusUnprocessableEntity,
		`{"password":null}`:    http.StatusUnprocessableEntity, `{"pasword":"x"}`: http.StatusUnprocessableEntity, ``: http.StatusBadRequest,
		`{"password":"` + strings.Repeat("x", 1025) + `"}`: http.StatusUnprocessableEntity,
	} {
		if a := b.json(http.MethodPost, at, body); a.status != status {
			t.Errorf("%.40s: %s", body, a)
		}
	}
	toms.get("/account").want(t, http.StatusOK)
	b.json(http.MethodPost, at, `{"password":"`+otherPass+`","must_change":true}`).want(t, http.StatusNoContent)
	toms.get("/account").want(t, http.StatusSeeOther) // over
	if !w.user(tom.ID).MustChange {
		t.Error("the password need not be changed")
	}
	if a := b.json(http.MethodPost, "/users/"+ada.ID+"/reset-password", `{}`); a.status != http.StatusForbidden || a.problem() != "self" {
		t.Error(a)
	}
}

func TestSessionsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	tom := w.add("tom", store.RoleUser)
	b, toms, other := w.signIn("ada"), w.signIn("tom"), w.signIn("tom")
	var list struct {
		Items []Session
		Next  *string
	}
	a := b.json(http.MethodGet, "/sessions", nil).want(t, http.StatusOK)
	a.read(t, &list)
	if len(list.Items) != 3 || list.Next == nil {
		t.Fatal(a)
	}
	current := 0
	for _, s := range list.Items {
		if s.Current {
			current++
			if s.User != "ada" {
				t.Errorf("the current session is %s's", s.User)
			}
		}
	}
	if current != 1 {
		t.Errorf("%d sessions are the current one", current)
	}
	b.json(http.MethodGet, "/sessions?user="+tom.ID, nil).want(t, http.StatusOK).read(t, &list)
	if len(list.Items) != 2 {
		t.Fatalf("%d sessions of tom", len(list.Items))
	}
	b.json(http.MethodDelete, "/sessions/"+list.Items[0].ID, nil).want(t, http.StatusNoContent)
	b.json(http.MethodDelete, "/sessions/"+list.Items[0].ID, nil).want(t, http.StatusNotFound)
	over := 0
	for _, x := range []*browser{toms, other} {
		if x.get("/account").status != http.StatusOK {
			over++
		}
	}
	if over != 1 {
		t.Errorf("%d sessions are over", over)
	}
	b.json(http.MethodPost, "/users/"+tom.ID+"/end-sessions", nil).want(t, http.StatusNoContent)
	toms.get("/account").want(t, http.StatusSeeOther)
	other.get("/account").want(t, http.StatusSeeOther)
}

func TestProvidersByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	var list List[provider]
	w.signIn("ada").json(http.MethodGet, "/providers", nil).want(t, http.StatusOK).read(t, &list)
	if len(list.Items) != 1 || list.Items[0].Name != "acme" || list.Items[0].DiscoveredAt != nil || list.Items[0].Keys != 2 {
		t.Errorf("%+v", list)
	}
}

// Every field takes its own type and no other, and whatever comes is a clear refusal, never a failure of ours.
func TestNoJSONBreaksTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	tom := w.add("tom", store.RoleUser)
	b := w.signIn("ada")
	fields := []string{"username", "email", "name", "role", "groups", "active", "password", "must_change", "id", "managed", "pending", "version", "Username", "", "__proto__"}
	values := []string{
		`null`, `true`, `0`, `-1`, `1e999`, `1.5`, `""`, `"x"`, `"` + strings.Repeat("a", 300) + `"`, `[]`, `[1]`, `["a,b"]`, `["",""]`, `[null]`, `{}`, `{"a":1}`, `[[[]]]`,
		`"\u0000"`, `"\ud800"`, `"a\nb"`, `"\u202eevil"`, `"<script>alert(1)</script>"`, `"'; DROP TABLE users; --"`, `"{env.ADMIN_PASSWORD}"`,
	}
	for _, target := range []struct{ method, path string }{
		{http.MethodPost, "/users"}, {http.MethodPatch, "/users/" + tom.ID}, {http.MethodPost, "/users/" + tom.ID + "/reset-password"},
	} {
		for _, f := range fields {
			for _, v := range values {
				a := b.json(target.method, target.path, `{"`+f+`":`+v+`}`)
				if a.status >= 500 || (a.status >= 300 && a.header.Get("Content-Type") != "application/problem+json") {
					t.Errorf("%s %s {%q:%.30s}: %s", target.method, target.path, f, v, a)
				}
			}
		}
		for _, body := range []string{``, `x`, `[]`, `null`, `"x"`, `1`, `{`, `{}{}`, `{"name":"a"} x`, `{"name":"a","name":"b"}`, "\xff", `{"name":"` + "\xff" + `"}`, strings.Repeat("[", 100000), strings.Repeat(" ", 2<<20) + `{}`} {
			if a := b.json(target.method, target.path, body); a.status < 400 || a.status >= 500 {
				t.Errorf("%s %.20q: %s", target.method, body, a)
			}
		}
		b.do(target.method, "/api/v1"+target.path, "text/plain", strings.NewReader(`{}`)).want(t, http.StatusUnsupportedMediaType)
	}
	if got := w.user(tom.ID); got.Role != store.RoleUser || got.Managed || !got.Active && got.Pending {
		t.Errorf("something got through: %+v", got)
	}
}

// Mass assignment: what is not a field of the form is refused, and not silently left out.
func TestUnknownFieldsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	b := w.signIn("ada")
	for _, f := range []string{"id", "managed", "pending", "password_hash", "epoch", "origin", "created_at", "link"} {
		var p struct {
			Errors []struct{ Field, Detail string }
		}
		a := b.json(http.MethodPost, "/users", `{"username":"nina","`+f+`":"x"}`).want(t, http.StatusUnprocessableEntity)
		if a.read(t, &p); len(p.Errors) != 1 || p.Errors[0].Field != f {
			t.Error(a)
		}
	}
	if _, err := w.store.UserByUsername(t.Context(), "nina"); err == nil {
		t.Error("the account was made")
	}
}

// Field errors name the field, all of them at once.
func TestRefusedFieldsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	b := w.signIn("ada")
	names := func(a response) string {
		var p struct{ Errors []struct{ Field string } }
		a.read(t, &p)
		var list []string
		for _, e := range p.Errors {
			list = append(list, e.Field)
		}
		return strings.Join(list, " ")
	}
	a := b.json(http.MethodPost, "/users", `{"username":"","email":"x","role":"root","groups":["a,b"],"password":"x"}`).want(t, http.StatusUnprocessableEntity)
	if got := names(a); got != "username email role groups password" {
		t.Errorf("%q: %s", got, a)
	}
	a = b.json(http.MethodPost, "/users", `{"username":"ADA"}`).want(t, http.StatusConflict)
	if got := names(a); got != "username" || a.problem() != "conflict" {
		t.Errorf("%q: %s", got, a)
	}
}

// Lists are walked by cursors: each entry once, in order, whatever the page size; and a cursor is for its own list.
func TestCursorsWalkTheWholeList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	for i := range 23 {
		w.add(fmt.Sprintf("user%02d", i), store.RoleUser)
	}
	b := w.signIn("ada")
	for _, sort := range []string{"", "username", "-username", "email", "-created", "created_at", "last_login", "-last_login_at"} {
		seen, cursor := map[string]bool{}, ""
		for page := 0; ; page++ {
			var list List[User]
			b.json(http.MethodGet, "/users?limit=5&sort="+sort+"&cursor="+cursor, nil).want(t, http.StatusOK).read(t, &list)
			for _, u := range list.Items {
				if seen[u.ID] {
					t.Errorf("sort %q: %s came twice", sort, u.Username)
				}
				seen[u.ID] = true
			}
			if cursor = list.Next; cursor == "" || page > 10 {
				break
			}
		}
		if len(seen) != 24 {
			t.Errorf("sort %q: %d users", sort, len(seen))
		}
	}
	var list List[User]
	b.json(http.MethodGet, "/users?limit=5", nil).read(t, &list)
	for _, bad := range []string{
		"/users?cursor=x", "/users?sort=email&cursor=" + list.Next, "/sessions?cursor=" + list.Next, "/audit?cursor=" + list.Next, "/users?cursor=" + strings.Repeat("A", 20000),
		"/users?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"l":"users"}`)), "/users?cursor=" + list.Next + "=", "/users?limit=0", "/users?limit=1001", "/users?limit=-1",
		"/users?limit=x", "/users?limit=5&limit=6", "/users?sort=password_hash", "/users?sort=-", "/users?status=nothing", "/users?role=root", "/users?q=%zz", "/users?q=a;b=c",
		"/audit?from=yesterday", "/audit?outcome=maybe", "/audit?since=1h",
	} {
		if a := b.json(http.MethodGet, bad, nil); a.status != http.StatusBadRequest {
			t.Errorf("%.60s: %s", bad, a)
		}
	}
	for _, q := range []string{"%00", "%ff", "%25", "'", "user%5f", "%F0%9F%A6%A6", strings.Repeat("x", 5000)} {
		b.json(http.MethodGet, "/users?q="+q, nil).want(t, http.StatusOK)
		b.json(http.MethodGet, "/audit?q="+q+"&actor="+q+"&action="+q, nil).want(t, http.StatusOK)
		b.json(http.MethodGet, "/sessions?q="+q, nil).want(t, http.StatusOK)
	}
	for query, n := range map[string]int{"q=user1": 10, "status=never": 23, "role=admin": 1, "status=inactive": 0, "q=USER1&role=user&status=active": 10, "provider=local": 24} {
		if b.json(http.MethodGet, "/users?"+query, nil).want(t, http.StatusOK).read(t, &list); len(list.Items) != n {
			t.Errorf("%s: %d users, not %d", query, len(list.Items), n)
		}
	}
}

var update = flag.Bool("update", false, "rewrite the golden file")

// Programs are generated from the description: what changes in it is seen here first.
func TestTheDescriptionIsTheGoldenFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	got := w.signIn("ada").json(http.MethodGet, "/openapi.json", nil).want(t, http.StatusOK).body
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got != string(want) {
		t.Errorf("%v: the description has changed; with -update it is written anew:\n%s", err, got)
	}
}

// The description and the addresses are the same: each described operation exists, and each that exists is described.
func TestTheDescriptionMatchesTheAddresses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.signIn("ada")
	var doc struct {
		OpenAPI string                               `json:"openapi"`
		Servers []struct{ URL string }               `json:"servers"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	b.json(http.MethodGet, "/openapi.json", nil).want(t, http.StatusOK).read(t, &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.") || len(doc.Paths) < 10 {
		t.Fatalf("%+v", doc)
	}
	// Paths count from the server's address: without one, a client would send its requests to the app.
	if len(doc.Servers) != 1 || doc.Servers[0].URL != prefix {
		t.Errorf("servers %+v, want %s alone", doc.Servers, prefix)
	}
	document := schema(reflect.TypeFor[problem.Document]())
	fields, _ := document["properties"].(map[string]any)["errors"].(map[string]any)["items"].(map[string]any)["properties"].(map[string]any)
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, []string{"detail", "field"}) {
		t.Errorf("a refused field is described with %q", got)
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] || op["summary"] == "" {
				t.Errorf("%s %s is named %q", method, path, id)
			}
			ids[id] = true
		}
		// An address that exists says which methods it takes when it is asked for one that it does not.
		at := strings.NewReplacer("/users/{id}", "/users/"+s.target.ID, "/sessions/{id}", "/sessions/"+s.session).Replace(path)
		a := b.do("PROPFIND", at, "", nil).want(t, http.StatusMethodNotAllowed)
		var described []string
		for m := range methods {
			described = append(described, strings.ToUpper(m))
			if m == "get" {
				described = append(described, "HEAD")
			}
		}
		slices.Sort(described)
		if got := a.header.Get("Allow"); got != strings.Join(described, ", ") {
			t.Errorf("%s takes %q, described are %v", path, got, described)
		}
	}
}
