package shipped

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

const (
	firstPassword  = "seven quiet otters 42"
	secondPassword = "a lamp under the stairs"
	thirdPassword  = "every boat needs a bell"
)

// The seed policy: .env makes the administrator, then the store is the truth, until it is forced.
func TestComposeWithASeededAdministrator(t *testing.T) {
	t.Parallel()
	r := newRecipe(t, "mxroute", "5000", nil)
	r.run("Start", 0)
	r.set("SITE", r.site)
	r.set("ADMIN_PASSWORD", "'"+firstPassword+"'")
	r.run("Start", 1)
	r.letsIn("admin", "a wrong one entirely", false)
	before := r.letsIn("admin", firstPassword, true)

	r.set("ADMIN_PASSWORD", "'"+secondPassword+"'")
	r.run("Start", 1)
	if before.app() == "" {
		t.Error("a restart ended the session")
	}
	r.letsIn("admin", secondPassword, false)

	r.set("ADMIN_PASSWORD_FORCE_SYNC", "true")
	r.run("Force the password of .env once", 0)
	if before.app() != "" {
		t.Error("the session survived the new password")
	}
	r.letsIn("admin", firstPassword, false)
	r.letsIn("admin", secondPassword, true)

	link := strings.TrimSpace(r.run("Forgotten password", 0))
	path, ok := strings.CutPrefix(link, r.site)
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	r.setByLink(path, thirdPassword)
	r.letsIn("admin", secondPassword, false)
	r.letsIn("admin", thirdPassword, true)
	r.run("Force the password of .env once", 0) // the flag may stay
	r.letsIn("admin", secondPassword, false)
	r.letsIn("admin", thirdPassword, true)

	r.run("Backup", 0)
	if !strings.HasPrefix(r.read("gatehouse-backup.db"), "SQLite format 3\x00") {
		t.Error("that is no backup")
	}
}

// setByLink sets a password on the page of a one-time link.
func (r *recipe) setByLink(path, password string) {
	r.t.Helper()
	v := &visitor{t: r.t, site: r.site}
	res := v.do(http.MethodGet, path, nil)
	res.Body.Close()
	next := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || next == "" {
		r.t.Fatalf("the link gets %d %s", res.StatusCode, next)
	}
	res = v.do(http.MethodPost, next, url.Values{"password": {password}})
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		text, _ := io.ReadAll(res.Body)
		r.t.Fatalf("the form gets %d: %s", res.StatusCode, text)
	}
}

// The managed policy: .env is the truth at every start.
func TestComposeWithAManagedAdministrator(t *testing.T) {
	t.Parallel()
	r := newRecipe(t, "the0", "3000", nil)
	r.initialize()
	r.run("Init", 1)
	before := r.letsIn("root@example.com", firstPassword, true)
	r.run("Init", 1)
	if before.app() == "" {
		t.Error("a start with the same values ended the session")
	}
	r.set("ADMIN_PASSWORD", "'"+secondPassword+"'")
	r.run("Rotate", 0)
	if before.app() != "" {
		t.Error("the session survived the rotation")
	}
	r.letsIn("root@example.com", firstPassword, false)
	r.letsIn("root@example.com", secondPassword, true)
}

// initialize runs the line that makes .env and the Caddyfile, with input in place of a terminal.
func (r *recipe) initialize() {
	r.t.Helper()
	line := strings.TrimSpace(r.page["Init"][0])
	changed := strings.NewReplacer(" -it ", " -i ", "http://localhost:8080", r.site).Replace(line) +
		" --email root@example.com --password-stdin"
	if !strings.Contains(line, " -it ") || !strings.Contains(line, "http://localhost:8080") {
		r.t.Fatalf("README.md makes the files otherwise: %s", line)
	}
	r.shell(changed, firstPassword+"\n")
	if info, err := os.Stat(filepath.Join(r.dir, ".env")); err != nil || info.Mode().Perm() != 0o600 {
		r.t.Fatalf(".env: %v, %v", info, err)
	}
}

// PostgreSQL starts before the gate, and has the accounts.
func TestComposeWithPostgreSQL(t *testing.T) {
	t.Parallel()
	port := harness.Postgres(t, "gatehouse")
	createdb := exec.Command("createdb", "-h", "127.0.0.1", "-p", port, "-U", "gatehouse", "gatehouse")
	if out, err := createdb.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	postgres := loopback()
	forward(t, net.JoinHostPort(postgres, "5432"), "127.0.0.1:"+port)
	r := newRecipe(t, "the0", "3000", map[string]string{"postgres": postgres})
	r.initialize()
	r.run("With PostgreSQL", 0)
	block := regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```$").FindStringSubmatch(r.text)
	options := regexp.MustCompile(`(?s)\A.*?\n\{\n.*?\n\}\n`)
	r.edit("Caddyfile", func(text string) string {
		changed := options.ReplaceAllLiteralString(text, block[1])
		if changed == text {
			t.Fatalf("there are no options to change in\n%s", text)
		}
		return changed
	})
	r.e.ready = func() error {
		p, err := loadProject(r.dir, []string{"compose.yaml", "compose.postgres.yaml"})
		if err != nil {
			return err
		}
		test := p.Services["postgres"].Healthcheck.Test
		i := slices.Index(test, "127.0.0.1")
		if test[0] != "CMD" || i < 0 {
			return errors.New("the health check asks another server")
		}
		test[i] = postgres // that of this test
		return exec.Command(test[1], test[2:]...).Run()
	}
	r.run("With PostgreSQL", 1)
	if !slices.Equal(r.e.log, []string{"postgres", "gatehouse"}) {
		t.Errorf("started %v", r.e.log)
	}
	r.letsIn("root@example.com", firstPassword, true)
	psql := exec.Command("psql", "-h", "127.0.0.1", "-p", port, "-U", "gatehouse", "-At", "-c", "SELECT email FROM users")
	if out, err := psql.Output(); err != nil || string(out) != "root@example.com\n" {
		t.Errorf("PostgreSQL has %q, %v", out, err)
	}
}

// forward passes connections on until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
	}()
}
