package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A deactivation that is refused leaves identities and sessions alone, too: it is done as a whole or not at all.
func TestARefusedDeactivationTakesNothingAway(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	root := s.edit(s.add("root", store.RoleAdmin).ID, func(u *store.User) { u.Managed = true })
	b := s.signIn("ada")
	for name, id := range map[string]string{"oneself": s.admin.ID, "the deployment's": root.ID} {
		linked := store.Identity{Issuer: "https://idp", Subject: name, UserID: id, Provider: "acme", CreatedAt: s.clock.Now()}
		if err := s.store.Change(t.Context(), func(tx store.Tx) error { return tx.CreateIdentity(t.Context(), linked) }); err != nil {
			t.Fatal(err)
		}
		s.signIn(s.user(id).Username)
		before := s.open(id)
		b.post("/admin/users/"+id+"/deactivate", url.Values{"identities": {"1"}}).want(t, http.StatusForbidden)
		if _, err := s.store.Identity(t.Context(), linked.Issuer, linked.Subject); err != nil {
			t.Errorf("%s: the identity is gone: %v", name, err)
		}
		if after := s.open(id); after != before {
			t.Errorf("%s: %d sessions of %d are left", name, after, before)
		}
	}
	a := b.post("/admin/users/"+s.target.ID+"/deactivate", url.Values{"identities": {"1"}, "note": {"left"}}).want(t, http.StatusSeeOther)
	if ids, err := s.store.Identities(t.Context(), s.target.ID); err != nil || len(ids) != 0 || s.user(s.target.ID).Active {
		t.Errorf("%d identities are left, %v: %s", len(ids), err, a)
	}
	told := slices.ContainsFunc(s.events("user.update"), func(e store.Event) bool {
		return e.Outcome == store.Success && e.Details["note"] == "left" && e.Details["identities_unlinked"] == "1"
	})
	if !told {
		t.Error("the audit log does not tell it as one act")
	}
}

// open counts the sessions of a user.
func (w *world) open(userID string) int {
	w.t.Helper()
	page, err := w.store.Sessions(w.t.Context(), store.SessionQuery{UserID: userID, Now: w.clock.Now(), Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.Items)
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

// A program that reads the description knows every answer that an act can give, and that a body may be left out.
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

// Whoever hands a link over sees on that page which ways in are left beside it.
func TestTheHandoverSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, ticked := range []bool{false, true} {
		s := newScene(t)
		ada := s.signIn("ada")
		form := url.Values{"way": {"link"}}
		if ticked {
			form.Set("identities", "1")
		}
		ada.post("/admin/users/"+s.target.ID+"/reset-link", form).want(t, http.StatusSeeOther)
		page := ada.get("/admin/users/"+s.target.ID+"/handover").want(t, http.StatusOK)
		if told := strings.Contains(page.body, "Still linked: acme. Whoever can sign in there still gets in"); told == ticked {
			t.Errorf("ticked: %t, told: %t", ticked, told)
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
