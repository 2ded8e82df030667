package caddyauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// startSignIn runs a Caddy with one provider and the lines of sign_in.
func startSignIn(t *testing.T, idp *provider.Provider, lines string) *caddyServer {
	t.Helper()
	setenv(t, "ADMIN_EMAIL", "root@example.com")
	return startOIDC(t, idp, "", "gatehouse", func(s *caddyServer) {
		s.global += "\nadmin managed\nsign_in {\n" + lines + "\n}"
	})
}

func TestAPageOfTheAppLeadsToTheFirstProviderAndBack(t *testing.T) {
	idp := provider.New(t)
	s := startSignIn(t, idp, "first test")
	b := s.browser()
	if a := b.follow(b.page("/reports?year=2026")); a.StatusCode != 200 || a.Request.URL.RequestURI() != "/reports?year=2026" {
		t.Fatalf("status %d at %s: %s", a.StatusCode, a.Request.URL, a.body)
	}
	if a := b.post("/_auth/logout"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing out: %d", a.StatusCode)
	}
	before := idp.Calls("authorize")
	a := b.follow(b.page("/reports"))
	if !strings.HasSuffix(a.Request.URL.Path, "/login") || !strings.Contains(a.body, "Continue with Test") {
		t.Errorf("after the sign-out: status %d at %s", a.StatusCode, a.Request.URL)
	}
	if a := s.browser().fetch("/reports"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a program gets %d", a.StatusCode)
	}
	if idp.Calls("authorize") != before {
		t.Error("the provider was asked all the same")
	}
}

func (b *browser) makeUser(body string) response {
	return b.do(b.request("POST", "/_auth/api/v1/users", strings.NewReader(body), "Content-Type", "application/json",
		"Origin", "http://"+b.s.addr, "Sec-Fetch-Site", "same-origin"))
}

func TestPasswordsAreOffButForTheManagedAdministrator(t *testing.T) {
	idp := provider.New(t)
	s := startSignIn(t, idp, "passwords shown")
	b := s.browser()
	b.signIn("root@example.com", adminPass)
	if a := b.makeUser(`{"username":"ada","password":"correct horse battery staple"}`); a.StatusCode != http.StatusCreated {
		t.Fatalf("making a user: %d %s", a.StatusCode, a.body)
	}
	old := s.global
	s.global = strings.Replace(old, "passwords shown", "passwords off", 1)
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	form := []string{"username", "ada", "password", "correct horse battery staple"}
	if a := s.browser().post("/_auth/login", form...); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a user with a password: %d", a.StatusCode)
	}
	if a := b.makeUser(`{"username":"eve","password":"correct horse battery staple"}`); a.StatusCode != http.StatusForbidden ||
		!strings.Contains(a.body, "passwords-off") {
		t.Errorf("a user with a password: %d %s", a.StatusCode, a.body)
	}
	s.browser().signIn("root@example.com", adminPass)
	s.global = strings.Replace(s.global, "admin managed", "admin seed", 1)
	if err := s.load(); err == nil || !strings.Contains(err.Error(), "admin managed") {
		t.Errorf("without a managed administrator: %v", err)
	}
	s.global = old
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if a := s.browser().post("/_auth/login", form...); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the stored password does not count again: %d", a.StatusCode)
	}
	if caddy.ActiveContext().Context == nil {
		t.Error("Caddy has stopped")
	}
}
