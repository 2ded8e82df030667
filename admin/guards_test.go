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
			return b.Post("/admin/users/"+id+"/edit", url.Values{"role": {"user"}})
		}},
		{"bulk", func(b *browser, id string) response {
			return b.Post("/admin/users/bulk", url.Values{"do": {"make_user"}, "id": {id}})
		}},
		{"API", func(b *browser, id string) response { return b.JSON(http.MethodPatch, "/users/"+id, `{"role":"user"}`) }},
	}
}

func turnOff() []way {
	return []way{
		{"edit page", func(b *browser, id string) response {
			return b.Post("/admin/users/"+id+"/edit", url.Values{"active": {"false"}})
		}},
		{"deactivate page", func(b *browser, id string) response { return b.Post("/admin/users/"+id+"/deactivate", nil) }},
		{"bulk", func(b *browser, id string) response {
			return b.Post("/admin/users/bulk", url.Values{"do": {"deactivate"}, "id": {id}})
		}},
		{"API", func(b *browser, id string) response {
			return b.JSON(http.MethodPatch, "/users/"+id, `{"active":false}`)
		}},
	}
}

func remove(username string) []way {
	return []way{
		{"delete page", func(b *browser, id string) response {
			return b.Post("/admin/users/"+id+"/delete", url.Values{"confirm": {username}})
		}},
		{"API", func(b *browser, id string) response { return b.JSON(http.MethodDelete, "/users/"+id, nil) }},
	}
}

// refused fails the test unless the response is a refusal that says so: 403, or a bulk result that says "skipped".
func refused(t *testing.T, w way, a response) {
	t.Helper()
	if w.name == "bulk" {
		if a.Status != http.StatusOK || !strings.Contains(a.Body, "0 done, 1 skipped") {
			t.Errorf("%s: %s", w.name, a)
		}
		return
	}
	if a.Status != http.StatusForbidden {
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
	ada := w.Add("ada", store.RoleAdmin)
	w.Add("walter", store.RoleAdmin)
	b := w.SignIn("ada")
	before := w.User(ada.ID)
	for _, list := range [][]way{demote(), turnOff(), remove("ada")} {
		for _, way := range list {
			refused(t, way, way.do(b, ada.ID))
			same(t, before, w.User(ada.ID))
		}
	}
}

// The deployment's administrator is locked for the pages: e-mail, password, role, state, and its existence.
func TestTheManagedAdministratorIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.Add("root", store.RoleAdmin)
	root = w.Edit(root.ID, func(u *store.User) { u.Managed = true })
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")
	for _, list := range [][]way{demote(), turnOff(), remove("root"), {
		{"edit page", func(b *browser, id string) response {
			return b.Post("/admin/users/"+id+"/edit", url.Values{"email": {"evil@example.com"}})
		}},
		{"API", func(b *browser, id string) response {
			return b.JSON(http.MethodPatch, "/users/"+id, `{"email":"evil@example.com"}`)
		}},
		{"reset page", func(b *browser, id string) response { return b.Post("/admin/users/"+id+"/reset-link", nil) }},
		{"typed password", func(b *browser, id string) response {
			return b.Post("/admin/users/"+id+"/reset-link", url.Values{"password": {otherPass}})
		}},
		{"reset by API", func(b *browser, id string) response {
			return b.JSON(http.MethodPost, "/users/"+id+"/reset-password", `{}`)
		}},
		{"password by API", func(b *browser, id string) response {
			return b.JSON(http.MethodPost, "/users/"+id+"/reset-password", `{"password":"`+otherPass+`"}`)
		}},
		{"require page", func(b *browser, id string) response { return b.Post("/admin/users/"+id+"/require-change", nil) }},
		{"bulk", func(b *browser, id string) response {
			return b.Post("/admin/users/bulk", url.Values{"do": {"require_change"}, "id": {id}})
		}},
	}} {
		for _, way := range list {
			refused(t, way, way.do(b, root.ID))
			same(t, root, w.User(root.ID))
		}
	}
	page := b.Get("/admin/users/"+root.ID+"/edit").Want(t, http.StatusOK)
	if strings.Contains(page.Body, `name="role"`) || strings.Contains(page.Body, `name="active"`) {
		t.Error("the form offers what cannot be changed")
	}
	// What is not locked stays open: the name.
	b.Post("/admin/users/"+root.ID+"/edit", url.Values{"name": {"The Root"}, "email": {"root@example.com"}}).Want(t, http.StatusSeeOther)
}

// Two administrators who demote or delete each other at the same time: one stays.
func TestTwoAdministratorsAtOnceLeaveOne(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]func(b *browser, id, username string) response{
		"demote by API": func(b *browser, id, _ string) response {
			return b.JSON(http.MethodPatch, "/users/"+id, `{"role":"user"}`)
		},
		"delete page": func(b *browser, id, username string) response {
			return b.Post("/admin/users/"+id+"/delete", url.Values{"confirm": {username}})
		},
		"bulk": func(b *browser, id, _ string) response {
			return b.Post("/admin/users/bulk", url.Values{"do": {"deactivate"}, "id": {id}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ada, eve := w.Add("ada", store.RoleAdmin), w.Add("eve", store.RoleAdmin)
			adas, eves := w.SignIn("ada"), w.SignIn("eve")
			var wg sync.WaitGroup
			wg.Go(func() { path(adas, eve.ID, "eve") })
			wg.Go(func() { path(eves, ada.ID, "ada") })
			wg.Wait()
			left, err := w.Store.ActiveAdmins(t.Context(), 10)
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
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b := w.SignIn("ada")
	seen := value(t, b.Get("/admin/users/"+tom.ID+"/edit"), "version")
	w.Edit(tom.ID, func(u *store.User) { u.Name = "Tom of the others" })
	sent := url.Values{"username": {"tom"}, "name": {"My Tom"}, "version": {seen}}
	a := b.Post("/admin/users/"+tom.ID+"/edit", sent).Want(t, http.StatusConflict)
	a.Shows(t, `value="My Tom"`, "Tom of the others", "<title>Error:")
	if got := w.User(tom.ID).Name; got != "Tom of the others" {
		t.Fatalf("the name is %q", got)
	}
	sent.Set("version", value(t, a, "version"))
	b.Post("/admin/users/"+tom.ID+"/edit", sent).Want(t, http.StatusSeeOther)
	if got := w.User(tom.ID).Name; got != "My Tom" {
		t.Errorf("the name is %q", got)
	}
	for _, bad := range []string{"-1", "0", "x", "99999999999999999999"} {
		sent.Set("version", bad)
		b.Post("/admin/users/"+tom.ID+"/edit", sent).Want(t, http.StatusConflict)
	}
}

// value returns what a page has in a hidden or other input.
func value(t *testing.T, a response, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(a.Body, `name="`+name+`"`)
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
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")
	w.Clock.Advance(account.FreshWindow)
	form := url.Values{
		"username": {"nina"}, "name": {"Nina Nine"}, "email": {"nina@example.com"}, "role": {"admin"}, "groups": {"staff, nine"}, "active": {"false"},
		"way": {"typed"}, "password": {otherPass}, "expires": {"1h"},
	}
	a := b.Post("/admin/users/invite", form).Want(t, http.StatusForbidden)
	a.Shows(t, `value="nina"`, `value="Nina Nine"`, `value="nina@example.com"`, `<option value="admin" selected>`, ">staff, nine</textarea>",
		`<option value="false" selected>`, `value="typed" checked`, `<option value="1h" selected>`, `href="/_auth/reauth" target="_blank" rel="noopener"`)
	if strings.Contains(a.Body, otherPass) {
		t.Error("the page holds the password")
	}
	if _, err := w.Store.UserByUsername(t.Context(), "nina"); err == nil {
		t.Fatal("the account was made")
	}
	b.Post("/reauth", url.Values{"password": {goodPass}}).Want(t, http.StatusSeeOther)
	b.Post("/admin/users/invite", form).Want(t, http.StatusSeeOther)
	u, err := w.Store.UserByUsername(t.Context(), "nina")
	if err != nil || u.Role != store.RoleAdmin || u.Active || strings.Join(u.Groups, "|") != "nine|staff" || u.PasswordHash == "" {
		t.Errorf("%+v, %v", u, err)
	}
}

// A confirmation leads back to the form that asked for it.
func TestReauthenticationComesBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.SignIn("ada")
	s.Clock.Advance(account.FreshWindow)
	at := "/admin/users/bulk?do=deactivate&id=" + s.Target.ID
	to := b.Get(at).Want(t, http.StatusSeeOther).Header.Get("Location")
	rt, err := url.QueryUnescape(strings.TrimPrefix(to, prefix+"/reauth?rt="))
	if err != nil {
		t.Fatal(err)
	}
	a := b.Post("/reauth", url.Values{"password": {goodPass}, "rt": {rt}}).Want(t, http.StatusSeeOther)
	if a.Header.Get("Location") != prefix+at {
		t.Fatalf("back to %q", a.Header.Get("Location"))
	}
	b.Get(at).Want(t, http.StatusOK).Shows(t, "tom")
}

// An administrator who is demoted, turned off or signed out is refused from the next request on.
func TestADemotedAdministratorIsOutAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.Add("ada", store.RoleAdmin)
	w.Add("walter", store.RoleAdmin)
	b, other := w.SignIn("ada"), w.SignIn("walter")
	b.Get("/admin").Want(t, http.StatusOK)
	other.JSON(http.MethodPatch, "/users/"+ada.ID, `{"role":"user"}`).Want(t, http.StatusOK)
	b.Get("/admin").Want(t, http.StatusForbidden)
	b.JSON(http.MethodGet, "/users", nil).Want(t, http.StatusForbidden)
	other.JSON(http.MethodPatch, "/users/"+ada.ID, `{"role":"admin"}`).Want(t, http.StatusOK)
	b.Get("/admin").Want(t, http.StatusOK)
	other.JSON(http.MethodPost, "/users/"+ada.ID+"/end-sessions", nil).Want(t, http.StatusNoContent)
	b.Get("/admin").Want(t, http.StatusSeeOther)
	b.JSON(http.MethodGet, "/users", nil).Want(t, http.StatusUnauthorized)
}

// Anyone who has to choose a new password does that first.
func TestAnOwedPasswordComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	w.Create(account.NewUser{Username: "eve", Role: store.RoleAdmin, Password: goodPass, MustChange: true, Active: true})
	b := w.SignIn("eve")
	if a := b.Get("/admin/users"); a.Status != http.StatusSeeOther || a.Header.Get("Location") != prefix+"/account/password" {
		t.Error(a)
	}
	if a := b.JSON(http.MethodGet, "/users", nil); a.Status != http.StatusForbidden || a.Problem() != "must-change" {
		t.Error(a)
	}
}

// The clock of a sign-in lies in the store: a request cannot bring a fresher one.
func TestFreshnessEndsOnTime(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.SignIn("ada")
	s.Clock.Advance(account.FreshWindow - time.Second)
	b.JSON(http.MethodPatch, "/users/"+s.Target.ID, `{"name":"One"}`).Want(t, http.StatusOK)
	s.Clock.Advance(time.Second)
	b.JSON(http.MethodPatch, "/users/"+s.Target.ID, `{"name":"Two"}`).Want(t, http.StatusForbidden)
}
