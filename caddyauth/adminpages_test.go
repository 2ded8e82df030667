package caddyauth_test

import (
	"strings"
	"testing"
)

// asAdmin signs the administrator in and returns what a page says.
func (s *caddyServer) asAdmin() func(path string) string {
	s.t.Helper()
	b := s.browser()
	if a := b.signIn(adminName, adminPass); a.StatusCode != 303 {
		s.t.Fatalf("signing in: %d", a.StatusCode)
	}
	return func(path string) string {
		s.t.Helper()
		a := b.page(path)
		if a.StatusCode != 200 {
			s.t.Fatalf("%s: %d\n%s", path, a.StatusCode, a.body)
		}
		return a.body
	}
}

// Caddy drops the JSON of matchers once it has loaded them: pages name what each gate guards all the same.
func TestAdminPagesNameWhatEachGateGuards(t *testing.T) {
	s := startAdmin(t, `@reports {
		method GET
		path /reports/* /figures/*
	}
	@rest not path /open/*
	gatehouse @rest {
		require role admin user
	}
	gatehouse @reports {
		require group staff
	}
	gatehouse /admin/* {
		require role admin
	}`)
	page := s.asAdmin()
	roles := page("/_auth/admin/roles")
	for _, want := range []string{
		"127.0.0.1: path /admin/*", "127.0.0.1: method GET, path /reports/* /figures/*", "127.0.0.1: not path /open/*",
	} {
		if !strings.Contains(roles, want) {
			t.Errorf("the page about roles does not name %q\n%s", want, roles)
		}
	}
	if strings.Contains(roles, "every site") {
		t.Error("a gate with a matcher is called everything")
	}
}

// Values are printed as one writes them, and what was warned of at the load is there to read.
func TestSettingsShowWhatOneWouldWriteAndTheWarningsOfTheLoad(t *testing.T) {
	s := startAdmin(t, "handle /hook/* {\n\treverse_proxy 127.0.0.1:9\n}\nhandle {\n\tgatehouse\n\treverse_proxy 127.0.0.1:9\n}",
		withGlobal("session {\n\tidle 36h\n\tabsolute 14d\n\tstore_grace 5s\n}"))
	page := s.asAdmin()
	settings := page("/_auth/admin/settings")
	for _, want := range []string{">36h<", ">14d<", ">30d<", ">15m<", ">30/1m<", ">5s<", "127.0.0.1 &gt; /hook/*", "strangers reach this"} {
		if !strings.Contains(settings, want) {
			t.Errorf("the settings lack %q\n%s", want, settings)
		}
	}
	if strings.Contains(settings, "h0m") {
		t.Errorf("a duration is printed as nobody writes it\n%s", settings)
	}
	if !strings.Contains(page("/_auth/admin"), "127.0.0.1 &gt; /hook/*") {
		t.Error("the dashboard does not show the warning of the load")
	}
}
