package caddyauth_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// validate does what `caddy validate` does with a server's configuration.
func (s *caddyServer) validate() error {
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	var cfg caddy.Config
	if err := json.Unmarshal(text, &cfg); err != nil {
		return err
	}
	return caddy.Validate(&cfg)
}

// A Caddy that starts before its PostgreSQL serves everything else, keeps the gate closed, and opens it, with the
// administrator of the environment, when PostgreSQL is there.
func TestACaddyThatStartsBeforePostgreSQLOpensWhenItIsThere(t *testing.T) {
	server := testenv.NewServer(t)
	server.Stop()
	begin := time.Now()
	s := startAdmin(t, "respond /open \"hello\"\nhandle /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}", at(server.DSN()))
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("the start took %v", took)
	}
	b := s.browser()
	for _, path := range []string{"/app/x", "/_auth/login", "/_auth/healthz", "/_auth/admin"} {
		begin := time.Now()
		if a := b.page(path); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: %d after %v", path, a.StatusCode, time.Since(begin))
		}
	}
	if a := b.page("/open"); a.body != "hello" {
		t.Errorf("the rest of the site: %d %s", a.StatusCode, a.body)
	}
	if err := s.validate(); err == nil || !strings.Contains(err.Error(), "PostgreSQL") {
		t.Errorf("validated with a store that cannot be reached: %v", err)
	}
	if err := s.load(); err == nil {
		t.Error("a reload with a store that cannot be reached is no error")
	}
	server.Start()
	eventuallyFor(t, 60*time.Second, "the gate to open", func() bool { return b.page("/_auth/login").StatusCode == 200 })
	b.signIn(adminName, adminPass)
	if !b.reaches("/app/x") {
		t.Error("the app is not reached")
	}
	if err := s.load(); err != nil {
		t.Errorf("a reload afterwards: %v", err)
	}
	if !b.reaches("/app/x") {
		t.Error("the session is lost by a reload")
	}
}

// What only a person can mend ends the start at once, and so does every store that a reload cannot reach.
func TestAWrongPostgreSQLEndsTheStartAtOnce(t *testing.T) {
	good := testenv.PostgresDSN(t)
	change := func(fn func(u *url.URL)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		fn(u)
		return u.String()
	}
	for name, dsn := range map[string]string{
		"a database that is not there": change(func(u *url.URL) { u.Path = "/nosuchdatabase" }),
		"a user that is not there":     change(func(u *url.URL) { u.User = url.UserPassword("nosuchuser", "c4nary") }),
		"a schema that is not there":   change(func(u *url.URL) { u.RawQuery += "&search_path=nosuchschema" }),
		"TLS that it does not have":    change(func(u *url.URL) { u.RawQuery = "sslmode=require" }),
	} {
		s := &caddyServer{t: t, up: newUpstream(t), dir: t.TempDir(), addr: testenv.Address(t), site: "gatehouse", logs: &logBuffer{}}
		s.place = testenv.Place{Engine: "postgres", DSN: dsn}
		begin := time.Now()
		err := s.load()
		if err == nil {
			t.Errorf("%s: it starts", name)
			_ = caddy.Stop()
			continue
		}
		if strings.Contains(err.Error(), "c4nary") || time.Since(begin) > 10*time.Second {
			t.Errorf("%s: after %v: %v", name, time.Since(begin), err)
		}
	}
}

// A configuration that waits for its store gives way to the one that replaces it.
func TestAReloadTakesOverFromAStartThatWaits(t *testing.T) {
	server := testenv.NewServer(t)
	server.Stop()
	s := startAdmin(t, "gatehouse", at(server.DSN()))
	s.place = testenv.NewPlace(t)
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	if !b.reaches("/x") {
		t.Error("the app is not reached")
	}
}
