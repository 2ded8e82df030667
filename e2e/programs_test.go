package e2e

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// gitServer serves bare repositories as git itself does, to whomever the gate names.
func gitServer(t *testing.T) (url, repository string) {
	t.Helper()
	root := t.TempDir()
	repository = filepath.Join(root, "one.git")
	program(t, root, nil, "git", "init", "--quiet", "--bare", "--initial-branch=main", repository)
	program(t, root, nil, "git", "-C", repository, "config", "http.receivepack", "true")
	backend := filepath.Join(strings.TrimSpace(program(t, root, nil, "git", "--exec-path")), "git-http-backend")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the app sees the credential of %s", r.URL.Path)
		}
		h := cgi.Handler{Path: backend, Root: "/git", Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + r.Header.Get("Remote-User"),
		}}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, repository
}

// program runs a program, which has to succeed, and returns what it prints.
func program(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := tryProgram(t, dir, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func tryProgram(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// The clients themselves, with the lines of docs/programs.md.
func TestProgramsGetInWithATokenAsTheySendIt(t *testing.T) {
	t.Parallel()
	app, repository := gitServer(t)
	g := start(t, gate.Options{
		Global: "tokens", Site: "basic /git/*\napi /api/*",
		App: "handle /git/* {\n\t\treverse_proxy " + app + "\n\t}\n\thandle {\n\t\trespond \"{http.request.method} as {http.request.header.Remote-User}\"\n\t}",
	})
	token, err := g.Gatehouse(t.Context(), "", "token", "add", "--service", "robot", "--name", "ci", "--host", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	token = strings.TrimSpace(token)
	host := strings.TrimPrefix(g.URL, "http://")
	work := t.TempDir()

	t.Run("git", func(t *testing.T) {
		clone := "http://git:" + token + "@" + host + "/git/one.git"
		program(t, work, nil, "git", "clone", "--quiet", clone, "copy")
		dir := filepath.Join(work, "copy")
		program(t, dir, nil, "git", "commit", "--quiet", "--allow-empty", "-m", "one")
		program(t, dir, nil, "git", "push", "--quiet", "origin", "HEAD:main")
		if log := program(t, work, nil, "git", "-C", repository, "log", "--format=%s", "main"); strings.TrimSpace(log) != "one" {
			t.Errorf("the server has %q", log)
		}
		header := []string{
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer " + token,
		}
		program(t, work, header, "git", "ls-remote", g.URL+"/git/one.git")
		if out, err := tryProgram(t, work, nil, "git", "ls-remote", g.URL+"/git/one.git"); err == nil {
			t.Errorf("git gets in without a token: %s", out)
		}
		if out, err := tryProgram(t, work, nil, "git", "ls-remote", "http://git:wrong@"+host+"/git/one.git"); err == nil {
			t.Errorf("git gets in with a wrong password: %s", out)
		}
	})
	netrc := filepath.Join(work, ".netrc")
	if err := os.WriteFile(netrc, []byte("machine localhost login x password "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	header := "Authorization: Bearer " + token
	for name, args := range map[string][]string{
		"curl, header":          {"curl", "-sSf", "-H", header, g.URL + "/api/x"},
		"curl, own header":      {"curl", "-sSf", "-H", "Gatehouse-Token: " + token, g.URL + "/api/x"},
		"curl, oauth2":          {"curl", "-sSf", "--oauth2-bearer", token, g.URL + "/api/x"},
		"curl, password":        {"curl", "-sSf", "-u", "x:" + token, g.URL + "/git/one.git/info/refs?service=git-upload-pack"},
		"curl, username":        {"curl", "-sSf", "-u", token + ":", g.URL + "/git/one.git/info/refs?service=git-upload-pack"},
		"curl, netrc":           {"curl", "-sSf", "--netrc-file", netrc, g.URL + "/git/one.git/info/refs?service=git-upload-pack"},
		"curl, after asking":    {"curl", "-sSf", "--anyauth", "-u", "x:" + token, g.URL + "/git/one.git/info/refs?service=git-upload-pack"},
		"wget, header":          {"wget", "-qO-", "--header", header, g.URL + "/api/x"},
		"wget, password":        {"wget", "-qO-", "--user=x", "--password=" + token, g.URL + "/git/one.git/info/refs?service=git-upload-pack"},
		"wget, password, ahead": {"wget", "-qO-", "--auth-no-challenge", "--user=x", "--password=" + token, g.URL + "/git/one.git/info/refs?service=git-upload-pack"},
	} {
		t.Run(name, func(t *testing.T) {
			out := program(t, work, nil, args[0], args[1:]...)
			if !strings.Contains(out, "as robot") && !strings.Contains(out, "refs/heads/main") {
				t.Errorf("it gets %q", out)
			}
		})
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
