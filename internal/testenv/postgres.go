package testenv

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// postgresEnv is the environment variable with the DSN of a PostgreSQL server to use, whose user must be allowed to
// create databases. Without it the tests start a private server.
const postgresEnv = "GATEHOUSE_TEST_POSTGRES"

// server is the PostgreSQL server of this test process.
var server struct {
	once sync.Once
	err  error
	dsn  string
	stop func()

	schema    sync.Once
	schemaErr error
	template  string // a migrated database
}

// Main runs the tests of a package that uses PostgreSQL and stops the server at the end. Call it from TestMain.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for packages with further clean-up; it returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	switch {
	case server.stop != nil:
		server.stop()
	case server.template != "": // an external server
		if err := adminExec("DROP DATABASE IF EXISTS " + server.template); err != nil {
			fmt.Fprintln(os.Stderr, "drop the template:", err)
		}
	}
	return code
}

// PostgresDSN creates a database, which is dropped after the test, and returns its DSN. Without PostgreSQL the test
// fails: a skipped test proves nothing.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	return newDatabase(t, "template1")
}

// MigratedDSN is PostgresDSN with the schema, copied from a template, which is faster than migrating.
func MigratedDSN(t testing.TB) string {
	t.Helper()
	requireServer(t)
	server.schema.Do(func() {
		server.template = "gatehouse_template_" + strings.ToLower(store.NewID(time.Now()))
		server.schemaErr = makeTemplate(server.template)
	})
	if server.schemaErr != nil {
		t.Fatalf("make a database to copy: %v", server.schemaErr)
	}
	return newDatabase(t, server.template)
}

func makeTemplate(name string) error {
	dsn, err := withDatabase(server.dsn, name)
	if err != nil {
		return err
	}
	if err := adminExec("CREATE DATABASE " + name); err != nil {
		return err
	}
	db, err := sqlstore.Open(context.Background(), sqlstore.Options{
		Engine: sqlstore.EnginePostgres, DSN: dsn,
		Migrate: true,
	})
	if err != nil {
		return err
	}
	return db.Close()
}

func requireServer(t testing.TB) {
	t.Helper()
	server.once.Do(func() {
		if server.dsn = os.Getenv(postgresEnv); server.dsn == "" {
			server.dsn, server.stop, server.err = startPostgres()
		}
	})
	if server.err != nil {
		t.Fatalf("start PostgreSQL: %v", server.err)
	}
}

func newDatabase(t testing.TB, template string) string {
	t.Helper()
	requireServer(t)
	name := "gatehouse_" + strings.ToLower(store.NewID(time.Now()))
	if err := adminExec("CREATE DATABASE " + name + " TEMPLATE " + template); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		if err := adminExec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the database: %v", err)
		}
	})
	dsn, err := withDatabase(server.dsn, name)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// PostgresExec runs a statement in the database at dsn on a separate connection.
func PostgresExec(t testing.TB, dsn, statement string) {
	t.Helper()
	if err := execOn(dsn, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// PostgresText returns the single value of a query in the database at dsn as text.
func PostgresText(t testing.TB, dsn, text string) string {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows := query(t, db, text)
	if len(rows) != 1 {
		t.Fatalf("%s: %d rows", text, len(rows))
	}
	return rows[0]
}

func adminExec(statement string) error { return execOn(server.dsn, statement) }

func execOn(dsn, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func withDatabase(dsn, name string) (string, error) {
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return "", fmt.Errorf("%s cannot be read", postgresEnv)
		}
		u.Path = "/" + name
		return u.String(), nil
	}
	return dsn + " dbname=" + name, nil
}

// startPostgres creates a cluster in a temporary directory and runs it on a free port of 127.0.0.1, without fsync,
// since it lives only as long as the tests.
func startPostgres() (dsn string, stop func(), err error) {
	bin, err := postgresBin()
	if err != nil {
		return "", nil, err
	}
	// Not in a test's directory: that belongs to this user, and PostgreSQL may have to run as another one. The path has
	// to be short, like that of any Unix socket.
	dir, remove, err := serverFolder("ghpg")
	if err != nil {
		return "", nil, err
	}
	attr, err := postgresUser(dir)
	if err != nil {
		remove()
		return "", nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "gatehouse", "-A", "trust", "-E", "UTF8",
		"--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	addr, release, err := Reserve()
	if err != nil {
		remove()
		return "", nil, err
	}
	dsn, end, err := runPostgres(bin, dir, data, addr.Port, attr)
	if err != nil {
		release()
		remove()
		return "", nil, err
	}
	return dsn, func() { end(); release(); remove() }, nil
}

func runPostgres(bin, dir, data string, port int, attr *syscall.SysProcAttr, more ...string) (string, func(), error) {
	var err error
	var out bytes.Buffer
	args := []string{
		"-D", data, "-p", strconv.Itoa(port), "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "max_connections=300", "-c", "shared_buffers=32MB",
	}
	// the last one of duplicate settings applies
	cmd := exec.Command(filepath.Join(bin, "postgres"), append(args, more...)...)
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = attr, dir, &out, &out
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel kills the server when the thread that started it ends, so this goroutine keeps its thread.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its output shows how it ended
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return "", nil, err
	}
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // immediate shutdown; nothing has to be kept
		<-exited
	}
	dsn := fmt.Sprintf("postgres://gatehouse@127.0.0.1:%d/postgres?sslmode=disable", port)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if err = execOn(dsn, "SELECT 1"); err == nil {
			return dsn, stop, nil
		}
		select {
		case <-exited:
			return "", nil, fmt.Errorf("postgres ended: %s", out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	_ = cmd.Process.Kill()
	<-exited
	return "", nil, fmt.Errorf("postgres does not respond: %w: %s", err, out.String())
}

// postgresBin finds the directory of initdb and postgres.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil { // other programs may not be linked beside it
			path = target
		}
		if _, err := exec.LookPath(filepath.Join(filepath.Dir(path), "postgres")); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is valid
	best, version := "", -1
	for _, path := range found {
		n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err == nil && n > version {
			best, version = filepath.Dir(path), n
		}
	}
	if best == "" {
		return "", fmt.Errorf("there is no PostgreSQL: install the package \"postgresql\" (Debian: apt-get install "+
			"postgresql), or set %s to the connection string of a server", postgresEnv)
	}
	return best, nil
}

// postgresUser returns the user that runs the server and gives it the directory: PostgreSQL refuses to run as root.
func postgresUser(dir string) (*syscall.SysProcAttr, error) {
	attr := dieWithParent()
	if os.Geteuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, os.Chown(dir, int(uid), int(gid))
	}
	return nil, errors.New("PostgreSQL cannot run as root, and there is no user postgres or nobody")
}
