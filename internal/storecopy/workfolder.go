package storecopy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
)

// lockName is the file in a work folder that its process keeps locked. The kernel releases the lock when the process
// ends.
const lockName = "lock"

// WorkFolder creates a private temporary directory, and removes those with the same prefix that killed processes left
// behind, since they hold password hashes. It refuses a parent in which another user could replace the directory.
func WorkFolder(parent, prefix string) (dir string, remove func() error, err error) {
	if err := owner.CheckFolder(parent); err != nil {
		return "", nil, err
	}
	removeLeftovers(parent, prefix, time.Now())
	if dir, err = os.MkdirTemp(parent, prefix+"*"); err != nil {
		return "", nil, err
	}
	release, err := lockFolder(filepath.Join(dir, lockName))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), release()) }, nil
}

// minAge is the age below which a directory may still lack its lock: creating both is not atomic.
const minAge = time.Minute

// removeLeftovers removes work folders whose process is gone. Folders of other users and those in use are kept.
func removeLeftovers(parent, prefix string, now time.Time) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // creating the directory will fail, too
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		info, err := e.Info()
		if !ok || rest == "" || strings.Trim(rest, "0123456789") != "" || err != nil || !info.IsDir() ||
			now.Sub(info.ModTime()) < minAge {
			continue
		}
		if dir := filepath.Join(parent, e.Name()); isAbandoned(dir, info) {
			_ = os.RemoveAll(dir) // the next run tries again
		}
	}
}
