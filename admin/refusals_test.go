package admin

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// given stands on pages as it is, whatever the language: names and values of the tests.
var given = regexp.MustCompile(`^(ada|tom|walter|admin|user|acme|Acme|Gatehouse|active|true|false|x{9,}|everyone|[a-z]+@example\.com|req-1|staff|\d{4}-.*|[0-9a-z]{26})$`)

// foreign returns the texts of a page that come from no catalog: in the made-up language those of one are in brackets.
func foreign(body string) []string {
	_, body, _ = strings.Cut(body, "<title>")
	var list []string
	for _, m := range plainT.FindAllStringSubmatch(">"+body, -1) {
		if text := strings.TrimSpace(m[1]); !strings.Contains(text, "[") && !strings.Contains(text, "]") && !given.MatchString(text) {
			list = append(list, text)
		}
	}
	return list
}

// Whatever is refused on a page is refused in the person's language.
func TestRefusalsOnPagesComeFromTheCatalog(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Language = ui.Pseudo })
	b := s.SignIn("ada")
	long, tom, ada := strings.Repeat("x", 600), "/admin/users/"+s.Target.ID, "/admin/users/"+s.Admin.ID
	pages := map[string]response{}
	get := func(path string) { pages["GET "+path] = b.Get(path) }
	post := func(path string, pairs ...string) {
		form := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Add(pairs[i], pairs[i+1])
		}
		pages["POST "+path+" "+strings.Join(pairs, " ")] = b.Post(path, form)
	}
	for _, path := range []string{
		"/admin/users?status=x", "/admin/users?sort=x", "/admin/users?size=3", "/admin/users?q=a&q=b", "/admin/users?q=%zz", "/admin/users?cursor=x",
		"/admin/audit?from=x", "/admin/audit?since=1y", "/admin/nothing", "/admin/users/zzz", "/admin/users/bulk?do=x&id=" + s.Target.ID, "/admin/users/bulk?do=activate",
	} {
		get(path)
	}
	invite := func(pairs ...string) { post("/admin/users/invite", append([]string{"username", "nina"}, pairs...)...) }
	post("/admin/users/invite", "username", "")
	post("/admin/users/invite", "username", long)
	post("/admin/users/invite", "username", "ni\tna")
	post("/admin/users/invite", "username", "tom")
	post("/admin/users/invite", "username", "a", "username", "b")
	for _, pairs := range [][]string{
		{"email", "x"},
		{"name", long},
		{"name", "a\nb"},
		{"role", "king"},
		{"groups", long},
		{"groups", "a\x01b"},
		{"active", "maybe"},
		{"way", "typed"},
		{"way", "x"},
		{"way", "link", "password", "typed too"},
		{"expires", "9h"},
		{"password", "short"},
		{"password", "     "},
		{"password", "password1234"},
		{"password", "changeme-changeme"},
		{"password", "nina nina nina"},
		{"password", "a\x01bcdefghijklmnop"},
		{"password", long + long},
		{"email", "x", "role", "king"},
	} {
		invite(pairs...)
	}
	post(tom+"/edit", "username", "")
	post(tom+"/edit", "name", "T", "version", "999")
	post(tom+"/delete", "confirm", "not tom")
	post(tom+"/deactivate", "note", long)
	post(tom+"/reset-link", "way", "typed")
	for _, path := range []string{"/deactivate", "/delete", "/reset-link", "/require-change"} {
		post(ada+path, "confirm", "ada")
	}
	post(ada+"/edit", "role", "user")
	post("/admin/users/bulk", "do", "deactivate", "id", s.Admin.ID)
	post("/admin/users/bulk", "do", "x")
	post("/admin/users/bulk", "do", "activate")
	post("/admin/sessions/everyone", "confirm", "no")
	pages["PUT"] = b.Do(http.MethodPut, "/admin/users", "", nil)
	pages["too large"] = b.Do(http.MethodPost, "/admin/users/invite", "application/x-www-form-urlencoded", strings.NewReader(strings.Repeat("a=b&", 20000)))
	pages["no form"] = b.Do(http.MethodPost, "/admin/users/invite", "text/plain", strings.NewReader("x"))
	pages["broken form"] = b.Do(http.MethodPost, "/admin/users/invite", "application/x-www-form-urlencoded", strings.NewReader("a=%zz"))
	pages["in a frame"] = b.With("Sec-Fetch-Dest", "iframe").Get("/admin")
	pages["from elsewhere"] = b.With("Sec-Fetch-Site", "cross-site").Post("/admin/users/invite", nil)
	pages["no administrator"] = s.SignIn("tom").Get("/admin")
	s.Edit(s.Target.ID, func(u *store.User) { u.Managed = true })
	for _, path := range []string{"/edit", "/deactivate", "/delete", "/reset-link", "/require-change"} {
		post(tom+path, "confirm", "tom", "role", "admin", "email", "new@example.com")
	}
	s.Clock.Advance(11 * time.Minute)
	post(tom+"/edit", "name", "T")
	seen := 0
	for name, a := range pages {
		if a.Status < 400 && !strings.Contains(name, "/bulk") {
			t.Errorf("%s: %d", name, a.Status)
		}
		seen += strings.Count(a.Body, "[")
		for _, text := range foreign(a.Body) {
			t.Errorf("%s (%d) says %q past the catalog", name, a.Status, text)
		}
	}
	if seen < 500 {
		t.Errorf("%d texts seen only", seen)
	}
}
