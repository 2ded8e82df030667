package testenv

import (
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Server is a PostgreSQL server of one test that can be stopped, started and replaced.
type Server struct {
	t    testing.TB
	bin  string
	dir  string
	attr *syscall.SysProcAttr
	port int
	args []string

	mu   sync.Mutex
	dsn  string
	stop func() // nil while it is stopped
}

// NewServer starts a PostgreSQL server for this test; args are added to its command line. Acknowledged changes
// survive a restart.
func NewServer(t testing.TB, args ...string) *Server {
	t.Helper()
	s := emptyServer(t, args)
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", "gatehouse", "-A", "trust", "-E", "UTF8",
		"--locale=C.UTF-8", "--no-sync")
	s.run(initdb)
	s.Start()
	return s
}

func emptyServer(t testing.TB, args []string) *Server {
	t.Helper()
	bin, err := postgresBin()
	if err != nil {
		t.Fatal(err)
	}
	dir, remove, err := serverFolder("ghpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	addr, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	// Nothing is written through to the disk: it is the server that fails here and not the machine.
	args = append([]string{"-c", "synchronous_commit=remote_apply"}, args...)
	s := &Server{t: t, bin: bin, dir: dir, port: addr.Port, args: args}
	if s.attr, err = postgresUser(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) run(cmd *exec.Cmd) {
	s.t.Helper()
	cmd.SysProcAttr, cmd.Dir = s.attr, s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", filepath.Base(cmd.Path), err, out)
	}
}

// Start starts the server, after Stop at the same address.
func (s *Server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.dsn, s.stop, err = runPostgres(s.bin, s.dir, s.data(), s.port, s.attr, s.args...); err != nil {
		s.t.Fatal(err)
	}
}

// Stop kills the server like a crash.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// DSN returns how to connect to the database postgres of the server.
func (s *Server) DSN() string { return s.dsn }

// Addr returns host:port.
func (s *Server) Addr() string {
	u, err := url.Parse(s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Host
}

// Standby starts a readable, synchronous standby: from then on a commit is acknowledged only when the standby has it.
func (s *Server) Standby() *Server {
	s.t.Helper()
	standby := emptyServer(s.t, s.args)
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	standby.run(exec.Command(filepath.Join(s.bin, "pg_basebackup"), "-h", host, "-p", port, "-U", "gatehouse",
		"-D", standby.data(), "-X", "stream", "-c", "fast", "-R", "--no-sync"))
	standby.Start()
	PostgresExec(s.t, s.dsn, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	PostgresExec(s.t, s.dsn, "SELECT pg_reload_conf()")
	return standby
}

// Promote promotes a standby to a writable server.
func (s *Server) Promote() {
	s.t.Helper()
	s.run(exec.Command(filepath.Join(s.bin, "pg_ctl"), "promote", "-w", "-t", strconv.Itoa(60), "-D", s.data()))
}
