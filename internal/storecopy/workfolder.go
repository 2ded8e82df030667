package storecopy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
)

// lockName is the file in a work folder that its process keeps locked. The kernel lets go of that with the process.
const lockName = "lock"

// WorkFolder makes a folder that only this user can look into, for what is thrown away in the end, and removes those of
// the same name that killed processes have left: password hashes are in them. It refuses a place in which another user
// could put a folder of theirs in its stead.
func WorkFolder(parent, prefix string) (dir string, remove func() error, err error) {
	if err := owner.Folder(parent); err != nil {
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

// youngest is how long a folder may be without its lock: making both is not one step.
const youngest = time.Minute

// removeLeftovers removes work folders whose process is gone. What it cannot look at or remove stays: another user's, or
// one that somebody works in.
func removeLeftovers(parent, prefix string, now time.Time) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // making the folder tells
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		info, err := e.Info()
		if !ok || rest == "" || strings.Trim(rest, "0123456789") != "" || err != nil || !info.IsDir() || now.Sub(info.ModTime()) < youngest {
			continue
		}
		if dir := filepath.Join(parent, e.Name()); abandoned(dir, info) {
			_ = os.RemoveAll(dir) // the next one tries again
		}
	}
}
