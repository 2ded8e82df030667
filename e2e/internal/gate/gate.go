// Package gate runs a Caddy with Gatehouse for a test: on free ports of 127.0.0.1, with separate directories, until
// the test ends.
package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/certificate"
)

// Admin is the administrator that every gate starts with.
const (
	Admin         = "admin"
	AdminPassword = "correct horse battery staple"
)

// cheap is the lowest password hash cost that Gatehouse accepts: tests sign in hundreds of times.
const cheap = "password {\n\t\t\targon2id 19MiB 2 1\n\t\t}"

// app responds with the request. Its page links an icon, or browsers would request one at any time: also while a test
// has stopped the gate, which would look like a failure of the page.
const app = `route {
		header Content-Type "text/html; charset=utf-8"
		respond "<!doctype html><html lang=en><link rel=icon href=data:,><title>app</title><p>app: {http.request.method} {http.request.orig_uri} as {http.request.header.Remote-User}"
	}`

// Options of a gate. The zero value is the shortest use: one gate in front of a small app.
type Options struct {
	Global string   // lines of the global option gatehouse
	Site   string   // lines of the site directive gatehouse
	Caddy  string   // lines of Caddy's own global options
	App    string   // directives of the site behind the gate; by default app
	Hosts  []string // names of the site; default localhost
	HTTPS  bool     // with a certificate that the browser trusts
	Env    []string // more environment, after ADMIN_PASSWORD
}

// Gate is a running Caddy.
type Gate struct {
	URL    string // of the site: scheme, host and port
	Port   int
	binary string
	dir    string
	socket string // of Caddy's admin API
	config string
	env    []string
	log    lockedBuffer
	cmd    *exec.Cmd
	ended  chan error
}

// Binary returns the Caddy to run: GATEHOUSE_TEST_BIN, or one built from the checkout above.
var Binary = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("GATEHOUSE_TEST_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	top, err := Top()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(top, "bin", "caddy-dev")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/caddy")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gate: %w\n%s", err, out)
	}
	return bin, nil
})

// Top returns the directory of the checkout.
func Top() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "xcaddy.json")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("this is not a checkout of Gatehouse: no xcaddy.json in any folder above")
}

// Start runs a gate in dir, which should be a new directory, and waits until it responds.
func Start(ctx context.Context, dir string, o Options) (*Gate, error) {
	ports, err := Ports(1)
	if err != nil {
		return nil, err
	}
	g := &Gate{Port: ports[0], dir: dir}
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"localhost"}
	}
	scheme, tls := "http", ""
	if o.HTTPS {
		cert, key, err := certificate.Write(dir)
		if err != nil {
			return nil, err
		}
		scheme, tls = "https", "tls "+cert+" "+key+"\n"
	}
	g.URL = fmt.Sprintf("%s://%s:%d", scheme, o.Hosts[0], g.Port)
	if err := g.prepare(g.caddyfile(scheme, tls, o), o.Env); err != nil {
		return nil, err
	}
	return g, g.run(ctx, g.URL+"/_auth/healthz")
}

// StartFile runs an existing Caddyfile after replacing each of ports by a free one. The site is at the first.
func StartFile(ctx context.Context, dir, caddyfile string, ports []int, env ...string) (*Gate, error) {
	free, err := Ports(len(ports))
	if err != nil {
		return nil, err
	}
	for i, p := range ports {
		caddyfile = strings.ReplaceAll(caddyfile, ":"+strconv.Itoa(p), ":"+strconv.Itoa(free[i]))
	}
	g := &Gate{Port: free[0], URL: fmt.Sprintf("http://localhost:%d", free[0]), dir: dir}
	if err := g.prepare(caddyfile, env); err != nil {
		return nil, err
	}
	return g, g.run(ctx, g.URL+"/_auth/healthz")
}

func (g *Gate) caddyfile(scheme, tls string, o Options) string {
	names := make([]string, len(o.Hosts))
	for i, h := range o.Hosts {
		names[i] = fmt.Sprintf("%s://%s:%d", scheme, h, g.Port)
	}
	if o.App == "" {
		o.App = app
	}
	global := o.Global
	if !strings.Contains(global, "password {") {
		global = cheap + "\n" + global
	}
	return fmt.Sprintf(`{
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	grace_period 1s
	%s
	gatehouse {
		%s
	}
}
%s {
	bind 127.0.0.1
	%s
	gatehouse {
		%s
	}
	%s
}
`, o.Caddy, global, strings.Join(names, ", "), tls, o.Site, o.App)
}

func (g *Gate) prepare(caddyfile string, env []string) (err error) {
	if g.binary, err = Binary(); err != nil {
		return err
	}
	g.config = filepath.Join(g.dir, "Caddyfile")
	g.socket = filepath.Join(g.dir, "admin.sock")
	if len(g.socket) > 100 { // the path of a socket has to be short
		tmp, err := os.MkdirTemp("", "gate")
		if err != nil {
			return err
		}
		g.socket = filepath.Join(tmp, "admin.sock")
	}
	g.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir,
		"XDG_DATA_HOME=" + filepath.Join(g.dir, "data"), "XDG_CONFIG_HOME=" + filepath.Join(g.dir, "config"),
		"CADDY_ADMIN=unix/" + g.socket, "ADMIN_PASSWORD=" + AdminPassword,
	}, env...)
	return os.WriteFile(g.config, []byte(caddyfile), 0o600)
}

// run starts the process and waits until the gate is ready.
func (g *Gate) run(ctx context.Context, ready string) error {
	g.cmd = exec.Command(g.binary, "run", "--config", g.config, "--adapter", "caddyfile")
	g.cmd.Env, g.cmd.Dir = g.env, g.dir
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	if err := g.cmd.Start(); err != nil {
		return err
	}
	g.ended = make(chan error, 1)
	go func() { g.ended <- g.cmd.Wait() }()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	for client := g.Client(); ; {
		res, err := client.Get(ready)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-g.ended:
			g.ended <- err
			return fmt.Errorf("the gate ended: %w\n%s", errors.Join(err, errors.New("see its log")), g.Log())
		case <-deadline.C:
			return fmt.Errorf("the gate did not become ready (%w)\n%s", errors.Join(err, errors.New("timed out")), g.Log())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond): // waits: the pause of a poll that has a deadline
		}
	}
}

// Stop stops the process, and kills it after ten seconds.
func (g *Gate) Stop() error {
	if g.cmd == nil || g.cmd.Process == nil {
		return nil
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-g.ended:
		g.cmd = nil
		return err
	case <-time.After(10 * time.Second):
		_ = g.cmd.Process.Kill()
		<-g.ended
		g.cmd = nil
		return errors.New("the gate did not end when asked to")
	}
}

// Restart stops and starts the process, with the same port and data.
func (g *Gate) Restart(ctx context.Context) error {
	if err := g.Stop(); err != nil {
		return err
	}
	return g.run(ctx, g.URL+"/_auth/healthz")
}

// Reload loads the configuration again, after edit has changed it.
func (g *Gate) Reload(ctx context.Context, edit func(caddyfile string) string) error {
	raw, err := os.ReadFile(g.config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(g.config, []byte(edit(string(raw))), 0o600); err != nil {
		return err
	}
	_, err = g.Command(ctx, "", "reload", "--force", "--config", g.config, "--adapter", "caddyfile", "--address",
		"unix/"+g.socket)
	return err
}

// Gatehouse runs `caddy gatehouse <args>` on the gate's store and returns what it printed on standard output.
func (g *Gate) Gatehouse(ctx context.Context, stdin string, args ...string) (string, error) {
	return g.Command(ctx, stdin, append(append([]string{"gatehouse"}, args...), "--config", g.config, "--adapter",
		"caddyfile")...)
}

// Command runs a command of the gate's Caddy in its environment.
func (g *Gate) Command(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, g.binary, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = g.env, g.dir, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("caddy %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// Log returns what the gate has logged so far.
func (g *Gate) Log() string { return g.log.String() }

// Store returns the path of the gate's SQLite file.
func (g *Gate) Store() string {
	return filepath.Join(g.dir, "data", "caddy", "gatehouse", "gatehouse.db")
}

// Ports returns n ports that nobody listens on. Until this process ends a socket that does not listen is bound to each,
// so that no other program and no outgoing connection is given it; a program that asks for just this port gets it, as servers
// set SO_REUSEADDR. Only Linux is content with that: elsewhere the ports are free again at once.
func Ports(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			return nil, err
		}
		syscall.CloseOnExec(fd)
		if runtime.GOOS != "linux" {
			defer func() { _ = syscall.Close(fd) }()
		}
		err = errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
			syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		name, nameErr := syscall.Getsockname(fd)
		bound, ok := name.(*syscall.SockaddrInet4)
		if err = errors.Join(err, nameErr); err != nil || !ok {
			return nil, fmt.Errorf("reserve a port: %w", err)
		}
		ports[i] = bound.Port
	}
	return ports, nil
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Dir returns the directory of the gate's Caddyfile.
func (g *Gate) Dir() string { return g.dir }

// Environ returns the gate's environment.
func (g *Gate) Environ() []string { return append([]string(nil), g.env...) }
