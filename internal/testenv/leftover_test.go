package testenv

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestOnlyFoldersOfDeadServersAreRemoved(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	write := func(name, file, content string) {
		t.Helper()
		path := filepath.Join(temp, name, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = "2147483646\n" // above the limit of process ids
	write("ghpg101", "data/postmaster.pid", nobody)
	write("ghpg102", lockFile, "")
	write("ghpgb103", "pgbouncer.ini", "")
	write("ghpg201", "data/postmaster.pid", strconv.Itoa(os.Getpid())+"\n/x\n")
	write("ghpgx", "data/postmaster.pid", nobody)
	write("ghpg1-mine", "data/postmaster.pid", nobody)
	write("other", "data/postmaster.pid", nobody)
	later := time.Now().Add(time.Hour)
	removeLeftovers(temp, time.Now()) // all are below minAge
	mustRemain(t, temp, "ghpg101", "ghpg102", "ghpgb103")
	removeLeftovers(temp, later)
	mustRemain(t, temp, "ghpg201", "ghpgx", "ghpg1-mine", "other")
	for _, name := range []string{"ghpg101", "ghpg102", "ghpgb103"} {
		if _, err := os.Stat(filepath.Join(temp, name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}

func TestAFolderInUseIsNotRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, remove, err := serverFolder("ghpg")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	removeLeftovers(filepath.Dir(dir), time.Now().Add(2*minAge))
	mustRemain(t, filepath.Dir(dir), filepath.Base(dir))
	remove()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}

func mustRemain(t *testing.T, temp string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(temp, name)); err != nil {
			t.Error(err)
		}
	}
}
