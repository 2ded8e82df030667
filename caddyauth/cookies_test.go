package caddyauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

// sends requests a path with a Cookie header as it is.
func (s *caddyServer) sends(cookies, method, path string, header ...string) response {
	s.t.Helper()
	b := s.browser()
	return b.do(b.request(method, path, nil, append([]string{"Cookie", cookies}, header...)...))
}

// A second gate with a wider cookie_domain, and a domain that was changed, leave cookies of the same name beside ours.
func TestACookieOfAnotherGateLocksNobodyOut(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	mine := "gatehouse=" + b.cookie()
	for name, other := range map[string]string{
		"another store's": strings.Repeat("B", 43) + "abcdefgh", "an old one": store.NewToken(), "no token at all": "x",
	} {
		for _, line := range []string{mine + "; gatehouse=" + other, "gatehouse=" + other + "; " + mine} {
			if a := s.sends(line, "GET", "/"); a.StatusCode != 200 {
				t.Errorf("%s: the app answers %d", name, a.StatusCode)
			}
			if a := s.sends(line, "GET", "/_auth/api/v1/session"); a.StatusCode != 200 {
				t.Errorf("%s: our API answers %d", name, a.StatusCode)
			}
			if s.up.last().Header.Get("Cookie") != "" {
				t.Errorf("%s: the app got %q", name, s.up.last().Header.Get("Cookie"))
			}
		}
	}
	s.logs.waitFor(t, "session { cookie_name <name> }")
}

// Whose request it is with the sessions of two people cannot be told: a sibling host may have planted one of them.
func TestTheSessionsOfTwoPeopleCountForNobodyAndASignOutEndsBoth(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\toptional /blog/*\n}")
	first := s.browser()
	first.signIn(adminName, adminPass)
	s.addUser("ada", adaPassword)
	second := s.browser()
	second.signIn("ada", adaPassword)
	both := "gatehouse=" + first.cookie() + "; gatehouse=" + second.cookie()
	if a := s.sends(both, "GET", "/"); a.StatusCode != 401 {
		t.Errorf("the app answers %d", a.StatusCode)
	}
	if a := s.sends(both, "GET", "/blog/x"); a.StatusCode != 200 || s.up.last().Header.Get("Remote-User") != "" {
		t.Errorf("an optional path: %d for %q", a.StatusCode, s.up.last().Header.Get("Remote-User"))
	}
	if a := s.sends(both, "GET", "/_auth/api/v1/session"); a.StatusCode != 401 {
		t.Errorf("our API answers %d", a.StatusCode)
	}
	s.logs.waitFor(t, "sessions of different people")
	if a := s.sends(both, "POST", "/_auth/logout"); a.StatusCode != 303 {
		t.Fatalf("sign-out: %d", a.StatusCode)
	}
	for _, b := range []*browser{first, second} {
		if b.reaches("/") {
			t.Error("a session goes on after the sign-out")
		}
	}
}

const adaPassword = "a passphrase for ada"

// addUser adds an active user with a password.
func (s *caddyServer) addUser(name, password string) {
	s.t.Helper()
	b := s.browser()
	b.signIn(adminName, adminPass)
	a := b.api("POST", "users", map[string]any{"username": name, "password": password, "role": "user", "active": true})
	if a.StatusCode != http.StatusCreated {
		s.t.Fatalf("adding %s: %d\n%s", name, a.StatusCode, a.body)
	}
}

// A sign-in ends what the browser had, under every cookie that it sends.
func TestASignInEndsTheSessionsOfAllCookiesThatCame(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	first, second := s.browser(), s.browser()
	first.signIn(adminName, adminPass)
	second.signIn(adminName, adminPass)
	third := s.browser()
	r := third.form("/_auth/login", "username", adminName, "password", adminPass)
	r.Header.Set("Cookie", "gatehouse="+first.cookie()+"; gatehouse="+second.cookie())
	if a := third.do(r); a.StatusCode != 303 {
		t.Fatalf("sign-in: %d", a.StatusCode)
	}
	if first.reaches("/") || second.reaches("/") || !third.reaches("/") {
		t.Error("an old session goes on, or the new one does not")
	}
}

// Two gates on ports of one host have one cookie jar.
func TestTheCookieHasTheConfiguredName(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("session {\n\tcookie_name way\n}"))
	b := s.browser()
	a := b.signIn(adminName, adminPass)
	value := ""
	for _, c := range a.Cookies() {
		if !strings.HasPrefix(c.Name, "way") {
			t.Errorf("cookie %s", c.Raw)
		}
		if c.Name == "way" {
			value = c.Value
		}
	}
	if a := s.sends("gatehouse=x; way="+value+"; way-theme=dark; ways=1", "GET", "/"); a.StatusCode != 200 || s.up.last().Header.Get("Cookie") != "ways=1" {
		t.Errorf("%d, the app got %q", a.StatusCode, s.up.last().Header.Get("Cookie"))
	}
	if a := s.sends("gatehouse="+value, "GET", "/"); a.StatusCode != 401 {
		t.Errorf("under the default name: %d", a.StatusCode)
	}
	if a := b.page("/_auth/account/appearance"); a.StatusCode != 200 {
		t.Errorf("our pages answer %d", a.StatusCode)
	}
}
