//go:build !unix

package cmd

import (
	"io/fs"
	"os"
)

// keepOwner does nothing where files inherit their owner from the folder.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

// syncDir does nothing where folders can't be synced.
func syncDir(string) error { return nil }
