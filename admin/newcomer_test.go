package admin

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The first page of a new site says what is to be done, and stops saying it when it is done.
func TestTheDashboardHelpsToSetUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) {
		c.Effective = func() Settings {
			return Settings{
				Warnings: []i18n.Text{i18n.New("warning.admin_host")},
				Notes:    []Note{{"Caddyfile:7", "strangers reach this"}},
			}
		}
	})
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")
	first := b.Get("/admin").Want(t, http.StatusOK)
	first.Shows(t, "Set up", "to do", "/admin/users/invite?role=admin", "Worth a look", "Caddyfile:7", `lang="en"`,
		"strangers reach this", "/admin/settings", `class="tiles"`)
	if strings.Count(first.Body, "only one active administrator") != 1 {
		t.Errorf("one thing is said twice, or not at all\n%s", first.Body)
	}
	if got := b.Get("/admin/users/invite?role=admin").Body; !strings.Contains(got, `<option value="admin" selected>`) {
		t.Error("the invitation of an administrator begins with another role")
	}
	w.Add("walter", store.RoleAdmin)
	w.Add("tom", store.RoleUser)
	if got := b.Get("/admin").Body; strings.Contains(got, "to do") || strings.Contains(got, "Set up") {
		t.Errorf("all is done, and the list is there\n%s", got)
	}
}

// Somebody who has not used the invitation yet is shown as invited; groups are in the list, and nothing is picked to be
// done by mistake.
func TestTheListTellsWhoIsInvitedAndInWhichGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	w.Create(account.NewUser{Username: "nina", Groups: []string{"a", "b", "c", "d", "e"}, Active: true})
	b := w.SignIn("ada")
	list := b.Get("/admin/users").Want(t, http.StatusOK)
	list.Shows(t, ">invited<", "a, b, c and 2 more", `<option value="" selected>Choose what to do</option>`)
	if n := strings.Count(list.Body, ">active<"); n != 1 {
		t.Errorf("%d active\n%s", n, list.Body)
	}
	b.Get("/admin/users/bulk?do=&id=x").Want(t, http.StatusBadRequest)
}

// Each way to a password has its own fields, one way is chosen, and it works without a script.
func TestInvitationsAskForOneWayAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	page := w.SignIn("ada").Get("/admin/users/invite").Want(t, http.StatusOK)
	ways := regexp.MustCompile(`(?s)<div class="way">.*?</fieldset>`).FindString(page.Body)
	parts := strings.Split(ways, `<div class="way">`)
	if len(parts) != 4 {
		t.Fatalf("%d ways\n%s", len(parts)-1, page.Body)
	}
	for i, want := range []struct{ way, has, lacks string }{
		{"link", `name="expires"`, `name="password"`}, {"generated", "", `name="`}, {"typed", `name="password"`, `name="expires"`},
	} {
		part := strings.Replace(parts[i+1], `name="way" value="`+want.way+`"`, "", 1)
		if part == parts[i+1] || !strings.Contains(part, want.has) || strings.Contains(part, want.lacks) {
			t.Errorf("%s:\n%s", want.way, part)
		}
		if checked := strings.Contains(part, "checked"); checked != (i == 0) {
			t.Errorf("%s is chosen: %v", want.way, checked)
		}
	}
}

// The buttons of two sessions from one kind of browser have different names, and lists have no raw User-Agents.
func TestSessionsCanBeDistinguished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	w.SignIn("ada")
	b := w.SignIn("ada")
	page := b.Get("/admin/sessions").Want(t, http.StatusOK)
	more := regexp.MustCompile(`<span class="sr"> (session of [^<]*)</span>`).FindAllStringSubmatch(page.Body, -1)
	if len(more) != 2 || !strings.Contains(more[0][1], "192.0.2.7") || !strings.Contains(more[0][1], "since ") {
		t.Errorf("%q\n%s", more, page.Body)
	}
	if strings.Contains(page.Body, "Go-http-client/") {
		t.Errorf("the list has a raw User-Agent\n%s", page.Body)
	}
}

// A list's links to its other pages have a name, on every page that has such links.
func TestLinksToOtherPagesHaveAName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	for i := range 30 {
		w.Create(account.NewUser{Username: "nina" + string(rune('a'+i)), Active: true})
	}
	b := w.SignIn("ada")
	for _, path := range []string{"/admin/users", "/admin/invites", "/admin/audit", "/admin/sessions", "/admin/users?q=nina"} {
		page := b.Get(path).Want(t, http.StatusOK)
		if strings.Contains(page.Body, `<nav aria-label="">`) || strings.Contains(page.Body, "<nav>") {
			t.Errorf("%s has a nav without a name", path)
		}
	}
}
