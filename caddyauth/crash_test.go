package caddyauth_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// killed has a server use the files of another one that was killed in a checkpoint; see store/sqlstore.
func killed(t *testing.T) option {
	t.Helper()
	path := testenv.UnpackStore(t, filepath.Join("..", "store", "sqlstore", "testdata", "crashed-store"))
	return func(s *caddyServer) {
		s.place = testenv.Place{Engine: "sqlite", Path: path}
	}
}

// filesOf reads all files in a folder.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(content)
	}
	return all
}

func validate(t *testing.T, s *caddyServer) error {
	t.Helper()
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &cfg); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&cfg)
}

func TestCaddyStartsOnAStoreThatWasKilledInACheckpoint(t *testing.T) {
	up := newUpstream(t)
	s := &caddyServer{t: t, up: up, dir: t.TempDir(), addr: testenv.Address(t), site: "gatehouse", logs: &logBuffer{}}
	killed(t)(s)
	dir := filepath.Dir(s.place.Path)
	before := filesOf(t, dir)
	if err := validate(t, s); err != nil {
		t.Fatalf("validating: %v", err)
	}
	after := filesOf(t, dir)
	for name, content := range after {
		if before[name] != content {
			t.Errorf("validating changed %s", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("validating left %d files, there were %d", len(after), len(before))
	}
	if err := s.load(); err != nil {
		t.Fatalf("starting: %v\n%s", err, s.logs.String())
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	b := s.browser()
	if got := b.fetch("/_auth/healthz").StatusCode; got != 200 {
		t.Errorf("health is %d", got)
	}
	if got := b.fetch("/x").StatusCode; got != 401 || up.count() > 0 {
		t.Errorf("a stranger gets %d, and the app was asked %d times", got, up.count())
	}
	if err := s.load(); err != nil {
		t.Errorf("a reload: %v", err)
	}
	// The check of a start or reload beside it, as of `caddy validate`, while pages are on their way.
	if err := validate(t, s); err != nil {
		t.Errorf("validating beside it: %v", err)
	}
}
