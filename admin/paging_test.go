package admin

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

var older = regexp.MustCompile(`href="/_auth(/admin/audit\?[^"]*cursor=[^"]*)">Older entries`)

// log adds events, some in each change: thousands take longer than one may on a slow machine.
func (w *world) log(events []store.Event) {
	w.T.Helper()
	for batch := range slices.Chunk(events, 250) {
		if err := w.Store.AddEvents(w.T.Context(), batch...); err != nil {
			w.T.Fatal(err)
		}
	}
}

// A search through more entries than one page may pass over says how far it has come and goes on where it stopped, in
// the pages and in the API alike, until all has been seen.
func TestASearchThatStopsSaysSoAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	ada := w.SignIn("ada")
	now := w.Clock.Now()
	events := make([]store.Event, 0, 10_400)
	for i := range cap(events) {
		events = append(events, store.Event{Time: now.Add(-time.Duration(i+1) * time.Minute), Actor: "somebody", Action: "session.sign_in", Outcome: store.Success})
	}
	events[len(events)-1].Actor = "needle"
	w.log(events)
	first := ada.Get("/admin/audit?q=needl").Want(t, http.StatusOK).Shows(t, "Searched back to 2026-02-", "Nothing matches so far")
	if strings.Contains(first.Body, ">needle<") {
		t.Fatal("the page passed over more than it may")
	}
	link := older.FindStringSubmatch(first.Body)
	if link == nil {
		t.Fatalf("no way on: %s", first)
	}
	second := ada.Get(html.UnescapeString(link[1])).Want(t, http.StatusOK).Shows(t, ">needle<")
	if strings.Contains(second.Body, "Searched back") || older.MatchString(second.Body) {
		t.Error("the search has come to the end and says that it goes on")
	}
	pages, found, cursor := 0, 0, ""
	for ; pages == 0 || cursor != ""; pages++ {
		var list struct {
			Items []struct{ Actor string }
			Next  string
		}
		ada.JSON(http.MethodGet, "/audit?q=needl&cursor="+url.QueryEscape(cursor), nil).Want(t, http.StatusOK).Decode(t, &list)
		found, cursor = found+len(list.Items), list.Next
	}
	if pages != 2 || found != 1 {
		t.Errorf("the API has %d pages with %d hits", pages, found)
	}
}

// Invitations come in pages like all lists, to the last one.
func TestInvitationsComeInPages(t *testing.T) {
	t.Parallel()
	const n = 60
	w, ada := filled(t, n, 1)
	seen := make(map[string]bool)
	next := regexp.MustCompile(`href="/_auth(/admin/invites\?cursor=[^"]*)">Older entries`)
	name := regexp.MustCompile(`>(user\d{6})<`)
	for path, pages := "/admin/invites", 0; path != ""; pages++ {
		a := ada.Get(path).Want(t, http.StatusOK)
		for _, m := range name.FindAllStringSubmatch(a.Body, -1) {
			seen[m[1]] = true
		}
		path = ""
		if m := next.FindStringSubmatch(a.Body); m != nil {
			path = html.UnescapeString(m[1])
		}
		if pages > n {
			t.Fatal("the list has no end")
		}
	}
	for i := range n {
		if !seen[fmt.Sprintf("user%06d", i)] {
			t.Errorf("user%06d is on no page", i)
		}
	}
	for _, bad := range []string{"x", store.NewID(w.Clock.Now())} {
		ada.Get("/admin/invites?cursor="+bad).Want(t, http.StatusBadRequest)
	}
}

// A search may come to the end of a list on a page that has nothing to show: that page does not deny what the pages
// before it have shown, and leads back to them.
func TestTheLastPageMayBeEmptyAndLeadsBack(t *testing.T) {
	t.Parallel()
	w, ada := filled(t, 26, 30)
	last, err := w.Store.UserByUsername(t.Context(), "user000025")
	if err != nil {
		t.Fatal(err)
	}
	onward := func(path string) string {
		t.Helper()
		m := regexp.MustCompile(`href="/_auth(/admin/[^"]*cursor=[^"]*)">(?:Next page|Older entries)`).FindStringSubmatch(ada.Get(path).Want(t, http.StatusOK).Body)
		if m == nil {
			t.Fatalf("%s has no next page", path)
		}
		return html.UnescapeString(m[1])
	}
	users, sessions, audit := onward("/admin/users?q=er0"), onward("/admin/sessions?q=er0"), onward("/admin/audit")
	if err := w.Store.Change(t.Context(), func(tx store.Tx) error { return tx.DeleteUser(t.Context(), last.ID) }); err != nil {
		t.Fatal(err)
	}
	for path, back := range map[string]string{
		users: `href="/_auth/admin/users?q=er0">First page`, sessions: `href="/_auth/admin/sessions?q=er0">Newest entries`,
		audit + "&q=nobody": `href="/_auth/admin/audit?q=nobody">Newest entries`,
	} {
		page := ada.Get(path).Want(t, http.StatusOK).Shows(t, "Nothing more matches", back)
		for _, wrong := range []string{"Nothing matches", "0 users", "Next page", "Previous page", "Older entries"} {
			if strings.Contains(page.Body, wrong) {
				t.Errorf("%s says %q", path, wrong)
			}
		}
	}
	if nobody := ada.Get("/admin/users?q=nobody").Shows(t, "Nothing matches"); strings.Contains(nobody.Body, "First page") {
		t.Error("the only page leads to others")
	}
}
