//go:build apps

package apps

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// The reader is signed in by header, its programs' interface asks for its own key, and its manifest and worker load.
func TestMiniflux(t *testing.T) {
	home, at := t.TempDir(), harness.Port(t)
	program := installed(t, "miniflux", "miniflux.app")
	env := []string{
		"DATABASE_URL=" + postgres(t), "RUN_MIGRATIONS=1", "LISTEN_ADDR=127.0.0.1:" + at, "BASE_URL=https://miniflux.test/",
		"AUTH_PROXY_HEADER=Remote-User", "AUTH_PROXY_USER_CREATION=1", "DISABLE_LOCAL_AUTH=1",
		"TRUSTED_REVERSE_PROXY_NETWORKS=127.0.0.1/32",
	}
	launch(t, home, "http://127.0.0.1:"+at+"/healthcheck", env, program)
	g := behind(t, "miniflux", at)
	p := signedIn(t, g, "/")
	p.Until("the reader", func() bool { return strings.Contains(p.Title(), "Miniflux") })
	p.Go(g.URL + "/settings")
	var username string
	p.Eval(`document.querySelector("[name=username]").value`, &username)
	if username != "admin" {
		t.Errorf("the reader takes the person for %q", username)
	}
	var statuses []int
	p.Eval(`Promise.all(["/v1/me", "/healthcheck", document.querySelector("link[rel=manifest]").href].map(a => fetch(a, {credentials: "include"}).then(r => r.status)))`, &statuses)
	if !slices.Equal(statuses, []int{401, 200, 200}) {
		t.Errorf("its API, health and manifest respond %v", statuses)
	}
	endsElsewhere(t, g, gate.Admin)
	p.Go(g.URL + "/unread")
	p.Find("heading", "Sign in to .*")
}

// postgres runs a PostgreSQL of its own until the test ends, and returns its connection string.
func postgres(t *testing.T) string {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("initdb"); err == nil {
		bins = append(bins, filepath.Dir(path))
	}
	if len(bins) == 0 {
		t.Fatal("there is no PostgreSQL: install the package postgresql")
	}
	bin := bins[len(bins)-1]
	dir, err := os.MkdirTemp("", "ghapp") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := new(syscall.SysProcAttr)
	if os.Geteuid() == 0 { // it refuses to run as root
		other, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(other.Uid)
		gid, _ := strconv.Atoi(other.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data, at := filepath.Join(dir, "data"), harness.Port(t)
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "miniflux", "-A", "trust", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	var log bytes.Buffer
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-p", at, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = attr, dir, &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		_ = server.Wait()
	})
	for deadline := time.Now().Add(time.Minute); exec.Command(filepath.Join(bin, "pg_isready"), "-h", "127.0.0.1", "-p", at).Run() != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not respond:\n%s", log.String())
		}
	}
	return fmt.Sprintf("postgres://miniflux@127.0.0.1:%s/postgres?sslmode=disable", at)
}
