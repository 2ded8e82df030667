package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// methods that are tried on every address.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// scene is a world with an account to act on.
type scene struct {
	*world
	webtest.Scene
	event string // the id of an entry of the audit log
	robot store.User
	token account.IssuedToken // of the robot
}

func newScene(t *testing.T, with ...func(*config)) *scene {
	t.Helper()
	w := newWorld(t, append([]func(*config){func(c *config) { c.CheckProvider = noCheck }}, with...)...)
	s := &scene{world: w, Scene: w.NewScene()}
	s.event = w.Events("user.create")[0].ID
	s.robot = w.Create(account.NewUser{Username: "tom-robot", Kind: store.KindService, Active: true})
	s.token = w.giveToken(s.robot)
	return s
}

// giveToken makes a token of an account.
func (w *world) giveToken(u store.User) account.IssuedToken {
	w.T.Helper()
	t, err := w.Accounts.Programs.Create(w.T.Context(), operator, u.ID,
		account.NewToken{Name: "deploy of " + u.Username, Hosts: []string{"app.test"}})
	if err != nil {
		w.T.Fatal(err)
	}
	return t
}

// address fills a pattern in.
func (s *scene) address(pattern string) string {
	id := s.Target.ID
	switch {
	case strings.Contains(pattern, "/sessions/{id}"):
		id = s.Session
	case strings.Contains(pattern, "/audit/{id}"):
		id = s.event
	case strings.Contains(pattern, "/tokens/{id}"):
		id = s.token.ID
	case strings.Contains(pattern, "/users/{id}/tokens"):
		id = s.robot.ID
	}
	at := strings.NewReplacer("{id}", id, "{name}", "acme", "{identity}", s.Identity.ID()).Replace(pattern)
	if pattern == "/admin/users/bulk" {
		at += "?do=deactivate&id=" + s.Target.ID
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
		return form("do", "deactivate", "id", s.Target.ID)
	case "POST /admin/users/{id}/identities/{identity}/move":
		return form("to", "ada")
	case "POST /admin/users/{id}/edit":
		return form("name", "Thomas")
	case "POST /admin/users/{id}/delete":
		return form("confirm", "tom")
	case "POST /admin/users/{id}/tokens/new":
		return form("name", "backup", "hosts", "*")
	case "POST /admin/sessions/everyone":
		return form("confirm", "everyone")
	case "POST /admin/users/{id}/activate", "POST /admin/users/{id}/deactivate", "POST /admin/users/{id}/reset-link", "POST /admin/users/{id}/cancel-link",
		"POST /admin/users/{id}/require-change", "POST /admin/users/{id}/unlock", "POST /admin/users/{id}/end-sessions", "POST /admin/users/{id}/identities/{identity}/unlink", "POST /admin/sessions/{id}/revoke",
		"POST /admin/tokens/{id}/revoke", "POST /admin/tokens/{id}/rotate", "POST /admin/providers/{name}/check",
		"POST /admin/users/{id}/reset-mfa", "POST /admin/users/{id}/unlock-mfa":
		return form()
	case "POST /api/v1/users":
		return mimeJSON, `{"username":"nina"}`, true
	case "POST /api/v1/users/{id}/tokens":
		return mimeJSON, `{"name":"backup","hosts":["*"]}`, true
	case "POST /api/v1/tokens/{id}/rotate":
		return mimeJSON, `{"keep":"1h"}`, true
	case "PATCH /api/v1/users/{id}":
		return mimeJSON, `{"name":"Thomas"}`, true
	case "POST /api/v1/users/{id}/reset-password":
		return mimeJSON, `{}`, true
	case "POST /api/v1/users/{id}/identities/{identity}/move":
		return mimeJSON, `{"to":"` + s.Admin.ID + `"}`, true
	case "POST /api/v1/users/{id}/unlock", "POST /api/v1/users/{id}/end-sessions", "DELETE /api/v1/users/{id}", "DELETE /api/v1/sessions/{id}",
		"DELETE /api/v1/users/{id}/identities/{identity}", "DELETE /api/v1/tokens/{id}",
		"POST /api/v1/users/{id}/reset-mfa", "POST /api/v1/users/{id}/unlock-mfa":
		return "", "", true
	}
	return "", "", false
}

func (s *scene) try(t *testing.T, b *browser, method, pattern string) response {
	t.Helper()
	mime, text, _ := s.body(method, pattern)
	return b.Do(method, s.address(pattern), mime, strings.NewReader(text))
}

// untouched fails the test if anything about anybody changed.
func (s *scene) untouched(t *testing.T, what string) {
	t.Helper()
	now := s.User(s.Target.ID)
	if now.Version != s.Target.Version || now.Epoch != s.Target.Epoch || now.MustChange {
		t.Errorf("%s changed the user: %+v", what, now)
	}
	if _, _, err := s.Store.Session(t.Context(), s.Session); err != nil {
		t.Errorf("%s ended the session: %v", what, err)
	}
	if n, err := s.Store.CountUsers(t.Context(), store.UserQuery{}); err != nil || n != 4 {
		t.Errorf("%s left %d users, %v", what, n, err)
	}
	if _, err := s.Store.Identity(t.Context(), s.Identity.Issuer, s.Identity.Subject); err != nil {
		t.Errorf("%s unlinked the provider: %v", what, err)
	}
	list, err := s.Store.Tokens(t.Context(), store.TokenQuery{})
	if err != nil || len(list.Items) != 1 || list.Items[0].ID != s.token.ID || list.Items[0].ReplacedBy != "" {
		t.Errorf("%s left the tokens %+v, %v", what, list.Items, err)
	}
	links, err := s.Store.CountLinks(t.Context(), store.LinkQuery{Purpose: store.LinkPassword, Now: s.Clock.Now()})
	if err != nil || links != 1 {
		t.Errorf("%s left %d links, %v", what, links, err)
	}
	if n := len(s.Events("user.export")) + len(s.Events("audit.export")); n != 0 {
		t.Errorf("%s exported", what)
	}
}

// A form that comes after the session has ended is not lost, but for passwords.
func TestAllFieldsOfAdminFormsAreKeptButPasswords(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b, forms := s.SignIn("ada"), 0
	for _, pattern := range s.patterns() {
		if rt, ok := s.route(pattern, http.MethodGet); !ok || rt.API() {
			continue
		}
		at := s.address(pattern)
		forms += webtest.CheckKept(t, pattern, prefix+at, b.Get(at).Body, func(action string, form url.Values) string {
			return s.Browser().With("Sec-Fetch-Site", "same-origin").Post(strings.TrimPrefix(action, prefix), form).Body
		})
	}
	if forms < 15 {
		t.Errorf("there are %d forms only", forms)
	}
}

// Everybody but an administrator who has just signed in is refused everywhere, by every method, and nothing changes.
// The addresses come from the table that serves them.
func TestNobodyElseGetsAnywhere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	nobody, user, stale := s.Browser(), s.SignIn("tom"), s.SignIn("ada")
	s.Clock.Advance(account.FreshWindow + account.FreshWindow/2)
	for _, pattern := range s.patterns() {
		api := strings.HasPrefix(pattern, "/api/")
		for _, method := range methods {
			what := method + " " + pattern
			a := s.try(t, nobody, method, pattern)
			safe := method == http.MethodGet || method == http.MethodHead
			if want := http.StatusSeeOther; !api && safe && (a.Status != want || !strings.HasPrefix(a.Header.Get("Location"), prefix+"/login")) {
				t.Errorf("%s by nobody: %d to %q", what, a.Status, a.Header.Get("Location"))
			}
			if (api || (!safe && method != http.MethodOptions)) && a.Status != http.StatusUnauthorized {
				t.Errorf("%s by nobody: %d", what, a.Status)
			}
			if a = s.try(t, user, method, pattern); a.Status != http.StatusForbidden {
				t.Errorf("%s by a user: %d", what, a.Status)
			}
			if api && method != http.MethodHead && a.Problem() != "role" {
				t.Errorf("%s by a user: %s", what, a.Body)
			}
			rt, ok := s.route(pattern, method)
			a = s.try(t, stale, method, pattern)
			switch {
			case !ok:
				if a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") == "" {
					t.Errorf("%s by a stale administrator: %d, Allow %q", what, a.Status, a.Header.Get("Allow"))
				}
			case rt.Access == web.AdminFresh && safe:
				if a.Status != http.StatusSeeOther || a.Header.Get("Location") != prefix+"/reauth?rt="+url.QueryEscape(prefix+s.address(pattern)) {
					t.Errorf("%s by a stale administrator: %d to %q", what, a.Status, a.Header.Get("Location"))
				}
			case rt.Access == web.AdminFresh:
				if a.Status != http.StatusForbidden || (api && a.Problem() != "reauth-required") || (!api && !strings.Contains(a.Body, prefix+"/reauth")) {
					t.Errorf("%s by a stale administrator: %s", what, a)
				}
			case a.Status != http.StatusOK && !strings.Contains(pattern, "handover"):
				t.Errorf("%s by a stale administrator: %d", what, a.Status)
			}
		}
	}
	// A stale administrator may look, and take a copy of what is shown: that is audited, and nothing else happened.
	for _, action := range []string{"user.export", "audit.export"} {
		for _, e := range s.Events(action) {
			if e.Actor != "ada" || e.Outcome != store.Success {
				t.Errorf("exported by %s: %s", e.Actor, e.Outcome)
			}
		}
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	nobody, user, stale := s.Browser(), s.SignIn("tom"), s.SignIn("ada")
	s.Clock.Advance(account.FreshWindow)
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
	for _, e := range s.AllEvents() {
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
				s.Edit(s.Target.ID, func(u *store.User) { u.Active = false })
			}
			if _, _, ok := s.body(rt.Method, rt.Pattern); !ok && rt.Method != http.MethodGet {
				t.Fatal("the test does not know what to send")
			}
			ada := s.SignIn("ada")
			s.Clock.Advance(time.Second) // so that what follows is the newest
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
			if !slices.Contains(want, a.Status) {
				t.Fatalf("want %d, got %s", want, a)
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Error("the response may be kept")
			}
			if rt.Audit != "" {
				if e := s.AllEvents()[0]; e.Actor != "ada" || e.Outcome != store.Success {
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
	user, ada := s.SignIn("tom"), s.SignIn("ada")
	for _, path := range []string{"/admin/nothing", "/admin/users/" + s.Target.ID + "/nothing", "/admin/users/" + s.Target.ID + "/edit/x", "/api/v1/nothing", "/api/v1/users/" + s.Target.ID + "/nothing", "/api/v1/Users"} {
		user.Get(path).Want(t, http.StatusForbidden)
		ada.Get(path).Want(t, http.StatusNotFound)
	}
}

// One row has one address: other spellings of an id are not found (GHSA-x5w9-xh9r-mvfc).
func TestIdsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	id := s.Target.ID
	last := "%30"
	if strings.HasSuffix(id, "0") {
		last = "%31" // another digit than the one it ends in, which would be its one spelling
	}
	for _, other := range []string{strings.ToUpper(id), id + "0", id[:25], "0" + id, id[:25] + last, "1", "..", "%00", "tom", strings.Repeat("z", 26), id + "%20", "%C3%A4" + id[2:]} {
		for _, path := range []string{"/api/v1/users/" + other, "/admin/users/" + other, "/admin/users/" + other + "/edit", "/admin/audit/" + other, "/admin/sessions/" + other + "/revoke"} {
			if a := ada.Get(path); a.Status != http.StatusNotFound {
				t.Errorf("GET %s: %d", path, a.Status)
			}
		}
		if a := ada.JSON(http.MethodDelete, "/users/"+other, nil); a.Status != http.StatusNotFound {
			t.Errorf("DELETE %s: %d", other, a.Status)
		}
	}
	s.untouched(t, "another spelling")
}

// A script or a frame of the app that shares our origin cannot read the pages.
func TestPagesOpenInTheAddressBarOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
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
				s.try(t, ada.With(c.name, c.value), http.MethodGet, pattern).Want(t, http.StatusForbidden)
			}
		}
		ada.With(c.name, c.value).Get("/api/v1/users").Want(t, http.StatusOK)
	}
	ada.With("Sec-Fetch-Dest", "document").With("Sec-Fetch-Mode", "navigate").Get("/admin/users").Want(t, http.StatusOK)
	s.untouched(t, "a script")
}

// A changing request from another site is blocked before anything looks at it, on every route.
func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	for _, rt := range s.world.table {
		if rt.Method == http.MethodGet {
			continue
		}
		for _, b := range []*browser{ada.With("Sec-Fetch-Site", "cross-site"), ada.With("Sec-Fetch-Site", "same-site"), ada.With("Origin", "https://evil.test"), ada.With("Origin", "null")} {
			s.try(t, b, rt.Method, rt.Pattern).Want(t, http.StatusForbidden)
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
