package portal_test

import (
	"net/http"
	"testing"
)

func TestSignInLeadsToWhereOneWasGoing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/login?rt=/reports%3Fyear=2026").want(t, 200, `name="rt" value="/reports?year=2026"`, "Sign in to Acme")
	b.post("/login", "username", "ada", "password", adaPass, "rt", "/reports?year=2026").wantRedirect(t, "/reports?year=2026")
	if !b.signedIn() {
		t.Fatal("no session after the sign-in")
	}
	b.post("/logout").wantRedirect(t, "/_auth/logged-out")
	if b.signedIn() {
		t.Fatal("still signed in after the sign-out")
	}
	b.get("/logged-out").want(t, http.StatusOK, "You are signed out")
}
