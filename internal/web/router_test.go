package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

func ok(http.ResponseWriter, *http.Request, *web.Request) error { return nil }

// A list of routes in which two contradict each other stops the start: one of them would decide who may come.
func TestContradictingRoutesStopTheStart(t *testing.T) {
	t.Parallel()
	for name, routes := range map[string][]web.Route{
		"who may come":            {web.Get("/x", web.Public, ok), web.Post("/x", web.SignedIn, ok)},
		"administrators or all":   {web.Get("/x", web.Admin, ok), web.Post("/x", web.Public, ok)},
		"the same method twice":   {web.Get("/x", web.Public, ok), web.Get("/x", web.Public, ok)},
		"before the set-up":       {web.Get("/x", web.Public, ok), {Method: "POST", Pattern: "/x", Access: web.Public, Handle: ok, DuringSetup: true}},
		"a method for nothing":    {{Method: "GET", Pattern: "/x"}},
		"a handler for anything":  {{Pattern: "/x", Access: web.Public, Handle: ok}},
		"a change without a name": {web.Post("/admin/x", web.Admin, ok)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			newWorld(t, func(c *config) { c.more = routes })
		}()
	}
}

// A route that says nothing of who may come is for administrators who have just signed in.
func TestRoutesAreForAdministratorsByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) {
		c.more = []web.Route{
			{Method: "POST", Pattern: "/api/v1/x", Audit: "user.update", Handle: ok},
			{Method: "POST", Pattern: "/admin/x", Audit: "user.update", Handle: ok},
		}
	})
	w.browser().json("POST", "/api/v1/x", "{}").wantProblem(t, 401, "unauthorized")
	w.browser().signIn("ada", adaPass).json("POST", "/api/v1/x", "{}").wantProblem(t, 403, "role")
	root := w.browser().signIn("root", rootPass)
	root.json("POST", "/api/v1/x", "{}").want(t, 200)
	root.post("/admin/x").want(t, 200)
	w.Clock.Advance(time.Hour)
	root.json("POST", "/api/v1/x", "{}").wantProblem(t, 403, "reauth-required")
	root.post("/admin/x").want(t, 403)
}

// The front reads the session token once; the pages go by what it found, and not by the cookies once more.
func TestTheFrontReadsTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	ask := func(q *reqctx.Request, cookies bool) int {
		r := request("GET", "/api/v1/session", "", "")
		if cookies {
			r.AddCookie(&http.Cookie{Name: b.tokenName(), Value: b.token()})
		}
		q.Secure, q.Host, q.Prefix = true, host, prefix
		rec := httptest.NewRecorder()
		w.Router.ServeHTTP(rec, reqctx.With(r, q))
		return rec.Code
	}
	if got := ask(&reqctx.Request{Token: b.token(), TokenRead: true}, false); got != 200 {
		t.Errorf("with the token alone: %d", got)
	}
	if got := ask(&reqctx.Request{TokenRead: true}, true); got != 401 {
		t.Errorf("where the front found none: %d", got)
	}
	if got := ask(new(reqctx.Request), true); got != 200 {
		t.Errorf("where the front did not look: %d", got)
	}
}
