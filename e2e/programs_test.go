package e2e

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// gitServer serves bare repositories as git itself does, to whomever the gate names.
func gitServer(t *testing.T) (app http.Handler, repository string) {
	t.Helper()
	root := t.TempDir()
	repository = filepath.Join(root, "one.git")
	run(t, root, "git", "init", "--quiet", "--bare", "--initial-branch=main", repository)
	run(t, repository, "git", "config", "http.receivepack", "true")
	backend := filepath.Join(strings.TrimSpace(run(t, root, "git", "--exec-path")), "git-http-backend")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := cgi.Handler{Path: backend, Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + r.Header.Get("Remote-User"),
		}}
		h.ServeHTTP(w, r)
	}), repository
}

// run runs a program, which has to succeed, and returns what it prints.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return string(out)
}

// The clients that are on every machine, with the lines of docs/programs.md; the others are behind the build tag programs.
func TestProgramsGetInWithTheDocumentedLines(t *testing.T) {
	t.Parallel()
	t.Run("git", func(t *testing.T) {
		t.Parallel()
		app, repository := gitServer(t)
		p := harness.StartPrograms(t, app)
		git := harness.Section(t, "git", "programs.md")
		p.LetIn(t, harness.Use{Lines: git})
		if log := run(t, repository, "git", "log", "--format=%s", "main"); log != "from a program\n" {
			t.Errorf("the server has %q", log)
		}
		p.Refuse(t, harness.Use{Lines: git}, harness.Use{Lines: git, Commands: git.Commands[1]})
	})
	t.Run("curl and wget", func(t *testing.T) {
		t.Parallel()
		p := harness.StartPrograms(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.Path+" as "+r.Header.Get("Remote-User"))
		}))
		var each []harness.Use
		lines := harness.Section(t, "curl and wget", "programs.md")
		for line := range strings.Lines(lines.Commands[0]) {
			each = append(each, harness.Use{Lines: lines, Commands: line})
			if out, _ := p.LetIn(t, each[len(each)-1]); out != "/data as backup" {
				t.Errorf("%s gets %q", line, out)
			}
		}
		p.Refuse(t, each...)
	})
}

// A probe sees the app on a public path, and elsewhere that it does not: no page that it takes for a healthy app.
func TestProbesGetInWithTheDocumentedLines(t *testing.T) {
	t.Parallel()
	section := harness.Section(t, "Probes and uptime checks", "programs.md")
	_, site := section.Gatehouse(t)
	g := start(t, gate.Options{HTTPS: true, Site: site})
	c := harness.NewClient(t, g, "")
	c.Write(t, section)
	if out := c.MustRun(t, section.Commands[0]); !strings.Contains(out, "app: GET /healthz as ") {
		t.Errorf("the probe gets %q", out)
	}
	out, err := c.Run(t, strings.ReplaceAll(section.Commands[0], "/healthz", "/other"))
	if err == nil || !strings.Contains(out, "401") {
		t.Errorf("a probe of another path gets %q, %v", out, err)
	}
}

// A browser never opens a window for a password, wherever programs are asked for one, and a token that it was told to
// send by itself does not count.
func TestNoBrowserIsAskedForAPassword(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "tokens", Site: "basic /*"})
	token, err := g.Gatehouse(t.Context(), "", "token", "add", "--service", "robot", "--name", "x", "--host", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/git/x")
	if !strings.Contains(p.URL(), "/_auth/login") {
		t.Errorf("a page load ends at %s", p.URL())
	}
	res, err := g.Do(g.Client(), "/git/x", nil, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("x:"+strings.TrimSpace(token))),
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")
	if err != nil || res.Status != http.StatusUnauthorized || strings.Contains(res.Header.Get("WWW-Authenticate"), "Basic") {
		t.Errorf("a browser's password gets %d, %q, %v", res.Status, res.Header.Get("WWW-Authenticate"), err)
	}
}
