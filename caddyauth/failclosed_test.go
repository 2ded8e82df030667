package caddyauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestErrorRoutesAreNoWayAroundTheGate(t *testing.T) {
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

func TestWithoutTheStoreTheGateIsClosed(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public\n}")
	b := s.browser()
	b.signIn(adminName, adminPass)
	breakStore(t, s)
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
	if s.up.count() != before {
		t.Error("the app was asked")
	}
	if !b.reaches("/public") {
		t.Error("public paths need no store")
	}
}

func breakStore(t *testing.T, s *caddyServer) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if f, err := os.OpenFile(s.db+suffix, os.O_RDWR, 0); err == nil {
			junk := []byte(strings.Repeat("not a database\n", 4096))
			if suffix == "" {
				_, err = f.WriteAt(junk, 0)
			} else {
				err = f.Truncate(0)
			}
			_ = f.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAStoreThatCannotBeUsedStopsTheStart(t *testing.T) {
	for name, make := range map[string]func(dir string) string{
		"not a database": func(dir string) string {
			p := filepath.Join(dir, "x.db")
			_ = os.WriteFile(p, []byte(strings.Repeat("this is no database ", 1000)), 0o600)
			return p
		},
		"a folder": func(dir string) string { return dir },
		"under a file": func(dir string) string {
			p := filepath.Join(dir, "file")
			_ = os.WriteFile(p, nil, 0o600)
			return filepath.Join(p, "x.db")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &caddyServer{t: t, up: newUpstream(t), dir: t.TempDir(), addr: freeAddr(t), site: "gatehouse", logs: &logBuffer{}}
			s.db = make(t.TempDir())
			err := s.load()
			if err == nil {
				_ = caddy.Stop()
				t.Fatal("Caddy started")
			}
			if !strings.Contains(err.Error(), s.db) {
				t.Errorf("the error does not name the store: %v", err)
			}
		})
	}
}
