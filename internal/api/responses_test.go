package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// What takes an account back says which ways in it leaves, and takes them away when asked.
func TestARecoverySaysWhatItLeaves(t *testing.T) {
	t.Parallel()
	for _, act := range []struct{ at, body string }{
		{"/reset-password", `"password":"quite another passphrase"`}, {"/reset-password", ""}, {"/end-sessions", ""},
	} {
		for _, all := range []bool{false, true} {
			s := newScene(t)
			ada := s.signIn("ada")
			body := act.body
			if all {
				body = strings.TrimPrefix(body+`,"identities":true`, ",")
			}
			a := ada.do(http.MethodPost, "/api/v1/users/"+s.target.ID+act.at, "application/json", strings.NewReader("{"+body+"}"))
			var told struct{ Identities []Identity }
			if a.body != "" && json.Unmarshal([]byte(a.body), &told) != nil {
				t.Fatalf("%s %s: %s", act.at, body, a)
			}
			ids, err := s.store.Identities(t.Context(), s.target.ID)
			if err != nil || len(ids) != len(told.Identities) || (len(ids) == 0) != all || a.status >= 300 {
				t.Errorf("%s %s: %d are left, %d are told of, %v: %s", act.at, body, len(ids), len(told.Identities), err, a)
			}
		}
	}
}

// What a program asks for is read however the body travels: over HTTP/2 it need not say how long it is.
func TestABodyWithoutALengthIsRead(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.signIn("ada")
	send := func(body string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, prefix+"/api/v1/users/"+s.target.ID+"/end-sessions", strings.NewReader(body))
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/json")
		at, err := url.Parse(s.server.URL + prefix + "/")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range ada.client.Jar.Cookies(at) {
			r.AddCookie(c)
		}
		rec := httptest.NewRecorder()
		s.router.ServeHTTP(rec, reqctx.With(r, &reqctx.Request{ID: "req-1", Host: r.Host, Prefix: prefix}))
		return rec.Code
	}
	if got := send(`{"identities":true,"nonsense":1}`); got != http.StatusUnprocessableEntity {
		t.Errorf("an unknown member: %d", got)
	}
	if got := send(""); got != http.StatusOK {
		t.Errorf("no body: %d", got)
	}
	if got := send(`{"identities":true}`); got != http.StatusNoContent {
		t.Errorf("all ways in: %d", got)
	}
	if ids, err := s.store.Identities(t.Context(), s.target.ID); err != nil || len(ids) != 0 {
		t.Errorf("%d identities are left, %v", len(ids), err)
	}
}

// A program that reads the description knows every response that an act can give, and that a body may be left out.
func TestTheDescriptionTellsEveryAnswer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.signIn("ada")
	var doc struct {
		Paths map[string]map[string]struct {
			Responses   map[string]json.RawMessage
			RequestBody struct{ Required bool }
		}
	}
	ada.json(http.MethodGet, "/openapi.json", nil).read(t, &doc)
	for at, required := range map[string]bool{"/api/v1/users/{id}/reset-password": true, "/api/v1/users/{id}/end-sessions": false} {
		op := doc.Paths[at]["post"]
		for _, status := range []string{"200", "204", "default"} {
			if op.Responses[status] == nil {
				t.Errorf("%s: %s is not described", at, status)
			}
		}
		if op.RequestBody.Required != required {
			t.Errorf("%s: a body is required: %t", at, op.RequestBody.Required)
		}
	}
}

// A copy whose note in the audit log came to nothing is not given out by asking again.
func TestNoReadGoesUnnoted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.signIn("ada")
	for i := range 60 {
		ada.json(http.MethodPatch, "/me", `{"name":"`+strings.Repeat("x", i+1)+`"}`).want(t, http.StatusOK)
	}
	for range 3 {
		ada.get("/api/v1/users?limit=1000").want(t, http.StatusTooManyRequests)
	}
	s.clock.Advance(2 * time.Minute)
	ada.get("/api/v1/users?limit=1000").want(t, http.StatusOK)
	if n := len(s.events("user.export")); n != 1 {
		t.Errorf("%d notes", n)
	}
}

// Whatever is refused to a program is refused in the language that it asks for; what it goes by is the same.
func TestRefusalsOfTheAPIComeFromTheCatalog(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Language = ui.Pseudo })
	b := s.signIn("ada")
	tom, ada := "/users/"+s.target.ID, "/users/"+s.admin.ID
	responses := map[string]response{
		"no fields": b.json("POST", "/users", "{}"), "unknown": b.json("POST", "/users", `{"x":1}`), "broken": b.json("POST", "/users", "{"), "list": b.json("POST", "/users", "[]"),
		"null": b.json("POST", "/users", `{"username":null}`), "type": b.json("POST", "/users", `{"username":1}`), "twice": b.json("POST", "/users", `{"username":"a","username":"b"}`),
		"taken": b.json("POST", "/users", `{"username":"tom"}`), "role": b.json("PATCH", tom, `{"role":"king"}`), "groups": b.json("PATCH", tom, `{"groups":["a,b"]}`),
		"no name": b.json("PATCH", tom, `{"groups":[""]}`), "own role": b.json("PATCH", ada, `{"role":"user"}`), "own state": b.json("PATCH", ada, `{"active":false}`),
		"own account": b.json("DELETE", ada, nil), "own password": b.json("POST", ada+"/reset-password", `{"password":"a lamp under the stairs"}`),
		"empty password": b.json("POST", tom+"/reset-password", `{"password":""}`), "short password": b.json("POST", tom+"/reset-password", `{"password":"x"}`),
		"limit": b.json("GET", "/users?limit=0", nil), "cursor": b.json("GET", "/users?cursor=x", nil), "status": b.json("GET", "/users?status=x", nil),
		"date": b.json("GET", "/audit?from=x", nil), "not there": b.json("GET", "/users/zz", nil), "no address": b.json("GET", "/nothing", nil), "method": b.json("DELETE", "/users", nil),
		"not JSON": b.do("POST", "/api/v1/users", "text/plain", strings.NewReader("x")), "version": b.with("If-Match", `"999"`).json("PATCH", tom, `{"name":"T"}`),
		"elsewhere": b.with("Sec-Fetch-Site", "cross-site").json("PATCH", tom, `{"name":"T"}`), "nobody": s.browser().json("GET", "/users", nil),
		"no administrator": s.signIn("tom").json("GET", "/users", nil),
	}
	s.clock.Advance(11 * time.Minute)
	responses["too long ago"] = b.json("PATCH", tom, `{"name":"T"}`)
	for name, a := range responses {
		var p problem.Document
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status < 400 || a.header.Get("Content-Language") != ui.Pseudo {
			t.Errorf("%s: %d %q %s", name, a.status, a.header.Get("Content-Language"), a.body)
			continue
		}
		texts := []string{p.Title, p.Detail}
		for _, e := range p.Errors {
			texts = append(texts, e.Detail)
			if strings.ContainsAny(e.Field, "[~") {
				t.Errorf("%s: the field is called %q", name, e.Field)
			}
		}
		for _, text := range texts {
			if !strings.HasPrefix(text, "[") {
				t.Errorf("%s says %q past the catalog", name, text)
			}
		}
		if strings.ContainsAny(p.Type, "[~") || p.Status != a.status {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
