package api

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
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

const userKeys = "active created_at email groups id kind last_login_at managed name pending role updated_at username"

func TestUsersByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")

	a := b.JSON(http.MethodPost, "/users", `{"username":"nina","email":"nina@example.com","name":"Nina","role":"user","groups":["b","a","b"],"active":true,"password":"`+otherPass+`"}`).Want(t, http.StatusCreated)
	var u User
	a.Decode(t, &u)
	if keysOf(t, json.RawMessage(a.Body)) != userKeys || u.Username != "nina" || !slices.Equal(u.Groups, []string{"a", "b"}) || !u.Active || u.LastLoginAt != nil {
		t.Errorf("made %s", a)
	}
	if got := a.Header.Get("Location"); got != prefix+"/api/v1/users/"+u.ID {
		t.Errorf("Location %q", got)
	}
	made := a.Header.Get("ETag")
	a = b.JSON(http.MethodGet, "/users/"+u.ID, nil).Want(t, http.StatusOK)
	if a.Header.Get("ETag") != made || made == "" || keysOf(t, json.RawMessage(a.Body)) != strings.Replace(userKeys, "groups", "factors groups", 1) {
		t.Errorf("read %s with %s", a, a.Header.Get("ETag"))
	}

	a = b.With("If-Match", made).JSON(http.MethodPatch, "/users/"+u.ID, `{"name":"Nina Nine","groups":[]}`).Want(t, http.StatusOK)
	if a.Decode(t, &u); u.Name != "Nina Nine" || len(u.Groups) != 0 || a.Header.Get("ETag") == made {
		t.Errorf("changed to %s", a)
	}
	now := a.Header.Get("ETag")
	for _, tag := range []string{made, `"x"`, "W/" + now, "1", `""`} {
		if a := b.With("If-Match", tag).JSON(http.MethodPatch, "/users/"+u.ID, `{"name":"No"}`); a.Status != http.StatusPreconditionFailed || a.Problem() != "stale" {
			t.Errorf("If-Match %s: %s", tag, a)
		}
		b.With("If-Match", tag).JSON(http.MethodDelete, "/users/"+u.ID, nil).Want(t, http.StatusPreconditionFailed)
	}
	b.With("If-Match", `"x", `+now).JSON(http.MethodPatch, "/users/"+u.ID, `{"active":false}`).Want(t, http.StatusOK)
	b.With("If-Match", "*").JSON(http.MethodPatch, "/users/"+u.ID, `{}`).Want(t, http.StatusOK)
	if a = b.JSON(http.MethodDelete, "/users/"+u.ID, nil).Want(t, http.StatusNoContent); a.Body != "" {
		t.Error(a)
	}
	for _, m := range []string{http.MethodGet, http.MethodDelete} {
		if a := b.JSON(m, "/users/"+u.ID, nil); a.Status != http.StatusNotFound || a.Problem() != "not-found" {
			t.Error(a)
		}
	}
}

// Without a password a new user comes with a one-time link, which works, once, and which the log does not know.
func TestANewUserWithoutAPasswordGetsALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")
	var made struct {
		ID        string    `json:"id"`
		Active    bool      `json:"active"`
		Link      string    `json:"link"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	b.JSON(http.MethodPost, "/users", `{"username":"nina"}`).Want(t, http.StatusCreated).Decode(t, &made)
	if !made.Active || !made.ExpiresAt.Equal(w.Clock.Now().Add(account.DefaultLinkTTL)) {
		t.Fatalf("%+v", made)
	}
	w.UseLink(t, made.Link, "nina")
	// A reset makes another one. The old password goes on until it is used.
	var reset struct{ Link, ExpiresAt string }
	a := b.JSON(http.MethodPost, "/users/"+made.ID+"/reset-password", `{}`).Want(t, http.StatusOK)
	if a.Decode(t, &reset); keysOf(t, json.RawMessage(a.Body)) != "expires_at link" {
		t.Error(a)
	}
	w.UseLink(t, reset.Link, "nina")
	for _, e := range w.AllEvents() {
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

func TestResetByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, tom := w.Add("ada", store.RoleAdmin), w.Add("tom", store.RoleUser)
	b, toms := w.SignIn("ada"), w.SignIn("tom")
	at := "/users/" + tom.ID + "/reset-password"
	for body, status := range map[string]int{
		`{"password":""}`: http.StatusUnprocessableEntity, `{"password":"short"}`: http.StatusUnprocessableEntity,
		`{"must_change":true}`: http.StatusUnprocessableEntity,
		`{"password":null}`:    http.StatusUnprocessableEntity, `{"pasword":"x"}`: http.StatusUnprocessableEntity, ``: http.StatusBadRequest,
		`{"password":"` + strings.Repeat("x", 1025) + `"}`: http.StatusUnprocessableEntity,
	} {
		if a := b.JSON(http.MethodPost, at, body); a.Status != status {
			t.Errorf("%.40s: %s", body, a)
		}
	}
	toms.Get("/account").Want(t, http.StatusOK)
	b.JSON(http.MethodPost, at, `{"password":"`+otherPass+`","must_change":true}`).Want(t, http.StatusNoContent)
	toms.Get("/account").Want(t, http.StatusSeeOther) // over
	if !w.User(tom.ID).MustChange {
		t.Error("the password need not be changed")
	}
	if a := b.JSON(http.MethodPost, "/users/"+ada.ID+"/reset-password", `{}`); a.Status != http.StatusForbidden || a.Problem() != "self" {
		t.Error(a)
	}
}

func TestSessionsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b, toms, other := w.SignIn("ada"), w.SignIn("tom"), w.SignIn("tom")
	var list struct {
		Items []Session
		Next  *string
	}
	a := b.JSON(http.MethodGet, "/sessions", nil).Want(t, http.StatusOK)
	a.Decode(t, &list)
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
	b.JSON(http.MethodGet, "/sessions?user="+tom.ID, nil).Want(t, http.StatusOK).Decode(t, &list)
	if len(list.Items) != 2 {
		t.Fatalf("%d sessions of tom", len(list.Items))
	}
	b.JSON(http.MethodDelete, "/sessions/"+list.Items[0].ID, nil).Want(t, http.StatusNoContent)
	b.JSON(http.MethodDelete, "/sessions/"+list.Items[0].ID, nil).Want(t, http.StatusNotFound)
	over := 0
	for _, x := range []*browser{toms, other} {
		if x.Get("/account").Status != http.StatusOK {
			over++
		}
	}
	if over != 1 {
		t.Errorf("%d sessions are over", over)
	}
	b.JSON(http.MethodPost, "/users/"+tom.ID+"/end-sessions", nil).Want(t, http.StatusNoContent)
	toms.Get("/account").Want(t, http.StatusSeeOther)
	other.Get("/account").Want(t, http.StatusSeeOther)
}

func TestProvidersByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	var list List[provider]
	w.SignIn("ada").JSON(http.MethodGet, "/providers", nil).Want(t, http.StatusOK).Decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].Name != "acme" || list.Items[0].DiscoveredAt != nil || list.Items[0].Keys != 2 {
		t.Errorf("%+v", list)
	}
}

// Every field takes its own type and no other, and whatever comes is a clear refusal, never a failure of ours.
func TestNoJSONBreaksTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b := w.SignIn("ada")
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
				a := b.JSON(target.method, target.path, `{"`+f+`":`+v+`}`)
				if a.Status >= 500 || (a.Status >= 300 && a.Header.Get("Content-Type") != "application/problem+json") {
					t.Errorf("%s %s {%q:%.30s}: %s", target.method, target.path, f, v, a)
				}
			}
		}
		for _, body := range []string{``, `x`, `[]`, `null`, `"x"`, `1`, `{`, `{}{}`, `{"name":"a"} x`, `{"name":"a","name":"b"}`, "\xff", `{"name":"` + "\xff" + `"}`, strings.Repeat("[", 100000), strings.Repeat(" ", 2<<20) + `{}`} {
			if a := b.JSON(target.method, target.path, body); a.Status < 400 || a.Status >= 500 {
				t.Errorf("%s %.20q: %s", target.method, body, a)
			}
		}
		b.Do(target.method, "/api/v1"+target.path, "text/plain", strings.NewReader(`{}`)).Want(t, http.StatusUnsupportedMediaType)
	}
	if got := w.User(tom.ID); got.Role != store.RoleUser || got.Managed || !got.Active && got.Pending {
		t.Errorf("something got through: %+v", got)
	}
}

// Mass assignment: what is not a field of the form is refused, and not silently left out.
func TestUnknownFieldsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")
	for _, f := range []string{"id", "managed", "pending", "password_hash", "epoch", "origin", "created_at", "link"} {
		var p struct {
			Errors []struct{ Field, Detail string }
		}
		a := b.JSON(http.MethodPost, "/users", `{"username":"nina","`+f+`":"x"}`).Want(t, http.StatusUnprocessableEntity)
		if a.Decode(t, &p); len(p.Errors) != 1 || p.Errors[0].Field != f {
			t.Error(a)
		}
	}
	if _, err := w.Store.UserByUsername(t.Context(), "nina"); err == nil {
		t.Error("the account was made")
	}
}

// Field errors name the field, all of them at once.
func TestRefusedFieldsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")
	names := func(a response) string {
		var p struct{ Errors []struct{ Field string } }
		a.Decode(t, &p)
		var list []string
		for _, e := range p.Errors {
			list = append(list, e.Field)
		}
		return strings.Join(list, " ")
	}
	a := b.JSON(http.MethodPost, "/users", `{"username":"","email":"x","role":"root","groups":["a,b"],"password":"x"}`).Want(t, http.StatusUnprocessableEntity)
	if got := names(a); got != "username email role groups password" {
		t.Errorf("%q: %s", got, a)
	}
	a = b.JSON(http.MethodPost, "/users", `{"username":"ADA"}`).Want(t, http.StatusConflict)
	if got := names(a); got != "username" || a.Problem() != "conflict" {
		t.Errorf("%q: %s", got, a)
	}
}

// Lists are walked by cursors: each entry once, in order, whatever the page size; and a cursor is for its own list.
func TestCursorsWalkTheWholeList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	for i := range 23 {
		w.Add(fmt.Sprintf("user%02d", i), store.RoleUser)
	}
	b := w.SignIn("ada")
	for _, sort := range []string{"", "username", "-username", "email", "-created", "created_at", "last_login", "-last_login_at"} {
		seen, cursor := map[string]bool{}, ""
		for page := 0; ; page++ {
			var list List[User]
			b.JSON(http.MethodGet, "/users?limit=5&sort="+sort+"&cursor="+cursor, nil).Want(t, http.StatusOK).Decode(t, &list)
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
	b.JSON(http.MethodGet, "/users?limit=5", nil).Decode(t, &list)
	for _, bad := range []string{
		"/users?cursor=x", "/users?sort=email&cursor=" + list.Next, "/sessions?cursor=" + list.Next, "/audit?cursor=" + list.Next, "/users?cursor=" + strings.Repeat("A", 20000),
		"/users?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"l":"users"}`)), "/users?cursor=" + list.Next + "=", "/users?limit=0", "/users?limit=1001", "/users?limit=-1",
		"/users?limit=x", "/users?limit=5&limit=6", "/users?sort=password_hash", "/users?sort=-", "/users?status=nothing", "/users?role=root", "/users?q=%zz", "/users?q=a;b=c",
		"/audit?from=yesterday", "/audit?outcome=maybe", "/audit?since=1h",
	} {
		if a := b.JSON(http.MethodGet, bad, nil); a.Status != http.StatusBadRequest {
			t.Errorf("%.60s: %s", bad, a)
		}
	}
	for _, q := range []string{"%00", "%ff", "%25", "'", "user%5f", "%F0%9F%A6%A6", strings.Repeat("x", 5000)} {
		b.JSON(http.MethodGet, "/users?q="+q, nil).Want(t, http.StatusOK)
		b.JSON(http.MethodGet, "/audit?q="+q+"&actor="+q+"&action="+q, nil).Want(t, http.StatusOK)
		b.JSON(http.MethodGet, "/sessions?q="+q, nil).Want(t, http.StatusOK)
	}
	for query, n := range map[string]int{"q=user1": 10, "status=never": 23, "role=admin": 1, "status=inactive": 0, "q=USER1&role=user&status=active": 10, "provider=local": 24} {
		if b.JSON(http.MethodGet, "/users?"+query, nil).Want(t, http.StatusOK).Decode(t, &list); len(list.Items) != n {
			t.Errorf("%s: %d users, not %d", query, len(list.Items), n)
		}
	}
}

var update = flag.Bool("update", false, "rewrite the golden file")

// Programs are generated from the description: what changes in it is seen here first.
func TestTheDescriptionIsTheGoldenFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	got := w.SignIn("ada").JSON(http.MethodGet, "/openapi.json", nil).Want(t, http.StatusOK).Body
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
	b := s.SignIn("ada")
	var doc struct {
		OpenAPI string                               `json:"openapi"`
		Servers []struct{ URL string }               `json:"servers"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	b.JSON(http.MethodGet, "/openapi.json", nil).Want(t, http.StatusOK).Decode(t, &doc)
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
		at := strings.NewReplacer("/users/{id}", "/users/"+s.Target.ID, "/sessions/{id}", "/sessions/"+s.Session).Replace(path)
		a := b.Do("PROPFIND", at, "", nil).Want(t, http.StatusMethodNotAllowed)
		var described []string
		for m := range methods {
			described = append(described, strings.ToUpper(m))
			if m == "get" {
				described = append(described, "HEAD")
			}
		}
		slices.Sort(described)
		if got := a.Header.Get("Allow"); got != strings.Join(described, ", ") {
			t.Errorf("%s takes %q, described are %v", path, got, described)
		}
	}
}
