package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/store"
)

// An invitation is shown once, to the administrator who made it; looking at the link does not spend it.
func TestAnInvitationIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	w.Add("walter", store.RoleAdmin)
	b := w.SignIn("ada")
	made := b.Post("/admin/users/invite", url.Values{"username": {"nina"}, "expires": {"24h"}})
	to := strings.TrimPrefix(made.Want(t, http.StatusSeeOther).Header.Get("Location"), prefix)
	b.Do(http.MethodHead, to, "", nil).Want(t, http.StatusOK) // a preview is not a look
	w.SignIn("walter").Get(to).Want(t, http.StatusGone)
	page := b.Get(to).Want(t, http.StatusOK)
	if page.Header.Get("Content-Encoding") != "" || page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", page.Header)
	}
	link := value(t, response{Body: strings.Replace(page.Body, `id="secret"`, `name="secret"`, 1)}, "secret")
	b.Get(to).Want(t, http.StatusGone)
	for range 2 { // like a bot that looks ahead
		w.Browser().Get(strings.TrimPrefix(link, w.Server.URL+prefix)).Want(t, http.StatusSeeOther)
	}
	w.UseLink(t, link, "nina")
	if got := b.Get("/admin/invites"); strings.Contains(got.Body, "nina") {
		t.Error("the link is listed, but spent")
	}
}

// Somebody else's page shows nothing of it, and a planted cookie shows no secret of ours.
func TestAHandoverIsForItsUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom, eve := w.Add("tom", store.RoleUser), w.Add("eve", store.RoleUser)
	b := w.SignIn("ada")
	b.Post("/admin/users/"+tom.ID+"/reset-link", nil).Want(t, http.StatusSeeOther)
	b.Get("/admin/users/"+eve.ID+"/handover").Want(t, http.StatusGone)
	link, err := w.Accounts.ResetPassword(t.Context(), operator, tom.ID, account.Reset{})
	if err != nil {
		t.Fatal(err)
	}
	for _, planted := range []string{"", ".", "..", eve.ID, eve.ID + ".l.", eve.ID + ".l." + link.Token, eve.ID + ".x." + link.Token, tom.ID + ".l." + store.NewToken(), tom.ID + ".p."} {
		x := b.With("Cookie", "gatehouse-handover="+planted) // beside the jar's
		for _, id := range []string{tom.ID, eve.ID} {
			if a := x.Get("/admin/users/" + id + "/handover"); a.Status != http.StatusGone {
				t.Errorf("%q shows %s", planted, a)
			}
		}
	}
}

func TestAGeneratedPasswordWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b, toms := w.SignIn("ada"), w.SignIn("tom")
	page := b.Follow(b.Post("/admin/users/"+tom.ID+"/reset-link", url.Values{"way": {"generated"}, "must_change": {"1"}})).Want(t, http.StatusOK)
	pass := value(t, response{Body: strings.Replace(page.Body, `id="secret"`, `name="secret"`, 1)}, "secret")
	if len(pass) < 31 || strings.Contains(strings.Join(details(w.AllEvents()), " "), pass) {
		t.Errorf("the password is %q, and the log %v", pass, details(w.AllEvents()))
	}
	toms.Get("/account").Want(t, http.StatusSeeOther) // its session is over
	n := w.Browser()
	n.Post("/login", url.Values{"username": {"tom"}, "password": {pass}}).Want(t, http.StatusSeeOther)
	if a := n.Get("/account"); a.Header.Get("Location") != prefix+"/account/password" {
		t.Errorf("the password need not be changed: %s", a)
	}
	if a, other := generatePassword(12), generatePassword(12); a == other || len(generatePassword(128)) < 128 {
		t.Error("generated passwords are not what they should be")
	}
}

func details(events []store.Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, fmt.Sprint(e))
	}
	return list
}

// A form that contradicts itself is refused beside the field, and does nothing.
func TestRefusedForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b := w.SignIn("ada")
	for _, c := range []struct {
		path  string
		form  url.Values
		shows string
	}{
		{"/admin/users/invite", url.Values{}, "Enter a username."},
		{"/admin/users/invite", url.Values{"username": {"TOM"}}, "This is already taken."},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "email": {"TOM@example.com"}}, "This is already taken."},
		{"/admin/users/invite", url.Values{"username": {"tom@example.com"}}, "This is already taken."},
		{"/admin/users/" + tom.ID + "/edit", url.Values{"username": {"Ada"}}, "This is already taken."},
		{"/admin/users/" + tom.ID + "/edit", url.Values{"email": {"ada@example.com"}}, "This is already taken."},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "email": {"nope"}}, "Enter an e-mail address"},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "role": {"root"}}, "Choose one of the roles"},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "active": {"maybe"}}, "Choose one of the states."},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "way": {"link"}, "password": {otherPass}}, "You typed a password"},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "way": {"typed"}}, "Enter a password."},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "password": {"short"}}, "Use at least 12 characters."},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "expires": {"9h"}}, "Choose one of the lifetimes."},
		{"/admin/users/invite", url.Values{"username": {"nina"}, "way": {"magic"}}, "Choose one of the ways."},
		{"/admin/users/" + tom.ID + "/edit", url.Values{"username": {" "}}, "Enter a username."},
		{"/admin/users/" + tom.ID + "/delete", url.Values{"confirm": {"Tom"}}, "Type exactly: tom"},
		{"/admin/users/" + tom.ID + "/delete", url.Values{}, "Type exactly: tom"},
		{"/admin/users/" + tom.ID + "/deactivate", url.Values{"note": {strings.Repeat("x", 501)}}, "Use at most 500 characters"},
		{"/admin/sessions/everyone", url.Values{"confirm": {"all"}}, "Type everyone to confirm"},
	} {
		a := b.Post(c.path, c.form)
		if a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s %v: %s", c.path, c.form, a)
			continue
		}
		a.Shows(t, c.shows, "<title>Error:", `aria-invalid="true"`)
	}
	b.Post("/admin/users/invite", url.Values{"username": {"nina", "eve"}}).Want(t, http.StatusBadRequest)
	b.Do(http.MethodPost, "/admin/users/invite", "application/json", strings.NewReader(`{"username":"nina"}`)).Want(t, http.StatusUnsupportedMediaType)
	b.Post("/admin/users/invite", url.Values{"username": {strings.Repeat("x", 70000)}}).Want(t, http.StatusRequestEntityTooLarge)
	if n, err := w.Store.CountUsers(t.Context(), store.UserQuery{}); err != nil || n != 2 {
		t.Errorf("%d users, %v", n, err)
	}
}

// One action on several users: a page that asks and names them, then a result for each, the skipped ones with why.
func TestBulkSkipsWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, tom, eve := w.Add("ada", store.RoleAdmin), w.Add("tom", store.RoleUser), w.Add("eve", store.RoleUser)
	b := w.SignIn("ada")
	ids := url.Values{"do": {"deactivate"}, "id": {tom.ID, ada.ID, eve.ID, tom.ID}}
	ask := b.Get("/admin/users/bulk?"+ids.Encode()).Want(t, http.StatusOK)
	ask.Shows(t, "3 users", "tom", "ada", "eve")
	if !w.User(tom.ID).Active {
		t.Fatal("the question did it")
	}
	ids.Set("note", "they left")
	done := b.Post("/admin/users/bulk", ids).Want(t, http.StatusOK)
	done.Shows(t, "2 done, 1 skipped", "You can&#39;t turn off your own account.")
	if w.User(tom.ID).Active || w.User(eve.ID).Active || !w.User(ada.ID).Active {
		t.Error("the wrong ones are turned off")
	}
	found := 0
	for _, e := range w.Events("user.update") {
		if e.Details["note"] == "they left" {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d entries have the reason", found)
	}
	// One's own sessions come last, or the rest would not be done.
	b.Post("/admin/users/bulk", url.Values{"do": {"end_sessions"}, "id": {ada.ID, tom.ID, eve.ID}}).Want(t, http.StatusOK).Shows(t, "3 done, 0 skipped")
	b = w.SignIn("ada")
	for path, status := range map[string]int{
		"?do=deactivate": http.StatusOK, "?do=format_disk&id=" + tom.ID: http.StatusBadRequest, "?id=" + tom.ID: http.StatusBadRequest,
		"?do=activate&id=x": http.StatusNotFound, "?do=activate&id=" + store.NewID(time.Now()): http.StatusOK,
		"?do=activate" + strings.Repeat("&id="+tom.ID, 101): http.StatusBadRequest,
	} {
		if a := b.Get("/admin/users/bulk" + path); a.Status != status {
			t.Errorf("%.40s: %s", path, a)
		}
	}
}

// What an administrator does to an account, step by step, as the person meets it.
func TestTheLifeOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b, toms := w.SignIn("ada"), w.SignIn("tom")
	at := "/admin/users/" + tom.ID
	b.Follow(b.Post(at+"/require-change", nil)).Want(t, http.StatusOK).Shows(t, "has to choose a new password")
	if a := toms.Get("/account"); a.Header.Get("Location") != prefix+"/account/password" {
		t.Errorf("an open session is not held: %s", a)
	}
	b.Follow(b.Post(at+"/deactivate", url.Values{"note": {"on leave"}})).Shows(t, "turned off")
	toms.Get("/account").Want(t, http.StatusSeeOther)
	b.Follow(b.Post(at+"/activate", nil)).Shows(t, "active")
	if a := toms.Get("/account"); !strings.HasPrefix(a.Header.Get("Location"), prefix+"/login") {
		t.Errorf("the old session lives again: %s", a)
	}
	w.Edit(tom.ID, func(u *store.User) { u.Active, u.Pending = false, true })
	b.Get(at).Shows(t, "waiting to be let in", "Let in")
	b.Follow(b.Post(at+"/edit", url.Values{"name": {"Tom"}, "active": {"false"}}))
	if u := w.User(tom.ID); !u.Pending || u.Name != "Tom" {
		t.Errorf("an edit decided about a pending account: %+v", u)
	}
	b.Follow(b.Post(at+"/activate", nil))
	if u := w.User(tom.ID); u.Pending || !u.Active {
		t.Errorf("%+v", u)
	}
	b.Follow(b.Post(at+"/reset-link", url.Values{"block": {"1"}}))
	if w.User(tom.ID).PasswordHash != "" {
		t.Error("the present password works on")
	}
	b.Get("/admin/invites").Shows(t, "tom")
	b.Follow(b.Post(at+"/cancel-link", nil)).Shows(t, "The link was withdrawn.", "There are no open invitations.")
	b.Post(at+"/cancel-link", nil).Want(t, http.StatusNotFound)
	b.Follow(b.Post(at+"/delete", url.Values{"confirm": {"tom"}})).Shows(t, "The account was deleted.")
	b.Get(at).Want(t, http.StatusNotFound)
	b.Get("/admin/audit?action=user.delete").Shows(t, ">tom<")
}

// An administrator who ends everybody's sessions ends their own, too.
func TestEveryoneIsSignedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	w.Add("tom", store.RoleUser)
	b, toms := w.SignIn("ada"), w.SignIn("tom")
	b.Follow(b.Post("/admin/sessions/everyone", url.Values{"confirm": {"everyone"}})).Want(t, http.StatusOK)
	b.Get("/admin").Want(t, http.StatusSeeOther)
	toms.Get("/account").Want(t, http.StatusSeeOther)
}

var (
	pagesNav = regexp.MustCompile(`(?s)<nav aria-label="Pages of the list">.*?</nav>`)
	links    = regexp.MustCompile(`<li><a href="([^"]+)">([^<]+)</a>`)
	heads    = regexp.MustCompile(`<th scope="row"[^>]*><a href="[^"]+">([^<]+)</a>`)
	sorted   = regexp.MustCompile(`<th scope="col" aria-sort="([a-z]+)">\s*<a href="([^"]+)">([^<]+)</a>`)
)

func names(a response) []string {
	var list []string
	for _, m := range heads.FindAllStringSubmatch(a.Body, -1) {
		list = append(list, m[1])
	}
	return list
}

func pageLinks(a response) map[string]string {
	list := map[string]string{}
	for _, m := range links.FindAllStringSubmatch(pagesNav.FindString(a.Body), -1) {
		list[m[2]] = strings.ReplaceAll(strings.TrimPrefix(m[1], prefix), "&amp;", "&")
	}
	return list
}

// A thousand users, walked forwards to the end and back: each once, in order, and the last page is the last.
func TestAThousandUsersForwardsAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		for i := range 999 {
			u := store.User{ID: store.NewID(w.Clock.Now()), Username: fmt.Sprintf("u%03d", i), Role: store.RoleUser, Active: true, Local: true, Origin: store.OriginLocal, CreatedAt: w.Clock.Now()}
			if err := tx.CreateUser(t.Context(), u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.SignIn("ada")
	walk := func(from, link string) []string {
		var all []string
		for at, n := from, 0; at != "" && n < 50; n++ {
			a := b.Get(at).Want(t, http.StatusOK)
			page := names(a)
			if len(page) > 100 {
				t.Fatalf("%d rows", len(page))
			}
			if link == "Previous page" {
				all = append(page, all...)
			} else {
				all = append(all, page...)
			}
			at = pageLinks(a)[link]
		}
		return all
	}
	forwards := walk("/admin/users?size=100", "Next page")
	if len(forwards) != 1000 || forwards[0] != "ada" || forwards[999] != "u998" || !slices.IsSorted(forwards) {
		t.Fatalf("%d forwards, from %s to %s", len(forwards), forwards[0], forwards[len(forwards)-1])
	}
	first := b.Get("/admin/users").Shows(t, "1000 users")
	if n := len(names(first)); n != 25 {
		t.Errorf("%d rows on the first page", n)
	}
	if back := walk(pageLinks(b.Get("/admin/users?size=100"))["Last page"], "Previous page"); !slices.Equal(back, forwards) {
		t.Errorf("%d backwards", len(back))
	}
	second := b.Get(pageLinks(first)["Next page"])
	if again := b.Get(pageLinks(second)["Previous page"]); !slices.Equal(names(again), names(first)) || pageLinks(again)["Next page"] == "" {
		t.Error("back from the second page is not the first")
	}
	if size := names(b.Get("/admin/users?size=100")); len(size) != 100 {
		t.Errorf("%d rows of 100", len(size))
	}
	for _, odd := range []string{"?page=9999", "?cursor=", "?q=nobody-is-called-so", "?dir="} {
		b.Get("/admin/users"+odd).Want(t, http.StatusOK)
	}
	b.Get("/admin/users?q=nobody-is-called-so").Shows(t, "Nothing matches.", "Clear filters")
	for _, bad := range []string{"?cursor=x", "?size=7", "?dir=up", "?dir=back&cursor=x", "?sort=x", "?status=x"} {
		b.Get("/admin/users"+bad).Want(t, http.StatusBadRequest)
	}
}

// Sort links say how a list is sorted, on one column, and turn the order at the second use; filters stay.
func TestSortLinksTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	w.Add("tom", store.RoleUser)
	w.Add("bea", store.RoleUser)
	b := w.SignIn("ada")
	for _, c := range []struct{ at, way, column, first string }{
		{"/admin/users?status=active", "ascending", "User", "ada"},
		{"/admin/users?status=active&sort=-username", "descending", "User", "tom"},
		{"/admin/users?status=active&sort=email", "ascending", "E-mail", "ada"},
		{"/admin/users?status=active&sort=-last_login", "descending", "Last sign-in", "ada"},
	} {
		a := b.Get(c.at).Want(t, http.StatusOK)
		m := sorted.FindAllStringSubmatch(a.Body, -1)
		if len(m) != 1 || m[0][1] != c.way || m[0][3] != c.column || names(a)[0] != c.first {
			t.Fatalf("%s: %q, %v", c.at, m, names(a))
		}
		turnedBack := b.Get(strings.ReplaceAll(strings.TrimPrefix(m[0][2], prefix), "&amp;", "&"))
		if got := sorted.FindAllStringSubmatch(turnedBack.Body, -1); len(got) != 1 || got[0][1] == c.way {
			t.Errorf("%s does not turn: %q", c.at, got)
		}
		turnedBack.Shows(t, `<option value="active" selected>`)
	}
}

// Which sites a person passes, and which rule decides, is what the gate itself would say.
func TestEffectiveAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Create(account.NewUser{Username: "tom", Groups: []string{"staff"}, Password: goodPass, Active: true})
	eve := w.Add("eve", store.RoleUser)
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		return tx.CreateIdentity(t.Context(), store.Identity{Issuer: "https://id.acme.test", Subject: "s1", UserID: tom.ID, Provider: "acme", CreatedAt: w.Clock.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.SignIn("ada")
	rows := func(id string) map[string]string {
		list := map[string]string{}
		for part := range strings.SplitSeq(b.Get("/admin/users/"+id+"/access").Want(t, http.StatusOK).Body, `<th scope="row" role="rowheader">`) {
			name, rest, _ := strings.Cut(part, "</th>")
			list[name] = rest
		}
		return list
	}
	want := func(rows map[string]string, site string, texts ...string) {
		t.Helper()
		for _, s := range texts {
			if !strings.Contains(rows[site], s) {
				t.Errorf("%s does not say %q: %s", site, s, rows[site])
			}
		}
	}
	toms, eves := rows(tom.ID), rows(eve.ID)
	want(toms, "open.test", "passes", "No rule", "/health")
	want(toms, "staff.test", "passes", "The one rule holds.")
	want(toms, "acme.test", "depends", "Passes after a sign-in with acme", "require provider acme")
	want(eves, "staff.test", "refused", "require group staff")
	want(eves, "acme.test", "refused", "require provider acme")
	w.Edit(tom.ID, func(u *store.User) { u.Active = false })
	want(rows(tom.ID), "open.test", "refused", "turned off")
	b.Get("/admin/roles").Want(t, http.StatusOK).Shows(t, "staff", "1 person", "staff.test")
}

// What went wrong at a provider is shown on its page, and the check is not offered without anything to check with.
func TestProviderChecks(t *testing.T) {
	t.Parallel()
	failing := newWorld(t, func(c *config) { c.CheckProvider = failedCheck })
	failing.Add("ada", store.RoleAdmin)
	b := failing.SignIn("ada")
	b.Get("/admin/providers").Want(t, http.StatusOK).Shows(t, "https://app.test/_auth/oidc/acme/callback", "Check now")
	b.Post("/admin/providers/acme/check", nil).Want(t, http.StatusBadGateway).Shows(t, "its keys are not there")
	b.Get("/admin/providers/other/check").Want(t, http.StatusNotFound)
	if e := failing.Events("provider.check"); len(e) != 1 || e[0].Outcome != store.Failure || e[0].Target != "acme" || e[0].Actor != "ada" ||
		!strings.Contains(e[0].Details["reason"], "its keys are not there") {
		t.Errorf("the audit log has %+v", e)
	}
	well := newWorld(t, func(c *config) { c.CheckProvider = noCheck })
	well.Add("ada", store.RoleAdmin)
	well.SignIn("ada").Post("/admin/providers/acme/check", nil).Want(t, http.StatusSeeOther)
	if e := well.Events("provider.check"); len(e) != 1 || e[0].Outcome != store.Success || e[0].Target != "acme" || len(e[0].Details) != 0 {
		t.Errorf("the audit log has %+v", e)
	}
	none := newWorld(t)
	none.Add("ada", store.RoleAdmin)
	b = none.SignIn("ada")
	if a := b.Get("/admin/providers"); strings.Contains(a.Body, "Check now") {
		t.Error(a)
	}
	b.Get("/admin/providers/acme/check").Want(t, http.StatusNotFound)
}

// Settings and dashboard warn of what an operator should look at.
func TestWarnings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) {
		c.Effective = func() Settings {
			return Settings{Warnings: []i18n.Text{i18n.New("warning.cookie_domain", "domain", "moon.test")}, Retention: 48 * time.Hour}
		}
		c.Providers = func() []api.ProviderStatus { return []api.ProviderStatus{{Name: "acme", Label: "Acme", Down: true}} }
	})
	w.Add("ada", store.RoleAdmin)
	b := w.SignIn("ada")
	for _, at := range []string{"/admin", "/admin/settings"} {
		b.Get(at).Want(t, http.StatusOK).Shows(t, "every host below moon.test", "only one active administrator", "plain HTTP", "Sign-in with Acme does not work")
	}
	b.Get("/admin/audit").Shows(t, "kept for 2 days")
	b.Get("/admin/settings").Shows(t, w.Store.Info().Engine, "answers")
	w.Add("walter", store.RoleAdmin)
	if a := b.Get("/admin"); strings.Contains(a.Body, "only one active administrator") {
		t.Error("there are two administrators")
	}
}
