package caddyauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Responses of the gate are written, not returned to error routes, which no gate guards.
func TestErrorRoutesDoNotBypassTheGate(t *testing.T) {
	s := startAdmin(t, "handle_errors {\n\treverse_proxy UPSTREAM\n}\ngatehouse /admin/*\ngatehouse {\n\trequire group nobody\n}")
	b := s.browser()
	if a := b.fetch("/x"); a.StatusCode != 401 {
		t.Errorf("answered %d", a.StatusCode)
	}
	b.signIn(adminName, adminPass)
	if a := b.fetch("/x"); a.StatusCode != 403 {
		t.Errorf("answered %d", a.StatusCode)
	}
	if s.up.count() != 0 {
		t.Error("an error route asked the app")
	}
}

// When the store is unavailable, nothing passes that needs it, and no sign-in reports that the password is
// wrong.
func TestWithoutTheStoreTheGateIsClosed(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public\n}")
	b := s.browser()
	b.signIn(adminName, adminPass)
	s.place.Break(t)
	eventually(t, "the gate to close", func() bool { return b.fetch("/x").StatusCode == 503 })
	before := s.up.count()
	a := b.fetch("/x")
	if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	if p := b.page("/x"); p.StatusCode != 503 || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a page load is answered %d %s", p.StatusCode, p.Header.Get("Content-Type"))
	}
	if l := s.browser().post("/_auth/login", "username", "admin", "password", adminPass); l.StatusCode != 503 || strings.Contains(l.body, "incorrect") {
		t.Errorf("a sign-in is answered %d\n%s", l.StatusCode, l.body)
	}
	if h := b.fetch("/_auth/healthz"); h.StatusCode != 503 {
		t.Errorf("health: %d", h.StatusCode)
	}
	anonymous := s.browser()
	eventually(t, "nobody to be sent to a sign-in that can't work", func() bool { return anonymous.page("/x").StatusCode == 503 })
	if a := anonymous.fetch("/x"); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("somebody without a session is answered %d", a.StatusCode)
	}
	if s.up.count() != before {
		t.Error("the app was asked")
	}
	if !b.reaches("/public") {
		t.Error("public paths need no store")
	}
}

// A store that responds, but has lost a table: everything but what is in memory is 503, and the health check says so.
func TestWithoutATableTheGateIsClosed(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	for _, table := range []string{"sessions", "users"} {
		s.place.Exec(t, "ALTER TABLE "+table+" RENAME TO lost_"+table)
		eventually(t, "the health check to tell of "+table, func() bool { return b.fetch("/_auth/healthz").StatusCode == 503 })
		if l := s.browser().post("/_auth/login", "username", "admin", "password", adminPass); l.StatusCode != 503 || l.Header.Get("Retry-After") == "" {
			t.Errorf("without %s: a sign-in is answered %d", table, l.StatusCode)
		}
		anonymousBrowser := s.browser()
		anonymousBrowser.setCookie(store.NewToken())
		if a := anonymousBrowser.fetch("/x"); a.StatusCode != 503 {
			t.Errorf("without %s: a session that cannot be looked up is answered %d", table, a.StatusCode)
		}
	}
	if s.up.count() != 0 {
		t.Error("the app was asked")
	}
}

// A store that cannot be used stops the start with an error that says what to do.
func TestAStoreThatCannotBeUsedStopsTheStart(t *testing.T) {
	file := func(path string) testenv.Place { return testenv.Place{Engine: "sqlite", Path: path} }
	for name, make := range map[string]func(dir string) (place testenv.Place, says string){
		"not a database": func(dir string) (testenv.Place, string) {
			p := filepath.Join(dir, "x.db")
			_ = os.WriteFile(p, []byte(strings.Repeat("this is no database ", 1000)), 0o600)
			return file(p), p
		},
		"a folder": func(dir string) (testenv.Place, string) { return file(dir), dir },
		"under a file": func(dir string) (testenv.Place, string) {
			p := filepath.Join(dir, "file")
			_ = os.WriteFile(p, nil, 0o600)
			return file(filepath.Join(p, "x.db")), p
		},
		"a database that is not there": func(string) (testenv.Place, string) {
			return testenv.Place{Engine: "postgres", DSN: testenv.PostgresDSN(t) + "&dbname=nosuchdatabase"}, "nosuchdatabase"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &caddyServer{t: t, up: newUpstream(t), dir: t.TempDir(), addr: testenv.Address(t), site: "gatehouse", logs: &logBuffer{}}
			place, says := make(t.TempDir())
			s.place = place
			err := s.load()
			if err == nil {
				_ = caddy.Stop()
				t.Fatal("Caddy started")
			}
			if !strings.Contains(err.Error(), says) {
				t.Errorf("the error does not name the store: %v", err)
			}
			if strings.Contains(err.Error()+s.logs.String(), "c4nary") {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}

// Requests for the app are not redirected to a sign-in that cannot succeed: all kinds of requests learn how to set the
// site up.
func TestRequestsForTheAppLearnHowToSetTheSiteUp(t *testing.T) {
	s := start(t, "gatehouse {\n\tapi /api/*\n\tpublic /open\n}")
	b := s.browser()
	page, form := []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		method, path string
		header       []string
		page         bool
	}{
		"a page load":           {"GET", "/payroll", page, true},
		"a form":                {"POST", "/payroll", append([]string{"Content-Type", form}, page...), true},
		"a program":             {"GET", "/payroll", []string{"Accept", "application/json"}, false},
		"a page load of an api": {"GET", "/api/payroll", page, false},
	} {
		a := b.do(b.request(c.method, c.path, nil, c.header...))
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
		}
		if a.Header.Get("Location") != "" || a.Header.Get("WWW-Authenticate") != "" || strings.Contains(a.body, "/_auth/login") {
			t.Errorf("%s leads to a sign-in that nobody can do: %v\n%s", name, a.Header, a.body)
		}
		if !c.page {
			if typ, _ := a.json(t)["type"].(string); !strings.HasSuffix(typ, "setup-needed") {
				t.Errorf("%s: %s", name, a.body)
			}
			continue
		}
		for _, way := range []string{"ADMIN_PASSWORD", "caddy gatehouse user add", "set-up link"} {
			if !strings.Contains(a.body, way) {
				t.Errorf("%s does not say %q\n%s", name, way, a.body)
			}
		}
	}
	if s.up.count() > 0 {
		t.Error("the app was asked")
	}
	if !b.reaches("/open") {
		t.Error("a public path waits for an administrator")
	}
}
