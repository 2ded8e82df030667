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

// Folders of servers lie outside of those of the tests (see startPostgres), so nobody removes them when the tests are
// killed. Each carries a file that its owner keeps locked; the kernel lets go of that with the owner.

// ownLock is the name of that file.
const ownLock = "owner.lock"

// ownFolder are the names that os.MkdirTemp gives to serverFolder's folders, and nothing else.
var ownFolder = regexp.MustCompile(`^ghpgb?[0-9]+$`)

// serverFolder makes a folder for a server under a short path, and removes those that killed tests have left.
func serverFolder(prefix string) (dir string, remove func(), err error) {
	removeLeftovers(os.TempDir(), time.Now())
	if dir, err = os.MkdirTemp("", prefix); err != nil {
		return "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ownLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() {
		_ = os.RemoveAll(dir) // what is left is found the next time
		_ = lock.Close()
	}, nil
}

// youngest is how long a folder may be without its lock: making both is not one step.
const youngest = time.Minute

// removeLeftovers removes the folders of servers in temp whose owner and whose server are dead.
func removeLeftovers(temp string, now time.Time) {
	entries, _ := os.ReadDir(temp) // there is always one, and nothing depends on it
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !ownFolder.MatchString(e.Name()) || now.Sub(info.ModTime()) < youngest {
			continue
		}
		if dir := filepath.Join(temp, e.Name()); !owned(dir) && !serverLives(dir) {
			_ = os.RemoveAll(dir) // another user's stays
		}
	}
}

// owned reports whether a process holds the folder's lock.
func owned(dir string) bool {
	lock, err := os.Open(filepath.Join(dir, ownLock))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// serverLives reports whether the process that runs the folder's server, as the server has noted it, is there.
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
