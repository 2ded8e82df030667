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
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// What takes an account back says which ways in it leaves, sign-ins through providers and tokens of programs, and takes
// them away when asked.
func TestARecoverySaysWhatItLeaves(t *testing.T) {
	t.Parallel()
	for _, act := range []struct{ at, body string }{
		{"/reset-password", `"password":"quite another passphrase"`}, {"/reset-password", ""}, {"/end-sessions", ""},
	} {
		for _, c := range []struct{ all, linked, token bool }{
			{false, true, true}, {true, true, true}, {false, true, false}, {false, false, true}, {true, false, true}, {false, false, false},
		} {
			s := newScene(t)
			if c.token {
				s.Program(s.Target.ID)
			}
			if !c.linked {
				if err := s.Accounts.UnlinkIdentity(t.Context(), webtest.Operator, s.Target.ID, s.Identity.ID()); err != nil {
					t.Fatal(err)
				}
			}
			body := act.body
			if c.all {
				body = strings.TrimPrefix(body+`,"identities":true`, ",")
			}
			a := s.SignIn("ada").Do(http.MethodPost, "/api/v1/users/"+s.Target.ID+act.at, "application/json", strings.NewReader("{"+body+"}"))
			var got struct {
				Identities []Identity
				Tokens     int
				Link       string
			}
			if a.Body != "" && json.Unmarshal([]byte(a.Body), &got) != nil {
				t.Fatalf("%s %s: %s", act.at, body, a)
			}
			ids, err := s.Store.Identities(t.Context(), s.Target.ID)
			tokens, failed := s.Store.CountTokens(t.Context(), s.Target.ID, s.Clock.Now())
			if err != nil || failed != nil || len(ids) != len(got.Identities) || tokens != got.Tokens || (len(ids) == 0) != (c.all || !c.linked) {
				t.Errorf("%s %s %+v: %d and %d are left, reported is %s (%v, %v)", act.at, body, c, len(ids), tokens, a, err, failed)
			}
			if want := len(ids) == 0 && tokens == 0 && got.Link == ""; (a.Status == http.StatusNoContent) != want || a.Status >= 300 {
				t.Errorf("%s %s %+v: %s", act.at, body, c, a)
			}
		}
	}
}

// What a program asks for is read however the body travels: over HTTP/2 it need not say how long it is.
func TestABodyWithoutALengthIsRead(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	send := func(body string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, prefix+"/api/v1/users/"+s.Target.ID+"/end-sessions", strings.NewReader(body))
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/json")
		at, err := url.Parse(s.Server.URL + prefix + "/")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range ada.Client.Jar.Cookies(at) {
			r.AddCookie(c)
		}
		rec := httptest.NewRecorder()
		s.Router.ServeHTTP(rec, reqctx.With(r, &reqctx.Request{ID: "req-1", Host: r.Host, Prefix: prefix}))
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
	if ids, err := s.Store.Identities(t.Context(), s.Target.ID); err != nil || len(ids) != 0 {
		t.Errorf("%d identities are left, %v", len(ids), err)
	}
}

// A program that reads the description knows every response that an act can give, and that a body may be left out.
func TestTheDescriptionTellsEveryAnswer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	var doc struct {
		Paths map[string]map[string]struct {
			Responses   map[string]json.RawMessage
			RequestBody struct{ Required bool }
		}
	}
	ada.JSON(http.MethodGet, "/openapi.json", nil).Decode(t, &doc)
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
	ada := s.SignIn("ada")
	for i := range 60 {
		ada.JSON(http.MethodPatch, "/me", `{"name":"`+strings.Repeat("x", i+1)+`"}`).Want(t, http.StatusOK)
	}
	for range 3 {
		ada.Get("/api/v1/users?limit=1000").Want(t, http.StatusTooManyRequests)
	}
	s.Clock.Advance(2 * time.Minute)
	ada.Get("/api/v1/users?limit=1000").Want(t, http.StatusOK)
	if n := len(s.Events("user.export")); n != 1 {
		t.Errorf("%d notes", n)
	}
}

// Whatever is refused to a program is refused in the language that it asks for; what it goes by is the same.
func TestRefusalsOfTheAPIComeFromTheCatalog(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Language = ui.Pseudo })
	b := s.SignIn("ada")
	tom, ada := "/users/"+s.Target.ID, "/users/"+s.Admin.ID
	responses := map[string]response{
		"no fields": b.JSON("POST", "/users", "{}"), "unknown": b.JSON("POST", "/users", `{"x":1}`), "broken": b.JSON("POST", "/users", "{"), "list": b.JSON("POST", "/users", "[]"),
		"null": b.JSON("POST", "/users", `{"username":null}`), "type": b.JSON("POST", "/users", `{"username":1}`), "twice": b.JSON("POST", "/users", `{"username":"a","username":"b"}`),
		"taken": b.JSON("POST", "/users", `{"username":"tom"}`), "role": b.JSON("PATCH", tom, `{"role":"king"}`), "groups": b.JSON("PATCH", tom, `{"groups":["a,b"]}`),
		"no name": b.JSON("PATCH", tom, `{"groups":[""]}`), "own role": b.JSON("PATCH", ada, `{"role":"user"}`), "own state": b.JSON("PATCH", ada, `{"active":false}`),
		"own account": b.JSON("DELETE", ada, nil), "own password": b.JSON("POST", ada+"/reset-password", `{"password":"a lamp under the stairs"}`),
		"empty password": b.JSON("POST", tom+"/reset-password", `{"password":""}`), "short password": b.JSON("POST", tom+"/reset-password", `{"password":"x"}`),
		"limit": b.JSON("GET", "/users?limit=0", nil), "cursor": b.JSON("GET", "/users?cursor=x", nil), "status": b.JSON("GET", "/users?status=x", nil),
		"date": b.JSON("GET", "/audit?from=x", nil), "not there": b.JSON("GET", "/users/zz", nil), "no address": b.JSON("GET", "/nothing", nil), "method": b.JSON("DELETE", "/users", nil),
		"not JSON": b.Do("POST", "/api/v1/users", "text/plain", strings.NewReader("x")), "version": b.With("If-Match", `"999"`).JSON("PATCH", tom, `{"name":"T"}`),
		"elsewhere": b.With("Sec-Fetch-Site", "cross-site").JSON("PATCH", tom, `{"name":"T"}`), "nobody": s.Browser().JSON("GET", "/users", nil),
		"no administrator": s.SignIn("tom").JSON("GET", "/users", nil),
	}
	s.Clock.Advance(11 * time.Minute)
	responses["too long ago"] = b.JSON("PATCH", tom, `{"name":"T"}`)
	for name, a := range responses {
		var p problem.Document
		if err := json.Unmarshal([]byte(a.Body), &p); err != nil || a.Status < 400 || a.Header.Get("Content-Language") != ui.Pseudo {
			t.Errorf("%s: %d %q %s", name, a.Status, a.Header.Get("Content-Language"), a.Body)
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
		if strings.ContainsAny(p.Type, "[~") || p.Status != a.Status {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
