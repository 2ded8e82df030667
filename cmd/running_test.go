package cmd_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// server is a Caddy process that uses the files of `init`.
type server struct {
	t    *testing.T
	dir  string
	site string
	log  string
}

// newServer runs init.
func newServer(t *testing.T, pass string, flags ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, dir: dir, site: "http://" + testenv.Address(t), log: filepath.Join(dir, "log")}
	s.run(pass+"\n", append([]string{"init", "--email", "ada@example.com", "--password-stdin", "--site", s.site},
		flags...)...)
	return s
}

// start starts Caddy and returns when the gate is ready; stop stops it.
func (s *server) start() (stop func()) {
	s.t.Helper()
	log, err := os.Create(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command("caddy", "run", "--envfile", ".env")
	c.Dir, c.Env, c.Stdout, c.Stderr = s.dir, s.env(), log, log
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	stop = func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = c.Process.Kill()
		}
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if code, _ := s.get("/_auth/healthz", ""); code == http.StatusOK {
			return stop
		}
		select {
		case err := <-ended:
			s.t.Fatalf("Caddy ended: %v\n%s", err, s.logged())
		default:
		}
		if time.Now().After(deadline) {
			stop()
			s.t.Fatalf("Caddy does not answer\n%s", s.logged())
		}
	}
}

func (s *server) env() []string {
	return append(cleanEnv(s.dir), "XDG_DATA_HOME="+s.dir+"/data", "XDG_CONFIG_HOME="+s.dir+"/config",
		"CADDY_ADMIN=unix/"+s.dir+"/admin.sock")
}

func (s *server) logged() string {
	data, _ := os.ReadFile(s.log)
	return string(data)
}

// run runs a verb in another process; it has to succeed.
func (s *server) run(stdin string, args ...string) {
	s.t.Helper()
	c := exec.Command("caddy", append([]string{"gatehouse"}, args...)...)
	c.Dir, c.Env, c.Stdin = s.dir, s.env(), strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

var noRedirects = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       30 * time.Second,
}

func (s *server) get(path, cookie string) (code int, location string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.site+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	res, err := noRedirects.Do(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Location")
}

// signIn returns the session cookie, "" when the sign-in was refused.
func (s *server) signIn(user, pass string) string {
	s.t.Helper()
	res, err := noRedirects.PostForm(s.site+"/_auth/login",
		url.Values{"username": {user}, "password": {pass}, "rt": {"/"}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "gatehouse" && res.StatusCode == http.StatusSeeOther {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

const (
	firstPass  = `pa$$ "wörd" \ with 'all' of it`
	secondPass = "a lamp under the stairs"
)

func TestTheStarterRunsAndItsPasswordSignsIn(t *testing.T) {
	t.Parallel()
	s := newServer(t, firstPass)
	defer s.start()()
	if code, to := s.get("/", ""); code != http.StatusFound || !strings.HasPrefix(to, "/_auth/login") {
		t.Errorf("without a session: %d %s", code, to)
	}
	for _, user := range []string{"admin", "ada@example.com", "ADA@Example.com"} {
		cookie := s.signIn(user, firstPass)
		if cookie == "" {
			t.Fatalf("%s can't sign in\n%s", user, s.logged())
		}
		if code, _ := s.get("/", cookie); code != http.StatusOK {
			t.Errorf("%s: %d", user, code)
		}
	}
	if strings.Contains(s.logged(), "wörd") {
		t.Error("the log holds the password")
	}
}

func TestAResetTakesEffectOnARunningServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, firstPass)
	defer s.start()()
	cookie := s.signIn("admin", firstPass)
	if code, _ := s.get("/", cookie); code != http.StatusOK {
		t.Fatalf("signed in: %d\n%s", code, s.logged())
	}
	s.run(secondPass+"\n", "reset-password", "--password-stdin")
	for done := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if code, _ := s.get("/", cookie); code == http.StatusFound {
			break
		}
		if time.Since(done) > time.Second {
			t.Fatal("the session is still valid a second after the reset")
		}
	}
	if s.signIn("admin", firstPass) != "" {
		t.Error("the old password signs in")
	}
	if s.signIn("admin", secondPass) == "" {
		t.Errorf("the new password does not sign in\n%s", s.logged())
	}
}

func TestAManagedPasswordRotatesThroughTheEnvFile(t *testing.T) {
	t.Parallel()
	s := newServer(t, firstPass, "--managed")
	stop := s.start()
	cookie := s.signIn("ada@example.com", firstPass)
	if cookie == "" {
		t.Errorf("the managed administrator can't sign in\n%s", s.logged())
	}
	s.run(secondPass+"\n", "reset-password", "--env-file", ".env", "--password-stdin")
	if code, _ := s.get("/", cookie); code != http.StatusOK {
		t.Errorf("the file alone changed something: %d", code)
	}
	stop()
	defer s.start()()
	if code, _ := s.get("/", cookie); code != http.StatusFound {
		t.Errorf("the session survived the rotation: %d", code)
	}
	if s.signIn("ada@example.com", firstPass) != "" {
		t.Error("the old password signs in")
	}
	if s.signIn("ada@example.com", secondPass) == "" {
		t.Errorf("the new password does not sign in\n%s", s.logged())
	}
}

// TestALinkFromTheCommandLineWorksOnTheServer opens a link that the command line printed.
func TestALinkFromTheCommandLineWorksOnTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, firstPass)
	defer s.start()()
	c := exec.Command("caddy", "gatehouse", "user", "add", "bob", "--link", "--site", s.site)
	c.Dir, c.Env = s.dir, s.env()
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	link := strings.TrimPrefix(strings.TrimSpace(string(out)), s.site)
	code, to := s.get(link, "")
	if code != http.StatusSeeOther || to != "/_auth/welcome" {
		t.Errorf("the link returns %d %s, want a redirect to a URL without the token", code, to)
	}
}

// Run by another user, a command finds another store, or would make one: the running Caddy is asked, and it is refused.
func TestCommandsRefuseAStoreThatTheRunningCaddyDoesNotUse(t *testing.T) {
	t.Parallel()
	s := newServer(t, "seven quiet otters 42")
	defer s.start()()
	asRoot := func(args ...string) (string, error) {
		c := exec.Command("caddy", append([]string{"gatehouse"}, args...)...)
		c.Dir, c.Env = s.dir, append(s.env(), "XDG_DATA_HOME="+s.dir+"/root")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{
		{"user", "add", "eve", "--link"},
		{"user", "add", "eve", "--link", "--new-store"},
		{"user", "list"},
		{"seed", "--dry-run"},
		{"store", "info"},
		{"backup", "b.db"},
		{"reset-password", "--link"},
	} {
		out, err := asRoot(args...)
		if err == nil || !strings.Contains(out, s.dir+"/data/caddy/gatehouse/gatehouse.db") ||
			!strings.Contains(out, s.dir+"/root/caddy/gatehouse/gatehouse.db") || !strings.Contains(out, "sudo -u caddy") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if _, err := os.Stat(s.dir + "/root/caddy/gatehouse"); !os.IsNotExist(err) {
		t.Errorf("something was made: %v", err)
	}
	if out, err := asRoot("user", "list", "--store", s.dir+"/data/caddy/gatehouse/gatehouse.db"); err != nil {
		t.Errorf("the store by its name: %v\n%s", err, out)
	}
	s.run("", "user", "add", "eve", "--link")
}

// An admin API that does not say which store the running Caddy uses is not taken for none.
func TestANewStoreNeedsToKnowThatNoOtherIsInUse(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "origin not allowed", http.StatusForbidden)
	}))
	defer api.Close()
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for address, refused := range map[string]bool{
		api.Listener.Addr().String(): true, none.Listener.Addr().String(): false, closed.Listener.Addr().String(): false,
	} {
		dir := t.TempDir()
		config := "{\n\tadmin {env.ADMIN_API}\n\tgatehouse {\n\t\tstore sqlite gate.db\n\t}\n}\n:8080 {\n\tgatehouse\n}\n"
		if err := os.WriteFile(dir+"/Caddyfile", []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("caddy", "gatehouse", "user", "add", "eve", "--link", "--new-store")
		c.Dir, c.Env = dir, append(os.Environ(), "ADMIN_API="+address, "HOME="+dir, "XDG_DATA_HOME="+dir)
		out, err := c.CombinedOutput()
		if (err != nil) != refused || refused && !strings.Contains(string(out), "a Caddy may be running with another store") {
			t.Errorf("refused: %v, want %t\n%s", err, refused, out)
		}
	}
}
