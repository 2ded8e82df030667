package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Whoever has to wait sees the form all the same, with what was typed, but for the password.
func TestAThrottledFormIsThereAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	for path, form := range map[string][]string{
		"/login":            {"username", "ada", "password", "canary-of-a-password", "rt", "/x?y=1", "remember", "1"},
		"/reauth":           {"password", "canary-of-a-password", "rt", "/_auth/account/profile"},
		"/account/password": {"current_password", "canary-of-a-password", "new_password", freshPass, "rt", "/x?y=1"},
	} {
		asks := b
		if path == "/login" {
			asks = w.browser()
		}
		var a answer
		for range 12 {
			if a = asks.post(path, form...); a.StatusCode == http.StatusTooManyRequests {
				break
			}
		}
		a.want(t, 429, "<title>Error: ", "Too many attempts", "try again from <time", `type="password"`, `name="rt" value="`)
		if a.Header.Get("Retry-After") == "" || strings.Contains(a.body, "canary-of-a-password") || strings.Contains(a.body, freshPass) {
			t.Errorf("%s: %v\n%s", path, a.Header, a.body)
		}
		if path == "/login" {
			a.want(t, 429, `value="ada"`, `value="1" checked`)
		}
	}
}

// A form of ours that comes after the session ended is not lost: the page has all of it but passwords, to be sent again.
// What another site sends is not shown, one click from being done.
func TestAFormAfterTheSessionEndedIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	send := func(path, site string, fields ...string) answer {
		form := url.Values{}
		for i := 0; i < len(fields); i += 2 {
			form.Add(fields[i], fields[i+1])
		}
		r := httptest.NewRequest("POST", origin+prefix+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		return w.browser().send(r)
	}
	a := send("/account/profile", "same-origin", "name", `Ada "L" <b>`, "about", w.ada.ID)
	a.want(t, 401, `action="/_auth/account/profile"`, `name="name" value="Ada &#34;L&#34; &lt;b&gt;"`, `value="`+w.ada.ID+`"`, "Send again")
	a = send("/account/password", "same-origin", "current_password", "canary-one", "new_password", "canary-two", "Passphrase", "canary-three", "end_others", "1")
	a.want(t, 401, `name="end_others"`)
	if strings.Contains(a.body, "canary") {
		t.Errorf("a password is in the page\n%s", a.body)
	}
	for _, site := range []string{"none", "same-site", "cross-site", ""} {
		if a := send("/account/profile", site, "name", "canary"); strings.Contains(a.body, "canary") || a.StatusCode < 400 {
			t.Errorf("%q: %d\n%s", site, a.StatusCode, a.body)
		}
	}
	if a := send("/account/profile", "same-origin", "name", strings.Repeat("x", 70<<10)); a.StatusCode != 401 || len(a.body) > 10<<10 {
		t.Errorf("too large a form: %d, %d bytes", a.StatusCode, len(a.body))
	}
	// It works once the person is signed in again, and for nobody else.
	b := w.browser().signIn("ada", adaPass)
	b.post("/account/profile", "name", "Countess", "about", w.ada.ID).wantRedirect(t, "/_auth/account/profile")
	w.browser().signIn("root", rootPass).post("/account/profile", "name", "Countess", "about", w.ada.ID).want(t, 409)
}

// A field that nobody has listed is not kept, whatever it is called.
func TestAFormKeepsNoFieldThatIsNotListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) { c.more = []web.Route{web.Post("/account/new", web.SignedIn, ok)} })
	r := request("POST", "/account/new", "application/x-www-form-urlencoded", "name=kept&code=canary-1&token=canary-2&recovery=canary-3&Name=canary-4")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	a := w.browser().send(r).want(t, 401, `action="/_auth/account/new"`, `name="name" value="kept"`)
	if strings.Contains(a.body, "canary") {
		t.Errorf("a field that is not listed is kept:\n%s", a.body)
	}
}

// Of each form on a page for the signed-in all fields are listed, but for passwords.
func TestAllFieldsOfOurFormsAreKeptButPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forms := 0
	for name, page := range w.tour(t) {
		forms += webtest.CheckKept(t, name, "", page.body, func(action string, form url.Values) string {
			r := request("POST", strings.TrimPrefix(action, prefix), "application/x-www-form-urlencoded", form.Encode())
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			return w.browser().send(r).want(t, 401).body
		})
	}
	if forms < 8 {
		t.Errorf("there are %d forms only", forms)
	}
}

// An administrator whom a rule refuses is told what to do about it, and not to ask an administrator.
func TestTheRefusedAdministratorSeesWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := func(name, pass string) string {
		b := w.browser().signIn(name, pass)
		live, err := w.Login.Sessions.Resolve(t.Context(), b.token())
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		r := reqctx.With(httptest.NewRequest("GET", origin+"/payroll", nil), &reqctx.Request{ID: "ref", Secure: true, Host: host, Prefix: prefix})
		w.gate.Forbidden(rec, r, live, i18n.New("gate.group", "values", i18n.OrList{"payroll"}), web.AsPage)
		return b.read(rec).body
	}
	if got := page("root", rootPass); strings.Contains(got, "ask an administrator") || !strings.Contains(got, "/_auth/admin/users/"+w.root.ID+"/edit") ||
		!strings.Contains(got, "/_auth/admin/users/"+w.root.ID+"/access") {
		t.Errorf("the administrator sees\n%s", got)
	}
	if got := page("ada", adaPass); !strings.Contains(got, "ask an administrator") || strings.Contains(got, "/admin/") {
		t.Errorf("somebody else sees\n%s", got)
	}
}

// Activity is what happened to one's own account: what an administrator did to others is in the audit log.
func TestActivityIsAboutOnesOwnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("root", rootPass)
	live, err := w.Login.Sessions.Resolve(t.Context(), b.token())
	if err != nil {
		t.Fatal(err)
	}
	actor := account.Actor{UserID: w.root.ID, Name: "root", SessionID: live.Session.ID, AuthAt: live.Session.AuthAt}
	if _, _, err := w.Accounts.Create(t.Context(), actor, account.NewUser{Username: "eve", Role: store.RoleUser, Password: freshPass, Active: true}); err != nil {
		t.Fatal(err)
	}
	b.post("/account/profile", "name", "Root").wantRedirect(t, "/_auth/account/profile")
	a := b.get("/account/activity").want(t, 200, "Sign-in", "Profile changed", `data-exact>`)
	if n := strings.Count(a.body, "Account made"); n != 1 { // the own one, by the command line
		t.Errorf("%d accounts were made, as the activity of root says\n%s", n, a.body)
	}
}

// Without a title of its own a site is called by its host, without the port.
func TestASiteWithoutATitleIsItsHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) { c.Brand = ui.Brand{} })
	name, _, _ := strings.Cut(host, ":")
	w.browser().get("/login").want(t, 200, "<title>Sign in - "+name+"</title>", "Sign in to "+name, ">Username or e-mail<")
}
