//go:build !unix

package storecopy

import (
	"io/fs"
	"os"
)

// lockFolder keeps the file of a work folder open.
func lockFolder(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}

// abandoned cannot tell whether a process works in a folder.
func abandoned(string, fs.FileInfo) bool { return false }
