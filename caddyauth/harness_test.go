package caddyauth_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/store"
)

// These tests run a real Caddy in this process. Caddy is a global, so they run one after the other; other packages
// run beside them.
// minParams is what a configuration must have. For the tests it may be cheap: honest hashes would take a sixth of their time.
var minParams = password.MinParams

func TestMain(m *testing.M) {
	password.MinParams = webtest.Cheap
	if config := os.Getenv(nodeEnv); config != "" {
		runNode(config)
	}
	dir, err := os.MkdirTemp("", "gatehouse-caddyauth-")
	if err != nil {
		panic(err)
	}
	for _, k := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME"} {
		_ = os.Setenv(k, dir)
	}
	for _, k := range os.Environ() { // nothing of this machine's administrator may leak into the tests
		if name, _, _ := strings.Cut(k, "="); strings.HasPrefix(name, "ADMIN_") {
			_ = os.Unsetenv(name)
		}
	}
	code := testenv.Run(m)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const (
	adminName = "admin"
	adminPass = "correct horse battery staple"
)

// upstream is the app behind the gate. It records requests and responds with what it received.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

type seen struct {
	Method, URI, Host string
	Header            http.Header
	Trailer           http.Header
	Body              string
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s := seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.Trailer.Clone(), string(body)}
		u.mu.Lock()
		u.seen = append(u.seen, s)
		u.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Upstream", "yes")
		_ = json.NewEncoder(w).Encode(s)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

func (u *upstream) last() seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seen) == 0 {
		return seen{}
	}
	return u.seen[len(u.seen)-1]
}

// caddyServer is a running Caddy with a gate.
type caddyServer struct {
	t    testing.TB
	up   *upstream
	addr string
	dir  string
	logs *logBuffer

	place testenv.Place

	global, site string
	hash         string // the cost of a password hash; "" for a cheap one
	loaded       bool
}

// option changes how a server starts.
type option func(*caddyServer)

// withHash makes hashing a password as expensive as that, for tests of what it costs.
func withHash(argon2id string) option { return func(s *caddyServer) { s.hash = argon2id } }

// withGlobal adds lines to the global gatehouse block.
func withGlobal(lines string) option { return func(s *caddyServer) { s.global = lines } }

// start runs Caddy with the site block's lines before reverse_proxy.
func start(t testing.TB, site string, opts ...option) *caddyServer {
	t.Helper()
	s := &caddyServer{t: t, up: newUpstream(t), dir: t.TempDir(), addr: testenv.Address(t), site: site, logs: &logBuffer{}}
	s.place = testenv.NewPlace(t)
	for _, o := range opts {
		o(s)
	}
	if err := s.load(); err != nil {
		t.Fatalf("starting Caddy: %v\n%s", err, s.logs.String())
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return s
}

// startAdmin is start with an administrator made from the environment.
func startAdmin(t testing.TB, site string, opts ...option) *caddyServer {
	t.Helper()
	setenv(t, "ADMIN_PASSWORD", adminPass)
	return start(t, site, opts...)
}

func setenv(t testing.TB, k, v string) {
	t.Helper()
	old, had := os.LookupEnv(k)
	_ = os.Setenv(k, v)
	t.Cleanup(func() {
		if had {
			_ = os.Setenv(k, old)
		} else {
			_ = os.Unsetenv(k)
		}
	})
}

// caddyfile writes the configuration. The password cost is the lowest that TestMain allows.
func (s *caddyServer) caddyfile() string {
	return fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	grace_period 1s
	log default {
		output net %[6]s {
			soft_start
		}
		level DEBUG
		format json
	}
	gatehouse {
		%[1]s
		password {
			argon2id %[7]s
		}
		%[2]s
	}
}
http://%[3]s {
	bind 127.0.0.1
	%[4]s
	reverse_proxy %[5]s
}
`, s.place.Caddyfile(), s.global, s.addr, strings.ReplaceAll(s.site, "UPSTREAM", s.up.Listener.Addr().String()), s.up.Listener.Addr(), s.logs.listen(s.t), cmp.Or(s.hash, "64KiB 1 1"))
}

// load (re)loads the configuration in force.
func (s *caddyServer) load() error {
	err := loadCaddyfile(s.caddyfile())
	if err == nil && s.loaded {
		s.waitForOldSocket()
	}
	s.loaded = true
	return err
}

// waitForOldSocket waits until the previous configuration has closed its socket. Caddy closes it a moment after the new
// one runs, and a form that was waiting there would be lost, as with any Caddy. It requests a host that has no site.
func (s *caddyServer) waitForOldSocket() {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := http.NewRequest("GET", "http://"+s.addr, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = "no-such-site.invalid"
	good := 0
	eventually(s.t, "the old socket to be closed", func() bool {
		res, err := client.Do(r)
		if good++; err != nil {
			good = 0
			return false
		}
		_ = res.Body.Close()
		return good == 5
	})
}

func loadCaddyfile(text string) error {
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	return loadJSON(cfg)
}

// lastLoad is when Caddy loaded a configuration last, in nanoseconds; the end of time while it does.
var lastLoad atomic.Int64

func loadJSON(cfg []byte) error {
	lastLoad.Store(math.MaxInt64)
	defer func() { lastLoad.Store(time.Now().UnixNano()) }()
	return caddy.Load(cfg, true)
}

// logBuffer collects Caddy's log lines over a local socket, so that every logger of a configuration ends up here.
type logBuffer struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	addr string
}

func (l *logBuffer) listen(t testing.TB) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addr != "" {
		return l.addr
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	l.addr = ln.Addr().String()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(l, c) }()
		}
	}()
	return l.addr
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// waitFor waits until the log contains a text.
func (l *logBuffer) waitFor(t testing.TB, text string) string {
	t.Helper()
	eventually(t, "the log to say "+text, func() bool { return strings.Contains(l.String(), text) })
	return l.String()
}

// eventually polls until ok, for at most ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// openStore opens the server's store as another process would.
func (s *caddyServer) openStore() store.Store {
	s.t.Helper()
	return s.place.Open(s.t)
}
