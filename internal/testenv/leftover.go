package testenv

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The directories of servers are not inside those of tests (see startPostgres), so they are left behind when the
// tests are killed. Each holds a file that its owner keeps locked; the kernel releases the lock when the owner ends.

// lockFile is the name of that file.
const lockFile = "owner.lock"

// serverFolderName matches the names that os.MkdirTemp gives to the directories of serverFolder.
var serverFolderName = regexp.MustCompile(`^ghpgb?[0-9]+$`)

// serverFolder creates a directory for a server with a short path, and removes those that killed tests left behind.
func serverFolder(prefix string) (dir string, remove func(), err error) {
	removeLeftovers(os.TempDir(), time.Now())
	if dir, err = os.MkdirTemp("", prefix); err != nil {
		return "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() {
		_ = os.RemoveAll(dir) // leftovers are removed by the next run
		_ = lock.Close()
	}, nil
}

// minAge is the age below which a directory may still lack its lock: creating both is not atomic.
const minAge = time.Minute

// removeLeftovers removes the directories of servers in temp whose owner and server have ended.
func removeLeftovers(temp string, now time.Time) {
	entries, _ := os.ReadDir(temp) // temp always exists, and nothing depends on the result
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !serverFolderName.MatchString(e.Name()) || now.Sub(info.ModTime()) < minAge {
			continue
		}
		if dir := filepath.Join(temp, e.Name()); !isLocked(dir) && !serverLives(dir) {
			_ = os.RemoveAll(dir) // another user's is not removed
		}
	}
}

// isLocked reports whether a process holds the directory's lock.
func isLocked(dir string) bool {
	lock, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// serverLives reports whether the process in the server's pid file is running.
func serverLives(dir string) bool {
	for _, name := range []string{"data/postmaster.pid", "pgbouncer.pid"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || pid <= 0 {
			continue
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return true
		}
	}
	return false
}
