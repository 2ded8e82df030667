package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// robot makes a service account through its form, and returns it.
func (w *world) robotBy(t *testing.T, ada *browser, form url.Values) store.User {
	t.Helper()
	ada.Get("/admin/users/invite?kind=service").Want(t, http.StatusOK).Shows(t, `name="kind" value="service"`, `name="username"`)
	form.Set("kind", "service")
	r := ada.Post("/admin/users/invite", form)
	ada.Follow(r).Want(t, http.StatusOK).Shows(t, "The account was made.", "New token")
	u, err := w.Store.UserByUsername(t.Context(), form.Get("username"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// shown returns the token that a page shows, "" for none.
func shown(body string) string {
	_, rest, _ := strings.Cut(body, `<input id="secret" value="`)
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

// A service account is made in its own form, which asks for nothing that it has not.
func TestAServiceAccountIsMadeInAFormOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	form := ada.Get("/admin/users/invite?kind=service")
	for _, field := range []string{"email", "role", "way", "password", "expires", "must_change"} {
		if strings.Contains(form.Body, `name="`+field+`"`) {
			t.Errorf("the form has a field %q", field)
		}
	}
	u := s.robotBy(t, ada, url.Values{"username": {"backup-bot"}, "name": {"Backups"}, "groups": {"ops, staff"}, "active": {"true"}})
	if !u.IsService() || u.Role != store.RoleUser || u.PasswordHash != "" || strings.Join(u.Groups, " ") != "ops staff" || !u.Active {
		t.Errorf("made %+v", u)
	}
	for name, value := range map[string]string{"role": "admin", "password": goodPass} {
		ada.Post("/admin/users/invite", url.Values{"kind": {"service"}, "username": {"other-bot"}, name: {value}}).
			Want(t, http.StatusUnprocessableEntity).Shows(t, "service account", `value="other-bot"`)
	}
	ada.Get("/admin/users/invite?kind=thing").Want(t, http.StatusOK)
	ada.Post("/admin/users/invite", url.Values{"kind": {"thing"}, "username": {"x"}}).Want(t, http.StatusUnprocessableEntity)
}

// Lists tell programs from people, and show either alone; so does the export.
func TestListsTellProgramsFromPeople(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	for query, want := range map[string][2]bool{"": {true, true}, "?kind=service": {true, false}, "?kind=person": {false, true}} {
		for _, page := range []string{"/admin/users", "/admin/users/export.csv"} {
			body := ada.Get(page+query).Want(t, http.StatusOK).Body
			robot, person := strings.Contains(body, "tom-robot"), strings.Contains(body, "walter")
			if robot != want[0] || person != want[1] {
				t.Errorf("%s%s shows the robot: %v, a person: %v", page, query, robot, person)
			}
		}
	}
	ada.Get("/admin/users?kind=thing").Want(t, http.StatusBadRequest)
	ada.Get("/admin/users").Shows(t, `<span class="tag">Service account</span>`)
}

// What only people have is not on the pages of a service account, and is refused whoever sends it.
func TestPagesOfAServiceAccountHaveNothingOfAPersons(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	at := "/admin/users/" + s.robot.ID
	for _, page := range []string{at, at + "/access", at + "/tokens", at + "/activity", at + "/edit", at + "/delete", at + "/deactivate"} {
		body := ada.Get(page).Want(t, http.StatusOK).Body
		for _, not := range []string{"/sign-in", at + "/sessions", "reset-link", "require-change", `name="role"`, `name="email"`, "never signed in", "cannot sign in"} {
			if strings.Contains(body, not) {
				t.Errorf("%s has %q", page, not)
			}
		}
	}
	ada.Get(at+"/access").Shows(t, "passes", "require group staff", "require provider acme")
	for _, page := range []string{"sign-in", "sessions", "reset-link", "cancel-link", "require-change", "end-sessions", "identities/" + s.Identity.ID() + "/unlink", "identities/" + s.Identity.ID() + "/move"} {
		ada.Get(at+"/"+page).Want(t, http.StatusForbidden).Shows(t, "A service account has no password")
		if page == "sign-in" || page == "sessions" {
			continue
		}
		ada.Post(at+"/"+page, url.Values{"to": {"ada"}, "password": {goodPass}, "way": {"typed"}}).Want(t, http.StatusForbidden).
			Shows(t, "A service account has no password")
	}
	ada.Post(at+"/edit", url.Values{"role": {"admin"}}).Want(t, http.StatusUnprocessableEntity).Shows(t, "service account")
	for _, do := range []string{"make_admin", "require_change", "end_sessions"} {
		ada.Post("/admin/users/bulk", url.Values{"do": {do}, "id": {s.robot.ID}}).Want(t, http.StatusOK).Shows(t, "skipped")
	}
	if u := s.User(s.robot.ID); u.Role != store.RoleUser || u.MustChange || u.PasswordHash != "" || u.Epoch != s.robot.Epoch {
		t.Errorf("changed to %+v", u)
	}
	s.untouched(t, "forms about people")
	// What it has goes on: off, on, gone.
	ada.Follow(ada.Post(at+"/deactivate", url.Values{})).Shows(t, "Its tokens do not count")
	ada.Follow(ada.Post(at+"/activate", url.Values{})).Shows(t, "The account is turned on.")
	ada.Follow(ada.Post(at+"/delete", url.Values{"confirm": {"tom-robot"}})).Shows(t, "The account was deleted.")
}

// A new token is shown once, to the browser that made it, and is nowhere else: not on a reload, in a list, in the log.
func TestAnAdministratorSeesANewTokenOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada, other := s.SignIn("ada"), s.SignIn("ada")
	at := "/admin/users/" + s.robot.ID + "/tokens"
	ada.Post(at+"/new", url.Values{"name": {"ci"}}).Want(t, http.StatusUnprocessableEntity).Shows(t, "Name 1 to 20 hosts", `value="ci"`)
	made := ada.Post(at+"/new", url.Values{"name": {"ci"}, "hosts": {"app.test\nb.test, c.test"}, "paths": {"/a\n/b/*"}, "methods": {"read"}, "expires": {"days"}, "days": {"45"}})
	if strings.Contains(made.Want(t, http.StatusSeeOther).Header.Get("Location"), "gatehouse_svc_") {
		t.Error("the address has the token")
	}
	path := strings.TrimPrefix(made.Header.Get("Location"), prefix)
	other.Get(path).Want(t, http.StatusGone)
	page := ada.Get(path).Want(t, http.StatusOK).Shows(t, "app.test, b.test, c.test", "/a, /b/*", "reading only", "Authorization: Bearer $TOKEN", "data-copy")
	text := shown(page.Body)
	got, u, err := s.Store.TokenByHash(t.Context(), store.HashToken(text))
	if err != nil || u.ID != s.robot.ID || got.Name != "ci" || got.ExpiresAt.Sub(got.CreatedAt) != 45*24*time.Hour {
		t.Fatalf("the page shows %q: %+v, %v", text, got, err)
	}
	for _, again := range []string{path, at, "/admin/tokens", "/admin/users/" + s.robot.ID + "/activity", "/admin/audit"} {
		if body := ada.Get(again).Body; strings.Contains(body, text) || strings.Contains(body, "gatehouse_svc_") {
			t.Errorf("%s shows the token", again)
		}
	}
	ada.Get(path).Want(t, http.StatusGone)
}

// Whose token it is decides what an administrator can do with it: rotate a program's, and only revoke a person's.
func TestAdministratorsRotateTokensOfProgramsOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	own := s.giveToken(s.Target)
	list := ada.Get("/admin/tokens").Want(t, http.StatusOK).Shows(t, "deploy of tom-robot", "deploy of tom", "/admin/tokens/"+s.token.ID+"/rotate", "/admin/tokens/"+own.ID+"/revoke", "Service account")
	if strings.Contains(list.Body, own.ID+"/rotate") {
		t.Error("a person's token can be rotated")
	}
	ada.Get("/admin/tokens/"+own.ID+"/rotate").Want(t, http.StatusForbidden).Shows(t, "People make their own tokens")
	ada.Post("/admin/tokens/"+own.ID+"/rotate", url.Values{"keep": {"1h"}}).Want(t, http.StatusForbidden)
	ada.Post("/admin/users/"+s.Target.ID+"/tokens/new", url.Values{"name": {"x"}, "hosts": {"*"}}).Want(t, http.StatusForbidden)
	ada.Get("/admin/users/"+s.Target.ID+"/tokens").Want(t, http.StatusOK).Shows(t, "deploy of tom")
	ada.Post("/admin/tokens/"+s.token.ID+"/rotate", url.Values{"keep": {"2h"}}).Want(t, http.StatusUnprocessableEntity)

	page := ada.Follow(ada.Post("/admin/tokens/"+s.token.ID+"/rotate", url.Values{"keep": {"1h"}}))
	if old, _, err := s.Store.Token(t.Context(), s.token.ID); err != nil || old.ReplacedBy == "" || !strings.HasPrefix(shown(page.Body), "gatehouse_svc_") {
		t.Errorf("rotated: %+v, %v\n%s", old, err, page.Body)
	}
	ada.Get("/admin/tokens").Shows(t, "replaced")
	again := ada.Post("/admin/tokens/"+s.token.ID+"/rotate", url.Values{})
	if to := again.Header.Get("Location"); to != prefix+"/admin/users/"+s.robot.ID+"/tokens" {
		t.Errorf("sent twice, it leads to %q", to)
	}
	ada.Follow(again).Shows(t, "Nothing was changed: this token was replaced before.")
	ada.Follow(ada.Post("/admin/tokens/"+own.ID+"/revoke", url.Values{})).Shows(t, "The token is revoked.")
	ada.Get("/admin/tokens/"+own.ID+"/revoke").Want(t, http.StatusNotFound)
}

// Without tokens in the configuration there is no page of them and no link to one.
func TestWithoutTokensThereIsNoPageOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) { c.NoTokens = true })
	w.Add("ada", store.RoleAdmin)
	robot := w.Create(account.NewUser{Username: "robot", Kind: store.KindService, Active: true})
	ada := w.SignIn("ada")
	for _, path := range []string{"/admin/tokens", "/admin/users/" + robot.ID + "/tokens", "/admin/users/" + robot.ID + "/tokens/new", "/account/tokens", "/account/tokens/new"} {
		ada.Get(path).Want(t, http.StatusNotFound)
	}
	for _, path := range []string{"/admin", "/admin/users/" + robot.ID, "/account"} {
		if body := ada.Get(path).Want(t, http.StatusOK).Body; strings.Contains(body, "tokens") {
			t.Errorf("%s links to tokens", path)
		}
	}
}
