//go:build !unix

package cmd

import (
	"io/fs"
	"os"
)

// keepOwner does nothing on systems without Unix ownership.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

// syncDir does nothing where directories can't be synced.
func syncDir(string) error { return nil }
