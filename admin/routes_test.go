package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// methods that are tried on every address.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// scene is a world with somebody to act on: an active user with a session and an open link.
type scene struct {
	*world
	admin   store.User
	target  store.User
	session string
	event   string
	// identity is the target's at a provider.
	identity store.Identity
}

func newScene(t *testing.T, with ...func(*config)) *scene {
	t.Helper()
	w := newWorld(t, append([]func(*config){func(c *config) { c.CheckProvider = noCheck }}, with...)...)
	s := &scene{world: w, admin: w.add("ada", store.RoleAdmin), target: w.add("tom", store.RoleUser)}
	w.add("walter", store.RoleAdmin) // so that nothing is about the last administrator
	if _, err := w.accounts.ResetPassword(t.Context(), operator, s.target.ID, account.Reset{}); err != nil {
		t.Fatal(err)
	}
	s.identity = store.Identity{Issuer: "https://idp", Subject: "tom", UserID: s.target.ID, Provider: "acme", CreatedAt: w.clock.Now()}
	if err := w.store.Change(t.Context(), func(tx store.Tx) error { return tx.CreateIdentity(t.Context(), s.identity) }); err != nil {
		t.Fatal(err)
	}
	w.signIn("tom")
	page, err := w.store.Sessions(t.Context(), store.SessionQuery{UserID: s.target.ID, Now: w.clock.Now()})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(len(page.Items), err)
	}
	s.session = page.Items[0].ID
	s.event = w.events("user.create")[0].ID
	s.target = w.user(s.target.ID)
	return s
}

// address fills a pattern in.
func (s *scene) address(pattern string) string {
	id := s.target.ID
	switch {
	case strings.Contains(pattern, "/sessions/{id}"):
		id = s.session
	case strings.Contains(pattern, "/audit/{id}"):
		id = s.event
	}
	at := strings.NewReplacer("{id}", id, "{name}", "acme", "{identity}", s.identity.ID()).Replace(pattern)
	if pattern == "/admin/users/bulk" {
		at += "?do=deactivate&id=" + s.target.ID
	}
	return at
}

// body is what a route that changes something takes. A route without one is not tried: the test fails.
func (s *scene) body(method, pattern string) (mime, text string, ok bool) {
	form := func(pairs ...string) (string, string, bool) {
		v := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return "application/x-www-form-urlencoded", v.Encode(), true
	}
	const mimeJSON = "application/json"
	switch method + " " + pattern {
	case "POST /admin/users/invite":
		return form("username", "nina")
	case "POST /admin/users/bulk":
		return form("do", "deactivate", "id", s.target.ID)
	case "POST /admin/users/{id}/edit":
		return form("name", "Thomas")
	case "POST /admin/users/{id}/delete":
		return form("confirm", "tom")
	case "POST /admin/sessions/everyone":
		return form("confirm", "everyone")
	case "POST /admin/users/{id}/activate", "POST /admin/users/{id}/deactivate", "POST /admin/users/{id}/reset-link", "POST /admin/users/{id}/cancel-link",
		"POST /admin/users/{id}/require-change", "POST /admin/users/{id}/end-sessions", "POST /admin/users/{id}/identities/{identity}/unlink", "POST /admin/sessions/{id}/revoke", "POST /admin/providers/{name}/check":
		return form()
	case "POST /api/v1/users":
		return mimeJSON, `{"username":"nina"}`, true
	case "PATCH /api/v1/users/{id}":
		return mimeJSON, `{"name":"Thomas"}`, true
	case "POST /api/v1/users/{id}/reset-password":
		return mimeJSON, `{}`, true
	case "POST /api/v1/users/{id}/end-sessions", "DELETE /api/v1/users/{id}", "DELETE /api/v1/sessions/{id}",
		"DELETE /api/v1/users/{id}/identities/{identity}":
		return "", "", true
	}
	return "", "", false
}

func (s *scene) try(t *testing.T, b *browser, method, pattern string) response {
	t.Helper()
	mime, text, _ := s.body(method, pattern)
	return b.do(method, s.address(pattern), mime, strings.NewReader(text))
}

// untouched fails the test if anything about anybody changed.
func (s *scene) untouched(t *testing.T, what string) {
	t.Helper()
	now := s.user(s.target.ID)
	if now.Version != s.target.Version || now.Epoch != s.target.Epoch || now.MustChange {
		t.Errorf("%s changed the user: %+v", what, now)
	}
	if _, _, err := s.store.Session(t.Context(), s.session); err != nil {
		t.Errorf("%s ended the session: %v", what, err)
	}
	if n, err := s.store.CountUsers(t.Context(), store.UserQuery{}); err != nil || n != 3 {
		t.Errorf("%s left %d users, %v", what, n, err)
	}
	if _, err := s.store.Identity(t.Context(), s.identity.Issuer, s.identity.Subject); err != nil {
		t.Errorf("%s unlinked the provider: %v", what, err)
	}
	links, err := s.store.CountLinks(t.Context(), store.LinkQuery{Purpose: store.LinkPassword, Now: s.clock.Now()})
	if err != nil || links != 1 {
		t.Errorf("%s left %d links, %v", what, links, err)
	}
	if n := len(s.events("user.export")) + len(s.events("audit.export")); n != 0 {
		t.Errorf("%s exported", what)
	}
}

// Everybody but an administrator who has just signed in is refused everywhere, by every method, and nothing changes.
// The addresses come from the table that serves them.
func TestNobodyElseGetsAnywhere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	nobody, user, stale := s.browser(), s.signIn("tom"), s.signIn("ada")
	s.clock.Advance(account.FreshWindow + account.FreshWindow/2)
	for _, pattern := range s.patterns() {
		api := strings.HasPrefix(pattern, "/api/")
		for _, method := range methods {
			what := method + " " + pattern
			a := s.try(t, nobody, method, pattern)
			safe := method == http.MethodGet || method == http.MethodHead
			if want := http.StatusSeeOther; !api && safe && (a.status != want || !strings.HasPrefix(a.header.Get("Location"), prefix+"/login")) {
				t.Errorf("%s by nobody: %d to %q", what, a.status, a.header.Get("Location"))
			}
			if (api || (!safe && method != http.MethodOptions)) && a.status != http.StatusUnauthorized {
				t.Errorf("%s by nobody: %d", what, a.status)
			}
			if a = s.try(t, user, method, pattern); a.status != http.StatusForbidden {
				t.Errorf("%s by a user: %d", what, a.status)
			}
			if api && method != http.MethodHead && a.problem() != "role" {
				t.Errorf("%s by a user: %s", what, a.body)
			}
			rt, ok := s.route(pattern, method)
			a = s.try(t, stale, method, pattern)
			switch {
			case !ok:
				if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") == "" {
					t.Errorf("%s by a stale administrator: %d, Allow %q", what, a.status, a.header.Get("Allow"))
				}
			case rt.Access == web.AdminFresh && safe:
				if a.status != http.StatusSeeOther || a.header.Get("Location") != prefix+"/reauth?rt="+url.QueryEscape(prefix+s.address(pattern)) {
					t.Errorf("%s by a stale administrator: %d to %q", what, a.status, a.header.Get("Location"))
				}
			case rt.Access == web.AdminFresh:
				if a.status != http.StatusForbidden || (api && a.problem() != "reauth-required") || (!api && !strings.Contains(a.body, prefix+"/reauth")) {
					t.Errorf("%s by a stale administrator: %s", what, a)
				}
			case a.status != http.StatusOK && !strings.Contains(pattern, "handover"):
				t.Errorf("%s by a stale administrator: %d", what, a.status)
			}
		}
	}
	// A stale administrator may look, and take a copy of what is shown: that is audited, and nothing else happened.
	for _, action := range []string{"user.export", "audit.export"} {
		for _, e := range s.events(action) {
			if e.Actor != "ada" || e.Outcome != store.Success {
				t.Errorf("exported by %s: %s", e.Actor, e.Outcome)
			}
		}
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	nobody, user, stale := s.browser(), s.signIn("tom"), s.signIn("ada")
	s.clock.Advance(account.FreshWindow)
	for _, rt := range s.world.table {
		if rt.Method == http.MethodGet {
			continue
		}
		for name, b := range map[string]*browser{"nobody": nobody, "a user": user, "a stale administrator": stale} {
			s.try(t, b, rt.Method, rt.Pattern)
			s.untouched(t, rt.Method+" "+rt.Pattern+" by "+name)
		}
	}
	denied := 0
	for _, e := range s.allEvents() {
		if e.Outcome == store.Denied {
			denied++
		}
	}
	if denied == 0 {
		t.Error("no refusal is in the audit log")
	}
}

// Each route works for an administrator who has just signed in: the refusals above are not all it can say.
func TestEveryRouteWorksForAFreshAdministrator(t *testing.T) {
	t.Parallel()
	table := newWorld(t).table
	for _, rt := range table {
		t.Run(rt.Method+" "+rt.Pattern, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if rt.Pattern == "/admin/users/{id}/activate" {
				s.edit(s.target.ID, func(u *store.User) { u.Active = false })
			}
			if _, _, ok := s.body(rt.Method, rt.Pattern); !ok && rt.Method != http.MethodGet {
				t.Fatal("the test does not know what to send")
			}
			ada := s.signIn("ada")
			s.clock.Advance(time.Second) // so that what follows is the newest
			a := s.try(t, ada, rt.Method, rt.Pattern)
			want := []int{http.StatusOK}
			switch {
			case strings.HasSuffix(rt.Pattern, "/handover"):
				want = []int{http.StatusGone}
			case rt.Doc != nil:
				want = []int{rt.Doc.Status}
			case rt.Pattern == "/admin/users/bulk":
			case rt.Method == http.MethodPost:
				want = []int{http.StatusSeeOther}
			}
			if !slices.Contains(want, a.status) {
				t.Fatalf("want %d, got %s", want, a)
			}
			if a.header.Get("Cache-Control") != "no-store" {
				t.Error("the response may be kept")
			}
			if rt.Audit != "" {
				if e := s.allEvents()[0]; e.Actor != "ada" || e.Outcome != store.Success {
					t.Errorf("the audit log has %s by %s: %s", e.Action, e.Actor, e.Outcome)
				}
			}
		})
	}
}

// The one table is all there is: an address outside of it is not found, for administrators, and forbidden to others.
func TestWhatIsNotInTheTableIsNotThere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	user, ada := s.signIn("tom"), s.signIn("ada")
	for _, path := range []string{"/admin/nothing", "/admin/users/" + s.target.ID + "/nothing", "/admin/users/" + s.target.ID + "/edit/x", "/api/v1/nothing", "/api/v1/users/" + s.target.ID + "/nothing", "/api/v1/Users"} {
		user.get(path).want(t, http.StatusForbidden)
		ada.get(path).want(t, http.StatusNotFound)
	}
}

// One row has one address: other spellings of an id are not found (GHSA-x5w9-xh9r-mvfc).
func TestIdsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.signIn("ada")
	id := s.target.ID
	last := "%30"
	if strings.HasSuffix(id, "0") {
		last = "%31" // another digit than the one it ends in, which would be its one spelling
	}
	for _, other := range []string{strings.ToUpper(id), id + "0", id[:25], "0" + id, id[:25] + last, "1", "..", "%00", "tom", strings.Repeat("z", 26), id + "%20", "%C3%A4" + id[2:]} {
		for _, path := range []string{"/api/v1/users/" + other, "/admin/users/" + other, "/admin/users/" + other + "/edit", "/admin/audit/" + other, "/admin/sessions/" + other + "/revoke"} {
			if a := ada.get(path); a.status != http.StatusNotFound {
				t.Errorf("GET %s: %d", path, a.status)
			}
		}
		if a := ada.json(http.MethodDelete, "/users/"+other, nil); a.status != http.StatusNotFound {
			t.Errorf("DELETE %s: %d", other, a.status)
		}
	}
	s.untouched(t, "another spelling")
}

// A script or a frame of the app that shares our origin cannot read the pages.
func TestPagesOpenInTheAddressBarOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.signIn("ada")
	for _, c := range []struct{ name, value string }{
		{"Sec-Fetch-Dest", "empty"},
		{"Sec-Fetch-Dest", "iframe"},
		{"Sec-Fetch-Dest", "object"},
		{"Sec-Fetch-Dest", ""},
		{"Sec-Fetch-Mode", "cors"},
		{"Sec-Fetch-Mode", "same-origin"},
		{"Sec-Fetch-Mode", "no-cors"},
	} {
		for _, pattern := range s.patterns() {
			if strings.HasPrefix(pattern, "/admin") {
				s.try(t, ada.with(c.name, c.value), http.MethodGet, pattern).want(t, http.StatusForbidden)
			}
		}
		ada.with(c.name, c.value).get("/api/v1/users").want(t, http.StatusOK)
	}
	ada.with("Sec-Fetch-Dest", "document").with("Sec-Fetch-Mode", "navigate").get("/admin/users").want(t, http.StatusOK)
	s.untouched(t, "a script")
}

// A changing request from another site is blocked before anything looks at it, on every route.
func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.signIn("ada")
	for _, rt := range s.world.table {
		if rt.Method == http.MethodGet {
			continue
		}
		for _, b := range []*browser{ada.with("Sec-Fetch-Site", "cross-site"), ada.with("Sec-Fetch-Site", "same-site"), ada.with("Origin", "https://evil.test"), ada.with("Origin", "null")} {
			s.try(t, b, rt.Method, rt.Pattern).want(t, http.StatusForbidden)
		}
		s.untouched(t, rt.Method+" "+rt.Pattern)
	}
}

func (s *scene) patterns() []string {
	var list []string
	for _, rt := range s.world.table {
		list = append(list, rt.Pattern)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (s *scene) route(pattern, method string) (web.Route, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	i := slices.IndexFunc(s.world.table, func(rt web.Route) bool { return rt.Pattern == pattern && rt.Method == method })
	if i < 0 {
		return web.Route{}, false
	}
	return s.world.table[i], true
}

func (w *world) allEvents() []store.Event {
	w.t.Helper()
	page, err := w.store.Events(w.t.Context(), store.EventQuery{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Items
}
