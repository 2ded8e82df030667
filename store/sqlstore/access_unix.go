//go:build unix

package sqlstore

import "golang.org/x/sys/unix"

// writable asks the kernel, which also knows of read-only file systems and access lists, without writing. It asks for
// the user as whom files are opened, with its capabilities; access(2) would ask for another one.
func writable(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS)
}
