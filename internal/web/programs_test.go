package web_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// withKeys has the keys of signed identities at their address.
func withKeys(c *config) {
	c.PublicKeys = func(context.Context) ([]byte, error) { return []byte(`{"keys":[]}`), nil }
}

// A token opens none of our pages, public ones neither, and of the API two addresses, in the one spelling that they
// have. What no person is behind is open to it as to everybody.
func TestATokenOpensTwoAddressesAndWhatIsNobodys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withKeys)
	p := w.Program(w.ada.ID)
	p.OpensOnly(t, "GET /api/v1/me", "GET /api/v1/session", "GET /healthz", "GET /jwks.json", "GET /assets/{name}")
	for _, path := range []string{"/api/v1/me", "/api/v1/session", "/healthz", "/jwks.json"} {
		p.Do("GET", path).Want(t, 200)
		p.Do("HEAD", path).Want(t, 200)
	}
	if a := p.Do("GET", "/assets/none").Want(t, 404); a.Problem() != "not-found" {
		t.Errorf("a program gets %s", a)
	}
}

// A new route is closed to tokens unless it says otherwise, whoever may come to it.
func TestRoutesAreClosedToTokensByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) {
		c.more = []web.Route{
			web.Get("/x/public", web.Public, ok), web.Get("/x/optional", web.Optional, ok), web.Get("/x/own", web.SignedIn, ok),
			{Method: "GET", Pattern: "/x/setup", Access: web.Public, Handle: ok, DuringSetup: true},
			{Method: "POST", Pattern: "/x/open", Access: web.Public, Handle: ok, CrossSite: true},
			{Method: "GET", Pattern: "/x/taken", Access: web.SignedIn, Handle: ok, Programs: true},
			{Method: "POST", Pattern: "/x/taken", Access: web.SignedIn, Handle: ok},
		}
	})
	w.Program(w.ada.ID).OpensOnly(t, "GET /x/taken",
		"GET /api/v1/me", "GET /api/v1/session", "GET /healthz", "GET /assets/{name}")
}

// Before there is an administrator, a token opens nothing here either, and no page says how to set the site up.
func TestATokenLearnsNothingOfTheSetUp(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	p := w.Program(w.Add("ada", store.RoleUser).ID)
	p.OpensOnly(t, "GET /api/v1/me", "GET /api/v1/session", "GET /healthz", "GET /assets/{name}")
	for _, path := range []string{"/api/v1/me", "/api/v1/session"} {
		if a := p.Do("GET", path).Want(t, 503); strings.Contains(a.Body, "<html") {
			t.Errorf("%s: %s", path, a)
		}
	}
}

// Whose password has to be changed may not read the account by token either; who that is, an app may still ask.
func TestAPasswordToChangeHoldsTokensToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Program(w.ada.ID)
	p.Do("GET", "/api/v1/me").Want(t, 200)
	if _, err := w.Accounts.ResetPassword(t.Context(), w.cli(), w.ada.ID, account.Reset{Password: freshPass, MustChange: true}); err != nil {
		t.Fatal(err)
	}
	p = w.Program(w.ada.ID)
	if a := p.Do("GET", "/api/v1/me").Want(t, 403); a.Problem() != "must-change" {
		t.Errorf("%s", a)
	}
	p.Do("GET", "/api/v1/session").Want(t, 200)
}
