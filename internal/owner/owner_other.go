//go:build !unix

package owner

import "io/fs"

// checkOwner does not support ACLs, which apply here: files inherit them from their directory.
func checkOwner(string, fs.FileInfo) error { return nil }

// isWorldWritable does not support them either.
func isWorldWritable(fs.FileInfo) bool { return false }
