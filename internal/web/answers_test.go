package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

func TestDecisionAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	d := w.decisions(t, b)
	for name, write := range d {
		for _, asPage := range []bool{true, false} {
			a := write(asPage)
			if got := a.Header["Vary"]; got[0] != "Cookie, Accept, Sec-Fetch-Mode, Authorization" {
				t.Errorf("%s: Vary %q", name, got)
			}
			form := func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "-form") } // so that no worker reloads the page
			if !slices.ContainsFunc(a.Cookies(), form) && len(a.Cookies()) > 0 || len(a.Cookies()) > 1 {
				t.Errorf("%s sets a cookie on an address of the app", name)
			}
			checkHeaders(t, name, a, true)
		}
	}
	d["forbidden"](true).want(t, 403, "signed in as ada", "This part of the site asks for membership of payroll.", "ref-0123456789", "Switch user", "app.example.test/payroll", "Sign out")
	if a := d["forbidden"](true); strings.Contains(a.body, "x=") && strings.Contains(a.body, "&lt;b&gt;") {
		t.Error("the query is in the page's text")
	}
	if p := d["forbidden"](false).wantProblem(t, 403, "forbidden"); p.Detail != "This part of the site asks for membership of payroll." {
		t.Errorf("%+v", p)
	}
	u := d["unauthorized"](false)
	if p := u.wantProblem(t, 401, "unauthorized"); p.LoginURL != "/_auth/login?rt=%2Fpayroll" {
		t.Errorf("%+v", p)
	}
	if got := u.Header.Get("WWW-Authenticate"); got != `Bearer realm="Acme"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
	d["unauthorized"](true).want(t, 401, "Nothing was saved", `target="_blank"`, "Sign in in a new tab")
	for _, asPage := range []bool{true, false} {
		if got := d["unavailable"](asPage).Header.Get("Retry-After"); got != "7" {
			t.Errorf("Retry-After %q", got)
		}
	}
	d["unavailable"](false).wantProblem(t, 503, "unavailable")
	d["set-up"](false).wantProblem(t, 503, "setup-needed")
}

// What others serve below the prefix

func TestAdminRoutesSeeSignedInPeopleOnly(t *testing.T) {
	t.Parallel()
	teapot := func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		if q.Live == nil || q.Live.User.ID != q.Actor().UserID {
			t.Error("handed on without a session")
		}
		w.Header().Set("X-Path", r.URL.Path)
		w.WriteHeader(http.StatusTeapot)
		return nil
	}
	refused := func(http.ResponseWriter, *http.Request, *web.Request) error {
		return &account.ForbiddenError{Code: account.CodeReauth, Text: "Sign in again."}
	}
	w := newWorld(t, func(c *config) {
		c.more = []web.Route{
			web.Get("/admin", web.Admin, teapot), web.Get("/admin/users", web.Admin, teapot), web.Get("/admin/forbidden", web.Admin, refused),
			web.Get("/api/v1/users", web.Admin, refused),
			{Method: http.MethodDelete, Pattern: "/api/v1/users/{name}", Access: web.Admin, Audit: "user.delete", Handle: teapot},
		}
	})
	w.browser().get("/admin/users?q=x").wantRedirect(t, "/_auth/login?to="+url.QueryEscape("/_auth/admin/users?q=x"))
	w.browser().get("/api/v1/users").wantProblem(t, 401, "unauthorized")
	b := w.browser().signIn("root", rootPass)
	if a := b.get("/admin/users").want(t, 418); a.Header.Get("X-Path") != "/admin/users" {
		t.Errorf("path %q", a.Header.Get("X-Path"))
	}
	b.get("/admin").want(t, 418)
	b.do("DELETE", "/api/v1/users/x").want(t, 418)
	b.get("/admin/forbidden").want(t, 403, "Sign in again.", "/_auth/reauth", "ref-0123456789")
	b.get("/api/v1/users").wantProblem(t, 403, "reauth-required")
	evil := request("POST", "/admin/users", "application/x-www-form-urlencoded", "x=y")
	evil.Header.Set("Sec-Fetch-Site", "same-site")
	b.send(evil).want(t, 403, "another site")
	if a := new(web.Request).Actor(); a.UserID != "" || a.SessionID != "" {
		t.Error("an actor out of nowhere")
	}
}
