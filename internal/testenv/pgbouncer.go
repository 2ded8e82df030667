package testenv

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgBouncer is the PgBouncer of a test process.
type pgBouncer struct {
	port int
	out  *lockedBuffer
}

// PgBouncerDSN creates a database and returns how to connect to it through a PgBouncer in transaction mode: each
// transaction may have another connection, with the session state of another client. direct bypasses it.
func PgBouncerDSN(t testing.TB) (through, direct string) {
	t.Helper()
	direct = PostgresDSN(t)
	config, err := pgx.ParseConfig(direct)
	if err != nil {
		t.Fatalf("the connection string of the test server cannot be read: %v", err)
	}
	bin, err := pgBouncerBin()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // another program may take the free port first
		var b *pgBouncer
		if b, err = startPgBouncer(t, bin, config); err == nil {
			u := url.URL{
				Scheme: "postgres", User: url.User(config.User), Host: "127.0.0.1:" + strconv.Itoa(b.port),
				Path: "/" + config.Database, RawQuery: "sslmode=disable",
			}
			return u.String(), direct
		}
	}
	t.Fatalf("start PgBouncer: %v", err)
	return "", ""
}

func pgBouncerBin() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/pgbouncer" // not on every PATH
	if _, err := os.Stat(debian); err != nil {
		return "", errors.New("there is no PgBouncer: install the package \"pgbouncer\" (Debian: apt-get install pgbouncer)")
	}
	return debian, nil
}

// pgBouncerConfig has few server connections, so that clients share them like under load.
const pgBouncerConfig = `[databases]
* = %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 4
server_idle_timeout = 5
`

func startPgBouncer(t testing.TB, bin string, config *pgx.ConnConfig) (*pgBouncer, error) {
	t.Helper()
	addr, release, err := Reserve()
	if err != nil {
		return nil, err
	}
	t.Cleanup(release)
	port := addr.Port
	dir, remove, err := serverFolder("ghpgb")
	if err != nil {
		return nil, err
	}
	t.Cleanup(remove)
	attr, err := postgresUser(dir) // it also refuses to run as root
	if err != nil {
		return nil, err
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	target := fmt.Sprintf("host=%s port=%d user=%s", config.Host, config.Port, config.User)
	if config.Password != "" { // an empty one would be a syntax error
		target += " password='" + strings.ReplaceAll(config.Password, "'", "''") + "'"
	}
	text := fmt.Sprintf(pgBouncerConfig, target, port)
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if c := attr.Credential; c != nil {
		if err := os.Chown(ini, int(c.Uid), int(c.Gid)); err != nil {
			return nil, err
		}
	}
	b := &pgBouncer{port: port, out: new(lockedBuffer)}
	cmd := exec.Command(bin, ini)
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = attr, dir, b.out, b.out
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the kernel kills it with the thread that started it
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its output shows how it ended
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // immediate shutdown
		<-exited
	})
	dsn := fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", config.User, port, config.Database)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if err = execOn(dsn, "SELECT 1"); err == nil {
			return b, nil
		}
		select {
		case <-exited:
			return nil, fmt.Errorf("pgbouncer ended: %s", b.out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("pgbouncer does not answer: %w: %s", err, b.out)
}

// lockedBuffer holds the output of a running program.
type lockedBuffer struct {
	mu sync.Mutex
	b  []byte
}

// Write implements [io.Writer].
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

// String returns the output so far.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}
