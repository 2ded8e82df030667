//go:build unix

package owner

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// checkOwner refuses what belongs to a user other than root and this one.
func checkOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: the owner of %s cannot be told", ErrForeign, path)
	}
	if st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("%w: %s belongs to %s and this is %s: run this as that user, or, if you know how it came there, "+
		"give it to the one that runs Caddy (chown)", ErrForeign, path, name(int(st.Uid)), name(os.Geteuid()))
}

// isWorldWritable reports whether everyone may replace files in the directory.
func isWorldWritable(info fs.FileInfo) bool {
	return info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
}

func name(uid int) string {
	number := strconv.Itoa(uid)
	if u, err := user.LookupId(number); err == nil {
		return "the user " + u.Username
	}
	return "the user with the number " + number
}
