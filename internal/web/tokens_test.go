package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// tokensOf returns the tokens of a user, newest first.
func (w *world) tokensOf(id string) []store.TokenRow {
	w.T.Helper()
	list, err := w.Store.Tokens(w.T.Context(), store.TokenQuery{UserID: id})
	if err != nil {
		w.T.Fatal(err)
	}
	return list.Items
}

// shownToken returns the token that a page shows, "" for none.
func shownToken(body string) string {
	_, rest, _ := strings.Cut(body, `<input id="secret" value="`)
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

// below returns where a redirect leads, below the mount prefix.
func (a answer) below(t testing.TB) string {
	t.Helper()
	to, ok := strings.CutPrefix(a.want(t, http.StatusSeeOther).location(), prefix)
	if !ok {
		t.Fatalf("redirected to %q", a.location())
	}
	return to
}

// A new token is shown on one page, once, to the browser that made it, and never again.
func TestANewTokenIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, other := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass)
	b.get("/account/tokens").want(t, 200, "You have no tokens.", "/account/tokens/new")
	b.get("/account/tokens/new").want(t, 200, ">app.example.test</textarea>", `value="2160h0m0s" selected`, ">90 days<", `value="all" selected`)
	made := b.post("/account/tokens", "name", "Backup", "hosts", "app.example.test\r\n*.example.test", "paths", "/a\r\n/b/*", "methods", "read", "expires", "168h0m0s")
	path := made.below(t)
	if strings.Contains(made.location(), "gatehouse_pat_") || strings.Contains(made.body, "gatehouse_pat_") {
		t.Error("the redirect has the token")
	}
	if a := b.do("HEAD", path).want(t, 200); len(a.Cookies()) > 0 {
		t.Error("a request without a body uses the token up")
	}
	if a := other.get(path).want(t, 410, "cannot be shown again"); strings.Contains(a.body, "gatehouse_pat_") {
		t.Error("another browser sees the token")
	}
	page := b.get(path).want(t, 200, "it is not shown again", "Authorization: Bearer $TOKEN", "https://app.example.test/a", "data-copy")
	if page.Header.Get("Content-Encoding") != "" || page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page is compressed or may be kept: %v", page.Header)
	}
	text := shownToken(page.body)
	tok, u, err := w.Store.TokenByHash(t.Context(), store.HashToken(text))
	if err != nil || u.ID != w.ada.ID || tok.Methods != store.TokenRead || strings.Join(tok.Hosts, " ") != "app.example.test *.example.test" ||
		strings.Join(tok.Paths, " ") != "/a /b/*" || tok.ExpiresAt.Sub(tok.CreatedAt) != 7*24*time.Hour {
		t.Fatalf("the page shows %q: %+v, %v", text, tok, err)
	}
	for _, again := range []string{path, "/account/tokens", "/account/activity"} {
		if a := b.get(again); strings.Contains(a.body, text) {
			t.Errorf("%s shows the token", again)
		}
	}
	b.get(path).want(t, 410)
	b.get("/account/tokens").want(t, 200, "Backup", "…"+text[len(text)-4:], "expires soon", "reading only")
	if n := len(w.tokensOf(w.ada.ID)); n != 1 {
		t.Errorf("there are %d tokens", n)
	}
}

// A cookie that somebody planted shows nothing on the page of a token: it shows that token's text or none.
func TestAPlantedHandoverShowsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	path := b.post("/account/tokens", "name", "x").below(t)
	id := strings.Split(path, "/")[3]
	for _, planted := range []string{id + ".t.gatehouse_pat_planted", id + ".t.", id, "." + id, "..", ""} {
		b.cookies["__Host-gatehouse-handover"] = planted
		if a := b.get(path).want(t, 410); strings.Contains(a.body, "planted") {
			t.Errorf("%q is shown", planted)
		}
	}
}

// What is wrong with a form stands beside its field, and what was typed stays.
func TestFormsOfTokensKeepWhatWasTyped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	for name, c := range map[string]struct {
		form []string
		want string
	}{
		"name":    {[]string{"name", ""}, "Give the token a name"},
		"host":    {[]string{"hosts", "https://app.example.test/"}, "is no host"},
		"hosts":   {[]string{"hosts", " , "}, "Name 1 to 20 hosts"},
		"path":    {[]string{"paths", "/a*b"}, "is no path rule"},
		"methods": {[]string{"methods", "write"}, "Choose read or all"},
		"expires": {[]string{"expires", "soon"}, "Choose one of the times"},
		"past":    {[]string{"expires", "-1h"}, "Choose one of the times"},
		"long":    {[]string{"expires", "87600h"}, "A token"},
		"never":   {[]string{"expires", "never"}, "has to expire"},
		"no days": {[]string{"expires", "days"}, "Give a number of days"},
		"days":    {[]string{"expires", "days", "days", "9999"}, "A token"},
		"huge":    {[]string{"expires", "days", "days", "99999999999999999999"}, "Give a number of days"},
		"both":    {[]string{"expires", "168h0m0s", "days", "3"}, "You gave a number of days as well"},
	} {
		form := c.form
		if form[0] != "name" {
			form = append(form, "name", "typed-name")
		} else {
			form = append(form, "paths", "/typed-name")
		}
		a := b.post("/account/tokens", form...).want(t, 422, "<title>Error: ", c.want, "typed-name", `aria-invalid="true"`)
		if strings.Count(a.body, `class="err"`) != 1 {
			t.Errorf("%s: not one error\n%s", name, a.body)
		}
	}
	b.post("/account/tokens", "name", "a", "name", "b").want(t, 400)
	if n := len(w.tokensOf(w.ada.ID)); n != 0 {
		t.Errorf("%d tokens were made", n)
	}
}

// Tokens are changed soon after a sign-in only. Otherwise the person confirms it and comes back to the form as it was.
func TestTokensNeedAFreshSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.post("/account/tokens", "name", "first").below(t)
	id := w.tokensOf(w.ada.ID)[0].ID
	w.Clock.Advance(account.FreshWindow)
	reauth := func(path string) string { return prefix + "/reauth?rt=" + url.QueryEscape(prefix+path) }
	for _, path := range []string{"/account/tokens/new", "/account/tokens/" + id + "/revoke", "/account/tokens/" + id + "/rotate"} {
		b.get(path).wantRedirect(t, reauth(path))
	}
	b.get("/account/tokens").want(t, 200, "first")
	b.post("/account/tokens/"+id+"/revoke").wantRedirect(t, reauth("/account/tokens/"+id+"/revoke"))
	b.post("/account/tokens/"+id+"/rotate", "keep", "1h").wantRedirect(t, reauth("/account/tokens/"+id+"/rotate"))
	form := []string{"name", `Zoë's "bot" <b>`, "hosts", "a.test\nb.test", "paths", "/x y/*\n/é", "methods", "read", "expires", "days", "days", "45"}
	asked := b.post("/account/tokens", form...).below(t)
	if list := w.tokensOf(w.ada.ID); len(list) != 1 || list[0].ReplacedBy != "" {
		t.Fatalf("something was changed: %+v", list)
	}
	to, err := url.Parse(asked)
	if err != nil {
		t.Fatal(err)
	}
	b.get(asked).want(t, 200)
	back := b.post("/reauth", "password", adaPass, "rt", to.Query().Get("rt")).below(t)
	b.get(back).want(t, 200, `value="Zoë&#39;s &#34;bot&#34; &lt;b&gt;"`, "a.test\nb.test</textarea>", "/x y/*\n/é</textarea>", `value="read" selected`, `value="days" selected`, `value="45"`)
	// What cannot go along is not carried by half.
	w.Clock.Advance(account.FreshWindow)
	b.post("/account/tokens", "name", "x", "paths", strings.Repeat("/long\n", 3000)).wantRedirect(t, reauth("/account/tokens"))
}

// Everybody sees and changes their own tokens only: those of others are not found.
func TestTokensOfOthersAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, root := w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	path := b.post("/account/tokens", "name", "of-ada").below(t)
	at := strings.TrimSuffix(path, "/handover")
	root.cookies["__Host-gatehouse-handover"] = b.cookies["__Host-gatehouse-handover"]
	for _, page := range []string{"/handover", "/revoke", "/rotate"} {
		root.get(at+page).want(t, 404)
	}
	root.post(at+"/revoke").want(t, 404)
	root.post(at+"/rotate", "keep", "now").want(t, 404)
	if a := root.get("/account/tokens").want(t, 200); strings.Contains(a.body, "of-ada") {
		t.Error("another's token is listed")
	}
	if n := len(w.tokensOf(w.ada.ID)); n != 1 {
		t.Errorf("there are %d tokens", n)
	}
}

// A token is replaced by one with the same scope, kept for a while or not, and revoked after a question.
func TestTokensAreRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	at := strings.TrimSuffix(b.post("/account/tokens", "name", "Backup", "paths", "/a").below(t), "/handover")
	b.get(at+"/rotate").want(t, 200, "Rotate token Backup", `<option value="now">`, `<option value="24h" selected>`)
	b.post(at+"/rotate", "keep", "300h").want(t, 422, "Choose one of the times")
	w.Clock.Advance(time.Second) // so that the new one is the newest
	path := b.post(at+"/rotate", "keep", "1h").below(t)
	list := w.tokensOf(w.ada.ID)
	if len(list) != 2 || list[1].ReplacedBy != list[0].ID || list[0].Name != "Backup" || list[0].Paths[0] != "/a" {
		t.Fatalf("rotated: %+v", list)
	}
	if text := shownToken(b.get(path).want(t, 200).body); store.HashToken(text) != list[0].Hash {
		t.Errorf("shows %q", text)
	}
	a := b.get("/account/tokens").want(t, 200, "replaced")
	if strings.Contains(a.body, at+"/rotate") {
		t.Error("a replaced token can be rotated again")
	}
	b.post(at+"/rotate", "keep", "1h").wantRedirect(t, "/_auth/account/tokens")
	if n := len(w.tokensOf(w.ada.ID)); n != 2 {
		t.Fatalf("sent twice, there are %d", n)
	}
	next := strings.TrimSuffix(path, "/handover")
	b.get(next+"/revoke").want(t, 200, "Revoke token Backup?", `class="del"`)
	b.post(next+"/revoke").wantRedirect(t, "/_auth/account/tokens")
	b.get("/account/tokens").want(t, 200, "The token is revoked.", "You have no tokens.")
	if n := len(w.tokensOf(w.ada.ID)); n != 0 {
		t.Errorf("%d tokens are left, with those that it replaced", n)
	}
}

// Beyond the limit the form says so, with what was typed.
func TestTooManyTokensAreRefusedInTheForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Accounts.Tokens.PerUser = 1
	b := w.browser().signIn("ada", adaPass)
	b.post("/account/tokens", "name", "one").below(t)
	b.post("/account/tokens", "name", "two").want(t, 409, "Revoke one first", `value="two"`, "<title>Error: ")
}

// Whoever ends the own sessions is told that tokens go on, where there are some.
func TestEndingOnesSessionsSaysThatTokensGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	for _, has := range []bool{false, true} {
		for _, path := range []string{"/account/sessions/others", "/account/password", "/logout"} {
			if says := strings.Contains(b.get(path).want(t, 200).body, "Your tokens go on until you revoke them"); says != has {
				t.Errorf("%s, with a token: %t, says so: %t", path, has, says)
			}
		}
		w.Program(w.ada.ID)
	}
	b.post("/account/password", "current_password", "wrong", "new_password", adaPass+"2").want(t, 422, "Your tokens go on until you revoke them")
	w.Accounts.Tokens = nil
	if a := b.get("/account/sessions/others").want(t, 200); strings.Contains(a.body, "go on until") {
		t.Error("tokens that count nowhere are said to go on")
	}
}

// What a link of another site says does not fill the form, one click from being sent. What the person typed is kept over
// a step-up for an hour, for that person.
func TestOnlyWhatThePersonTypedFillsTheFormOfAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, other := w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	planted := "/account/tokens/new?name=planted&hosts=planted.test&hosts=*&expires=days&days=77&methods=read"
	filled := func(b *browser, path string) bool {
		t.Helper()
		a := b.get(path).want(t, 200)
		if strings.Contains(a.body, "typed") {
			return true
		}
		a.want(t, 200, ">app.example.test</textarea>", `id="name" name="name" type="text" value=""`, `value="2160h0m0s" selected`, `value="all" selected`)
		return false
	}
	if filled(b, planted) {
		t.Error("an address fills the form")
	}
	w.Clock.Advance(account.FreshWindow)
	rt := func(to string) string {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("rt")
	}
	back := b.post("/reauth", "password", adaPass, "rt", rt(b.get(planted).below(t))).below(t)
	if filled(b, back) {
		t.Error("an address fills the form after a step-up")
	}
	w.Clock.Advance(account.FreshWindow)
	asked := rt(b.post("/account/tokens", "name", "typed", "hosts", "typed.test").below(t))
	back = b.post("/reauth", "password", adaPass, "rt", asked).below(t)
	other.post("/reauth", "password", rootPass, "rt", "/_auth/account").below(t)
	if !filled(b, back) || filled(other, back) || filled(b, back+"x") || filled(b, back[:len(back)-9]) {
		t.Error("not just the person's own form is filled")
	}
	if strings.Contains(asked, "typed") {
		t.Errorf("what was typed stands in the address: %s", asked)
	}
	w.Clock.Advance(time.Hour)
	b.post("/reauth", "password", adaPass, "rt", "/_auth/account").below(t)
	if filled(b, back) {
		t.Error("it is kept for ever")
	}
}
