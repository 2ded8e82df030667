//go:build unix

package sqlstore

import "golang.org/x/sys/unix"

// writable asks the kernel, which also considers read-only file systems and ACLs, without writing. It checks the
// effective user and its capabilities; access(2) would check the real user.
func writable(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS)
}
