package admin

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// way is one way to a change of a user, and how its refusal looks.
type way struct {
	name string
	do   func(b *browser, id string) response
}

func demote() []way {
	return []way{
		{"edit page", func(b *browser, id string) response {
			return b.post("/admin/users/"+id+"/edit", url.Values{"role": {"user"}})
		}},
		{"bulk", func(b *browser, id string) response {
			return b.post("/admin/users/bulk", url.Values{"do": {"make_user"}, "id": {id}})
		}},
		{"API", func(b *browser, id string) response { return b.json(http.MethodPatch, "/users/"+id, `{"role":"user"}`) }},
	}
}

func turnOff() []way {
	return []way{
		{"edit page", func(b *browser, id string) response {
			return b.post("/admin/users/"+id+"/edit", url.Values{"active": {"false"}})
		}},
		{"deactivate page", func(b *browser, id string) response { return b.post("/admin/users/"+id+"/deactivate", nil) }},
		{"bulk", func(b *browser, id string) response {
			return b.post("/admin/users/bulk", url.Values{"do": {"deactivate"}, "id": {id}})
		}},
		{"API", func(b *browser, id string) response {
			return b.json(http.MethodPatch, "/users/"+id, `{"active":false}`)
		}},
	}
}

func remove(username string) []way {
	return []way{
		{"delete page", func(b *browser, id string) response {
			return b.post("/admin/users/"+id+"/delete", url.Values{"confirm": {username}})
		}},
		{"API", func(b *browser, id string) response { return b.json(http.MethodDelete, "/users/"+id, nil) }},
	}
}

// refused fails the test unless the response is a refusal that says so: 403, or a bulk result that says "skipped".
func refused(t *testing.T, w way, a response) {
	t.Helper()
	if w.name == "bulk" {
		if a.status != http.StatusOK || !strings.Contains(a.body, "0 done, 1 skipped") {
			t.Errorf("%s: %s", w.name, a)
		}
		return
	}
	if a.status != http.StatusForbidden {
		t.Errorf("%s: %s", w.name, a)
	}
}

func same(t *testing.T, before, after store.User) {
	t.Helper()
	if after.Version != before.Version || after.Role != before.Role || after.Active != before.Active || after.PasswordHash != before.PasswordHash || after.Email != before.Email {
		t.Errorf("the account changed: %+v", after)
	}
}

// Nobody takes away their own access, by any way.
func TestNobodyTakesAwayTheirOwnAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleAdmin)
	w.add("walter", store.RoleAdmin)
	b := w.signIn("ada")
	before := w.user(ada.ID)
	for _, list := range [][]way{demote(), turnOff(), remove("ada")} {
		for _, way := range list {
			refused(t, way, way.do(b, ada.ID))
			same(t, before, w.user(ada.ID))
		}
	}
}

// The deployment's administrator is locked for the pages: e-mail, password, role, state, and its existence.
func TestTheManagedAdministratorIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.add("root", store.RoleAdmin)
	root = w.edit(root.ID, func(u *store.User) { u.Managed = true })
	w.add("ada", store.RoleAdmin)
	b := w.signIn("ada")
	for _, list := range [][]way{demote(), turnOff(), remove("root"), {
		{"edit page", func(b *browser, id string) response {
			return b.post("/admin/users/"+id+"/edit", url.Values{"email": {"evil@example.com"}})
		}},
		{"API", func(b *browser, id string) response {
			return b.json(http.MethodPatch, "/users/"+id, `{"email":"evil@example.com"}`)
		}},
		{"reset page", func(b *browser, id string) response { return b.post("/admin/users/"+id+"/reset-link", nil) }},
		{"typed password", func(b *browser, id string) response {
			return b.post("/admin/users/"+id+"/reset-link", url.Values{"password": {otherPass}})
		}},
		{"reset by API", func(b *browser, id string) response {
			return b.json(http.MethodPost, "/users/"+id+"/reset-password", `{}`)
		}},
		{"password by API", func(b *browser, id string) response {
			return b.json(http.MethodPost, "/users/"+id+"/reset-password", `{"password":"`+otherPass+`"}`)
		}},
		{"require page", func(b *browser, id string) response { return b.post("/admin/users/"+id+"/require-change", nil) }},
		{"bulk", func(b *browser, id string) response {
			return b.post("/admin/users/bulk", url.Values{"do": {"require_change"}, "id": {id}})
		}},
	}} {
		for _, way := range list {
			refused(t, way, way.do(b, root.ID))
			same(t, root, w.user(root.ID))
		}
	}
	page := b.get("/admin/users/"+root.ID+"/edit").want(t, http.StatusOK)
	if strings.Contains(page.body, `name="role"`) || strings.Contains(page.body, `name="active"`) {
		t.Error("the form offers what cannot be changed")
	}
	// What is not locked stays open: the name.
	b.post("/admin/users/"+root.ID+"/edit", url.Values{"name": {"The Root"}, "email": {"root@example.com"}}).want(t, http.StatusSeeOther)
}

// Two administrators who demote or delete each other at the same time: one stays.
func TestTwoAdministratorsAtOnceLeaveOne(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]func(b *browser, id, username string) response{
		"demote by API": func(b *browser, id, _ string) response {
			return b.json(http.MethodPatch, "/users/"+id, `{"role":"user"}`)
		},
		"delete page": func(b *browser, id, username string) response {
			return b.post("/admin/users/"+id+"/delete", url.Values{"confirm": {username}})
		},
		"bulk": func(b *browser, id, _ string) response {
			return b.post("/admin/users/bulk", url.Values{"do": {"deactivate"}, "id": {id}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ada, eve := w.add("ada", store.RoleAdmin), w.add("eve", store.RoleAdmin)
			adas, eves := w.signIn("ada"), w.signIn("eve")
			var wg sync.WaitGroup
			wg.Go(func() { path(adas, eve.ID, "eve") })
			wg.Go(func() { path(eves, ada.ID, "ada") })
			wg.Wait()
			left, err := w.store.ActiveAdmins(t.Context(), 10)
			if err != nil || len(left) != 1 {
				t.Fatalf("%d administrators are left, %v", len(left), err)
			}
		})
	}
}

// A change that was made while the form was open is not written over. The form keeps what was typed, tells what it has
// become, and saves when it is sent again.
func TestAnEditNeverWritesOverAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	tom := w.add("tom", store.RoleUser)
	b := w.signIn("ada")
	seen := value(t, b.get("/admin/users/"+tom.ID+"/edit"), "version")
	w.edit(tom.ID, func(u *store.User) { u.Name = "Tom of the others" })
	sent := url.Values{"username": {"tom"}, "name": {"My Tom"}, "version": {seen}}
	a := b.post("/admin/users/"+tom.ID+"/edit", sent).want(t, http.StatusConflict)
	a.shows(t, `value="My Tom"`, "Tom of the others", "<title>Error:")
	if got := w.user(tom.ID).Name; got != "Tom of the others" {
		t.Fatalf("the name is %q", got)
	}
	sent.Set("version", value(t, a, "version"))
	b.post("/admin/users/"+tom.ID+"/edit", sent).want(t, http.StatusSeeOther)
	if got := w.user(tom.ID).Name; got != "My Tom" {
		t.Errorf("the name is %q", got)
	}
	for _, bad := range []string{"-1", "0", "x", "99999999999999999999"} {
		sent.Set("version", bad)
		b.post("/admin/users/"+tom.ID+"/edit", sent).want(t, http.StatusConflict)
	}
}

// value returns what a page has in a hidden or other input.
func value(t *testing.T, a response, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(a.body, `name="`+name+`"`)
	if !ok {
		t.Fatalf("there is no field %q: %s", name, a)
	}
	tag, _, _ := strings.Cut(rest, ">")
	_, after, ok := strings.Cut(tag, `value="`)
	if !ok {
		t.Fatalf("field %q has no value: %s", name, tag)
	}
	v, _, _ := strings.Cut(after, `"`)
	return v
}

// What was typed is not lost when the sign-in was too long ago: the form comes back filled in, but for the password.
func TestAStaleFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	b := w.signIn("ada")
	w.clock.Advance(account.FreshWindow)
	form := url.Values{
		"username": {"nina"}, "name": {"Nina Nine"}, "email": {"nina@example.com"}, "role": {"admin"}, "groups": {"staff, nine"}, "active": {"false"},
		"way": {"typed"}, "password": {otherPass}, "expires": {"1h"},
	}
	a := b.post("/admin/users/invite", form).want(t, http.StatusForbidden)
	a.shows(t, `value="nina"`, `value="Nina Nine"`, `value="nina@example.com"`, `<option value="admin" selected>`, ">staff, nine</textarea>",
		`<option value="false" selected>`, `<option value="typed" selected>`, `<option value="1h" selected>`, `href="/_auth/reauth" target="_blank" rel="noopener"`)
	if strings.Contains(a.body, otherPass) {
		t.Error("the page holds the password")
	}
	if _, err := w.store.UserByUsername(t.Context(), "nina"); err == nil {
		t.Fatal("the account was made")
	}
	b.post("/reauth", url.Values{"password": {goodPass}}).want(t, http.StatusSeeOther)
	b.post("/admin/users/invite", form).want(t, http.StatusSeeOther)
	u, err := w.store.UserByUsername(t.Context(), "nina")
	if err != nil || u.Role != store.RoleAdmin || u.Active || strings.Join(u.Groups, "|") != "nine|staff" || u.PasswordHash == "" {
		t.Errorf("%+v, %v", u, err)
	}
}

// A confirmation leads back to the form that asked for it.
func TestReauthenticationComesBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.signIn("ada")
	s.clock.Advance(account.FreshWindow)
	at := "/admin/users/bulk?do=deactivate&id=" + s.target.ID
	to := b.get(at).want(t, http.StatusSeeOther).header.Get("Location")
	rt, err := url.QueryUnescape(strings.TrimPrefix(to, prefix+"/reauth?rt="))
	if err != nil {
		t.Fatal(err)
	}
	a := b.post("/reauth", url.Values{"password": {goodPass}, "rt": {rt}}).want(t, http.StatusSeeOther)
	if a.header.Get("Location") != prefix+at {
		t.Fatalf("back to %q", a.header.Get("Location"))
	}
	b.get(at).want(t, http.StatusOK).shows(t, "tom")
}

// An administrator who is demoted, turned off or signed out is refused from the next request on.
func TestADemotedAdministratorIsOutAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleAdmin)
	w.add("walter", store.RoleAdmin)
	b, other := w.signIn("ada"), w.signIn("walter")
	b.get("/admin").want(t, http.StatusOK)
	other.json(http.MethodPatch, "/users/"+ada.ID, `{"role":"user"}`).want(t, http.StatusOK)
	b.get("/admin").want(t, http.StatusForbidden)
	b.json(http.MethodGet, "/users", nil).want(t, http.StatusForbidden)
	other.json(http.MethodPatch, "/users/"+ada.ID, `{"role":"admin"}`).want(t, http.StatusOK)
	b.get("/admin").want(t, http.StatusOK)
	other.json(http.MethodPost, "/users/"+ada.ID+"/end-sessions", nil).want(t, http.StatusNoContent)
	b.get("/admin").want(t, http.StatusSeeOther)
	b.json(http.MethodGet, "/users", nil).want(t, http.StatusUnauthorized)
}

// Whoever has to choose a new password does that first.
func TestAnOwedPasswordComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	w.make(account.NewUser{Username: "eve", Role: store.RoleAdmin, Password: goodPass, MustChange: true, Active: true})
	b := w.signIn("eve")
	if a := b.get("/admin/users"); a.status != http.StatusSeeOther || a.header.Get("Location") != prefix+"/account/password" {
		t.Error(a)
	}
	if a := b.json(http.MethodGet, "/users", nil); a.status != http.StatusForbidden || a.problem() != "must-change" {
		t.Error(a)
	}
}

// The clock of a sign-in lies in the store: a request cannot bring a fresher one.
func TestFreshnessEndsOnTime(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.signIn("ada")
	s.clock.Advance(account.FreshWindow - time.Second)
	b.json(http.MethodPatch, "/users/"+s.target.ID, `{"name":"One"}`).want(t, http.StatusOK)
	s.clock.Advance(time.Second)
	b.json(http.MethodPatch, "/users/"+s.target.ID, `{"name":"Two"}`).want(t, http.StatusForbidden)
}
