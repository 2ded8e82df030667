//go:build apps

package apps

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// The reader is signed in by header, its programs' interface asks for its own key, and its manifest and worker load.
func TestMiniflux(t *testing.T) {
	home, at := t.TempDir(), harness.Port(t)
	program := installed(t, "miniflux", "miniflux.app")
	port := harness.Postgres(t, "miniflux")
	env := []string{
		"DATABASE_URL=postgres://miniflux@127.0.0.1:" + port + "/postgres?sslmode=disable", "RUN_MIGRATIONS=1", "LISTEN_ADDR=127.0.0.1:" + at, "BASE_URL=https://miniflux.test/",
		"AUTH_PROXY_HEADER=Remote-User", "AUTH_PROXY_USER_CREATION=1", "DISABLE_LOCAL_AUTH=1",
		"TRUSTED_REVERSE_PROXY_NETWORKS=127.0.0.1/32",
	}
	launch(t, home, "http://127.0.0.1:"+at+"/healthcheck", env, program)
	g := behind(t, "miniflux", at)
	p := signedIn(t, g, "/")
	p.Until("the reader", func() bool { return strings.Contains(p.Title(), "Miniflux") })
	// Without sign-ins of its own the reader shows no username, so that its database is asked.
	people, err := exec.Command("psql", "-h", "127.0.0.1", "-p", port, "-U", "miniflux", "-Atc", "SELECT username FROM users", "postgres").CombinedOutput()
	if err != nil || string(people) != "admin\n" {
		t.Errorf("the reader takes the person for %q (%v)", people, err)
	}
	var statuses []int
	// The interface asks for a password by Basic: with credentials, Chromium would wait for a person to type one.
	p.Eval(`Promise.all([fetch("/v1/me", {credentials: "omit"}), fetch("/healthcheck"), fetch(document.querySelector("link[rel=manifest]").href)].map(p => p.then(r => r.status)))`, &statuses)
	if !slices.Equal(statuses, []int{401, 200, 200}) {
		t.Errorf("its API, health and manifest respond %v", statuses)
	}
	endsElsewhere(t, g, gate.Admin)
	p.Until("the sign-in page", func() bool { // a running gate learns of the end within a second
		p.Go(g.URL + "/unread")
		return p.Has("heading", "Sign in to .*")
	})
}
