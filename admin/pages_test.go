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
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/store"
)

// follow goes where an response leads.
func (b *browser) follow(a response) response {
	b.w.t.Helper()
	to, ok := strings.CutPrefix(a.want(b.w.t, http.StatusSeeOther).header.Get("Location"), prefix)
	if !ok {
		b.w.t.Fatalf("leads to %q", a.header.Get("Location"))
	}
	return b.get(to)
}

// An invitation is shown once, to whoever made it; looking at the link does not spend it.
func TestAnInvitationIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	w.add("walter", store.RoleAdmin)
	b := w.signIn("ada")
	made := b.post("/admin/users/invite", url.Values{"username": {"nina"}, "expires": {"24h"}})
	to := strings.TrimPrefix(made.want(t, http.StatusSeeOther).header.Get("Location"), prefix)
	b.do(http.MethodHead, to, "", nil).want(t, http.StatusOK) // a preview is not a look
	w.signIn("walter").get(to).want(t, http.StatusGone)
	page := b.get(to).want(t, http.StatusOK)
	if page.header.Get("Content-Encoding") != "" || page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", page.header)
	}
	link := value(t, response{body: strings.Replace(page.body, `id="secret"`, `name="secret"`, 1)}, "secret")
	b.get(to).want(t, http.StatusGone)
	for range 2 { // like a bot that looks ahead
		w.browser().get(strings.TrimPrefix(link, w.server.URL+prefix)).want(t, http.StatusSeeOther)
	}
	w.useLink(t, link, "nina")
	if got := b.get("/admin/invites"); strings.Contains(got.body, "nina") {
		t.Error("the link is listed, but spent")
	}
}

// Somebody else's page shows nothing of it, and a planted cookie shows no secret of ours.
func TestAHandoverIsForItsUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	tom, eve := w.add("tom", store.RoleUser), w.add("eve", store.RoleUser)
	b := w.signIn("ada")
	b.post("/admin/users/"+tom.ID+"/reset-link", nil).want(t, http.StatusSeeOther)
	b.get("/admin/users/"+eve.ID+"/handover").want(t, http.StatusGone)
	link, err := w.accounts.ResetPassword(t.Context(), operator, tom.ID, account.Reset{})
	if err != nil {
		t.Fatal(err)
	}
	for _, planted := range []string{"", ".", "..", eve.ID, eve.ID + ".l.", eve.ID + ".l." + link.Token, eve.ID + ".x." + link.Token, tom.ID + ".l." + store.NewToken(), tom.ID + ".p."} {
		x := b.with("Cookie", "gatehouse-handover="+planted) // beside the jar's
		for _, id := range []string{tom.ID, eve.ID} {
			if a := x.get("/admin/users/" + id + "/handover"); a.status != http.StatusGone {
				t.Errorf("%q shows %s", planted, a)
			}
		}
	}
}

func TestAGeneratedPasswordWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	tom := w.add("tom", store.RoleUser)
	b, toms := w.signIn("ada"), w.signIn("tom")
	page := b.follow(b.post("/admin/users/"+tom.ID+"/reset-link", url.Values{"way": {"generated"}, "must_change": {"1"}})).want(t, http.StatusOK)
	pass := value(t, response{body: strings.Replace(page.body, `id="secret"`, `name="secret"`, 1)}, "secret")
	if len(pass) < 31 || strings.Contains(strings.Join(details(w.allEvents()), " "), pass) {
		t.Errorf("the password is %q, and the log %v", pass, details(w.allEvents()))
	}
	toms.get("/account").want(t, http.StatusSeeOther) // its session is over
	n := w.browser()
	n.post("/login", url.Values{"username": {"tom"}, "password": {pass}}).want(t, http.StatusSeeOther)
	if a := n.get("/account"); a.header.Get("Location") != prefix+"/account/password" {
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
	w.add("ada", store.RoleAdmin)
	tom := w.add("tom", store.RoleUser)
	b := w.signIn("ada")
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
		a := b.post(c.path, c.form)
		if a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s %v: %s", c.path, c.form, a)
			continue
		}
		a.shows(t, c.shows, "<title>Error:", `aria-invalid="true"`)
	}
	b.post("/admin/users/invite", url.Values{"username": {"nina", "eve"}}).want(t, http.StatusBadRequest)
	b.do(http.MethodPost, "/admin/users/invite", "application/json", strings.NewReader(`{"username":"nina"}`)).want(t, http.StatusUnsupportedMediaType)
	b.post("/admin/users/invite", url.Values{"username": {strings.Repeat("x", 70000)}}).want(t, http.StatusRequestEntityTooLarge)
	if n, err := w.store.CountUsers(t.Context(), store.UserQuery{}); err != nil || n != 2 {
		t.Errorf("%d users, %v", n, err)
	}
}

// One action on several users: a page that asks and names them, then a result for each, the skipped ones with why.
func TestBulkSkipsWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, tom, eve := w.add("ada", store.RoleAdmin), w.add("tom", store.RoleUser), w.add("eve", store.RoleUser)
	b := w.signIn("ada")
	ids := url.Values{"do": {"deactivate"}, "id": {tom.ID, ada.ID, eve.ID, tom.ID}}
	ask := b.get("/admin/users/bulk?"+ids.Encode()).want(t, http.StatusOK)
	ask.shows(t, "3 users", "tom", "ada", "eve")
	if !w.user(tom.ID).Active {
		t.Fatal("the question did it")
	}
	ids.Set("note", "they left")
	done := b.post("/admin/users/bulk", ids).want(t, http.StatusOK)
	done.shows(t, "2 done, 1 skipped", "You can&#39;t turn off your own account.")
	if w.user(tom.ID).Active || w.user(eve.ID).Active || !w.user(ada.ID).Active {
		t.Error("the wrong ones are turned off")
	}
	found := 0
	for _, e := range w.events("user.update") {
		if e.Details["note"] == "they left" {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d entries have the reason", found)
	}
	// One's own sessions come last, or the rest would not be done.
	b.post("/admin/users/bulk", url.Values{"do": {"end_sessions"}, "id": {ada.ID, tom.ID, eve.ID}}).want(t, http.StatusOK).shows(t, "3 done, 0 skipped")
	b = w.signIn("ada")
	for path, status := range map[string]int{
		"?do=deactivate": http.StatusOK, "?do=format_disk&id=" + tom.ID: http.StatusBadRequest, "?id=" + tom.ID: http.StatusBadRequest,
		"?do=activate&id=x": http.StatusNotFound, "?do=activate&id=" + store.NewID(time.Now()): http.StatusOK,
		"?do=activate" + strings.Repeat("&id="+tom.ID, 101): http.StatusBadRequest,
	} {
		if a := b.get("/admin/users/bulk" + path); a.status != status {
			t.Errorf("%.40s: %s", path, a)
		}
	}
}

// What an administrator does to an account, step by step, as the person meets it.
func TestTheLifeOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	tom := w.add("tom", store.RoleUser)
	b, toms := w.signIn("ada"), w.signIn("tom")
	at := "/admin/users/" + tom.ID
	b.follow(b.post(at+"/require-change", nil)).want(t, http.StatusOK).shows(t, "has to choose a new password")
	if a := toms.get("/account"); a.header.Get("Location") != prefix+"/account/password" {
		t.Errorf("an open session is not held: %s", a)
	}
	b.follow(b.post(at+"/deactivate", url.Values{"note": {"on leave"}})).shows(t, "turned off")
	toms.get("/account").want(t, http.StatusSeeOther)
	b.follow(b.post(at+"/activate", nil)).shows(t, "active")
	if a := toms.get("/account"); !strings.HasPrefix(a.header.Get("Location"), prefix+"/login") {
		t.Errorf("the old session lives again: %s", a)
	}
	w.edit(tom.ID, func(u *store.User) { u.Active, u.Pending = false, true })
	b.get(at).shows(t, "waiting to be let in", "Let in")
	b.follow(b.post(at+"/edit", url.Values{"name": {"Tom"}, "active": {"false"}}))
	if u := w.user(tom.ID); !u.Pending || u.Name != "Tom" {
		t.Errorf("an edit decided about a pending account: %+v", u)
	}
	b.follow(b.post(at+"/activate", nil))
	if u := w.user(tom.ID); u.Pending || !u.Active {
		t.Errorf("%+v", u)
	}
	b.follow(b.post(at+"/reset-link", url.Values{"block": {"1"}}))
	if w.user(tom.ID).PasswordHash != "" {
		t.Error("the present password works on")
	}
	b.get("/admin/invites").shows(t, "tom")
	b.follow(b.post(at+"/cancel-link", nil)).shows(t, "The link was withdrawn.", "There are no open invitations.")
	b.post(at+"/cancel-link", nil).want(t, http.StatusNotFound)
	b.follow(b.post(at+"/delete", url.Values{"confirm": {"tom"}})).shows(t, "The account was deleted.")
	b.get(at).want(t, http.StatusNotFound)
	b.get("/admin/audit?action=user.delete").shows(t, ">tom<")
}

// An administrator who ends everybody's sessions ends their own, too.
func TestEveryoneIsSignedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	w.add("tom", store.RoleUser)
	b, toms := w.signIn("ada"), w.signIn("tom")
	b.follow(b.post("/admin/sessions/everyone", url.Values{"confirm": {"everyone"}})).want(t, http.StatusOK)
	b.get("/admin").want(t, http.StatusSeeOther)
	toms.get("/account").want(t, http.StatusSeeOther)
}

var (
	pagesNav = regexp.MustCompile(`(?s)<nav aria-label="Pages of the list">.*?</nav>`)
	links    = regexp.MustCompile(`<li><a href="([^"]+)">([^<]+)</a>`)
	heads    = regexp.MustCompile(`<th scope="row"><a href="[^"]+">([^<]+)</a>`)
	sorted   = regexp.MustCompile(`<th scope="col" aria-sort="([a-z]+)"><a href="([^"]+)">([^<]+)</a>`)
)

func names(a response) []string {
	var list []string
	for _, m := range heads.FindAllStringSubmatch(a.body, -1) {
		list = append(list, m[1])
	}
	return list
}

func pageLinks(a response) map[string]string {
	list := map[string]string{}
	for _, m := range links.FindAllStringSubmatch(pagesNav.FindString(a.body), -1) {
		list[m[2]] = strings.ReplaceAll(strings.TrimPrefix(m[1], prefix), "&amp;", "&")
	}
	return list
}

// A thousand users, walked forwards to the end and back: each once, in order, and the last page is the last.
func TestAThousandUsersForwardsAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	err := w.store.Change(t.Context(), func(tx store.Tx) error {
		for i := range 999 {
			u := store.User{ID: store.NewID(w.clock.Now()), Username: fmt.Sprintf("u%03d", i), Role: store.RoleUser, Active: true, Local: true, Origin: store.OriginLocal, CreatedAt: w.clock.Now()}
			if err := tx.CreateUser(t.Context(), u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.signIn("ada")
	walk := func(from, link string) []string {
		var all []string
		for at, n := from, 0; at != "" && n < 50; n++ {
			a := b.get(at).want(t, http.StatusOK)
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
	first := b.get("/admin/users").shows(t, "1000 users")
	if n := len(names(first)); n != 25 {
		t.Errorf("%d rows on the first page", n)
	}
	if back := walk(pageLinks(b.get("/admin/users?size=100"))["Last page"], "Previous page"); !slices.Equal(back, forwards) {
		t.Errorf("%d backwards", len(back))
	}
	second := b.get(pageLinks(first)["Next page"])
	if again := b.get(pageLinks(second)["Previous page"]); !slices.Equal(names(again), names(first)) || pageLinks(again)["Next page"] == "" {
		t.Error("back from the second page is not the first")
	}
	if size := names(b.get("/admin/users?size=100")); len(size) != 100 {
		t.Errorf("%d rows of 100", len(size))
	}
	for _, odd := range []string{"?page=9999", "?cursor=", "?q=nobody-is-called-so", "?dir="} {
		b.get("/admin/users"+odd).want(t, http.StatusOK)
	}
	b.get("/admin/users?q=nobody-is-called-so").shows(t, "Nothing matches.", "Clear filters")
	for _, bad := range []string{"?cursor=x", "?size=7", "?dir=up", "?dir=back&cursor=x", "?sort=x", "?status=x"} {
		b.get("/admin/users"+bad).want(t, http.StatusBadRequest)
	}
}

// Sort links say how a list is sorted, on one column, and turn the order at the second use; filters stay.
func TestSortLinksTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	w.add("tom", store.RoleUser)
	w.add("bea", store.RoleUser)
	b := w.signIn("ada")
	for _, c := range []struct{ at, way, column, first string }{
		{"/admin/users?status=active", "ascending", "User", "ada"},
		{"/admin/users?status=active&sort=-username", "descending", "User", "tom"},
		{"/admin/users?status=active&sort=email", "ascending", "E-mail", "ada"},
		{"/admin/users?status=active&sort=-last_login", "descending", "Last sign-in", "ada"},
	} {
		a := b.get(c.at).want(t, http.StatusOK)
		m := sorted.FindAllStringSubmatch(a.body, -1)
		if len(m) != 1 || m[0][1] != c.way || m[0][3] != c.column || names(a)[0] != c.first {
			t.Fatalf("%s: %q, %v", c.at, m, names(a))
		}
		turnedBack := b.get(strings.ReplaceAll(strings.TrimPrefix(m[0][2], prefix), "&amp;", "&"))
		if got := sorted.FindAllStringSubmatch(turnedBack.body, -1); len(got) != 1 || got[0][1] == c.way {
			t.Errorf("%s does not turn: %q", c.at, got)
		}
		turnedBack.shows(t, `<option value="active" selected>`)
	}
}

// Which sites a person passes, and which rule decides, is what the gate itself would say.
func TestEffectiveAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	tom := w.make(account.NewUser{Username: "tom", Groups: []string{"staff"}, Password: goodPass, Active: true})
	eve := w.add("eve", store.RoleUser)
	err := w.store.Change(t.Context(), func(tx store.Tx) error {
		return tx.CreateIdentity(t.Context(), store.Identity{Issuer: "https://id.acme.test", Subject: "s1", UserID: tom.ID, Provider: "acme", CreatedAt: w.clock.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.signIn("ada")
	rows := func(id string) map[string]string {
		list := map[string]string{}
		for part := range strings.SplitSeq(b.get("/admin/users/"+id+"/access").want(t, http.StatusOK).body, `<th scope="row">`) {
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
	w.edit(tom.ID, func(u *store.User) { u.Active = false })
	want(rows(tom.ID), "open.test", "refused", "turned off")
	b.get("/admin/roles").want(t, http.StatusOK).shows(t, "staff", "1 person", "staff.test")
}

// What went wrong at a provider is told on its page, and the check is not offered without anything to check with.
func TestProviderChecks(t *testing.T) {
	t.Parallel()
	failing := newWorld(t, func(c *config) { c.CheckProvider = failedCheck })
	failing.add("ada", store.RoleAdmin)
	b := failing.signIn("ada")
	b.get("/admin/providers").want(t, http.StatusOK).shows(t, "https://app.test/_auth/oidc/acme/callback", "Check now")
	b.post("/admin/providers/acme/check", nil).want(t, http.StatusBadGateway).shows(t, "its keys are not there")
	b.get("/admin/providers/other/check").want(t, http.StatusNotFound)
	if e := failing.events("provider.check"); len(e) != 1 || e[0].Outcome != store.Failure || e[0].Target != "acme" || e[0].Actor != "ada" ||
		!strings.Contains(e[0].Details["reason"], "its keys are not there") {
		t.Errorf("the audit log has %+v", e)
	}
	well := newWorld(t, func(c *config) { c.CheckProvider = noCheck })
	well.add("ada", store.RoleAdmin)
	well.signIn("ada").post("/admin/providers/acme/check", nil).want(t, http.StatusSeeOther)
	if e := well.events("provider.check"); len(e) != 1 || e[0].Outcome != store.Success || e[0].Target != "acme" || len(e[0].Details) != 0 {
		t.Errorf("the audit log has %+v", e)
	}
	none := newWorld(t)
	none.add("ada", store.RoleAdmin)
	b = none.signIn("ada")
	if a := b.get("/admin/providers"); strings.Contains(a.body, "Check now") {
		t.Error(a)
	}
	b.get("/admin/providers/acme/check").want(t, http.StatusNotFound)
}

// Settings and dashboard warn of what an operator should look at.
func TestWarnings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) {
		c.Effective = func() Settings {
			return Settings{Warnings: []i18n.Text{i18n.New("warning.cookie_domain", "domain", "moon.test")}, Retention: 48 * time.Hour}
		}
		c.Providers = func() []ProviderStatus { return []ProviderStatus{{Name: "acme", Label: "Acme", Down: true}} }
	})
	w.add("ada", store.RoleAdmin)
	b := w.signIn("ada")
	for _, at := range []string{"/admin", "/admin/settings"} {
		b.get(at).want(t, http.StatusOK).shows(t, "every host below moon.test", "only one active administrator", "plain HTTP", "Sign-in with Acme does not work")
	}
	b.get("/admin/audit").shows(t, "kept for 2 days")
	b.get("/admin/settings").shows(t, w.store.Info().Engine, "answers")
	w.add("walter", store.RoleAdmin)
	if a := b.get("/admin"); strings.Contains(a.body, "only one active administrator") {
		t.Error("there are two administrators")
	}
}
