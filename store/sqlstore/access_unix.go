//go:build unix

package sqlstore

import "golang.org/x/sys/unix"

// writable asks the kernel, which also knows of read-only file systems and access lists, without writing.
func writable(path string) error { return unix.Access(path, unix.W_OK) }
