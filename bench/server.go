package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

const adminPassword = "correct horse battery staple"

// upstream responds with 1 KiB.
func upstream() *httptest.Server {
	body := bytes.Repeat([]byte("x"), 1024)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
}

func build(ctx context.Context, dir string) (string, error) {
	out := filepath.Join(dir, "caddy")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-w -s", "-o", out, "./cmd/caddy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building Caddy: %w", err)
	}
	return out, nil
}

// server is a running Caddy.
type server struct {
	cmd     *exec.Cmd
	url     string
	home    string
	startup time.Duration
	begin   func() *exec.Cmd
	command func(ctx context.Context, args ...string) *exec.Cmd // of its command line, on its store
	log     bytes.Buffer                                        // its output; read it only after the process has ended
}

// store returns the path of the gate's store.
func (s *server) store() string { return filepath.Join(s.home, "caddy", "gatehouse", "gatehouse.db") }

// restart restarts the server, so that a start with an existing store is measured.
func (s *server) restart(ctx context.Context) error {
	s.stop()
	return s.start(ctx)
}

func (s *server) start(ctx context.Context) error {
	begin := time.Now()
	s.cmd = s.begin()
	s.log.Reset()
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if err := s.await(ctx); err != nil {
		s.stop()
		return fmt.Errorf("%w; it wrote:\n%s", err, s.log.String())
	}
	s.startup = time.Since(begin)
	return nil
}

// startCaddy runs binary with a site that has directive before reverse_proxy, and global options besides its own.
func startCaddy(ctx context.Context, binary, dir, name, directive, global string, up *httptest.Server) (*server, error) {
	return startCaddyAs(ctx, "127.0.0.1", binary, dir, name, directive, global, up)
}

// startCaddyAs is startCaddy with a name of the site that leads to 127.0.0.1.
func startCaddyAs(ctx context.Context, host, binary, dir, name, directive, global string, up *httptest.Server) (*server, error) {
	reserved, _, err := testenv.Reserve() // until the end: it is started again and again
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(host, strconv.Itoa(reserved.Port))
	home := filepath.Join(dir, name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(home, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}\n%s}\nhttp://%s {\n\tbind 127.0.0.1\n\t%s\n\treverse_proxy %s\n}\n",
		global, addr, directive, up.Listener.Addr())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	env := append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "HOME="+home, "ADMIN_PASSWORD="+adminPassword)
	s := &server{url: "http://" + addr, home: home, begin: func() *exec.Cmd {
		cmd := exec.Command(binary, "run", "--config", config, "--adapter", "caddyfile")
		cmd.Env = env
		return cmd
	}, command: func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, binary, append(append([]string{"gatehouse"}, args...), "--config", config, "--adapter", "caddyfile")...)
		cmd.Env = env
		return cmd
	}}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("%s Caddy: %w", name, err)
	}
	return s, nil
}

// await polls until the site responds as expected.
func (s *server) await(ctx context.Context) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusUnauthorized {
			return nil
		}
	}
	return errors.New("did not answer within 30 seconds")
}

// signIn returns the Cookie header of a new session.
func (s *server) signIn(ctx context.Context) (string, error) {
	return s.cookieOf(ctx, http.DefaultClient, cookieOfSession, "/_auth/login", url.Values{"username": {"admin"}, "password": {adminPassword}})
}

// cookieOf sends a form and returns the Cookie header with a cookie of the response.
func (s *server) cookieOf(ctx context.Context, client *http.Client, name, path string, form url.Values) (string, error) {
	res, err := s.post(ctx, client, path, "", form)
	if err != nil {
		return "", err
	}
	return cookieIn(res, name)
}

// cookieIn returns the Cookie header with a cookie that a response sets.
func cookieIn(res *http.Response, name string) (string, error) {
	for _, c := range res.Cookies() {
		if c.Name == name && c.Value != "" {
			return c.Name + "=" + c.Value, nil
		}
	}
	return "", fmt.Errorf("%s answered %d without a cookie %s", res.Request.URL.Path, res.StatusCode, name)
}

// post sends a form, as [server.send] does.
func (s *server) post(ctx context.Context, client *http.Client, path, cookie string, form url.Values) (*http.Response, error) {
	return s.send(ctx, client, path, cookie, "application/x-www-form-urlencoded", form.Encode())
}

// send sends a POST request. The body of the response has been read and is closed; redirects are not followed.
func (s *server) send(ctx context.Context, client *http.Client, path, cookie, kind, text string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", kind)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	here := *client
	here.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := here.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, err
}

// cpu returns the process's CPU time in seconds, from its own clock (clock_getcpuclockid(3)): /proc has it in hundredths
// of a second, which is much of a short sample.
func (s *server) cpu() (float64, error) {
	const all = 2 // CPUCLOCK_SCHED of Linux: as scheduled, user and system
	var t unix.Timespec
	if err := unix.ClockGettime(^int32(s.cmd.Process.Pid)<<3|all, &t); err != nil {
		return 0, fmt.Errorf("the CPU time of Caddy: %w", err)
	}
	return float64(t.Nano()) / 1e9, nil
}

// rss returns the resident memory in MiB.
func (s *server) rss() float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(raw))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// stop stops the process.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
	}
}
