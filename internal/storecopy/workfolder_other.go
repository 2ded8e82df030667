//go:build !unix

package storecopy

import (
	"io/fs"
	"os"
)

// lockFolder creates the lock file of a work folder and keeps it open.
func lockFolder(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}

// isAbandoned cannot be determined here.
func isAbandoned(string, fs.FileInfo) bool { return false }
