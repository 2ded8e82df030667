package harness

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Postgres runs a PostgreSQL of its own until the test ends, whose only user needs no password, and returns its port at
// 127.0.0.1. The database is called postgres.
func Postgres(t testing.TB, username string) string {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("initdb"); err == nil && len(bins) == 0 { // a link alone may be there
		bins = append(bins, filepath.Dir(path))
	}
	if len(bins) == 0 {
		t.Fatal("there is no PostgreSQL: install the package postgresql")
	}
	bin := bins[len(bins)-1]
	dir, err := os.MkdirTemp("", "ghapp") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := new(syscall.SysProcAttr)
	if os.Geteuid() == 0 { // it refuses to run as root
		other, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(other.Uid)
		gid, _ := strconv.Atoi(other.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data, at := filepath.Join(dir, "data"), Port(t)
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", username, "-A", "trust", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	var log bytes.Buffer
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-p", at, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = attr, dir, &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		_ = server.Wait()
	})
	for deadline := time.Now().Add(time.Minute); exec.Command(filepath.Join(bin, "pg_isready"), "-h", "127.0.0.1", "-p", at).Run() != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not respond:\n%s", log.String())
		}
	}
	return at
}
